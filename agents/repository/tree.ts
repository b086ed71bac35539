/**
 * Trees: one folder's entries as restic's JSON. Rule: equal entries give equal bytes with restic, since a tree is named by
 * their hash; whatever a tree says is read without believing it.
 */
import * as v from "valibot";
import { IntegrityError } from "../../protocol/base/errors.ts";
import {
  bytesOf,
  type ByteString,
  byteStringOf,
  decodeUtf8,
  goString,
  goStringOfBytes,
  parseJson,
  utf8ByteString,
} from "./go_json.ts";
import { goQuote, goUnquote } from "./go_quote.ts";
import { isId } from "./object_id.ts";

export type NodeType =
  | "file"
  | "dir"
  | "symlink"
  | "dev"
  | "chardev"
  | "fifo"
  | "socket"
  | "irregular";

/** A number of 64 bits: BigInt where a number could not hold it. */
export type U64 = number | bigint;

export interface NodeXattr {
  name: ByteString;
  value: Uint8Array;
}

export interface TreeNode {
  name: ByteString;
  type: NodeType;
  /** Go's FileMode; see `go_mode.ts`. */
  mode: number;
  /** As Go writes times. */
  mtime: string;
  atime: string;
  ctime: string;
  uid: number;
  gid: number;
  user?: string;
  group?: string;
  inode?: U64;
  deviceId?: U64;
  /** Of files. */
  sizeBytes?: number;
  /** Of all but folders and FIFOs. */
  links?: U64;
  linkTarget?: ByteString;
  xattrs?: readonly NodeXattr[];
  /** Of device nodes, as the kernel has it. */
  device?: U64;
  /** Ids of a file's data blobs; undefined for everything else. */
  content?: readonly string[];
  /** Of folders. */
  subtree?: string;
}

/** In the order of their names' bytes, which the caller has to give. */
export function encodeTree(nodes: readonly TreeNode[]): Uint8Array {
  let json = '{"nodes":[';
  for (let i = 0; i < nodes.length; i++) json += (i > 0 ? "," : "") + encodeNode(nodes[i]!);
  return new TextEncoder().encode(`${json}]}\n`);
}

