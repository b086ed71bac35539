/**
 * The journal of a stage: what an attempt has published, a manifest line each. Rule: it is flushed before the first of its
 * files gets its name, so that what a crash leaves under a name is known as ours; one that cannot be written costs a copy.
 */
import { Buffer } from "node:buffer";
import { cName, type DirectoryHandle, type Posix } from "../../platform/posix.ts";
import { writeAll } from "../../platform/small_file.ts";
import { entryPathLatin1, type ManifestEntry } from "./manifest_line.ts";
import { storedPathLatin1 } from "./stored_form.ts";

const JOURNAL_FILE = "journal.jsonl";
/** Entries of one journal that are used; what lies beyond is copied again. */
const ENTRIES_MAX = 500_000;
const READ_BYTES = 1 << 20;
/** It is written in pieces of about this size. */
const WRITE_CHARACTERS = 64 << 10;

/** `isFlushed`: false where a flush of the whole file system comes next. 0 or -errno. */
export function addToJournal(
  posix: Posix,
  stage: DirectoryHandle,
  lines: Iterable<string>,
  isFlushed: boolean,
  tick: () => void,
): number {
  const fd = posix.openAppend(stage, cName(JOURNAL_FILE));
  if (fd < 0) return fd;
  let result = 0;
  let text = "";
  const drain = () => {
    if (result >= 0) result = writeAll(posix, fd, Buffer.from(text, "utf8"));
    text = "";
  };
  for (const line of lines) {
    text += line + "\n";
    if (text.length < WRITE_CHARACTERS) continue;
    tick();
    drain();
  }
  drain();
  if (isFlushed) {
    const flushed = posix.flushFile(fd);
    if (result >= 0) result = flushed;
  }
  posix.close(fd);
  return Math.min(result, 0);
}

export function* jsonLines(entries: Iterable<ManifestEntry>): Iterable<string> {
  for (const entry of entries) yield JSON.stringify(entry);
}

/** The last line may be cut by the crash; it and whatever else does not parse is left out, so that file is copied again. */
export function readJournal(
  posix: Posix,
  stage: DirectoryHandle,
  into: Map<string, ManifestEntry>,
  byStored: Map<string, string>,
): void {
  const fd = posix.openRead(stage, cName(JOURNAL_FILE));
  if (fd < 0) return;
  const buffer = Buffer.alloc(READ_BYTES);
  let carry = Buffer.alloc(0);
  let offset = 0;
  for (;;) {
    const got = posix.readAt(fd, buffer, offset);
    if (got <= 0) break;
    offset += got;
    const chunk = Buffer.concat([carry, buffer.subarray(0, got)]);
    let from = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      const text = chunk.toString("utf8", from, end);
      from = end + 1;
      try {
        const entry = JSON.parse(text) as ManifestEntry;
        if (typeof entry.path !== "string" || typeof entry.sha256 !== "string") continue;
        if (into.size >= ENTRIES_MAX) continue;
        const path = entryPathLatin1(entry);
        into.set(path, entry);
        if (entry.codec !== undefined) byStored.set(storedPathLatin1(entry), path);
      } catch {
        continue;
      }
    }
    carry = Buffer.from(chunk.subarray(from));
  }
  posix.close(fd);
}
