/**
 * `deno task bench codec`: compressing and encrypting against the stock tools. Rule: all read the same files out of the
 * page cache and write nowhere; what is compared per core is bound to one.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { program, requirePrograms } from "./bench_fs.ts";
import type { MachineFacts } from "./machine_facts.ts";
import { median, type Part, type Row } from "./part.ts";
import type { Command, Processes } from "./processes.ts";
import { findSmallFiles } from "./source_files.ts";

export interface CodecBenchOptions {
  /** Of the files that are encoded. */
  sizeBytes: number;
  rounds: number;
  /** Holds the files for the time of the bench; its file system should be fast to read again. */
  folder: string;
  /** Where real small files are taken from. */
  from: readonly string[];
  say(line: string): void;
  onStart(facts: MachineFacts): void;
  onPart(part: Part): void;
}

export interface CodecBenchResult {
  facts: MachineFacts;
  parts: Part[];
}

const PROGRAMS = ["age", "age-keygen", "cat", "sh", "tar", "taskset", "zstd"];
const FILE_BYTES = 32 << 20;
/** Of ten files so many are real ones put together, and so many are random; the rest is zeros. */
const REAL_OF_TEN = 6;
const RANDOM_OF_TEN = 3;
const COMPRESS_TARGET = 1.1;
/** A speed of 0.8 of stock age, as a ratio of times. */
const ENCRYPT_TARGET = 1 / 0.8;
const RUN = fileURLToPath(new URL("codec_run.ts", import.meta.url));

/** @throws when the machine lacks a program, or a contender fails */
export async function codecBench(
  processes: Processes,
  options: CodecBenchOptions,
): Promise<CodecBenchResult> {
  requirePrograms(PROGRAMS);
  const folder = Deno.makeTempDirSync({ dir: options.folder, prefix: "bench-codec-" });
  try {
    const facts = await codecFacts(processes);
    options.say("making the files");
    const files = makeMixedFiles(processes, join(folder, "mixed"), options);
    options.onStart(facts);
    const parts: Part[] = [];
    for (const make of [compressPart, encryptPart]) {
      const part = await make(processes, options, folder, files);
      parts.push(part);
      options.onPart(part);
    }
    return { facts, parts };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function compressPart(
  processes: Processes,
  { rounds, sizeBytes }: CodecBenchOptions,
  folder: string,
  files: readonly string[],
): Promise<Part> {
  const stock = 'tar -cf - -C "$1" mixed | zstd -q -T0 -3 -c | cat > /dev/null';
  const threads = navigator.hardwareConcurrency;
  const rows = await measure(processes, rounds, sizeBytes, [
    { name: "tar | zstd -T0 -3", command: shell(stock, folder) },
    { name: `ours, ${threads} threads`, command: ours("zst", threads, files) },
    { name: "ours, and encrypted", command: ours("zst.age", threads, files) },
  ]);
  const measured = ratio(rows[1]!, rows[0]!);
  return {
    title: `compress ${size(sizeBytes)} of mixed data, all cores`,
    unit: "s",
    rows,
    baseline: rows[0]!.name,
    verdicts: [{ measure: "to zstd", measured, target: COMPRESS_TARGET, unit: "× its time" }],
    notes: ["our time holds the start of Deno and of its threads"],
  };
}

async function encryptPart(
  processes: Processes,
  { rounds, sizeBytes }: CodecBenchOptions,
  folder: string,
  files: readonly string[],
): Promise<Part> {
  const key = join(folder, "key");
  await processes.must({ program: program("age-keygen"), args: ["-o", key] });
  const stock = 'to=$(age-keygen -y "$1/key"); for file in "$1"/mixed/*; do ' +
    'taskset -c 0 age -r "$to" < "$file" > /dev/null || exit 1; done';
  const run = ours("age", 1, files);
  const bound = { program: program("taskset"), args: ["-c", "0", run.program, ...run.args] };
  const rows = await measure(processes, rounds, sizeBytes, [
    { name: "age -r", command: shell(stock, folder) },
    { name: "ours, 1 thread", command: bound },
  ]);
  const measured = ratio(rows[1]!, rows[0]!);
  return {
    title: `encrypt ${size(sizeBytes)}, bound to one core`,
    unit: "s",
    rows,
    baseline: rows[0]!.name,
    verdicts: [{ measure: "to age", measured, target: ENCRYPT_TARGET, unit: "× its time" }],
    notes: [
      "1.25 × the time is 0.8 × the speed; age is started once a file, ours once with all its threads",
    ],
  };
}

interface Contender {
  name: string;
  command: Command;
}

/** One after the other in each round, so that a busy minute of the machine is everybody's. */
async function measure(
  processes: Processes,
  rounds: number,
  sizeBytes: number,
  contenders: readonly Contender[],
): Promise<Row[]> {
  const values = contenders.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, { command }] of contenders.entries()) {
      values[i]!.push((await processes.must(command)).seconds);
    }
  }
  return contenders.map(({ name }, i) => ({
    name,
    values: values[i]!,
    detail: `${(sizeBytes / 2 ** 20 / median(values[i]!)).toFixed(0)} MiB/s`,
  }));
}

