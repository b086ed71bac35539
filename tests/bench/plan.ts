/**
 * What a contender does, as data, and how it is timed. Rule: everything that copies, flushes or checks is counted;
 * nothing else is.
 */
import { dropCaches, type Forget } from "./bench_fs.ts";
import { childrenCpuSeconds, type Command, type Processes, type Ran } from "./processes.ts";

export type Step =
  | {
    kind: "run";
    name: string;
    commands: readonly Command[];
    /** All at the same time, else one after the other. */
    atOnce: boolean;
    /** What the output shows to be wrong, or undefined. The exit code is looked at before. */
    complaint?: (ran: Ran) => string | undefined;
  }
  /** Not counted: until now caches are warm, from here on everything comes from disk. */
  | { kind: "drop caches"; forget: Forget; warmUp: readonly Command[] };

export interface Plan {
  name: string;
  steps: readonly Step[];
}

export interface Timing {
  seconds: number;
  /** User and kernel time of all its processes. */
  cpuSeconds: number;
  /** Seconds of each step by its name. */
  steps: Record<string, number>;
}

/** @throws when a command fails or its output shows that it did not verify what it copied */
export async function runPlan(processes: Processes, plan: Plan): Promise<Timing> {
  const timing: Timing = { seconds: 0, cpuSeconds: 0, steps: {} };
  for (const step of plan.steps) {
    if (step.kind === "drop caches") {
      await dropCaches(processes, step.forget);
      for (const command of step.warmUp) await processes.must(command);
      continue;
    }
    const cpuBefore = childrenCpuSeconds();
    const startMs = performance.now();
    const all = step.atOnce
      ? await Promise.all(step.commands.map((command) => processes.must(command)))
      : await oneByOne(processes, step.commands);
    const seconds = (performance.now() - startMs) / 1000;
    timing.seconds += seconds;
    timing.cpuSeconds += childrenCpuSeconds() - cpuBefore;
    timing.steps[step.name] = seconds;
    for (const ran of all) {
      const complaint = step.complaint?.(ran);
      if (complaint !== undefined) throw new Error(`${plan.name}, ${step.name}: ${complaint}`);
    }
  }
  return timing;
}

async function oneByOne(processes: Processes, commands: readonly Command[]): Promise<Ran[]> {
  const all: Ran[] = [];
  for (const command of commands) all.push(await processes.must(command));
  return all;
}
