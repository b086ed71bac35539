/**
 * The file system a bench runs on, and the state of its page cache. Rule: whatever happens inside, it is unmounted and
 * deleted; the device below it keeps no cache of its own, so that what was dropped is really read from disk again.
 */
import { statfsSync } from "node:fs";
import { join } from "node:path";
import { findProgram } from "../support/tools.ts";
import type { Processes } from "./processes.ts";

export interface BenchFsOptions {
  /** Holds the sparse image for the time of the bench. */
  folder: string;
  sizeBytes: number;
}

/** Room for millions of empty files. */
const BYTES_PER_INODE = "4096";
const HEADROOM_BYTES = 1 << 30;
const NEEDED = ["mkfs.ext4", "mount", "umount", "losetup", "sync"];

/** @throws when this machine lacks a program, the right to mount, or the space */
export async function withBenchFs<T>(
  processes: Processes,
  options: BenchFsOptions,
  use: (mountPoint: string) => Promise<T>,
): Promise<T> {
  if (Deno.build.os !== "linux") throw new Error("The bench mounts a file system: Linux only");
  if (Deno.uid() !== 0) {
    throw new Error("The bench mounts a file system and drops caches: run as root");
  }
  requirePrograms(NEEDED);
  requireSpace(options);

  const folder = Deno.makeTempDirSync({ dir: options.folder, prefix: "bench-" });
  const image = join(folder, "image");
  const mountPoint = join(folder, "mnt");
  let device: string | undefined;
  let isMounted = false;
  try {
    Deno.mkdirSync(mountPoint);
    using file = Deno.openSync(image, { write: true, createNew: true });
    file.truncateSync(options.sizeBytes);
    const mkfs = [["-q", "-F"], ["-i", BYTES_PER_INODE], [image]].flat();
    await processes.must({ program: program("mkfs.ext4"), args: mkfs });
    device = await attach(processes, image);
    // Zeroing inode tables in the background would disturb whoever is measured first.
    const mount = ["-t", "ext4", "-o", "noinit_itable", device, mountPoint];
    await processes.must({ program: program("mount"), args: mount });
    isMounted = true;
    return await use(mountPoint);
  } finally {
    // Not through `processes`: it refuses to start anything once it is stopped.
    if (isMounted) unmount(mountPoint);
    if (device !== undefined) command(program("losetup"), ["--detach", device]);
    // Not recursive on purpose: were it still mounted, nothing may be deleted through it.
    for (const path of [image, mountPoint, folder]) removeIfThere(path);
  }
}

/** Without direct I/O the image would be cached a second time below the file system, where no program can drop it. */
async function attach(processes: Processes, image: string): Promise<string> {
  const args = ["--find", "--show", "--direct-io=on", image];
  return (await processes.must({ program: program("losetup"), args })).out.trim();
}

/** What the kernel is told to forget: content of files only, or directories and inodes as well. */
export type Forget = "pages" | "all";
const DROP_CODES = { pages: "1", all: "3" } as const;

/** Writes everything back, then empties caches of the whole machine. */
export async function dropCaches(processes: Processes, forget: Forget = "all"): Promise<void> {
  await processes.must({ program: program("sync"), args: [] });
  Deno.writeTextFileSync("/proc/sys/vm/drop_caches", DROP_CODES[forget], { create: false });
}

/** @throws an error that names what is missing */
export function requirePrograms(names: readonly string[]): void {
  const missing = names.filter((name) => findProgram(name) === undefined);
  if (missing.length > 0) {
    throw new Error(`The bench needs programs that are not installed: ${missing.join(", ")}`);
  }
}

/** Full path, also of programs in the superuser's folders. */
export function program(name: string): string {
  const path = findProgram(name);
  if (path === undefined) throw new Error(`${name} is not installed`);
  return path;
}

function requireSpace({ folder, sizeBytes }: BenchFsOptions): void {
  const { bavail, bsize } = statfsSync(folder);
  const needed = sizeBytes + HEADROOM_BYTES;
  if (bavail * bsize >= needed) return;
  const gib = (bytes: number): string => (bytes / 2 ** 30).toFixed(1);
  throw new Error(
    `${folder} has ${gib(bavail * bsize)} GiB free, the bench needs ${
      gib(needed)
    }: choose --dir or --quick`,
  );
}

function unmount(mountPoint: string): void {
  if (command(program("umount"), [mountPoint])) return;
  command(program("umount"), ["--lazy", mountPoint]);
}

function command(path: string, args: string[]): boolean {
  return new Deno.Command(path, { args, stdout: "null", stderr: "null" }).outputSync().success;
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
