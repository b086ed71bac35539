/**
 * File systems made for one test or bench, mounted in a temporary folder. Rule: whatever happens inside, they are
 * unmounted and deleted. Linux and root only; `needsLoopFs` gives a test its name and skips it elsewhere.
 */
import { join } from "node:path";
import { findProgram, type Needs, needs } from "./tools.ts";

export interface LoopFsOptions {
  /** What follows `mkfs.`: ext4, vfat, exfat, xfs, btrfs, … */
  type: string;
  /** Size of the sparse file behind it; each file system has its own minimum (ext4 and vfat 1 MiB, xfs 300 MiB). */
  sizeBytes: number;
  /** As for `mount -o`: `ro`, `uid=1000`, `noatime`, … */
  mountOptions?: string;
  /** Where the sparse file lies; by default the temporary folder. */
  folder?: string;
}

/**
 * `needs` for a test that mounts this type of file system. Where neither the kernel nor a FUSE program (Debian:
 * exfat-fuse) can, the test is skipped by name, in CI too.
 */
export function needsLoopFs(name: string, type: string, ...tools: string[]): Needs {
  const needed = needs(name, "linux", "root", `mkfs.${type}`, "mount", ...tools);
  if (needed.ignore || kernelKnows(type) || findFuseMount(type) !== undefined) return needed;
  return { name: `${name} (missing: ${type} in this kernel)`, ignore: true };
}

function findFuseMount(type: string): string | undefined {
  return findProgram(`mount.${type}-fuse`);
}

/** Loaded, built in, or there as a module that mount would load. */
function kernelKnows(type: string): boolean {
  if (Deno.build.os !== "linux") return false;
  const known = Deno.readTextFileSync("/proc/filesystems").split("\n");
  if (known.some((line) => line.endsWith(`\t${type}`))) return true;
  const modules = `/lib/modules/${Deno.osRelease()}/modules.dep`;
  try {
    return Deno.readTextFileSync(modules).includes(`/${type}.ko`);
  } catch {
    return false;
  }
}

/**
 * Makes a file system in a sparse file and mounts it for the time of `use`.
 * @throws when mkfs or the right to mount is missing, or when it cannot be unmounted because `use` left a file open
 */
export async function withLoopFs<T>(
  options: LoopFsOptions,
  use: (mountPoint: string) => Promise<T> | T,
): Promise<T> {
  const mkfs = findProgram(`mkfs.${options.type}`);
  if (mkfs === undefined) throw new Error(`mkfs.${options.type} is not installed`);
  return await inTemporaryFolder(options.folder, async (folder) => {
    const image = join(folder, "image");
    using file = Deno.openSync(image, { write: true, createNew: true });
    file.truncateSync(options.sizeBytes);
    await run(mkfs, [...(QUIET[options.type] ?? []), image]);
    const mountOptions = options.mountOptions?.split(",") ?? [];
    const fuseMount = kernelKnows(options.type) ? undefined : findFuseMount(options.type);
    if (fuseMount === undefined) {
      const o = ["loop", ...mountOptions].join(",");
      return await mounted(folder, "mount", (at) => ["-t", options.type, "-o", o, image, at], use);
    }
    const o = mountOptions.length === 0 ? [] : ["-o", mountOptions.join(",")];
    const device = (await run("losetup", ["--find", "--show", image])).trim();
    try {
      return await mounted(folder, fuseMount, (at) => [...o, device, at], use);
    } finally {
      await run("losetup", ["--detach", device]);
    }
  });
}

export interface TmpfsOptions {
  sizeBytes: number;
  mountOptions?: string;
}

/** Mounts a tmpfs that holds `sizeBytes` for the time of `use`. @throws as `withLoopFs` */
export async function withTmpfs<T>(
  options: TmpfsOptions,
  use: (mountPoint: string) => Promise<T> | T,
): Promise<T> {
  const size = [`size=${options.sizeBytes}`, ...(options.mountOptions?.split(",") ?? [])].join(",");
  return await inTemporaryFolder(
    undefined,
    (folder) => mounted(folder, "mount", (at) => ["-t", "tmpfs", "-o", size, "tmpfs", at], use),
  );
}

/** Without these some mkfs ask questions or refuse what is not a block device. */
const QUIET: Readonly<Record<string, string[]>> = {
  ext2: ["-q", "-F"],
  ext3: ["-q", "-F"],
  ext4: ["-q", "-F"],
  xfs: ["-q", "-f"],
  btrfs: ["-q", "-f"],
  f2fs: ["-q", "-f"],
  ntfs: ["-q", "-F"],
};

async function inTemporaryFolder<T>(
  parent: string | undefined,
  use: (folder: string) => Promise<T>,
): Promise<T> {
  if (Deno.build.os !== "linux") throw new Error("Mounting for tests works on Linux only");
  if (Deno.uid() !== 0) throw new Error("Mounting for tests needs root");
  const folder = Deno.makeTempDirSync({
    prefix: "loop-fs-",
    ...(parent === undefined ? {} : { dir: parent }),
  });
  try {
    return await use(folder);
  } finally {
    // Not recursive on purpose: were something still mounted, its files must not be deleted through it.
    for (const name of ["image", "mnt"]) await removeIfThere(join(folder, name));
    await removeIfThere(folder);
  }
}

async function mounted<T>(
  folder: string,
  program: string,
  mountArguments: (mountPoint: string) => string[],
  use: (mountPoint: string) => Promise<T> | T,
): Promise<T> {
  const mountPoint = join(folder, "mnt");
  Deno.mkdirSync(mountPoint);
  await run(program, mountArguments(mountPoint));
  let failure: { error: unknown } | undefined;
  try {
    return await use(mountPoint);
  } catch (error) {
    failure = { error };
    throw error;
  } finally {
    await unmount(mountPoint, failure);
  }
}

/** A busy mount is detached, so that nothing stays behind, and reported unless `use` has failed already. */
async function unmount(mountPoint: string, failure: { error: unknown } | undefined): Promise<void> {
  try {
    await run("umount", [mountPoint]);
  } catch (error) {
    await run("umount", ["--lazy", mountPoint]);
    if (failure === undefined) throw error;
  }
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** What the program printed on stdout. */
async function run(program: string, args: string[]): Promise<string> {
  const command = new Deno.Command(program, {
    args,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
  const { success, code, stdout, stderr } = await command.output();
  const said = new TextDecoder().decode(stdout);
  if (success) return said;
  const why = new TextDecoder().decode(stderr) + said;
  throw new Error(`${program} ${args.join(" ")} failed (${code}): ${why.trim()}`);
}
