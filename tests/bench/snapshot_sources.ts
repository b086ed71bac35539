/** What the contest of snapshots backs up. Rule: the same each time, as far as the machine is. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { createRandom } from "../support/random.ts";
import type { Processes } from "./processes.ts";
import { copySmallFiles, findSmallFiles, makeLargeFiles, type SmallFile } from "./source_files.ts";

export interface SnapshotBenchSize {
  mixedFiles: number;
  mixedBytes: number;
  largeBytes: number;
  tinyFiles: number;
  rounds: number;
}

const GIB = 2 ** 30;
const MB = 1e6;

export const SNAPSHOT_SIZES = {
  full: { mixedFiles: 40_000, mixedBytes: GIB, largeBytes: GIB, tinyFiles: 100_000, rounds: 3 },
  quick: {
    mixedFiles: 5000,
    mixedBytes: 120 * MB,
    largeBytes: 128 << 20,
    tinyFiles: 10_000,
    rounds: 1,
  },
} as const satisfies Record<string, SnapshotBenchSize>;

/** Files of this machine up to this size, which holds most programs and libraries. */
const MIXED_FILE_BYTES_MAX = 8 << 20;
const TINY_PER_FOLDER = 1000;
const WORDS = 5000;
const BLOCK_BYTES = 1 << 20;

/** Paths below the machine's root, which are those below `target` too. */
export async function makeMixed(
  processes: Processes,
  target: string,
  { mixedFiles, mixedBytes }: SnapshotBenchSize,
  from: readonly string[],
): Promise<SmallFile[]> {
  const found = findSmallFiles({
    folders: from,
    filesMax: 2_000_000,
    bytesMax: Infinity,
    fileBytesMax: MIXED_FILE_BYTES_MAX,
  });
  const files = pick(found, mixedFiles, mixedBytes);
  await copySmallFiles(processes, files, target);
  return files;
}

/** Some of them from everywhere, in the order in which they were found. */
function pick(found: readonly SmallFile[], count: number, bytesMax: number): SmallFile[] {
  const random = createRandom(1);
  const share = Math.min(1, count / found.length);
  let bytes = 0;
  return found.filter(({ sizeBytes }) => {
    if (random() > share || bytes + sizeBytes > bytesMax) return false;
    bytes += sizeBytes;
    return true;
  });
}

/** Another end for every hundredth file. */
export function changeSomeFiles(target: string, files: readonly SmallFile[], round: number): void {
  for (let i = round; i < files.length; i += 100) {
    const path = join(target, files[i]!.path);
    Deno.chmodSync(path, 0o644);
    Deno.writeTextFileSync(path, `changed in round ${round}\n`, { append: true });
  }
}

export async function makeRandom(
  processes: Processes,
  target: string,
  { largeBytes }: SnapshotBenchSize,
): Promise<void> {
  await makeLargeFiles(processes, target, 1, largeBytes);
}

/** Words, none of them rarer than the others: zstd makes about a third of them. */
export function makeWords(
  processes: Processes,
  target: string,
  { largeBytes }: SnapshotBenchSize,
): Promise<void> {
  const random = createRandom(2);
  const letter = () => String.fromCharCode(97 + Math.floor(random() * 26));
  const words = Array.from(
    { length: WORDS },
    () => Array.from({ length: 2 + Math.floor(random() * 9) }, letter).join(""),
  );
  mkdirSync(target, { recursive: true });
  using file = Deno.openSync(join(target, "words.txt"), { write: true, createNew: true });
  for (let left = largeBytes; left > 0; left -= BLOCK_BYTES) {
    processes.throwIfStopped();
    let text = "";
    while (text.length < BLOCK_BYTES) text += `${words[Math.floor(random() * WORDS)]} `;
    const bytes = new TextEncoder().encode(text.slice(0, Math.min(left, BLOCK_BYTES)));
    for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
  }
  return Promise.resolve();
}

/** All different, a few hundred bytes at most. */
export function makeTiny(
  processes: Processes,
  target: string,
  { tinyFiles }: SnapshotBenchSize,
): Promise<void> {
  for (let i = 0; i < tinyFiles; i++) {
    const folder = join(target, `${Math.floor(i / TINY_PER_FOLDER)}`);
    if (i % TINY_PER_FOLDER === 0) {
      processes.throwIfStopped();
      mkdirSync(folder, { recursive: true });
    }
    Deno.writeTextFileSync(join(folder, `${i}`), `${i} `.repeat(1 + i % 40));
  }
  return Promise.resolve();
}
