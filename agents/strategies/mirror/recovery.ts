/**
 * What an interrupted run left in the stage. Rule: a replaced file whose successor was never verified is put back, so the
 * destination is what its manifest says; files that were new are kept and only verified again.
 */
import { Buffer } from "node:buffer";
import { ENOENT } from "../../platform/errno.ts";
import { cName, type DirectoryHandle, type Posix } from "../../platform/posix.ts";
import { entryPathLatin1, type ManifestEntry } from "./manifest_line.ts";
import { cNameOfLatin1, moveFilesBack, removeTree } from "./tree_removal.ts";

export const JOURNAL_FILE = "journal.jsonl";
export const KEPT_DIRECTORY = "kept";
/** Entries of one journal that are used; what lies beyond is copied again. */
const JOURNAL_ENTRIES_MAX = 500_000;
const JOURNAL_READ_BYTES = 1 << 20;

export interface Recovered {
  /** What was published and not verified, by path (one byte a character). */
  journal: Map<string, ManifestEntry>;
  warnings: string[];
}

/**
 * Clears `stage/<bindingKey>/` of earlier attempts. `completedStage` is the stage that the manifest says was completed:
 * what it kept is not needed any more.
 */
export function recover(
  posix: Posix,
  root: DirectoryHandle,
  stages: DirectoryHandle,
  task: { name: string; bindingKey: string; stageName: string },
  completedStage: string | undefined,
): Recovered {
  const found: Recovered = { journal: new Map(), warnings: [] };
  const above = posix.openDirectory(stages, cName(task.bindingKey));
  if (above < 0) return found;
  const names = posix.list(above);
  for (const name of typeof names === "number" ? [] : names.sort()) {
    if (name === task.stageName) continue;
    const bytes = cNameOfLatin1(name);
    const stage = posix.openDirectory(above, bytes);
    if (stage >= 0 && name !== completedStage) recoverOne(posix, root, stage, task.name, found);
    if (stage >= 0) posix.closeDirectory(stage);
    removeTree(posix, above, bytes);
  }
  posix.closeDirectory(above);
  return found;
}

function recoverOne(
  posix: Posix,
  root: DirectoryHandle,
  stage: DirectoryHandle,
  name: string,
  found: Recovered,
): void {
  readJournal(posix, stage, found.journal);
  const kept = posix.openDirectory(stage, cName(KEPT_DIRECTORY));
  if (kept < 0) return;
  const copy = posix.openDirectory(root, cName(name));
  if (copy >= 0) {
    moveFilesBack(
      posix,
      kept,
      copy,
      "",
      (path) => found.journal.delete(path),
      (path, result) =>
        found.warnings.push(`Could not put back the earlier ${name}/${path} (error ${-result})`),
    );
    posix.closeDirectory(copy);
  }
  posix.closeDirectory(kept);
}

/** The last line may be cut by the crash; it and whatever else does not parse is left out, so that file is copied again. */
function readJournal(
  posix: Posix,
  stage: DirectoryHandle,
  into: Map<string, ManifestEntry>,
): void {
  const fd = posix.openRead(stage, cName(JOURNAL_FILE));
  if (fd === -ENOENT || fd < 0) return;
  const buffer = Buffer.alloc(JOURNAL_READ_BYTES);
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
        if (into.size < JOURNAL_ENTRIES_MAX) into.set(entryPathLatin1(entry), entry);
      } catch {
        continue;
      }
    }
    carry = Buffer.from(chunk.subarray(from));
  }
  posix.close(fd);
}
