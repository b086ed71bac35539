/**
 * A file of this machine beside what a backup recorded of it. Rule: only one that has not changed since is read, since a change is
 * no fault of the backup.
 */
import { createHash } from "node:crypto";
import { errnoText } from "../platform/errno.ts";
import { cNameOfLatin1, newStat, type Posix, type Stat } from "../platform/posix.ts";

interface Time {
  sec: number;
  nsec: number;
}

/** What was recorded. */
export interface RecordedFile {
  /** Absolute, one byte a character. */
  path: string;
  sizeBytes: number;
  mtime: Time;
  ctime: Time;
  /** In decimal. */
  inode: string;
  /** One after the other, with the SHA-256 of each. */
  pieces: [sha256: string, sizeBytes: number][];
}

/** `changed` also for what is gone or cannot be reached. */
export type Comparison = "changed" | "same" | { wrong: string };

const DIFFERS =
  "Its source has other content than was recorded, although its size and times are the same";

export function compareFile(posix: Posix, file: RecordedFile, tick: () => void): Comparison {
  const at = file.path.lastIndexOf("/");
  const folder = posix.openRoot(cNameOfLatin1(file.path.slice(0, at) || "/"));
  if (folder < 0) return "changed";
  try {
    const name = cNameOfLatin1(file.path.slice(at + 1));
    const stat = newStat();
    if (posix.statAt(folder, name, stat) < 0 || !isUnchanged(stat, file)) return "changed";
    const fd = posix.openRead(folder, name);
    if (fd < 0) return { wrong: `Its source cannot be read: ${errnoText(-fd)}` };
    try {
      return compareContent(posix, fd, file, tick);
    } finally {
      posix.close(fd);
    }
  } finally {
    posix.closeDirectory(folder);
  }
}

function compareContent(
  posix: Posix,
  fd: number,
  { pieces }: RecordedFile,
  tick: () => void,
): Comparison {
  let offset = 0;
  for (const [sha256, sizeBytes] of pieces) {
    const bytes = new Uint8Array(sizeBytes);
    for (let at = 0; at < sizeBytes;) {
      tick();
      const got = posix.readAt(fd, bytes.subarray(at), offset + at);
      if (got < 0) return { wrong: `Its source cannot be read: ${errnoText(-got)}` };
      if (got === 0) return { wrong: DIFFERS };
      at += got;
    }
    if (createHash("sha256").update(bytes).digest("hex") !== sha256) return { wrong: DIFFERS };
    offset += sizeBytes;
  }
  return "same";
}

function isUnchanged(stat: Stat, { sizeBytes, mtime, ctime, inode }: RecordedFile): boolean {
  const number = BigInt(stat.inodeHigh >>> 0) << 32n | BigInt(stat.inodeLow >>> 0);
  return stat.sizeBytes === sizeBytes && String(number) === inode &&
    stat.mtimeSec === mtime.sec && stat.mtimeNsec === mtime.nsec &&
    stat.ctimeSec === ctime.sec && stat.ctimeNsec === ctime.nsec;
}
