/**
 * Which agent a process is. Rule: one id per state folder and name, the same after every restart, and no two processes
 * have it at once.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { asBackupError, BackupError } from "../base/errors.ts";
import { newId } from "../base/ids.ts";
import { type ProcessLock, tryProcessLock } from "../base/process_lock.ts";

const VALID = /^agent-[\w-]{8,100}$/;
/** Names are people's; a folder's name must not be able to leave its place. */
const PLAIN_NAME = /^[\w][\w.-]{0,99}$/;

export interface AgentIdentity extends ProcessLock {
  readonly agentId: string;
}

/** @throws {BackupError} `config` when another process has it, `usage` when the name is none. */
export function takeIdentity(stateDir: string, name: string): AgentIdentity {
  if (!PLAIN_NAME.test(name)) {
    throw new BackupError("usage", `${JSON.stringify(name)} is not a name for an agent`, {
      hint: "Use letters, digits, dots and dashes, 100 at most",
    });
  }
  const folder = join(stateDir, "agents", name);
  const lock = tryProcessLock(join(folder, "lock"));
  if (lock === undefined) {
    throw new BackupError("config", `An agent ${name} is running with this state folder`, {
      path: stateDir,
      hint: "Give this one another --name, or another --state-dir",
    });
  }
  try {
    return { agentId: idIn(folder), release: lock.release };
  } catch (thrown) {
    lock.release();
    throw thrown;
  }
}

function idIn(folder: string): string {
  const path = join(folder, "id");
  try {
    const known = readIfThere(path);
    if (known !== undefined && VALID.test(known)) return known;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const id = newId("agent");
    // Under the lock; half an id, after a crash, is not valid and made anew.
    writeFileSync(path, `${id}\n`, { mode: 0o600, flush: true });
    return id;
  } catch (thrown) {
    throw new BackupError(
      "config",
      `Cannot keep the agent's id: ${asBackupError(thrown).message}`,
      {
        path,
        hint: "Choose another folder with --state-dir",
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
