/**
 * `deno task bench mirror`: the mirror strategy against what people use today, part by part. Rule: one run on one file
 * system, the same data and the same cache state for all; a number is reported whether or not it meets its target.
 */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { BenchContext } from "./bench_context.ts";
import { type Forget, requirePrograms, withBenchFs } from "./bench_fs.ts";
import { contest } from "./contest.ts";
import { CONTENDER_PROGRAMS } from "./contenders.ts";
import { firstOutput } from "./first_output.ts";
import { type MachineFacts, machineFacts } from "./machine_facts.ts";
import { forms } from "./ours.ts";
import type { Part } from "./part.ts";
import { peakMemory } from "./peak_memory.ts";
import type { Processes } from "./processes.ts";
import { secondRun } from "./second_run.ts";
import { slowNeighbour } from "./slow_neighbour.ts";
import {
  copySmallFiles,
  findSmallFiles,
  makeEmptyFiles,
  makeLargeFiles,
  type SmallFile,
} from "./source_files.ts";

export interface MirrorBenchSize {
  smallFiles: number;
  smallBytesMax: number;
  largeFiles: number;
  largeBytes: number;
  /** Of the six directories that the slow destination has to take, all together. */
  slowBytesMax: number;
  /** 0 leaves this part out. */
  emptyFiles: number;
  rounds: number;
  firstOutputs: number;
  /** Compares every copy with its source once more, with code of our own. */
  compare: boolean;
  fileSystemBytes: number;
}

const MB = 1e6;
const GIB = 2 ** 30;

export const SIZES = {
  full: {
    smallFiles: 30_000,
    smallBytesMax: 800 * MB,
    largeFiles: 3,
    largeBytes: GIB,
    // Written and read back at 8 MB/s: 50 s.
    slowBytesMax: 200 * MB,
    emptyFiles: 1_000_000,
    rounds: 3,
    firstOutputs: 10,
    compare: false,
    fileSystemBytes: 24 * GIB,
  },
  quick: {
    smallFiles: 1000,
    smallBytesMax: 40 * MB,
    largeFiles: 1,
    largeBytes: 64 << 20,
    slowBytesMax: 8 * MB,
    emptyFiles: 0,
    rounds: 1,
    firstOutputs: 3,
    compare: true,
    fileSystemBytes: 2 * GIB,
  },
  /** Proves that every part works; its numbers mean nothing. */
  smallest: {
    smallFiles: 60,
    smallBytesMax: 2 * MB,
    largeFiles: 1,
    largeBytes: (2 << 20) + 17,
    slowBytesMax: MB,
    emptyFiles: 100,
    rounds: 1,
    firstOutputs: 1,
    compare: true,
    fileSystemBytes: GIB / 2,
  },
} as const satisfies Record<string, MirrorBenchSize>;

export const PARTS = ["small", "large", "slow", "second", "memory", "million", "first"] as const;
export type PartName = (typeof PARTS)[number];

export interface MirrorBenchOptions {
  size: MirrorBenchSize;
  parts: readonly PartName[];
  /** Where real small files are taken from. */
  from: readonly string[];
  /** Holds the file system's image for the time of the bench. */
  folder: string;
  /** Before the check of the other contenders, see `Scene`. */
  forgetBeforeCheck: Forget;
  say(line: string): void;
  /** Called when the file system is there and measuring begins. */
  onStart(facts: MachineFacts): void;
  /** Called as soon as a part is done: the whole bench takes half an hour. */
  onPart(part: Part): void;
}

export interface MirrorBenchResult {
  facts: MachineFacts;
  parts: Part[];
}

const SLOW_DIRECTORIES = 6;
const MEMORY_TARGET_MB = { small: 300, million: 450 };

/** @throws when the machine lacks something, or a contender fails or does not verify what it copied */
export async function mirrorBench(
  processes: Processes,
  options: MirrorBenchOptions,
): Promise<MirrorBenchResult> {
  requirePrograms(CONTENDER_PROGRAMS);
  const { size, folder, say } = options;
  const files = findSmallFiles({
    folders: options.from,
    filesMax: size.smallFiles,
    bytesMax: size.smallBytesMax,
  });
  if (files.length < size.smallFiles) {
    throw new Error(
      `Found only ${files.length} small files of ${size.smallFiles}: name more folders with --from`,
    );
  }
  const facts = await machineFacts(processes);
  const workFolder = Deno.makeTempDirSync({ prefix: "bench-work-" });
  try {
    const sizeBytes = size.fileSystemBytes;
    return await withBenchFs(processes, { folder, sizeBytes }, async (mountPoint) => {
      options.onStart(facts);
      const context = { processes, mountPoint, workFolder, rounds: size.rounds, say };
      return { facts, parts: await runParts(context, options, files) };
    });
  } finally {
    rmSync(workFolder, { recursive: true, force: true });
  }
}

