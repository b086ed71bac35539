/** Ctrl-C and its relatives. Rule: the first signal asks for a clean end, the second ends at once. */
import { BackupError } from "../base/errors.ts";

export const INTERRUPT_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
export type InterruptSignal = (typeof INTERRUPT_SIGNALS)[number];

/** What the process offers: its signals, and an end without further work. */
export interface SignalPort {
  listen(signal: InterruptSignal, handler: () => void): void;
  unlisten(signal: InterruptSignal, handler: () => void): void;
  /** Ends the process; listeners of the terminal's exit still run. */
  exitNow(code: number): void;
  /** The terminal that the process was started on has gone. False without one. */
  isHungUp(): boolean;
}

export interface InterruptOptions {
  /**
   * restic's `unlock` asks whether a lock's holder lives by sending it SIGHUP. Whoever may hold one takes that signal for the
   * end of the terminal only when that has really gone.
   */
  mayHoldLocks?: boolean;
}

export interface Interrupts {
  /** Aborted with a `cancelled` BackupError by the first signal. */
  signal: AbortSignal;
  close(): void;
}

/** Watches for signals until closed. `onFirst` is told the first one, to show that it was heard. */
export function watchInterrupts(
  port: SignalPort,
  onFirst: (signal: InterruptSignal) => void,
  { mayHoldLocks = false }: InterruptOptions = {},
): Interrupts {
  const controller = new AbortController();
  const handlers = INTERRUPT_SIGNALS.map((signal) => ({
    signal,
    handler: () => {
      if (signal === "SIGHUP" && mayHoldLocks && !port.isHungUp()) return;
      if (controller.signal.aborted) return port.exitNow(130);
      controller.abort(new BackupError("cancelled", `Cancelled by ${signal}`));
      onFirst(signal);
    },
  }));
  for (const { signal, handler } of handlers) port.listen(signal, handler);
  return {
    signal: controller.signal,
    close: () => {
      for (const { signal, handler } of handlers) port.unlisten(signal, handler);
    },
  };
}

const SIGNAL_NUMBERS: Readonly<Record<InterruptSignal, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGTERM: 15,
};

/** The process's signals. Those the parent chose to ignore, as `nohup` does with SIGHUP, stay ignored. */
export function processSignals(): SignalPort {
  const ignored = new Set(ignoredSignals(readOwnStatus()));
  // Deno catches all three once one is listened to, and ends the process for any without a listener.
  const heardInVain = () => {};
  const hadTerminal = hasTerminal();
  const listenerOf = (signal: InterruptSignal, handler: () => void) =>
    ignored.has(signal) ? heardInVain : handler;
  return {
    listen: (signal, handler) => Deno.addSignalListener(signal, listenerOf(signal, handler)),
    unlisten: (signal, handler) => Deno.removeSignalListener(signal, listenerOf(signal, handler)),
    exitNow: (code) => Deno.exit(code),
    isHungUp: () => hadTerminal && !hasTerminal(),
  };
}

/** Whether the process belongs to a terminal: once that is closed, this name leads nowhere. */
function hasTerminal(): boolean {
  try {
    Deno.openSync("/dev/tty").close();
    return true;
  } catch {
    return false;
  }
}

/** Reads the `SigIgn` mask of a Linux `/proc/<pid>/status`. */
export function ignoredSignals(status: string): InterruptSignal[] {
  const mask = BigInt(`0x${/^SigIgn:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  return INTERRUPT_SIGNALS.filter((s) => (mask >> BigInt(SIGNAL_NUMBERS[s] - 1)) & 1n);
}

function readOwnStatus(): string {
  try {
    return Deno.readTextFileSync("/proc/self/status");
  } catch {
    return ""; // Not Linux: every signal is listened to.
  }
}
