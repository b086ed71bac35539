/** Runs the steps of `deno task test`. Rule: all of them together end by one deadline, children of children too. */

export interface StepResult {
  success: boolean;
  /** What it wrote to stdout; it was shown as it came. */
  output: string;
}

export interface StepRunner {
  /** Runs a program with stdio passed through. Rejects nothing: a step that cannot start has failed. */
  run(program: string, args: string[], env?: Record<string, string>): Promise<StepResult>;
  /** Ends the running step and all it has started. */
  stop(): void;
  /** True once the deadline has passed; every later step fails at once. */
  isLate(): boolean;
}

/** Each step gets a process group of its own, so that one signal ends it with all it has started. */
export function createStepRunner(deadlineMs: number): StepRunner {
  let group: number | undefined;
  let late = false;
  const signalGroup = (signal: Deno.Signal): void => {
    try {
      if (group !== undefined) Deno.kill(-group, signal);
    } catch {
      // It has ended already.
    }
  };
  const timer = setTimeout(() => {
    late = true;
    console.error(`\nStopped: the tests took longer than ${deadlineMs / 60_000} minutes`);
    signalGroup("SIGKILL");
  }, deadlineMs);
  Deno.unrefTimer(timer);
  return {
    stop: () => signalGroup("SIGKILL"),
    isLate: () => late,
    async run(program, args, env = {}) {
      if (late) return { success: false, output: "" };
      const child = new Deno.Command(program, {
        args,
        env,
        detached: true,
        stdin: "null",
        stdout: "piped",
        stderr: "inherit",
      }).spawn();
      group = child.pid;
      const output = await show(child.stdout);
      const { success } = await child.status;
      // Whatever a test has left behind ends with its step.
      signalGroup("SIGKILL");
      group = undefined;
      return { success: success && !late, output };
    },
  };
}

async function show(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const part of stream) {
    Deno.stdout.writeSync(part);
    text += decoder.decode(part, { stream: true });
  }
  return text + decoder.decode();
}
