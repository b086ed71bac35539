/**
 * Which recorded entries are what appeared elsewhere in the source meanwhile. Rule: one mark in common is enough, since who
 * is spared for nothing goes with the next run.
 */
import type { Posix } from "../../platform/posix.ts";
import {
  KIND_BLOCK_DEVICE,
  KIND_CHARACTER_DEVICE,
  KIND_FIFO,
  KIND_FILE,
  KIND_SYMLINK,
} from "../../platform/posix.ts";
import type { EntryMarks } from "../../source/moved_in_source.ts";
import type { CopyDestination } from "./list_keys.ts";
import { openManifest } from "./manifest_file.ts";
import { entryPathLatin1, inodeText, nanoseconds } from "./manifest_line.ts";
import { manifestName } from "./manifest_update.ts";
import { linesOf } from "./version_lists.ts";

const TYPES: Readonly<Record<number, string>> = {
  [KIND_FILE]: "file",
  [KIND_SYMLINK]: "symlink",
  [KIND_FIFO]: "fifo",
  [KIND_CHARACTER_DEVICE]: "character",
  [KIND_BLOCK_DEVICE]: "block",
};

/** Paths, one byte a character, of the lines that share a mark. @throws {BackupError} when the list cannot be read */
export function movedLines(
  posix: Posix,
  destination: CopyDestination,
  bindingKey: string,
  marks: readonly EntryMarks[],
  tick: () => void,
): string[] {
  const known = new Set<string>();
  for (const mark of marks) {
    const type = TYPES[mark.kind];
    if (type === undefined) continue;
    known.add(lookOf(type, mark.sizeBytes, nanoseconds(mark.mtimeSec, mark.mtimeNsec)));
    if (type === "file") known.add(inodeText(mark.inodeLow, mark.inodeHigh));
  }
  const name = manifestName(bindingKey);
  const display = `${destination.display}/.backup-agent/manifests/${name}`;
  const manifest = openManifest(posix, destination.manifests, name, display, destination.keys);
  const paths: string[] = [];
  if (manifest === undefined) return paths;
  for (const { entry } of linesOf(manifest)) {
    tick();
    if (entry.type === "directory") continue;
    const isMoved = (entry.inode !== undefined && known.has(entry.inode)) ||
      known.has(lookOf(entry.type, entry.sizeBytes ?? 0, entry.mtimeNs ?? ""));
    if (isMoved) paths.push(entryPathLatin1(entry));
  }
  return paths;
}

function lookOf(type: string, sizeBytes: number, mtimeNs: string): string {
  return `${type} ${type === "file" ? sizeBytes : 0} ${mtimeNs}`;
}
