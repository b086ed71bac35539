/**
 * The secret that roles and commands of one user share. Rule: it is made once, only its owner can read it, and of several
 * first starts at one moment one token wins.
 */
import { linkSync, lstatSync, mkdirSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { asBackupError, BackupError } from "../base/errors.ts";
import { newId } from "../base/ids.ts";
import { randomBytes } from "../base/random_bytes.ts";

export const TOKEN_FILE = "mesh-token";
const TOKEN_BYTES = 32;
/** What can stand in a header, and is too long to be guessed. */
const VALID = /^[\x21-\x7e]{16,1000}$/;

/** Reads or makes the token of a state folder. @throws {BackupError} `config`. */
export function meshTokenIn(stateDir: string): string {
  const path = join(stateDir, TOKEN_FILE);
  const known = existingToken(path);
  if (known !== undefined) return known;
  const own = join(stateDir, `${TOKEN_FILE}.${newId("boot")}`);
  try {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 });
    const token = Buffer.from(randomBytes(TOKEN_BYTES)).toString("base64url");
    // Whole under another name first: a reader never sees half a token.
    writeFileSync(own, `${token}\n`, { flag: "wx", mode: 0o600, flush: true });
    try {
      linkSync(own, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    } finally {
      unlinkSync(own);
    }
  } catch (thrown) {
    throw new BackupError("config", `Cannot keep a mesh token: ${asBackupError(thrown).message}`, {
      path,
      hint: "Choose another folder with --state-dir",
      cause: thrown,
    });
  }
  return existingToken(path)!;
}

/** The token of a state folder, if there is one. @throws {BackupError} `config` when others can read it. */
export function existingToken(path: string): string | undefined {
  let mode: number;
  try {
    mode = lstatSync(path).mode;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw unreadable(path, error);
  }
  if ((mode & 0o077) !== 0) {
    throw new BackupError("config", `${path} can be read by others, so it is no secret`, {
      path,
      hint: `Remove it, and a new one is made; or chmod 600 ${path} if nobody has seen it`,
    });
  }
  return readTokenFile(path);
}

/** A token somebody has put into a file. @throws {BackupError} `config`. */
export function readTokenFile(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8").trim();
  } catch (error) {
    throw unreadable(path, error);
  }
  return checkToken(text, path);
}

/** `from`: where it was found, for people. The token itself is in no message. */
export function checkToken(text: string, from: string): string {
  if (VALID.test(text)) return text;
  throw new BackupError("config", `${from} does not hold a mesh token`, {
    hint: "A token is one line of 16 or more printable characters without spaces",
  });
}

function unreadable(path: string, cause: unknown): BackupError {
  return new BackupError("config", `Cannot read the mesh token: ${asBackupError(cause).message}`, {
    path,
    cause,
  });
}
