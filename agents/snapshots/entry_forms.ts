/** An entry of a snapshot as a line for people and as restic's JSON. */
import { splitDevice } from "../strategies/snapshot/mod.ts";
import { type ListedLine } from "../cli/list_line.ts";
import {
  fromGoMode,
  type NodeType,
  parseTime,
  shortId,
  showBytes,
  type StoredSnapshot,
} from "../repository/mod.ts";
import type { WalkedEntry } from "./walk_snapshot.ts";

/** As the lists of mirrors call them. */
const LISTED_TYPES: Partial<Record<NodeType, string>> = {
  file: "file",
  dir: "directory",
  symlink: "symlink",
  fifo: "fifo",
  chardev: "character",
  dev: "block",
  socket: "socket",
};

export function listedLine({ path, node }: WalkedEntry): ListedLine {
  const mtime = parseTime(node.mtime);
  const line: ListedLine = {
    path: showBytes(path),
    type: LISTED_TYPES[node.type] ?? node.type,
    mode: fromGoMode(node.mode),
    uid: node.uid,
    gid: node.gid,
  };
  if (node.type === "file") line.sizeBytes = node.sizeBytes ?? 0;
  if (mtime !== undefined) {
    line.mtimeNs = String(BigInt(mtime.sec) * 1_000_000_000n + BigInt(mtime.nsec));
  }
  if (node.linkTarget !== undefined) line.target = showBytes(node.linkTarget);
  if (node.device !== undefined) line.rdev = splitDevice(node.device);
  return line;
}

/** restic's fields, in its order. */
export function entryMessage({ path, node }: WalkedEntry): Record<string, unknown> {
  const { inode } = node;
  return {
    name: showBytes(node.name),
    type: node.type,
    path: showBytes(path),
    uid: node.uid,
    gid: node.gid,
    ...(node.type === "file" ? { size: node.sizeBytes ?? 0 } : {}),
    ...(node.mode === 0 ? {} : { mode: node.mode }),
    permissions: goModeText(node.mode),
    mtime: node.mtime,
    atime: node.atime,
    ctime: node.ctime,
    ...(Number.isSafeInteger(Number(inode)) ? { inode: Number(inode) } : {}),
    ...(node.linkTarget === undefined ? {} : { linktarget: showBytes(node.linkTarget) }),
  };
}

export function snapshotMessage(snapshot: StoredSnapshot): Record<string, unknown> {
  const { id, ...facts } = snapshot;
  return { ...facts, id, short_id: shortId(id) };
}

/** As Go prints a FileMode: `drwxr-xr-x`, `urwxr-xr-x` for setuid. */
export function goModeText(mode: number): string {
  let types = "";
  for (const [i, letter] of [..."dalTLDpSugct?"].entries()) {
    if (Math.floor(mode / 2 ** (31 - i)) % 2 === 1) types += letter;
  }
  const bits = [..."rwxrwxrwx"].map((letter, i) => mode & (0o400 >> i) ? letter : "-");
  return (types || "-") + bits.join("");
}
