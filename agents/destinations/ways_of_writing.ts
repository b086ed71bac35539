/**
 * How files are written on a file system of a type. Rule: one flush for a whole batch only where it is known to wait and
 * to report errors; a backup and a restore judge alike.
 */
import type { Posix } from "../platform/posix.ts";

/** File systems whose `syncfs` waits for data and reports errors (Linux ≥ 5.8), plus memory, where there is no disk. */
const SYNCFS_TRUSTED: ReadonlySet<string> = new Set(["ext4", "xfs", "btrfs", "tmpfs"]);
/**
 * Local file systems of plain blocks: there, writing past the page cache costs a tenth of the processor time and leaves
 * other programs their cache. Elsewhere it is refused, slow (each write waits for the network), or turns compression off.
 */
const DIRECT_WRITES_PAY: ReadonlySet<string> = new Set(["ext4", "xfs"]);

export interface WaysOfWriting {
  /** False: every file is flushed by itself. */
  batchFlush: boolean;
  /** Large files are written past the page cache. */
  directWrites: boolean;
}

/** `type`: of the file system, as `fileSystemInfo` names it. */
export function waysOfWriting(posix: Posix, type: string): WaysOfWriting {
  return {
    batchFlush: SYNCFS_TRUSTED.has(type) && posix.name === "libc",
    directWrites: DIRECT_WRITES_PAY.has(type),
  };
}
