/**
 * The content of a recorded file, as it lies at a destination. Rule: what comes out is the original's bytes, whatever way
 * they are stored in; whoever reads hashes them, so a decoder needs no trust.
 */
import { Buffer } from "node:buffer";
import { BackupError } from "../../../../protocol/base/errors.ts";
import type { Posix } from "../../../platform/posix.ts";
import { latin1OfUtf8 } from "../../../source/entry_table.ts";
import type { ManifestEntry } from "../manifest_line.ts";
import { type PathChain, splitPath } from "./path_chain.ts";

/** Bytes from the beginning to the end, once. */
export interface Content {
  /** The next bytes, at most what fits: how many, 0 at the end, or -errno. */
  read(into: Uint8Array): number;
  close(): void;
}

/**
 * `path` is the entry's below the destination, one byte a character. -errno when there is nothing to read.
 * @throws {BackupError} `unsupported` when it is stored in a way this version cannot read
 */
export function openContent(
  posix: Posix,
  chain: PathChain,
  path: string,
  entry: ManifestEntry,
): Content | number {
  if (entry.codec !== undefined) {
    throw new BackupError("unsupported", `Stored as ${String(entry.codec)} by a newer version`, {
      hint: "Use that version to restore it",
    });
  }
  const { folder, name } = splitPath(storedPath(path, entry));
  const at = chain.folder(folder);
  if (at < 0) return at;
  const fd = posix.openRead(at, name);
  return fd < 0 ? fd : plainContent(posix, fd, entry.sizeBytes ?? 0);
}

/** Where its bytes are: in the same folder, under its own name or the one it is stored as. */
export function storedPath(path: string, entry: ManifestEntry): string {
  const stored = entry.storedAsBase64 === undefined
    ? entry.storedAs === undefined ? undefined : latin1OfUtf8(entry.storedAs)
    : Buffer.from(entry.storedAsBase64, "base64").toString("latin1");
  if (stored === undefined) return path;
  return path.slice(0, path.lastIndexOf("/") + 1) + stored;
}

/** While a piece is hashed and written, the next ones are on their way. */
const AHEAD_BYTES = 4 << 20;

function plainContent(posix: Posix, fd: number, sizeBytes: number): Content {
  let offset = 0;
  let wasShort = false;
  posix.willNeed(fd, 0, Math.min(AHEAD_BYTES, sizeBytes));
  return {
    read(into) {
      // A short read past the recorded end says that the file ends there: small files need no second one.
      if (wasShort && offset >= sizeBytes) return 0;
      const got = posix.readAt(fd, into, offset);
      if (got <= 0) return got;
      wasShort = got < into.length;
      offset += got;
      if (offset + AHEAD_BYTES / 2 < sizeBytes) {
        posix.willNeed(fd, offset + AHEAD_BYTES / 2, AHEAD_BYTES / 2);
      }
      return got;
    },
    close: () => void posix.close(fd),
  };
}
