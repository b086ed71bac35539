/** What the platform says of an entry, as a node of a tree. Rule: nothing is lost: nanoseconds, inodes of 64 bits, raw device numbers. */
import {
  KIND_BLOCK_DEVICE,
  KIND_CHARACTER_DEVICE,
  KIND_DIRECTORY,
  KIND_FIFO,
  KIND_FILE,
  KIND_SOCKET,
  KIND_SYMLINK,
  type Stat,
} from "../../platform/posix.ts";
import {
  formatTime,
  type NodeType,
  toGoMode,
  type TreeNode,
  type Zone,
} from "../../repository/mod.ts";
import type { AccountNames } from "./account_names.ts";

const TYPES: Readonly<Record<number, NodeType>> = {
  [KIND_FILE]: "file",
  [KIND_DIRECTORY]: "dir",
  [KIND_SYMLINK]: "symlink",
  [KIND_FIFO]: "fifo",
  [KIND_CHARACTER_DEVICE]: "chardev",
  [KIND_BLOCK_DEVICE]: "dev",
  [KIND_SOCKET]: "socket",
};

/** `name` is one byte a character. The access time is the modification time, as restic has it by default. */
export function nodeOfStat(
  name: string,
  stat: Stat,
  accounts: AccountNames,
  zone: Zone,
): TreeNode {
  const type = TYPES[stat.kind] ?? "irregular";
  const mtime = formatTime({ sec: stat.mtimeSec, nsec: stat.mtimeNsec }, zone);
  const node: TreeNode = {
    name,
    type,
    mode: toGoMode(type, stat.mode),
    mtime,
    atime: mtime,
    ctime: formatTime({ sec: stat.ctimeSec, nsec: stat.ctimeNsec }, zone),
    uid: stat.uid,
    gid: stat.gid,
    inode: stat.inodeHigh === 0
      ? stat.inodeLow
      : (BigInt(stat.inodeHigh) << 32n) | BigInt(stat.inodeLow),
    deviceId: rawDevice(stat.device),
  };
  const user = accounts.user(stat.uid);
  const group = accounts.group(stat.gid);
  if (type === "file") node.sizeBytes = stat.sizeBytes;
  if (user !== undefined) node.user = user;
  if (group !== undefined) node.group = group;
  // restic counts no links of FIFOs; without the count a FIFO with two names would be two.
  if (type !== "dir" && (type !== "fifo" || stat.linkCount > 1)) node.links = stat.linkCount;
  if (type === "dev" || type === "chardev") node.device = rawDevice(stat.rdev);
  return node;
}

/** Linux's dev_t of major × 2³² + minor. */
export function rawDevice(device: number): bigint {
  const major = BigInt(Math.floor(device / 2 ** 32));
  const minor = BigInt(device % 2 ** 32);
  return (minor & 0xffn) | ((major & 0xfffn) << 8n) | ((minor & ~0xffn) << 12n) |
    ((major & ~0xfffn) << 32n);
}

/** major × 2³² + minor of Linux's dev_t. */
export function splitDevice(raw: number | bigint): number {
  const device = BigInt(raw);
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n);
  const minor = (device & 0xffn) | ((device >> 12n) & 0xffffff00n);
  return Number(major) * 2 ** 32 + Number(minor);
}
