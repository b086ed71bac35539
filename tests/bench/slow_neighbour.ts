/** The fast destination alone, and beside one that may only write 8 MB/s. Rule: both read the same six cold directories. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { BenchContext } from "./bench_context.ts";
import { dropCaches } from "./bench_fs.ts";
import { backupCommand, destinationSeconds, type Form } from "./ours.ts";
import { median, type Part } from "./part.ts";

const TARGET_RATIO = 1.1;
const LIMIT = "8MB";

export async function slowNeighbour(
  context: BenchContext,
  form: Form,
  sources: readonly string[],
): Promise<Part> {
  const alone: number[] = [];
  const beside: number[] = [];
  const slow: number[] = [];
  for (let round = 0; round < context.rounds; round++) {
    for (const withSlow of round % 2 === 0 ? [false, true] : [true, false]) {
      const seconds = await once(context, form, sources, withSlow);
      (withSlow ? beside : alone).push(seconds.fast);
      if (seconds.slow !== undefined) slow.push(seconds.slow);
      const words = withSlow ? `beside ${seconds.slow?.toFixed(1)} s of the slow one` : "alone";
      context.say(`  slow neighbour, round ${round + 1}: ${seconds.fast.toFixed(2)} s ${words}`);
    }
  }
  return {
    title: `A fast destination beside one limited to ${LIMIT}/s (${form.name})`,
    unit: "s",
    rows: [
      { name: "fast, alone", values: alone },
      { name: "fast, beside the slow one", values: beside },
      { name: `slow, limited to ${LIMIT}/s`, values: slow },
    ],
    baseline: "fast, alone",
    verdicts: [{
      measure: "fast beside slow ÷ fast alone",
      measured: median(beside) / median(alone),
      target: TARGET_RATIO,
      unit: "×",
    }],
    notes: ["six directories, one worker; seconds until the destination itself was verified"],
  };
}

async function once(
  { processes, mountPoint, workFolder }: BenchContext,
  form: Form,
  sources: readonly string[],
  withSlow: boolean,
): Promise<{ fast: number; slow: number | undefined }> {
  const root = join(mountPoint, "lanes");
  const [fast, slow] = [join(root, "fast"), join(root, "slow")];
  const destinations = withSlow ? [fast, slow] : [fast];
  for (const destination of destinations) mkdirSync(destination, { recursive: true });
  const stateDir = Deno.makeTempDirSync({ dir: workFolder, prefix: "state-" });
  await dropCaches(processes);
  await processes.must(form.command("--version"));
  const flags = withSlow ? ["--limit", `${slow}=${LIMIT}`] : [];
  const call = { sources, destinations, stateDir, flags };
  const ran = await processes.must(backupCommand(form, call));
  const seconds = destinationSeconds(ran);
  await Deno.remove(root, { recursive: true });
  const fastSeconds = seconds.get(fast);
  if (fastSeconds === undefined) throw new Error(`No result for ${fast} in: ${ran.out}`);
  return { fast: fastSeconds, slow: seconds.get(slow) };
}
