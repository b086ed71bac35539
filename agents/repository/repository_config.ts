/** The file `config`: version, id and polynomial. Rule: a version we do not know is refused, a field we do not know is not. */
import * as v from "valibot";
import { BackupError, IntegrityError } from "../../protocol/base/errors.ts";
import { randomBytes } from "../../protocol/base/random_bytes.ts";
import { newPolynomial, parsePolynomial } from "./polynomial.ts";

export type RepositoryVersion = 1 | 2;

export interface RepositoryConfig {
  version: RepositoryVersion;
  id: string;
  polynomial: bigint;
}

const FILE = v.object({
  version: v.number(),
  id: v.string(),
  chunker_polynomial: v.string(),
});

export function newConfig(version: RepositoryVersion = 2): RepositoryConfig {
  return { version, id: randomBytes(32).toHex(), polynomial: newPolynomial() };
}

export function encodeConfig({ version, id, polynomial }: RepositoryConfig): Uint8Array {
  const file = { version, id, chunker_polynomial: polynomial.toString(16) };
  return new TextEncoder().encode(JSON.stringify(file));
}

/** @throws {BackupError} `newer_version`, `damaged` */
export function decodeConfig(plain: Uint8Array, path: string): RepositoryConfig {
  let file: v.InferOutput<typeof FILE>;
  try {
    file = v.parse(FILE, JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(plain)));
  } catch (cause) {
    throw new IntegrityError(`${path} is not a repository's configuration`, { path, cause });
  }
  const { version, id, chunker_polynomial } = file;
  if (version !== 1 && version !== 2) {
    throw new BackupError(
      "newer_version",
      `${path}: the repository has format version ${version}; 1 and 2 are known`,
      { path },
    );
  }
  const polynomial = parsePolynomial(chunker_polynomial);
  if (polynomial === undefined) {
    throw new IntegrityError(`${path}: ${chunker_polynomial} is no irreducible polynomial`, {
      path,
    });
  }
  return { version, id, polynomial };
}