/** Byte order of names. */
export function byName(a: { name: ByteString }, b: { name: ByteString }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

function encodeNode(node: TreeNode): string {
  let json = `{"name":${goString(goQuote(node.name))},"type":"${node.type}"`;
  if (node.mode !== 0) json += `,"mode":${node.mode}`;
  json += `,"mtime":"${node.mtime}","atime":"${node.atime}","ctime":"${node.ctime}"`;
  json += `,"uid":${node.uid},"gid":${node.gid}`;
  if (node.user) json += `,"user":${goString(node.user)}`;
  if (node.group) json += `,"group":${goString(node.group)}`;
  if (node.inode) json += `,"inode":${node.inode}`;
  if (node.deviceId) json += `,"device_id":${node.deviceId}`;
  if (node.sizeBytes) json += `,"size":${node.sizeBytes}`;
  if (node.links) json += `,"links":${node.links}`;
  if (node.linkTarget) {
    json += `,"linktarget":${goStringOfBytes(node.linkTarget)}`;
    if (!isUtf8(node.linkTarget)) {
      json += `,"linktarget_raw":"${bytesOf(node.linkTarget).toBase64()}"`;
    }
  }
  if (node.xattrs !== undefined && node.xattrs.length > 0) {
    json += `,"extended_attributes":[${node.xattrs.map(encodeXattr).join(",")}]`;
  }
  if (node.device) json += `,"device":${node.device}`;
  json += node.type === "file"
    ? `,"content":[${(node.content ?? []).map((id) => `"${id}"`).join(",")}]`
    : ',"content":null';
  if (node.subtree !== undefined) json += `,"subtree":"${node.subtree}"`;
  return `${json}}`;
}

/** restic loses what is not UTF-8 in a name; the bytes are in a field beside it, which it ignores. */
function encodeXattr({ name, value }: NodeXattr): string {
  const raw = isUtf8(name) ? "" : `,"name_raw":"${bytesOf(name).toBase64()}"`;
  return `{"name":${goStringOfBytes(name)},"value":"${value.toBase64()}"${raw}}`;
}

function isUtf8(bytes: ByteString): boolean {
  return decodeUtf8(bytes).every((part) => typeof part === "string");
}

const U64_SCHEMA = v.union([v.pipe(v.number(), v.safeInteger(), v.minValue(0)), v.bigint()]);
const NUMBER = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const ID = v.custom<string>((value) => typeof value === "string" && isId(value));
const TYPES = ["file", "dir", "symlink", "dev", "chardev", "fifo", "socket", "irregular"] as const;
const NODE = v.object({
  name: v.string(),
  type: v.picklist(TYPES),
  mode: v.optional(NUMBER, 0),
  mtime: v.optional(v.string(), "0001-01-01T00:00:00Z"),
  atime: v.optional(v.string(), "0001-01-01T00:00:00Z"),
  ctime: v.optional(v.string(), "0001-01-01T00:00:00Z"),
  uid: v.optional(NUMBER, 0),
  gid: v.optional(NUMBER, 0),
  user: v.optional(v.string()),
  group: v.optional(v.string()),
  inode: v.optional(U64_SCHEMA),
  device_id: v.optional(U64_SCHEMA),
  size: v.optional(U64_SCHEMA),
  links: v.optional(U64_SCHEMA),
  linktarget: v.optional(v.string()),
  linktarget_raw: v.optional(v.string()),
  extended_attributes: v.nullish(
    v.array(
      v.object({
        name: v.string(),
        value: v.nullish(v.string()),
        name_raw: v.optional(v.string()),
      }),
    ),
  ),
  device: v.optional(U64_SCHEMA),
  content: v.nullish(v.array(ID)),
  subtree: v.nullish(ID),
});
const TREE = v.object({ nodes: v.nullable(v.array(NODE)) });

/** @throws {IntegrityError} when it is no tree; `what` says whose tree it is */
export function decodeTree(json: Uint8Array, what: string): TreeNode[] {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(json);
    return (v.parse(TREE, parseJson(text)).nodes ?? []).map(toNode);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new IntegrityError(`${what} is no tree: ${why}`, { cause });
  }
}

function toNode(read: v.InferOutput<typeof NODE>): TreeNode {
  const name = goUnquote(read.name);
  if (name === undefined) throw new SyntaxError(`a name that cannot be: ${read.name}`);
  const node: TreeNode = {
    name,
    type: read.type,
    mode: read.mode,
    mtime: read.mtime,
    atime: read.atime,
    ctime: read.ctime,
    uid: read.uid,
    gid: read.gid,
  };
  if (read.user !== undefined) node.user = read.user;
  if (read.group !== undefined) node.group = read.group;
  if (read.inode !== undefined) node.inode = read.inode;
  if (read.device_id !== undefined) node.deviceId = read.device_id;
  if (read.size !== undefined) node.sizeBytes = Number(read.size);
  if (read.links !== undefined) node.links = read.links;
  if (read.linktarget_raw !== undefined) {
    node.linkTarget = byteStringOf(Uint8Array.fromBase64(read.linktarget_raw));
  } else if (read.linktarget !== undefined) node.linkTarget = utf8ByteString(read.linktarget);
  if (read.extended_attributes) {
    node.xattrs = read.extended_attributes.map(({ name, value, name_raw }) => ({
      name: name_raw === undefined
        ? utf8ByteString(name)
        : byteStringOf(Uint8Array.fromBase64(name_raw)),
      value: Uint8Array.fromBase64(value ?? ""),
    }));
  }
  if (read.device !== undefined) node.device = read.device;
  if (read.content) node.content = read.content;
  if (read.subtree) node.subtree = read.subtree;
  return node;
}

/** Why nothing may be restored under this name; undefined when it is a name. */
export function nameProblem(name: ByteString): string | undefined {
  if (name === "") return "it is empty";
  if (name === "." || name === "..") return "it leads elsewhere";
  if (name.includes("/")) return "it has a slash";
  if (name.includes("\0")) return "it has a zero byte";
  return undefined;
}