async function runParts(
  context: BenchContext,
  options: MirrorBenchOptions,
  files: readonly SmallFile[],
): Promise<Part[]> {
  const { processes, mountPoint } = context;
  const { size, parts: wanted } = options;
  const [form] = forms();
  const done: Part[] = [];
  const { forgetBeforeCheck } = options;
  const conditions = { forgetBeforeCheck, notes: [...CONTEST_NOTES, FORGOTTEN[forgetBeforeCheck]] };
  const add = (part: Part): void => {
    done.push(part);
    options.onPart(part);
  };

  const small = join(mountPoint, "small");
  if (wanted.some((part) => part === "small" || part === "second" || part === "memory")) {
    await copySmallFiles(processes, files, small);
  }
  if (wanted.includes("small")) {
    add(
      await contest(context, {
        title: `${describe(files)}, three destinations`,
        source: small,
        compare: size.compare,
        ...conditions,
      }),
    );
  }
  if (wanted.includes("large")) {
    const large = join(mountPoint, "large");
    await makeLargeFiles(processes, large, size.largeFiles, size.largeBytes);
    add(
      await contest(context, {
        title: `${size.largeFiles} files of ${size.largeBytes >> 20} MiB, three destinations`,
        source: large,
        compare: size.compare,
        ...conditions,
      }),
    );
    await Deno.remove(large, { recursive: true });
  }
  if (wanted.includes("slow")) {
    const sources = await sixDirectories(context, files, size.slowBytesMax);
    add(await slowNeighbour(context, form!, sources));
    for (const source of sources) await Deno.remove(source, { recursive: true });
  }
  if (wanted.includes("second")) add(await secondRun(context, forms(), small));
  if (wanted.includes("memory")) {
    const targetMb = MEMORY_TARGET_MB.small;
    add(await peakMemory(context, form!, { title: describe(files), source: small, targetMb }));
  }
  if (wanted.includes("million") && size.emptyFiles > 0) {
    const source = join(mountPoint, "empty");
    await makeEmptyFiles(processes, source, size.emptyFiles);
    const title = `${size.emptyFiles.toLocaleString("en")} empty files`;
    add(await peakMemory(context, form!, { title, source, targetMb: MEMORY_TARGET_MB.million }));
    await Deno.remove(source, { recursive: true });
  }
  if (wanted.includes("first")) add(await firstOutput(context, size.firstOutputs));
  return done;
}

const CONTEST_NOTES = [
  "every round: empty destinations, all caches dropped, programs warm; the others' flush is counted",
  "ours flushes by itself and drops what it has written from the cache before it reads it back",
  "rclone copies neither owners nor modes; the list that sha256sum -c reads is made once, in parallel, and counted",
];

const FORGOTTEN: Record<Forget, string> = {
  pages: "before the others' check the page cache is dropped, inodes stay, as they do with ours",
  all:
    "before the others' check page cache, directories and inodes are dropped; with ours the page cache only",
};

function describe(files: readonly SmallFile[]): string {
  const megabytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) / MB;
  return `${files.length.toLocaleString("en")} small files (${megabytes.toFixed(0)} MB)`;
}

/** Each takes every sixth file of the small set, until all together are large enough. */
async function sixDirectories(
  { processes, mountPoint }: BenchContext,
  files: readonly SmallFile[],
  bytesMax: number,
): Promise<string[]> {
  const shares: SmallFile[][] = Array.from({ length: SLOW_DIRECTORIES }, () => []);
  let bytes = 0;
  for (const [i, file] of files.entries()) {
    if (bytes + file.sizeBytes > bytesMax) continue;
    bytes += file.sizeBytes;
    shares[i % SLOW_DIRECTORIES]!.push(file);
  }
  const targets: string[] = [];
  for (const [i, share] of shares.entries()) {
    const target = join(mountPoint, `directory-${i + 1}`);
    mkdirSync(target);
    await copySmallFiles(processes, share, target);
    targets.push(target);
  }
  return targets;
}
