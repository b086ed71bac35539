/**
 * Mode, owner, time and extended attributes of a manifest line: compared with what stands at a destination, and set there.
 * Rule: what a file system cannot hold is neither wrong nor an error, and the time is set last, since everything else moves it.
 */
import { Buffer } from "node:buffer";
import { IntegrityError } from "../../../protocol/base/errors.ts";
import { EOPNOTSUPP } from "../../platform/errno.ts";
import type { DirectoryHandle, Posix, Stat } from "../../platform/posix.ts";
import type { ManifestEntry } from "./manifest_line.ts";
import { isUnsupported } from "./unsupported_metadata.ts";

/** What a destination is known to keep. */
export interface Kept {
  modes: boolean;
  owners: boolean;
  /** How far a stored time may differ; 0 where nanoseconds are kept. */
  timeToleranceMs: number;
}

/** File systems that give back what they were given. */
const EXACT: ReadonlySet<string> = new Set(["ext4", "xfs", "btrfs", "tmpfs", "f2fs", "zfs"]);
/** vfat rounds to two seconds. */
const COARSE_MS = 2000;
const MODE_MAX = 0o7777;
const NS_PER_SECOND = 1_000_000_000n;

/** Elsewhere modes and owners are only set, not compared: what comes back may be the mount's own. */
export function keptBy(posix: Posix, fileSystem: string, uid: number): Kept {
  const isExact = EXACT.has(fileSystem) && posix.name === "libc";
  return { modes: isExact, owners: isExact && uid === 0, timeToleranceMs: isExact ? 0 : COARSE_MS };
}

/** How what stands there differs from its line, as people read it; undefined when it does not. */
export function metadataDifference(
  posix: Posix,
  at: DirectoryHandle,
  name: Uint8Array,
  entry: ManifestEntry,
  stat: Stat,
  kept: Kept,
): string | undefined {
  const wrong: string[] = [];
  if (kept.modes && entry.type !== "symlink" && entry.mode !== undefined) {
    if (stat.mode !== (entry.mode & MODE_MAX)) {
      wrong.push(`mode ${octal(stat.mode)} instead of ${octal(entry.mode)}`);
    }
  }
  if (kept.owners && entry.uid !== undefined && entry.gid !== undefined) {
    if (stat.uid !== entry.uid || stat.gid !== entry.gid) {
      wrong.push(`owner ${stat.uid}:${stat.gid} instead of ${entry.uid}:${entry.gid}`);
    }
  }
  const time = timeOf(entry);
  if (time !== undefined && !isNear(stat, time, kept.timeToleranceMs)) {
    wrong.push("another modification time");
  }
  for (const [attribute, value] of Object.entries(entry.xattrs ?? {})) {
    const found = posix.getXattr(at, name, attribute);
    if (found === -EOPNOTSUPP) break;
    if (typeof found === "number" || !Buffer.from(value, "base64").equals(found)) {
      wrong.push(`extended attribute ${attribute}`);
    }
  }
  return wrong.length === 0 ? undefined : wrong.join(", ");
}

/** Sets all that the line records; 0, or -errno of what failed though it is possible here. */
export function applyMetadata(
  posix: Posix,
  at: DirectoryHandle,
  name: Uint8Array,
  entry: ManifestEntry,
): number {
  if (entry.uid !== undefined && entry.gid !== undefined) {
    const owned = posix.setOwnerAt(at, name, entry.uid, entry.gid);
    if (owned < 0 && !isUnsupported(owned)) return owned;
  }
  // After the owner: a new owner takes setuid and capabilities away. Attributes after the mode: an ACL has its own.
  if (entry.type !== "symlink" && entry.mode !== undefined) {
    const moded = posix.setModeAt(at, name, entry.mode & MODE_MAX);
    if (moded < 0 && !isUnsupported(moded)) return moded;
  }
  for (const [attribute, value] of Object.entries(entry.xattrs ?? {})) {
    const put = posix.setXattr(at, name, attribute, Buffer.from(value, "base64"));
    if (put < 0 && !isUnsupported(put)) return put;
  }
  const time = timeOf(entry);
  if (time === undefined) return 0;
  const timed = posix.setTimesAt(at, name, time.sec, time.nsec);
  return timed < 0 && !isUnsupported(timed) ? timed : 0;
}

/** @throws {IntegrityError} when it is no number */
function timeOf(entry: ManifestEntry): { sec: number; nsec: number } | undefined {
  const text: unknown = entry.mtimeNs;
  if (text === undefined) return undefined;
  if (typeof text !== "string" || !/^-?[0-9]{1,20}$/.test(text)) {
    throw new IntegrityError(`The list records a time of ${entry.path} that is none`);
  }
  const total = BigInt(text);
  const nsec = ((total % NS_PER_SECOND) + NS_PER_SECOND) % NS_PER_SECOND;
  return { sec: Number((total - nsec) / NS_PER_SECOND), nsec: Number(nsec) };
}

function isNear(stat: Stat, time: { sec: number; nsec: number }, toleranceMs: number): boolean {
  if (stat.mtimeSec === time.sec && stat.mtimeNsec === time.nsec) return true;
  if (toleranceMs === 0) return false;
  const apartMs = (stat.mtimeSec - time.sec) * 1000 + (stat.mtimeNsec - time.nsec) / 1e6;
  return Math.abs(apartMs) <= toleranceMs;
}

function octal(mode: number): string {
  return (mode & MODE_MAX).toString(8).padStart(4, "0");
}
