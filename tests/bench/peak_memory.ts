/** The most memory the program ever held, with three destinations. Rule: it is the kernel's own high-water mark. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { BenchContext } from "./bench_context.ts";
import { dropCaches } from "./bench_fs.ts";
import { backupCommand, type Form } from "./ours.ts";
import type { Part } from "./part.ts";

export interface MemoryOptions {
  title: string;
  source: string;
  targetMb: number;
}

const BYTES_PER_MB = 1e6;

/** A first run that copies everything, and a second one that finds nothing changed. Measured once. */
export async function peakMemory(
  { processes, mountPoint, workFolder, say }: BenchContext,
  form: Form,
  { title, source, targetMb }: MemoryOptions,
): Promise<Part> {
  const root = join(mountPoint, "memory");
  const destinations = [1, 2, 3].map((i) => join(root, `${i}`));
  for (const destination of destinations) mkdirSync(destination, { recursive: true });
  const stateDir = Deno.makeTempDirSync({ dir: workFolder, prefix: "state-" });
  const command = backupCommand(form, { sources: [source], destinations, stateDir });
  await dropCaches(processes);
  const rows = [];
  for (const name of ["first run", "unchanged second run"]) {
    const ran = await processes.must(command, { watchMemory: true });
    const megabytes = ran.peakRssBytes / BYTES_PER_MB;
    say(`  ${title}, ${name}: ${megabytes.toFixed(0)} MB in ${ran.seconds.toFixed(1)} s`);
    rows.push({ name, values: [megabytes], detail: `in ${ran.seconds.toFixed(1)} s` });
  }
  await Deno.remove(root, { recursive: true });
  return {
    title: `Peak memory, ${title} (${form.name})`,
    unit: "MB",
    rows,
    verdicts: [{
      measure: "peak resident memory",
      measured: Math.max(...rows.map(({ values }) => values[0]!)),
      target: targetMb,
      unit: "MB",
    }],
    notes: [
      "three destinations; VmHWM of the one process, all its threads and shared memory in it",
    ],
  };
}
