/**
 * Trees: one folder's entries as restic's JSON. Rule: equal entries give equal bytes with restic, since a tree is named by
 * their hash; whatever a tree says is read without believing it.
 */
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

/** What the rest of an entry is made of. */
export type TailFields = Pick<TreeNode, "type" | "content" | "subtree">;

/** In the order of their names' bytes, which the caller has to give. */
export function encodeTree(nodes: readonly TreeNode[]): Uint8Array {
  let json = '{"nodes":[';
  for (let i = 0; i < nodes.length; i++) {
    json += (i > 0 ? "," : "") + encodeHead(nodes[i]!) + encodeTail(nodes[i]!);
  }
  return new TextEncoder().encode(`${json}]}\n`);
}

/** Byte order of names. */
export function byName(a: { name: ByteString }, b: { name: ByteString }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

/** Of an entry, what is known before its content is: all up to that field's value. */
export function encodeHead(node: TreeNode): string {
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
  return `${json},"content":`;
}

/** The rest of an entry. */
export function encodeTail({ type, content, subtree }: TailFields): string {
  let json = type === "file" ? `[${(content ?? []).map((id) => `"${id}"`).join(",")}]` : "null";
  if (subtree !== undefined) json += `,"subtree":"${subtree}"`;
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

const TYPES: ReadonlySet<string> = new Set<NodeType>([
  "file",
  "dir",
  "symlink",
  "dev",
  "chardev",
  "fifo",
  "socket",
  "irregular",
]);
const NO_TIME = "0001-01-01T00:00:00Z";

/** @throws {IntegrityError} when it is no tree; `what` says whose tree it is */
export function decodeTree(json: Uint8Array, what: string): TreeNode[] {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(json);
    const { nodes } = record(parseJson(text), "the tree");
    return nodes === null ? [] : list(nodes, "nodes").map(toNode);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new IntegrityError(`${what} is no tree: ${why}`, { cause });
  }
}

/** One entry of a tree. @throws {SyntaxError} */
export function decodeNode(json: Uint8Array): TreeNode {
  return toNode(parseJson(new TextDecoder("utf-8", { fatal: true }).decode(json)));
}

type Fields = Readonly<Record<string, unknown>>;

/** By hand: a schema takes five times as long, and a restore begins with reading every node. */
function toNode(value: unknown): TreeNode {
  const read = record(value, "a node");
  const name = goUnquote(text(read, "name"));
  if (name === undefined) throw new SyntaxError(`a name that cannot be: ${read.name}`);
  const type = text(read, "type");
  if (!TYPES.has(type)) throw new SyntaxError(`a node of type ${type}`);
  const node: TreeNode = {
    name,
    type: type as NodeType,
    mode: read.mode === undefined ? 0 : number(read, "mode"),
    mtime: read.mtime === undefined ? NO_TIME : text(read, "mtime"),
    atime: read.atime === undefined ? NO_TIME : text(read, "atime"),
    ctime: read.ctime === undefined ? NO_TIME : text(read, "ctime"),
    uid: read.uid === undefined ? 0 : number(read, "uid"),
    gid: read.gid === undefined ? 0 : number(read, "gid"),
  };
  if (read.user !== undefined) node.user = text(read, "user");
  if (read.group !== undefined) node.group = text(read, "group");
  if (read.inode !== undefined) node.inode = u64(read, "inode");
  if (read.device_id !== undefined) node.deviceId = u64(read, "device_id");
  if (read.size !== undefined) node.sizeBytes = Number(u64(read, "size"));
  if (read.links !== undefined) node.links = u64(read, "links");
  const linkTarget = bytesField(read, "linktarget");
  if (linkTarget !== undefined) node.linkTarget = linkTarget;
  if (read.extended_attributes !== undefined && read.extended_attributes !== null) {
    node.xattrs = list(read.extended_attributes, "extended_attributes").map(toXattr);
  }
  if (read.device !== undefined) node.device = u64(read, "device");
  if (read.content !== undefined && read.content !== null) {
    node.content = list(read.content, "content").map(id);
  }
  if (read.subtree !== undefined && read.subtree !== null) node.subtree = id(read.subtree);
  return node;
}

function toXattr(value: unknown): NodeXattr {
  const read = record(value, "an extended attribute");
  const isEmpty = read.value === undefined || read.value === null;
  return {
    name: bytesField(read, "name") ?? text(read, "name"),
    value: Uint8Array.fromBase64(isEmpty ? "" : text(read, "value")),
  };
}

/** A text whose bytes stand in a field beside it where it is no UTF-8. */
function bytesField(read: Fields, field: string): ByteString | undefined {
  const plain = read[field] === undefined ? undefined : text(read, field);
  const raw = `${field}_raw`;
  if (read[raw] !== undefined) return byteStringOf(Uint8Array.fromBase64(text(read, raw)));
  return plain === undefined ? undefined : utf8ByteString(plain);
}

function record(value: unknown, what: string): Fields {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields;
  throw new SyntaxError(`${what} is no object`);
}

function list(value: unknown, what: string): unknown[] {
  if (Array.isArray(value)) return value;
  throw new SyntaxError(`${what} is no list`);
}

function text(read: Fields, field: string): string {
  const value = read[field];
  if (typeof value === "string") return value;
  throw new SyntaxError(`${field} is no text`);
}

function number(read: Fields, field: string): number {
  const value = read[field];
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  throw new SyntaxError(`${field} is no whole number`);
}

function u64(read: Fields, field: string): U64 {
  const value = read[field];
  return typeof value === "bigint" ? value : number(read, field);
}

function id(value: unknown): string {
  if (typeof value === "string" && isId(value)) return value;
  throw new SyntaxError("a blob's id is none");
}

/** Why nothing may be restored under this name; undefined when it is a name. */
export function nameProblem(name: ByteString): string | undefined {
  if (name === "") return "it is empty";
  if (name === "." || name === "..") return "it leads elsewhere";
  if (name.includes("/")) return "it has a slash";
  if (name.includes("\0")) return "it has a zero byte";
  return undefined;
}
