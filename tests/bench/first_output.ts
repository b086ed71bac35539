/** How long a person looks at nothing: from starting the program to its first byte. Rule: programs and modules are warm. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BenchContext } from "./bench_context.ts";
import { type Form, forms } from "./ours.ts";
import { median, type Part, type Row, type Verdict } from "./part.ts";

const TARGET_MS = { source: 150, executable: 250 };

export async function firstOutput(context: BenchContext, times: number): Promise<Part> {
  const rows: Row[] = [];
  const verdicts: Verdict[] = [];
  for (const [i, form] of forms().entries()) {
    const values = await measure(context, form, times);
    rows.push({ name: form.name, values });
    verdicts.push({
      measure: form.name,
      measured: median(values),
      target: i === 0 ? TARGET_MS.source : TARGET_MS.executable,
      unit: "ms",
    });
  }
  const notes = ["a backup of one small file to one destination, output not a terminal"];
  return { title: "First output, warm", unit: "ms", rows, verdicts, notes };
}

async function measure(
  { processes, mountPoint, workFolder, say }: BenchContext,
  form: Form,
  times: number,
): Promise<number[]> {
  const root = join(mountPoint, "first-output");
  const [source, destination] = [join(root, "source"), join(root, "destination")];
  for (const folder of [source, destination]) mkdirSync(folder, { recursive: true });
  writeFileSync(join(source, "file"), "content");
  const stateDir = Deno.makeTempDirSync({ dir: workFolder, prefix: "state-" });
  const command = form.command("backup", source, "--to", destination, "--state-dir", stateDir);
  await processes.must(command);
  const values: number[] = [];
  for (let i = 0; i < times; i++) {
    const { firstOutputMs } = await processes.must(command);
    if (firstOutputMs === undefined) throw new Error(`${form.name} printed nothing`);
    values.push(firstOutputMs);
  }
  say(`  first output: ${form.name}: ${median(values).toFixed(0)} ms`);
  await Deno.remove(root, { recursive: true });
  return values;
}
