/**
 * A folder whose calls can be made to hang for ever: a FUSE mount whose server is stopped. Rule: whatever happens inside,
 * the server is killed and the mount is gone afterwards. Linux and root only, with rclone.
 */
import { mkdirSync, readFileSync, rmdirSync } from "node:fs";
import { runProgram, startProgram } from "./run_program.ts";

/** For `needs`. */
export const HANGING_FOLDER_TOOLS = ["linux", "root", "rclone", "umount", "fusermount3"] as const;

const MOUNT_WAIT_MS = 10_000;
const LOOK_EVERY_MS = 20;

export interface HangingFolder {
  path: string;
  /** From now on every call hangs. */
  hang(): void;
  /**
   * Ends the server: calls that hang now fail. To be called before waiting for the end of a process that has files open
   * here: closing them asks the server, and the kernel lets no process end, killed or not, while that hangs.
   */
  kill(): void;
}

/** `folder` must exist; the mount and what is behind it are made in it. */
export async function withHangingFolder<T>(
  folder: string,
  use: (hanging: HangingFolder) => Promise<T>,
): Promise<T> {
  const [behind, path] = [`${folder}/behind`, `${folder}/hanging`];
  mkdirSync(behind);
  mkdirSync(path);
  const PATH = Deno.env.get("PATH") ?? "/usr/bin:/bin";
  await using server = startProgram("rclone", [
    "mount",
    behind,
    path,
    ...["--config", "/dev/null", "--cache-dir", `${folder}/rclone cache`],
    ...["--vfs-cache-mode", "full", "--vfs-write-back", "0s", "--dir-cache-time", "0s"],
  ], { env: { PATH, HOME: folder } });
  let isEnded = false;
  try {
    await untilMounted(path);
    return await use({
      path,
      hang: () => server.kill("SIGSTOP"),
      kill() {
        if (!isEnded) server.kill("SIGKILL");
        isEnded = true;
      },
    });
  } finally {
    if (!isEnded) server.kill("SIGKILL");
    await server.outcome.catch(() => {});
    await runProgram("umount", ["--lazy", path], { env: { PATH } });
    rmdirSync(path);
  }
}

async function untilMounted(path: string): Promise<void> {
  const startedAtMs = performance.now();
  while (!readFileSync("/proc/mounts", "utf8").includes(` ${path} fuse`)) {
    if (performance.now() - startedAtMs > MOUNT_WAIT_MS) throw new Error(`${path}: not mounted`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}
