/** The terminal as a port. Rule: results go to `out`, everything else to `err`, and a reader that has gone away never stops a backup. */
import { askOnTerminal } from "./ask_on_terminal.ts";
import { createStyle, type Style } from "./colours.ts";

/** How long a full pipe may hold the program up before what cannot be written is dropped. */
const WRITE_PATIENCE_MS = 10_000;
const WRITE_RETRY_MS = 5;
const FALLBACK_SIZE = { columns: 80, rows: 24 };

export interface Terminal {
  /** Writes to standard output, at once and whole. */
  out(text: string): void;
  /** Writes to standard error, at once and whole. */
  err(text: string): void;
  /** Standard error is a terminal that can redraw in place. */
  readonly isLive: boolean;
  readonly outStyle: Style;
  readonly errStyle: Style;
  size(): { columns: number; rows: number };
  /**
   * Asks a person for one line that is not shown while it is typed. Undefined when nobody can be asked.
   * @throws {BackupError} `cancelled` for Ctrl-C
   */
  askSecret(prompt: string): Promise<string | undefined>;
  /** Calls `restore` when the process ends in whatever way it can notice, until the returned function is called. */
  onExit(restore: () => void): () => void;
}

/** The process's own streams, following NO_COLOR, TERM and the locale. */
export function processTerminal(env: (name: string) => string | undefined): Terminal {
  const escapes = env("TERM") !== undefined && env("TERM") !== "dumb";
  const colours = escapes && env("NO_COLOR") === undefined;
  const unicode = hasUnicode(env);
  return {
    out: streamWriter(Deno.stdout),
    err: streamWriter(Deno.stderr),
    isLive: escapes && Deno.stderr.isTerminal(),
    outStyle: createStyle({ colours: colours && Deno.stdout.isTerminal(), unicode }),
    errStyle: createStyle({ colours: colours && Deno.stderr.isTerminal(), unicode }),
    size: consoleSize,
    askSecret(prompt) {
      if (!Deno.stdin.isTerminal() || !Deno.stderr.isTerminal()) return Promise.resolve(undefined);
      return askOnTerminal(prompt, Deno.stdin, streamWriter(Deno.stderr));
    },
    onExit(restore) {
      globalThis.addEventListener("unload", restore);
      return () => globalThis.removeEventListener("unload", restore);
    },
  };
}

/** UTF-8 is assumed unless the locale or the kernel's console says that there is none. */
export function hasUnicode(env: (name: string) => string | undefined): boolean {
  const locale = env("LC_ALL") ?? env("LC_CTYPE") ?? env("LANG");
  return env("TERM") !== "linux" && (locale === undefined || /utf-?8/i.test(locale));
}

function consoleSize(): { columns: number; rows: number } {
  try {
    const { columns, rows } = Deno.consoleSize();
    return columns > 0 && rows > 0 ? { columns, rows } : FALLBACK_SIZE;
  } catch {
    return FALLBACK_SIZE;
  }
}

/** Writes whole texts in order to a stream that may be slow, non-blocking or gone. */
export function streamWriter(
  stream: { writeSync(bytes: Uint8Array): number },
): (text: string) => void {
  const encoder = new TextEncoder();
  let gone = false;
  return (text) => {
    let rest = encoder.encode(text);
    let waitedMs = 0;
    while (!gone && rest.length > 0) {
      try {
        rest = rest.subarray(stream.writeSync(rest));
        waitedMs = 0;
      } catch (error) {
        if (!isPassing(error) || waitedMs >= WRITE_PATIENCE_MS) {
          gone = true;
          return;
        }
        pause(WRITE_RETRY_MS);
        waitedMs += WRITE_RETRY_MS;
      }
    }
  };
}

/** The reader is there: a full pipe, a signal in between, or a writer beside us. Anything else is a reader that has gone. */
function isPassing(error: unknown): boolean {
  const { WouldBlock, Interrupted, Busy } = Deno.errors;
  return [WouldBlock, Interrupted, Busy].some((kind) => error instanceof kind);
}

function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
