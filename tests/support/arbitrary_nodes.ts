/** Entries of trees, with any names, links and attributes. */
import fc from "fast-check";
import { byteStringOf } from "../../agents/repository/go_json.ts";
import { toGoMode } from "../../agents/repository/go_mode.ts";
import { byName, type NodeType, type TreeNode } from "../../agents/repository/tree.ts";

/** Any name. */
export const bytes: fc.Arbitrary<string> = fc.uint8Array({ minLength: 1, maxLength: 20 }).map(
  byteStringOf,
);
const u64 = fc.oneof(
  fc.nat(),
  fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
);
const id = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((raw) => raw.toHex());
export const NODE_TYPES: readonly NodeType[] = ["file", "dir", "symlink", "dev", "chardev", "fifo"];

/** Entries of one folder, in order. */
export const nodes: fc.Arbitrary<TreeNode[]> = fc.uniqueArray(
  fc.record({
    name: bytes,
    type: fc.constantFrom(...NODE_TYPES),
    mode: fc.integer({ min: 0, max: 0o7777 }),
    inode: u64,
    links: u64,
    target: bytes,
    content: fc.array(id, { maxLength: 3 }),
    subtree: id,
    xattrs: fc.array(
      fc.record({ name: bytes, value: fc.uint8Array({ maxLength: 9 }) }, { noNullPrototype: true }),
    ),
    user: fc.string({ unit: "binary", maxLength: 5 }).filter((text) => text.isWellFormed()),
    size: fc.nat(),
  }),
  { maxLength: 5, selector: ({ name }) => name },
).map((list) =>
  list.map((raw): TreeNode => {
    const node: TreeNode = {
      name: raw.name,
      type: raw.type,
      mode: toGoMode(raw.type, raw.mode),
      mtime: "2017-07-14T04:40:00.12+02:00",
      atime: "2017-07-14T04:40:00.12+02:00",
      ctime: "1969-12-31T23:59:59.999999999Z",
      uid: 1000,
      gid: 0,
    };
    if (raw.user !== "") node.user = raw.user;
    if (raw.inode !== 0) node.inode = raw.inode;
    if (raw.links !== 0) node.links = raw.links;
    if (raw.type === "symlink") node.linkTarget = raw.target;
    if (raw.type === "file") node.content = raw.content;
    if (raw.type === "file" && raw.size > 0) node.sizeBytes = raw.size;
    if (raw.type === "dir") node.subtree = raw.subtree;
    if (raw.xattrs.length > 0) node.xattrs = raw.xattrs;
    return node;
  }).sort(byName)
);
