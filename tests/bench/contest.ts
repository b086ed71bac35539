/**
 * All contenders on the same data: every round starts from empty destinations and empty caches. Rule: the order
 * changes from round to round, so that no contender always follows the same one.
 */
import { basename, join } from "node:path";
import { dropCaches, type Forget } from "./bench_fs.ts";
import { compareTrees } from "./compare_trees.ts";
import { contenders, type Scene } from "./contenders.ts";
import { forms, ourPlan } from "./ours.ts";
import { best, median, type Part, type Row } from "./part.ts";
import { type Plan, runPlan, type Timing } from "./plan.ts";
import type { BenchContext } from "./bench_context.ts";

export interface ContestOptions {
  title: string;
  source: string;
  /** Also compares every copy with its source, byte by byte and not counted. */
  compare: boolean;
  notes: readonly string[];
  forgetBeforeCheck: Forget;
}

const DESTINATIONS = 3;
const TARGET_RATIO = 0.5;

export async function contest(context: BenchContext, options: ContestOptions): Promise<Part> {
  const { processes, mountPoint, workFolder, rounds } = context;
  const { source, forgetBeforeCheck } = options;
  const root = join(mountPoint, "destinations");
  const destinations = Array.from({ length: DESTINATIONS }, (_, i) => join(root, `${i + 1}`));
  const scene: Scene = { source, destinations, workFolder, forgetBeforeCheck };
  const ours = forms().map((form) => () => ourPlan(form, scene));
  const others = [false, true].flatMap((atOnce) => contenders(scene, atOnce)).map((plan) => () =>
    plan
  );
  const timings = new Map<string, Timing[]>();
  let filesCompared = 0;

  for (let round = 0; round < rounds; round++) {
    for (const make of inOrder([...ours, ...others], round)) {
      const plan: Plan = make();
      for (const destination of destinations) Deno.mkdirSync(destination, { recursive: true });
      const timing = await runPlan(processes, plan);
      timings.set(plan.name, [...timings.get(plan.name) ?? [], timing]);
      context.say(`  ${options.title}, round ${round + 1}: ${plan.name}: ${inWords(timing)}`);
      if (options.compare) filesCompared += requireEqual(plan.name, scene);
      await Deno.remove(root, { recursive: true });
      await dropCaches(processes);
    }
  }

  const rows = [...timings].map(([name, all]) => rowOf(name, all));
  const ourNames = new Set(forms().map(({ name }) => name));
  const winners = [false, true].map((atOnce) => {
    const names = new Set(contenders(scene, atOnce).map(({ name }) => name));
    return best(rows.filter(({ name }) => names.has(name)));
  });
  return {
    title: options.title,
    unit: "s",
    rows: rows.toSorted((a, b) => median(a.values) - median(b.values)),
    baseline: best(winners).name,
    verdicts: rows.filter(({ name }) => ourNames.has(name)).flatMap(({ name, values }) =>
      winners.map((winner) => ({
        measure: `${name} ÷ ${winner.name}`,
        measured: median(values) / median(winner.values),
        target: TARGET_RATIO,
        unit: "×",
      }))
    ),
    ...(options.compare ? { filesCompared } : {}),
    notes: options.notes,
  };
}

/** Rotated by one each round, and backwards every second round. */
function inOrder<T>(items: readonly T[], round: number): T[] {
  const start = round % items.length;
  const rotated = [...items.slice(start), ...items.slice(0, start)];
  return round % 2 === 0 ? rotated : rotated.reverse();
}

function rowOf(name: string, all: readonly Timing[]): Row {
  const cpu = median(all.map(({ cpuSeconds }) => cpuSeconds));
  const steps = Object.keys(all[0]!.steps);
  const each = steps.map((step) =>
    `${step} ${median(all.map((one) => one.steps[step]!)).toFixed(2)}`
  );
  const detail = `cpu ${cpu.toFixed(2)}${steps.length > 1 ? `, ${each.join(", ")}` : ""}`;
  return { name, values: all.map(({ seconds }) => seconds), detail };
}

function inWords({ seconds, cpuSeconds }: Timing): string {
  return `${seconds.toFixed(2)} s, cpu ${cpuSeconds.toFixed(2)} s`;
}

/** @throws when a copy differs; else the number of files compared */
function requireEqual(contender: string, { source, destinations }: Scene): number {
  let filesEqual = 0;
  for (const destination of destinations) {
    const found = compareTrees(source, join(destination, basename(source)));
    filesEqual += found.filesEqual;
    if (found.differences.length === 0) continue;
    const some = found.differences.slice(0, 5).join("; ");
    throw new Error(`${contender}: ${destination} is not equal to the source: ${some}`);
  }
  return filesEqual;
}
