/** Runs a program as a user would. Rule: nothing of this process's environment reaches it, and none outlives its test. */

/** A program that takes longer than this is killed and its test fails. */
const DEADLINE_MS = 60_000;

export interface RunOptions {
  cwd?: string;
  /** The whole environment; default none at all. */
  env?: Record<string, string>;
  deadlineMs?: number;
}

export interface Outcome {
  code: number;
  signal: Deno.Signal | null;
  out: string;
  err: string;
}

/** Runs to the end. @throws {Error} naming the program when it did not end before its deadline. */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Outcome> {
  await using running = startProgram(program, args, options);
  return await running.outcome;
}

export interface RunningProgram extends AsyncDisposable {
  pid: number;
  /** Resolves when the program has written `text` to stdout; rejects when it ends first. */
  saw(text: string): Promise<void>;
  /** What it has written to stdout so far. */
  out(): string;
  /** And to stderr. */
  err(): string;
  kill(signal: Deno.Signal): void;
  outcome: Promise<Outcome>;
}

/** Starts a program; leaving the scope of the result kills it. */
export function startProgram(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): RunningProgram {
  const { env = {}, deadlineMs = DEADLINE_MS } = options;
  const child = new Deno.Command(program, {
    args: [...args],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env,
    clearEnv: true,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();

  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, deadlineMs);

  const stdout = collect(child.stdout);
  const stderr = collect(child.stderr);
  const outcome = (async () => {
    const [status] = await Promise.all([child.status, stdout.ended, stderr.ended]);
    clearTimeout(timer);
    const { code, signal } = status;
    const result = { code, signal, out: stdout.text(), err: stderr.text() };
    if (late) {
      throw new Error(`${program} did not end within ${deadlineMs} ms: ${JSON.stringify(result)}`);
    }
    return result;
  })();
  // Whoever only starts and kills never asks for the outcome.
  outcome.catch(() => {});

  return {
    pid: child.pid,
    saw: stdout.saw,
    out: stdout.text,
    err: stderr.text,
    kill: (signal) => child.kill(signal),
    outcome,
    async [Symbol.asyncDispose]() {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended already.
      }
      await outcome.catch(() => {});
    },
  };
}

interface Collected {
  text(): string;
  saw(text: string): Promise<void>;
  ended: Promise<void>;
}

function collect(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Collected {
  let text = "";
  let isOver = false;
  let watchers: (() => void)[] = [];
  const wake = (): void => {
    const woken = watchers;
    watchers = [];
    woken.forEach((look) => look());
  };
  const ended = (async () => {
    for await (const part of stream.pipeThrough(new TextDecoderStream())) {
      text += part;
      wake();
    }
    isOver = true;
    wake();
  })();
  const saw = (wanted: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (text.includes(wanted)) resolve();
        else if (isOver) reject(new Error(`ended without printing "${wanted}": ${text}`));
        else watchers.push(look);
      };
      look();
    });
  return { text: () => text, saw, ended };
}
