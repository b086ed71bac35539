/**
 * `restic:PATH`: a repository as a place for copies. Rule: the prefix alone decides, so that no folder is ever taken for a
 * repository, nor a repository for a folder.
 */
import { BackupError } from "../base/errors.ts";
import { typedPath } from "./surroundings.ts";

export const REPOSITORY_PREFIX = "restic:";

export interface RepositoryAddress {
  /** As the person typed it, without slashes at the end: how it is named everywhere. */
  key: string;
  /** Absolute. */
  path: string;
}

/** What restic has names for and we have not; a folder of that name is written `restic:./sftp:…`. */
const FOREIGN = /^(sftp|s3|rest|b2|azure|gs|swift|rclone|http|https|local):/;

export function isRepositoryAddress(text: string): boolean {
  return text.startsWith(REPOSITORY_PREFIX);
}

/** `base` is where a relative path starts. @throws {BackupError} `usage` */
export function parseRepositoryAddress(text: string, base: string): RepositoryAddress {
  const rest = text.slice(REPOSITORY_PREFIX.length);
  if (!isRepositoryAddress(text) || rest === "") {
    throw new BackupError("usage", `${JSON.stringify(text)} does not name a repository`, {
      hint: isRepositoryAddress(text) || text === ""
        ? "Write restic: and the path of its folder"
        : `If it is the folder of one, write restic:${text}`,
    });
  }
  const foreign = FOREIGN.exec(rest)?.[1];
  if (foreign !== undefined) {
    throw new BackupError("usage", `Repositories behind ${foreign}: cannot be used`, {
      hint: `Only folders can; one that is really named so is restic:./${rest}`,
    });
  }
  const key = text.replace(/(?<=^restic:.+?)\/+$/s, "");
  return { key, path: typedPath(rest, base) };
}

/**
 * All words as repositories; undefined when none is one.
 * @throws {BackupError} `usage` when some are and some are not, or one is named twice
 */
export function parseRepositoryAddresses(
  texts: readonly string[],
  base: string,
): RepositoryAddress[] | undefined {
  if (!texts.some(isRepositoryAddress)) return undefined;
  const stranger = texts.find((text) => !isRepositoryAddress(text));
  if (stranger !== undefined) {
    throw new BackupError("usage", `${stranger} is no repository, and the others are`, {
      hint: "Name repositories alone, each as restic:PATH",
    });
  }
  const addresses = texts.map((text) => parseRepositoryAddress(text, base));
  for (const [i, { key, path }] of addresses.entries()) {
    if (addresses.findIndex((other) => other.path === path) < i) {
      throw new BackupError("usage", `${key} is named twice`);
    }
  }
  return addresses;
}
