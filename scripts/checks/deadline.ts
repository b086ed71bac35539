/** Runs the steps of `deno task test`. Rule: all of them together end by one deadline, children of children too. */

export interface StepResult {
  success: boolean;
  /** What it wrote to stdout; it was shown as it came. */
  output: string;
}

export interface StepRunner {
  /**
   * Runs a program and gives what it writes to stdout to `show`, as it comes; by default to ours. Rejects nothing: a step
   * that cannot start has failed. Several may run beside each other.
   */
  run(
    program: string,
    args: string[],
    env?: Record<string, string>,
    show?: (part: Uint8Array) => void,
  ): Promise<StepResult>;
  /** Ends the running steps and all they have started. */
  stop(): void;
  /** True once the deadline has passed; every later step fails at once. */
  isLate(): boolean;
}

/** Each step gets a process group of its own, so that one signal ends it with all it has started. */
export function createStepRunner(deadlineMs: number): StepRunner {
  const groups = new Set<number>();
  let late = false;
  const endGroup = (group: number): void => {
    try {
      Deno.kill(-group, "SIGKILL");
    } catch {
      // It has ended already.
    }
  };
  const endAll = () => groups.forEach(endGroup);
  const timer = setTimeout(() => {
    late = true;
    console.error(`\nStopped: the tests took longer than ${deadlineMs / 60_000} minutes`);
    endAll();
  }, deadlineMs);
  Deno.unrefTimer(timer);
  return {
    stop: endAll,
    isLate: () => late,
    async run(program, args, env = {}, show = (part) => Deno.stdout.writeSync(part)) {
      if (late) return { success: false, output: "" };
      const child = new Deno.Command(program, {
        args,
        env,
        detached: true,
        stdin: "null",
        stdout: "piped",
        stderr: "inherit",
      }).spawn();
      groups.add(child.pid);
      const output = await readAll(child.stdout, show);
      const { success } = await child.status;
      // Whatever a test has left behind ends with its step.
      endGroup(child.pid);
      groups.delete(child.pid);
      return { success: success && !late, output };
    },
  };
}

async function readAll(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  show: (part: Uint8Array) => void,
): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const part of stream) {
    show(part);
    text += decoder.decode(part, { stream: true });
  }
  return text + decoder.decode();
}
