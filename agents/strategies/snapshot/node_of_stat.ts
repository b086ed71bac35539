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
  formatFraction,
  formatTime,
  type NodeType,
  toGoMode,
  type TreeNode,
  type U64,
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

/** Of seconds whose text is kept: files of one folder have few, mostly. */
const SECONDS_KEPT = 1024;

/** Makes nodes. What many have in common is made once. */
export class NodeMaker {
  readonly #accounts: AccountNames;
  readonly #zone: Zone;
  /** What stands before the fraction of a second, and after it. */
  readonly #seconds = new Map<number, { before: string; after: string }>();
  #device = -1;
  #deviceId: U64 = 0;

  constructor(accounts: AccountNames, zone: Zone) {
    this.#accounts = accounts;
    this.#zone = zone;
  }

  /** `name` is one byte a character. The access time is the modification time, as restic has it by default. */
  make(name: string, stat: Stat): TreeNode {
    const type = TYPES[stat.kind] ?? "irregular";
    const mtime = this.#time(stat.mtimeSec, stat.mtimeNsec);
    if (stat.device !== this.#device) {
      this.#device = stat.device;
      this.#deviceId = small(rawDevice(stat.device));
    }
    const node: TreeNode = {
      name,
      type,
      mode: toGoMode(type, stat.mode),
      mtime,
      atime: mtime,
      ctime: this.#time(stat.ctimeSec, stat.ctimeNsec),
      uid: stat.uid,
      gid: stat.gid,
      inode: stat.inodeHigh === 0
        ? stat.inodeLow
        : small((BigInt(stat.inodeHigh) << 32n) | BigInt(stat.inodeLow)),
      deviceId: this.#deviceId,
    };
    const user = this.#accounts.user(stat.uid);
    const group = this.#accounts.group(stat.gid);
    if (user !== undefined) node.user = user;
    if (group !== undefined) node.group = group;
    if (type === "file") node.sizeBytes = stat.sizeBytes;
    // restic counts no links of FIFOs; without the count a FIFO with two names would be two.
    if (type !== "dir" && (type !== "fifo" || stat.linkCount > 1)) node.links = stat.linkCount;
    if (type === "dev" || type === "chardev") node.device = small(rawDevice(stat.rdev));
    return node;
  }

  #time(sec: number, nsec: number): string {
    let whole = this.#seconds.get(sec);
    if (whole === undefined) {
      const text = formatTime({ sec, nsec: 0 }, this.#zone);
      whole = { before: text.slice(0, TIME_DIGITS), after: text.slice(TIME_DIGITS) };
      if (this.#seconds.size >= SECONDS_KEPT) this.#seconds.clear();
      this.#seconds.set(sec, whole);
    }
    return whole.before + formatFraction(nsec) + whole.after;
  }
}

/** Of `2026-01-01T00:00:00`. */
const TIME_DIGITS = 19;

/** The same as a number, which is quicker, where it can be one. */
function small(value: bigint): U64 {
  return value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
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
