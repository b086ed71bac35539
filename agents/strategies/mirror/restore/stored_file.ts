/**
 * One recorded file, read piece by piece for somebody who wants just that. Rule: every byte is hashed on its way, and the end
 * is told only when the whole is what was recorded.
 */
import { createHash } from "node:crypto";
import { BackupError, IntegrityError } from "../../../../protocol/base/errors.ts";
import { posixError } from "../../../platform/errno.ts";
import type { Posix } from "../../../platform/posix.ts";
import { latin1OfUtf8, utf8OfLatin1 } from "../../../source/entry_table.ts";
import type { ManifestEntry } from "../manifest_line.ts";
import { fullPath } from "./folders_pass.ts";
import { openContent } from "./open_content.ts";
import { PathChain } from "./path_chain.ts";
import { checkedLines, linkedPath, openStoredManifest, type StoredLists } from "./stored_lists.ts";

export const STORED_PIECE_BYTES = 256 << 10;

export interface StoredFile {
  readonly sizeBytes: number;
  /** Undefined at its end. @throws {BackupError} `damaged`, `wrong_key`, `io` */
  next(): Uint8Array<ArrayBuffer> | undefined;
  close(): void;
}

/** `path` begins with the copy's name. @throws {BackupError} `not_found` for what is no recorded file */
export function openStoredFile(
  posix: Posix,
  lists: StoredLists,
  path: string,
  tick: () => void,
): StoredFile {
  const { full, entry } = findEntry(posix, lists, path, tick);
  const chain = new PathChain(posix, lists.root);
  const content = openContent(posix, chain, full, entry, lists.keys.identities);
  if (typeof content === "number") {
    chain.close();
    throw posixError(content, "read", path);
  }
  const hash = createHash("sha256");
  let readBytes = 0;
  return {
    sizeBytes: entry.sizeBytes ?? 0,
    next() {
      tick();
      const piece = new Uint8Array(STORED_PIECE_BYTES);
      const got = content.read(piece);
      if (got < 0) throw posixError(got, "read", path);
      if (got > 0) {
        const bytes = piece.subarray(0, got);
        hash.update(bytes);
        readBytes += got;
        return bytes;
      }
      if (readBytes !== entry.sizeBytes || hash.digest("hex") !== entry.sha256) {
        throw new IntegrityError(`${path} is not what was recorded of it`, {
          path,
          hint: "verify DEST names all that is damaged; --repair-from puts it right",
        });
      }
      return undefined;
    },
    close() {
      content.close();
      chain.close();
    },
  };
}

function findEntry(
  posix: Posix,
  lists: StoredLists,
  path: string,
  tick: () => void,
  isFurtherName = false,
): { full: string; entry: ManifestEntry } {
  const wanted = latin1OfUtf8(path);
  const top = wanted.split("/")[0]!;
  const binding = lists.marker.bindings.find(({ name }) => latin1OfUtf8(name) === top);
  const manifest = binding && openStoredManifest(posix, lists, binding);
  try {
    for (const { path: below, entry } of manifest === undefined ? [] : checkedLines(manifest)) {
      tick();
      const full = fullPath(top, below);
      if (full !== wanted) continue;
      if (entry.type !== "file") break;
      if (entry.sha256 !== undefined) return { full, entry };
      // A further name of a file has the content of its first.
      const first = linkedPath(entry);
      if (first === undefined || isFurtherName) break;
      return findEntry(posix, lists, utf8OfLatin1(fullPath(top, first)), tick, true);
    }
  } finally {
    manifest?.close();
  }
  throw new BackupError("not_found", `${path} is no file that is recorded there`, { path });
}