function ours(codec: string, threads: number, files: readonly string[]): Command {
  return {
    program: Deno.execPath(),
    args: ["run", "--quiet", "-A", RUN, codec, String(threads), ...files],
  };
}

function shell(script: string, folder: string): Command {
  return { program: program("sh"), args: ["-c", script, "sh", folder] };
}

function ratio(ofRow: Row, toRow: Row): number {
  return median(ofRow.values) / median(toRow.values);
}

function size(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`;
}

/** Writes the files and returns their paths; what is written is in the page cache. */
function makeMixedFiles(
  processes: Processes,
  folder: string,
  { sizeBytes, from }: CodecBenchOptions,
): string[] {
  mkdirSync(folder);
  const real = realBytes(from);
  const zeros = new Uint8Array(FILE_BYTES);
  const files: string[] = [];
  for (let i = 0; i * FILE_BYTES < sizeBytes; i++) {
    processes.throwIfStopped();
    const path = join(folder, String(i).padStart(4, "0"));
    const kind = i % 10;
    const bytes = kind < REAL_OF_TEN
      ? real()
      : kind < REAL_OF_TEN + RANDOM_OF_TEN
      ? randomBytes(FILE_BYTES)
      : zeros;
    Deno.writeFileSync(path, bytes.subarray(0, Math.min(FILE_BYTES, sizeBytes - i * FILE_BYTES)));
    files.push(path);
  }
  return files;
}

/** Small files of this machine one after the other, from the first again when there are no more. */
function realBytes(folders: readonly string[]): () => Uint8Array {
  const found = findSmallFiles({ folders, filesMax: 200_000, bytesMax: 2 ** 30 })
    .filter(({ sizeBytes }) => sizeBytes > 0);
  if (found.length === 0) throw new Error("Found no files: name more folders with --from");
  let at = 0;
  return () => {
    const bytes = new Uint8Array(FILE_BYTES);
    let length = 0;
    while (length < FILE_BYTES) {
      const content = Deno.readFileSync(found[at++ % found.length]!.path);
      bytes.set(content.subarray(0, FILE_BYTES - length), length);
      length += content.length;
    }
    return bytes;
  };
}

async function codecFacts(processes: Processes): Promise<MachineFacts> {
  const cpu = /^model name\s*:\s*(.+)$/m.exec(Deno.readTextFileSync("/proc/cpuinfo"))?.[1];
  const version = async (name: string): Promise<string> =>
    (await processes.must({ program: program(name), args: ["--version"] })).out.trim();
  return {
    cpu: `${navigator.hardwareConcurrency} × ${cpu ?? Deno.build.arch}`,
    "load before": Deno.loadavg().map((load) => load.toFixed(2)).join(" "),
    deno: Deno.version.deno,
    zstd: await version("zstd"),
    age: await version("age"),
  };
}
