/**
 * The programs the tests use beside our own, and how a Debian machine gets them. Rule: only what is missing is
 * installed, only by the superuser, and never for longer than a few minutes.
 */
import { findProgram } from "../../tests/support/tools.ts";

/** Debian package → programs that tests ask for by `needs(…)`. */
export const DEBIAN_PACKAGES: Record<string, readonly string[]> = {
  acl: ["getfacl", "setfacl"],
  age: ["age", "age-keygen"],
  attr: ["getfattr", "setfattr"],
  binutils: ["as", "objcopy"],
  bsdutils: ["script"],
  chromium: ["chromium"],
  coreutils: ["mkfifo", "sha256sum"],
  curl: ["curl"],
  dosfstools: ["mkfs.vfat"],
  e2fsprogs: ["chattr", "mkfs.ext4"],
  "exfat-fuse": ["mount.exfat-fuse"],
  exfatprogs: ["mkfs.exfat"],
  faketime: ["faketime"],
  findutils: ["find", "xargs"],
  fuse3: ["fusermount3"],
  git: ["git"],
  iproute2: ["ip"],
  jq: ["jq"],
  "libxml2-utils": ["xmllint"],
  mount: ["losetup", "mount", "umount"],
  openssl: ["openssl"],
  perl: ["perl"],
  rclone: ["rclone"],
  restic: ["restic"],
  rsync: ["rsync"],
  strace: ["strace"],
  tar: ["tar"],
  "util-linux": ["setpriv", "taskset", "unshare"],
  xxhash: ["xxh64sum"],
  zstd: ["zstd"],
};

const UPDATE_WITHIN_MS = 3 * 60_000;
const INSTALL_WITHIN_MS = 6 * 60_000;

type IsThere = (program: string) => boolean;
const onPath: IsThere = (program) => findProgram(program) !== undefined;

/** Packages of which at least one program is not there. */
export function missingPackages(isThere: IsThere = onPath): string[] {
  return Object.entries(DEBIAN_PACKAGES)
    .filter(([, programs]) => !programs.every(isThere))
    .map(([name]) => name);
}

/** Programs that are not there. */
export function missingPrograms(isThere: IsThere = onPath): string[] {
  return Object.values(DEBIAN_PACKAGES).flat().filter((program) => !isThere(program));
}

/** Installs what is missing where that is possible, and returns the programs that are missing still. */
export async function provideTools(): Promise<string[]> {
  const packages = missingPackages();
  if (packages.length === 0) return [];
  if (Deno.build.os === "linux" && Deno.uid() === 0 && onPath("apt-get")) {
    console.log(`Installing what the tests need: ${packages.join(" ")}`);
    await aptGet(["update"], UPDATE_WITHIN_MS);
    await aptGet(["install", "--yes", "--no-install-recommends", ...packages], INSTALL_WITHIN_MS);
  }
  return missingPrograms();
}

/** Installs one package for whoever can do without it: a bench that then has a contender more. */
export async function providePackage(name: string, program: string): Promise<boolean> {
  if (!onPath(program) && Deno.build.os === "linux" && Deno.uid() === 0 && onPath("apt-get")) {
    await aptGet(["update"], UPDATE_WITHIN_MS);
    await aptGet(["install", "--yes", "--no-install-recommends", name], INSTALL_WITHIN_MS);
  }
  return onPath(program);
}

/** Quiet when it works. When it does not, its last words are shown and the tests find out what is missing. */
async function aptGet(args: string[], withinMs: number): Promise<void> {
  const result = await new Deno.Command("apt-get", {
    args: ["-qq", "-o", "DPkg::Lock::Timeout=120", ...args],
    env: { DEBIAN_FRONTEND: "noninteractive" },
    stdin: "null",
    signal: AbortSignal.timeout(withinMs),
  }).output();
  if (result.success) return;
  const words = new TextDecoder().decode(result.stderr).trim().split("\n").slice(-5).join("\n");
  console.error(`apt-get ${args[0]} failed (exit code ${result.code}): ${words}`);
}
