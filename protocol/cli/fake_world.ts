/** A terminal, surroundings and signals for tests: what is written is kept, nothing real is touched. */
import { createStyle } from "./colours.ts";
import type { InterruptSignal, SignalPort } from "./interrupt.ts";
import type { Surroundings } from "./surroundings.ts";
import type { Terminal } from "./terminal.ts";

export interface FakeTerminal extends Terminal {
  readonly written: { out: string; err: string };
  /** Ends the process as far as the terminal can notice. */
  exit(): void;
  columns: number;
  rows: number;
}

export function fakeTerminal(
  options: { isLive?: boolean; columns?: number; answers?: string[] } = {},
): FakeTerminal {
  const style = createStyle({ colours: false, unicode: true });
  const written = { out: "", err: "" };
  const exits = new Set<() => void>();
  const terminal: FakeTerminal = {
    written,
    out: (text) => void (written.out += text),
    err: (text) => void (written.err += text),
    isLive: options.isLive ?? false,
    outStyle: style,
    errStyle: style,
    columns: options.columns ?? 80,
    rows: 24,
    size: () => ({ columns: terminal.columns, rows: terminal.rows }),
    askSecret(prompt) {
      const answer = options.answers?.shift();
      if (answer !== undefined) written.err += prompt;
      return Promise.resolve(answer);
    },
    onExit(restore) {
      exits.add(restore);
      return () => exits.delete(restore);
    },
    exit: () => exits.forEach((restore) => restore()),
  };
  return terminal;
}

export function fakeSurroundings(
  facts: {
    env?: Record<string, string>;
    files?: Record<string, string>;
    folder?: string;
    home?: string | undefined;
  } = {},
): Surroundings {
  return {
    env: (name) => facts.env?.[name] || undefined,
    folder: facts.folder ?? "/here",
    home: () => "home" in facts ? facts.home : "/home/me",
    readTextFile(path) {
      const text = facts.files?.[path];
      if (text === undefined) throw new Deno.errors.NotFound(`no such file: ${path}`);
      return text;
    },
  };
}

export interface FakeSignals extends SignalPort {
  /** As `isHungUp` says. */
  terminalHasGone: boolean;
  send(signal: InterruptSignal): void;
  readonly exitedWith: number[];
  readonly listening: ReadonlySet<() => void>;
}

export function fakeSignals(): FakeSignals {
  const handlers = new Map<InterruptSignal, () => void>();
  const listening = new Set<() => void>();
  const exitedWith: number[] = [];
  const signals: FakeSignals = {
    terminalHasGone: false,
    isHungUp: () => signals.terminalHasGone,
    exitedWith,
    listening,
    listen(signal, handler) {
      handlers.set(signal, handler);
      listening.add(handler);
    },
    unlisten(signal, handler) {
      handlers.delete(signal);
      listening.delete(handler);
    },
    exitNow: (code) => void exitedWith.push(code),
    send: (signal) => handlers.get(signal)?.(),
  };
  return signals;
}
