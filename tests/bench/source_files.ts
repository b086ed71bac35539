/**
 * What a bench copies: real small files of this machine, large files that cannot be compressed, empty files. Rule: only
 * regular files with one name each, so that every contender has the same work whatever it does with links.
 */
import { createCipheriv } from "node:crypto";
import { lstatSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { program } from "./bench_fs.ts";
import type { Processes } from "./processes.ts";

export interface SmallFile {
  /** Absolute. */
  path: string;
  sizeBytes: number;
}

export interface SmallFilesWanted {
  folders: readonly string[];
  filesMax: number;
  bytesMax: number;
  /** No file is larger. */
  fileBytesMax?: number;
}

/** No file of the small set is larger, unless it is said. */
const SMALL_FILE_BYTES_MAX = 256 * 1024;
const BLOCK_BYTES = 1 << 20;
const BLOCKS_AT_ONCE = 64;
const EMPTY_FILES_PER_FOLDER = 1000;

/** The first small files in the order of their paths: the same each time as long as the machine is. */
export function findSmallFiles(wanted: SmallFilesWanted): SmallFile[] {
  const found: SmallFile[] = [];
  const fileBytesMax = wanted.fileBytesMax ?? SMALL_FILE_BYTES_MAX;
  let bytes = 0;
  const visit = (folder: string): void => {
    for (const entry of list(folder)) {
      if (found.length >= wanted.filesMax) return;
      const path = join(folder, entry.name);
      if (entry.isDirectory()) visit(path);
      if (!entry.isFile()) continue;
      const { size, nlink } = lstatSync(path);
      if (size > fileBytesMax || nlink > 1 || bytes + size > wanted.bytesMax) continue;
      found.push({ path, sizeBytes: size });
      bytes += size;
    }
  };
  for (const folder of wanted.folders) visit(folder);
  return found;
}

function list(folder: string): ReturnType<typeof readEntries> {
  try {
    return readEntries(folder).sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch {
    // Not there, or not ours to read: there are others.
    return [];
  }
}

function readEntries(folder: string) {
  return readdirSync(folder, { withFileTypes: true });
}

/** Copies files below `target` under their own paths, with their times and modes. `target` is made. */
export async function copySmallFiles(
  processes: Processes,
  files: readonly SmallFile[],
  target: string,
): Promise<void> {
  mkdirSync(target, { recursive: true });
  const names = `${target}.list`;
  Deno.writeTextFileSync(names, files.map(({ path }) => `${path.slice(1)}\0`).join(""));
  const cp = ["cp", "--archive", "--parents", "--target-directory", target];
  await processes.must({ program: program("xargs"), args: ["-0", "-a", names, ...cp], cwd: "/" });
  Deno.removeSync(names);
}

/** Makes files of pseudo-random bytes, the same each time. */
export async function makeLargeFiles(
  processes: Processes,
  target: string,
  count: number,
  sizeBytes: number,
): Promise<void> {
  mkdirSync(target, { recursive: true });
  const zeros = new Uint8Array(BLOCK_BYTES);
  for (let i = 0; i < count; i++) {
    const cipher = createCipheriv(
      "aes-128-ctr",
      new Uint8Array(16).fill(i + 1),
      new Uint8Array(16),
    );
    using file = Deno.openSync(join(target, `large-${i + 1}.bin`), { write: true, create: true });
    for (let left = sizeBytes, block = 1; left > 0; left -= BLOCK_BYTES, block++) {
      writeAll(file, cipher.update(zeros.subarray(0, Math.min(left, BLOCK_BYTES))));
      if (block % BLOCKS_AT_ONCE === 0) await letSignalsIn(processes);
    }
  }
}

function writeAll(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
}

/** Makes `count` empty files in folders of a thousand. */
export async function makeEmptyFiles(
  processes: Processes,
  target: string,
  count: number,
): Promise<void> {
  for (let first = 0; first < count; first += EMPTY_FILES_PER_FOLDER) {
    const folder = join(target, `folder-${first / EMPTY_FILES_PER_FOLDER}`);
    mkdirSync(folder, { recursive: true });
    const here = Math.min(EMPTY_FILES_PER_FOLDER, count - first);
    for (let i = 0; i < here; i++) {
      Deno.openSync(join(folder, `empty file ${i}`), { write: true, createNew: true }).close();
    }
    await letSignalsIn(processes);
  }
}

/** Between two pieces of work that blocks this thread. @throws {StoppedError} once stopped */
async function letSignalsIn(processes: Processes): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 0));
  processes.throwIfStopped();
}
