import assert from "node:assert/strict";
import fc from "fast-check";
import { IntegrityError } from "../../protocol/base/errors.ts";
import { NODE_TYPES, nodes } from "../../tests/support/arbitrary_nodes.ts";
import { fromGoMode, toGoMode } from "./go_mode.ts";
import { decodeTree, encodeTree, type NodeType } from "./tree.ts";

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
  for (const type of NODE_TYPES) {
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
