/**
 * Opens the database file and brings its schema up to date. Rule: a file written by a newer version is not
 * touched, and an older one is backed up before it is changed.
 */
import { closeSync, mkdirSync, openSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { BackupError } from "../../../protocol/base/errors.ts";

/** How long a call waits for another process that is writing. */
export const BUSY_TIMEOUT_MS = 5000;

/**
 * The folder and the file are made, for this user only, when they are not there.
 * @throws {BackupError} `newer_version` when the file has more migrations than we know, `config` when nothing can be kept
 * there.
 */
export function openDatabase(path: string, migrations: readonly string[]): DatabaseSync {
  makeFile(path);
  const db = new DatabaseSync(path);
  try {
    db.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
    const version = userVersion(db);
    if (version > migrations.length) {
      throw new BackupError(
        "newer_version",
        `Cannot use ${path}: it was written by a newer version (schema ${version}, known ${migrations.length})`,
        { path, hint: "Use the newer version of this program" },
      );
    }
    // With WAL, NORMAL loses at most the last transactions in a power cut and never damages the file.
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON");
    if (version > 0 && version < migrations.length) backUp(db, path, version);
    if (version < migrations.length) migrate(db, migrations);
    return db;
  } catch (thrown) {
    db.close();
    throw thrown;
  }
}

function makeFile(path: string): void {
  const folder = dirname(path);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    // SQLite would create it with the umask's mode; job specs hold paths that are nobody else's business.
    closeSync(openSync(path, "a", 0o600));
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new BackupError(
      code === "ENOSPC" ? "no_space" : "config",
      `Cannot use the state folder ${folder}: ${message}`,
      { path: folder, hint: "Choose another folder with --state-dir", cause },
    );
  }
}

/** The file as it was, beside it: whoever goes back to the older program finds what that can read. */
function backUp(db: DatabaseSync, path: string, version: number): void {
  const fresh = `${path}.v${version}.tmp-${process.pid}`;
  rmSync(fresh, { force: true });
  closeSync(openSync(fresh, "a", 0o600));
  try {
    db.prepare("VACUUM INTO ?").run(fresh);
    // Another process may have migrated meanwhile; what it left to be backed up is in its backup.
    if (userVersion(db) === version) renameSync(fresh, `${path}.v${version}.bak`);
  } finally {
    rmSync(fresh, { force: true });
  }
}

function migrate(db: DatabaseSync, migrations: readonly string[]): void {
  db.exec("BEGIN IMMEDIATE");
  try {
    // Read again under the lock: another process may have migrated meanwhile.
    for (const sql of migrations.slice(userVersion(db))) db.exec(sql);
    db.exec(`PRAGMA user_version = ${migrations.length}`);
    db.exec("COMMIT");
  } catch (thrown) {
    db.exec("ROLLBACK");
    throw thrown;
  }
}

function userVersion(db: DatabaseSync): number {
  return Number(db.prepare("PRAGMA user_version").get()?.["user_version"]);
}
