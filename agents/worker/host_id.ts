/**
 * Which machine this is, for telling whose copies stand at a destination. Rule: stable over reinstalls of this program
 * where the system has an id of its own; otherwise made once, and of several first starts at one moment one id wins.
 */
import { createHash } from "node:crypto";
import { linkSync, mkdirSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import { newId } from "../../protocol/base/ids.ts";

const FILE = "host-id";
const VALID = /^host-[\w-]{1,100}$/;

/** The system's machine id, hashed as machine-id(5) asks; undefined where there is none. */
export function machineHostId(path = "/etc/machine-id"): string | undefined {
  try {
    const machineId = readFileSync(path, "utf8").trim();
    if (!/^[0-9a-f]{32}$/.test(machineId)) return undefined;
    const digest = createHash("sha256").update(`backup-agent host ${machineId}`).digest("hex");
    return `host-${digest.slice(0, 24)}`;
  } catch {
    return undefined;
  }
}

/** Reads or makes the id. @throws {BackupError} `config` when the folder cannot be used. */
export function hostIdIn(stateDir: string): string {
  const path = join(stateDir, FILE);
  try {
    const known = readIfThere(path);
    if (known !== undefined) return check(known, path);
    mkdirSync(stateDir, { recursive: true, mode: 0o700 });
    // Written whole under another name, then linked: a reader never sees half an id.
    const own = join(stateDir, `${FILE}.${newId("boot")}`);
    writeFileSync(own, `${newId("host")}\n`, { flag: "wx", mode: 0o600 });
    try {
      linkSync(own, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    } finally {
      unlinkSync(own);
    }
    return check(readFileSync(path, "utf8").trim(), path);
  } catch (thrown) {
    if (thrown instanceof BackupError) throw thrown;
    throw new BackupError(
      "config",
      `Cannot use the state folder: ${asBackupError(thrown).message}`,
      {
        path: stateDir,
        hint: "Choose another with --state-dir",
        cause: thrown,
      },
    );
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function check(id: string, path: string): string {
  if (VALID.test(id)) return id;
  throw new BackupError("config", `${path} does not hold a host id`, {
    path,
    hint: "Remove it; a new one is made, and destinations then need --as or --init",
  });
}
