/**
 * Whether what stands at a place is what a manifest line records. Rule: a path that comes
 * from a list on a disk is confined before it is followed.
 */
import { Buffer } from "node:buffer";
import {
  type DirectoryHandle,
  KIND_BLOCK_DEVICE,
  KIND_CHARACTER_DEVICE,
  KIND_DIRECTORY,
  KIND_FIFO,
  KIND_FILE,
  KIND_SYMLINK,
  newStat,
  type Posix,
} from "../../platform/posix.ts";
import { type ManifestEntry, nanoseconds } from "./manifest_line.ts";
import { storedContent } from "./stored_form.ts";

/** How exactly a destination keeps times. */
export interface TimeTrust {
  /** How far a stored mtime may differ: 0 on file systems that keep nanoseconds. */
  mtimeToleranceMs: number;
  /** Whether a file here keeps the time it is given; asked only when a time is not the expected one. */
  keepsTimes(): boolean;
}

const KINDS: Readonly<Record<string, number>> = {
  file: KIND_FILE,
  directory: KIND_DIRECTORY,
  symlink: KIND_SYMLINK,
  fifo: KIND_FIFO,
  character: KIND_CHARACTER_DEVICE,
  block: KIND_BLOCK_DEVICE,
};

/** Every part of the path is a name: nothing empty, no dots, no NUL. The empty path is the top folder itself. */
export function isConfined(path: string): boolean {
  return path === "" ||
    path.split("/").every((part) =>
      part !== "" && part !== "." && part !== ".." && !part.includes("\0")
    );
}

/** The path of the folder that `path` lies in. */
export function parentPath(path: string): string {
  const at = path.lastIndexOf("/");
  return at < 0 ? "" : path.slice(0, at);
}

export function lastName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/**
 * 1 when what stands under the name agrees with the entry in kind and, where it has them, size, mtime and target; 0 when
 * it does not; -errno when that cannot be told, -ENOENT when nothing stands there.
 */
export function standsAsRecorded(
  posix: Posix,
  at: DirectoryHandle,
  name: Uint8Array,
  entry: ManifestEntry,
  trust: TimeTrust,
): number {
  const stat = newStat();
  const found = posix.statAt(at, name, stat);
  if (found < 0) return found;
  if (stat.kind !== KINDS[entry.type]) return 0;
  if (stat.kind === KIND_SYMLINK) {
    const target = posix.readLink(at, name);
    if (typeof target === "number") return target;
    const bytes = Buffer.from(target);
    const isSame = entry.targetBase64 === undefined
      ? bytes.toString("utf8") === entry.target
      : bytes.toString("base64") === entry.targetBase64;
    return isSame ? 1 : 0;
  }
  if (stat.kind !== KIND_FILE) return 1;
  if (stat.sizeBytes !== storedContent(entry).sizeBytes) return 0;
  const foundNs = nanoseconds(stat.mtimeSec, stat.mtimeNsec);
  if (foundNs === entry.mtimeNs) return 1;
  const apartMs = apart(foundNs, entry.mtimeNs) / 1e6;
  return apartMs <= trust.mtimeToleranceMs || !trust.keepsTimes() ? 1 : 0;
}

function apart(foundNs: string, recordedNs: string | undefined): number {
  if (recordedNs === undefined || !/^-?\d{1,30}$/.test(recordedNs)) return Infinity;
  return Math.abs(Number(BigInt(foundNs) - BigInt(recordedNs)));
}
