import assert from "node:assert/strict";
import fc from "fast-check";
import { IntegrityError } from "../../protocol/base/errors.ts";
import { byteStringOf } from "./go_json.ts";
import { fromGoMode, toGoMode } from "./go_mode.ts";
import { byName, decodeTree, encodeTree, type NodeType, type TreeNode } from "./tree.ts";

const bytes = fc.uint8Array({ minLength: 1, maxLength: 20 }).map(byteStringOf);
const u64 = fc.oneof(
  fc.nat(),
  fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
);
const id = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((raw) => raw.toHex());
const types: NodeType[] = ["file", "dir", "symlink", "dev", "chardev", "fifo"];

const nodes = fc.uniqueArray(
  fc.record({
    name: bytes,
    type: fc.constantFrom(...types),
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

Deno.test("trees: any nodes, names and links of any bytes among them, are read as they were written", () => {
  fc.assert(fc.property(nodes, (list) => {
    const json = encodeTree(list);
    const read = decodeTree(json, "tree");
    assert.deepEqual(read, list);
    assert.deepEqual(encodeTree(read), json);
  }));
});

Deno.test("trees: a node of each type is written as restic writes it", () => {
  const common = { mtime: "M", atime: "A", ctime: "C", uid: 0, gid: 0 };
  const text = new TextDecoder().decode(encodeTree([
    { name: "dev", type: "chardev", mode: 69206432, ...common, links: 1, device: 259 },
    { name: "f", type: "file", mode: 0, ...common, user: "root", sizeBytes: 10, content: [] },
    { name: "l", type: "symlink", mode: 134218239, ...common, linkTarget: "target<&>" },
  ]));
  const times = '"mtime":"M","atime":"A","ctime":"C","uid":0,"gid":0';
  assert.equal(
    text,
    `{"nodes":[{"name":"dev","type":"chardev","mode":69206432,${times},"links":1,"device":259,` +
      `"content":null},{"name":"f","type":"file",${times},"user":"root","size":10,"content":[]},` +
      `{"name":"l","type":"symlink","mode":134218239,${times},` +
      `"linktarget":"target\\u003c\\u0026\\u003e","content":null}]}\n`,
  );
});

Deno.test("trees: what is none is refused, and fields nobody knows are ignored", () => {
  const read = (text: string) => decodeTree(new TextEncoder().encode(text), "tree x");
  assert.deepEqual(read('{"nodes":null,"new":1}'), []);
  for (
    const wrong of [
      "",
      "[]",
      '{"nodes":[{}]}',
      '{"nodes":[{"name":"a","type":"door"}]}',
      '{"nodes":[{"name":"\\\\x","type":"file"}]}',
      '{"nodes":[{"name":"a","type":"file","size":-1}]}',
      '{"nodes":[{"name":"a","type":"file","content":["short"]}]}',
    ]
  ) {
    assert.throws(() => read(wrong), IntegrityError, wrong);
  }
});

Deno.test("modes: every mode of every type comes back, and is the number that restic has", () => {
  for (const type of types) {
    for (let mode = 0; mode <= 0o7777; mode++) assert.equal(fromGoMode(toGoMode(type, mode)), mode);
  }
  const known: [NodeType, number, number][] = [
    ["dir", 0o755, 2147484141],
    ["dir", 0o1777, 2148532735],
    ["symlink", 0o777, 134218239],
    ["file", 0o4755, 8389101],
    ["file", 0o2755, 4194797],
    ["chardev", 0o640, 69206432],
    ["dev", 0o640, 67109280],
    ["fifo", 0o644, 33554852],
  ];
  for (const [type, mode, go] of known) assert.equal(toGoMode(type, mode), go);
});
