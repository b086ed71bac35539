/** One process at a time. Rule: the lock ends with its process, so a crash leaves none behind. */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { asBackupError, BackupError } from "./errors.ts";

export interface ProcessLock {
  /** Idempotent. */
  release(): void;
}

/**
 * Takes the lock that the file `path` stands for; its folder is made when missing. Undefined when another process has it.
 * @throws {BackupError} `config` when the file cannot be made.
 */
export function tryProcessLock(path: string): ProcessLock | undefined {
  let file: Deno.FsFile;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    file = Deno.openSync(path, { create: true, write: true, mode: 0o600 });
  } catch (thrown) {
    throw new BackupError("config", `Cannot lock ${path}: ${asBackupError(thrown).message}`, {
      path,
      hint: "Choose another folder with --state-dir",
      cause: thrown,
    });
  }
  if (!file.tryLockSync(true)) {
    file.close();
    return undefined;
  }
  let isHeld = true;
  return {
    release() {
      if (isHeld) file.close();
      isHeld = false;
    },
  };
}
