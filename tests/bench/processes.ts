/**
 * Starts the programs a bench measures. Rule: every one of them ends before the bench does, also when it is interrupted;
 * settings of the person who runs the bench reach none of them.
 */
import { performance } from "node:perf_hooks";

export interface Command {
  program: string;
  args: readonly string[];
  cwd?: string;
}

export interface Ran {
  seconds: number;
  /** Until the first byte on stdout or stderr; undefined when it wrote nothing. */
  firstOutputMs: number | undefined;
  /** Of the process itself; 0 unless `watchMemory` was set. */
  peakRssBytes: number;
  code: number;
  out: string;
  err: string;
}

export interface RunOptions {
  watchMemory?: boolean;
}

export interface Processes {
  /** Runs to the end, whatever the exit code. @throws {StoppedError} once stopped */
  run(command: Command, options?: RunOptions): Promise<Ran>;
  /** As `run`, for programs that must succeed. @throws {Error} with its last words otherwise */
  must(command: Command, options?: RunOptions): Promise<Ran>;
  /** Kills what runs and refuses what comes. */
  stop(): void;
  /** @throws {StoppedError} once stopped */
  throwIfStopped(): void;
}

/** The person pressed Ctrl-C. */
export class StoppedError extends Error {
  override readonly name = "StoppedError";
}

const MEMORY_LOOK_EVERY_MS = 50;
const LAST_WORDS_MAX = 2000;

export function createProcesses(env: Record<string, string>): Processes {
  const running = new Set<Deno.ChildProcess>();
  let stopped = false;

  const throwIfStopped = (): void => {
    if (stopped) throw new StoppedError("Stopped");
  };

  const run = async (command: Command, options: RunOptions = {}): Promise<Ran> => {
    throwIfStopped();
    const { program, args, cwd } = command;
    const startMs = performance.now();
    const child = new Deno.Command(program, {
      args: [...args],
      ...(cwd === undefined ? {} : { cwd }),
      env,
      clearEnv: true,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    running.add(child);
    const memory = options.watchMemory === true ? watchMemory(child.pid) : undefined;
    try {
      let firstOutputMs: number | undefined;
      const onOutput = (): void => {
        firstOutputMs ??= performance.now() - startMs;
      };
      const [status, out, err] = await Promise.all([
        child.status.then(({ code }) => ({ code, endMs: performance.now() })),
        collect(child.stdout, onOutput),
        collect(child.stderr, onOutput),
      ]);
      throwIfStopped();
      const seconds = (status.endMs - startMs) / 1000;
      const peakRssBytes = memory?.peakBytes() ?? 0;
      return { seconds, firstOutputMs, peakRssBytes, code: status.code, out, err };
    } finally {
      memory?.stop();
      running.delete(child);
    }
  };

  return {
    run,
    throwIfStopped,
    async must(command, options) {
      const ran = await run(command, options);
      if (ran.code === 0) return ran;
      const line = [command.program, ...command.args].join(" ");
      const words = `${ran.err}\n${ran.out}`.trim().slice(-LAST_WORDS_MAX);
      throw new Error(`Exit code ${ran.code}: ${line}\n${words}`);
    },
    stop() {
      stopped = true;
      for (const child of running) {
        try {
          child.kill("SIGKILL");
        } catch {
          // It has ended already.
        }
      }
    },
  };
}

async function collect(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  onOutput: () => void,
): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const part of stream) {
    onOutput();
    text += decoder.decode(part, { stream: true });
  }
  return text + decoder.decode();
}

/** The kernel keeps the high-water mark, so that only a rise in the last few milliseconds can be missed. */
function watchMemory(pid: number): { peakBytes(): number; stop(): void } {
  let peakBytes = 0;
  const timer = setInterval(() => {
    try {
      const status = Deno.readTextFileSync(`/proc/${pid}/status`);
      const match = /^VmHWM:\s+(\d+) kB$/m.exec(status);
      if (match !== null) peakBytes = Math.max(peakBytes, Number(match[1]) * 1024);
    } catch {
      // It has ended.
    }
  }, MEMORY_LOOK_EVERY_MS);
  return { peakBytes: () => peakBytes, stop: () => clearInterval(timer) };
}

/** Seconds of CPU that all ended children of this process have used, in user and kernel mode. Linux only. */
export function childrenCpuSeconds(): number {
  const stat = Deno.readTextFileSync("/proc/self/stat");
  // The name before the last bracket may hold blanks; user and system time of waited-for children are fields 16 and 17.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[13]) + Number(fields[14])) / CLOCK_TICKS_PER_SECOND;
}

/** The unit of /proc/PID/stat on every Linux that Deno runs on. */
const CLOCK_TICKS_PER_SECOND = 100;
