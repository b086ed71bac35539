/** A run over a tree that has not changed since the run before, against rsync -a of the same. Rule: everything is warm. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { BenchContext } from "./bench_context.ts";
import { program } from "./bench_fs.ts";
import { backupCommand, filesCopied, type Form } from "./ours.ts";
import { best, median, type Part } from "./part.ts";
import { runPlan } from "./plan.ts";
import type { Command } from "./processes.ts";

const TARGET_RATIO = 1.0;

export async function secondRun(
  context: BenchContext,
  forms: readonly Form[],
  source: string,
): Promise<Part> {
  const { processes, mountPoint, workFolder, rounds } = context;
  const root = join(mountPoint, "unchanged");
  const folders = (kind: string): string[] => {
    const all = [1, 2, 3].map((i) => join(root, `${kind}-${i}`));
    for (const folder of all) mkdirSync(folder, { recursive: true });
    return all;
  };
  const rsync = folders("rsync").map((to): Command => ({
    program: program("rsync"),
    args: ["-a", source, to],
  }));
  const call = {
    sources: [source],
    destinations: folders("ours"),
    stateDir: Deno.makeTempDirSync({ dir: workFolder, prefix: "state-" }),
  };
  const [firstForm] = forms;
  const measured = [
    ...forms.map((form) => ({
      name: form.name,
      commands: [backupCommand(form, call)],
      atOnce: false,
    })),
    { name: "rsync -a, three times", commands: rsync, atOnce: false },
    { name: "rsync -a, three at once", commands: rsync, atOnce: true },
  ];
  // The first runs copy, the second ones warm every cache.
  for (const { commands } of [...measured, ...measured]) {
    for (const command of commands) await processes.must(command);
  }
  const rows = measured.map(({ name }) => ({ name, values: [] as number[] }));
  for (let round = 0; round < rounds; round++) {
    const order = measured.map((_, i) => (i + round) % measured.length);
    for (const i of order) {
      const { name, commands, atOnce } = measured[i]!;
      const step = { kind: "run", name: "all", commands, atOnce } as const;
      const timing = await runPlan(processes, { name, steps: [step] });
      rows[i]!.values.push(timing.seconds);
      context.say(`  unchanged, round ${round + 1}: ${name}: ${timing.seconds.toFixed(2)} s`);
    }
  }
  const copied = filesCopied(await processes.must(backupCommand(firstForm!, call)));
  if (copied !== 0) throw new Error(`A second run of an unchanged tree copied ${copied} files`);
  await Deno.remove(root, { recursive: true });

  const baseline = best(rows.slice(forms.length));
  return {
    title: "An unchanged second run, warm",
    unit: "s",
    rows,
    baseline: baseline.name,
    verdicts: rows.slice(0, forms.length).map(({ name, values }) => ({
      measure: `${name} ÷ ${baseline.name}`,
      measured: median(values) / median(baseline.values),
      target: TARGET_RATIO,
      unit: "×",
    })),
    notes: ["nothing is flushed by rsync; ours also compares its manifest and takes its lock"],
  };
}
