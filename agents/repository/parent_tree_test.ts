import assert from "node:assert/strict";
import fc from "fast-check";
import { IntegrityError } from "../../protocol/base/errors.ts";
import { bytes, nodes } from "../../tests/support/arbitrary_nodes.ts";
import { ParentTree } from "./parent_tree.ts";
import { decodeTree, encodeHead, encodeTail, encodeTree } from "./tree.ts";
import { TreeEntries, TreeJoiner } from "./tree_entries.ts";

const utf8 = (text: string) => new TextEncoder().encode(text);

/** Three ways to write the same. */
function written(json: Uint8Array, way: number): Uint8Array {
  if (way === 0) return json;
  const text = new TextDecoder().decode(json);
  return utf8(way === 1 ? text.trimEnd() : text.replace('{"nodes":[', ' {"nodes": [').trimEnd());
}

Deno.test("parents: of any tree every entry is found by its name, in order, and no other", () => {
  fc.assert(fc.property(nodes, fc.array(bytes), fc.nat(2), (list, others, way) => {
    const parent = new ParentTree(written(encodeTree(list), way), "tree");
    const names = new Set([...list.map(({ name }) => name), ...others]);
    for (const name of [...names].sort()) {
      const expected = list.find((node) => node.name === name);
      assert.equal(parent.find(name), expected !== undefined, JSON.stringify(name));
      if (expected !== undefined) assert.deepEqual(parent.node(), expected);
    }
  }));
});

Deno.test("parents: an entry that begins with the same bytes gives what follows them, if all its blobs are there", () => {
  fc.assert(fc.property(nodes, fc.nat(3), (list, lost) => {
    const parent = new ParentTree(encodeTree(list), "tree");
    const ids = list.flatMap(({ content }) => content ?? []);
    const has = (id: Uint8Array) => new TextDecoder().decode(id) !== ids[lost];
    for (const node of list) {
      assert.ok(parent.find(node.name));
      const tail = parent.tailAfter(utf8(encodeHead(node)), has);
      const isThere = node.type === "file" && !node.content!.includes(ids[lost]!);
      assert.deepEqual(tail, isThere ? utf8(encodeTail(node)) : undefined);
      assert.equal(parent.tailAfter(utf8(encodeHead({ ...node, uid: 7 })), has), undefined);
    }
  }));
});

Deno.test("parents: entries joined to a tree are the bytes of that tree, those that were not passed yet among them", () => {
  fc.assert(fc.property(nodes, fc.nat(5), (list, passed) => {
    const parent = new ParentTree(encodeTree(list), "tree");
    const entries = new TreeEntries();
    const joiner = new TreeJoiner();
    for (const node of list.slice(0, passed)) {
      assert.ok(parent.find(node.name));
      entries.begin(node.name, encodeHead(node));
    }
    for (let entry = entries.count - 1; entry >= 0; entry--) {
      entries.end(entry, encodeTail(list[entry]!));
    }
    for (let entry = 0; entry < entries.count; entry++) entries.copy(entry, joiner);
    parent.copyRest(joiner);
    assert.deepEqual(joiner.finish().slice(), encodeTree(list));
  }));
});

Deno.test("parents: what is no tree is refused, and an entry that is none is told when it is looked at", () => {
  for (const text of ["", "{}", '{"nodes":[{]}', '{"nodes":[{"name":"a"}', '{"nodes":[{}]}x']) {
    assert.throws(() => new ParentTree(utf8(text), "tree"), IntegrityError, text);
  }
  const odd = new ParentTree(utf8('{"nodes":[{"name":"a"},{"name":"b","type":"x"}]}\n'), "tree");
  assert.ok(odd.find("a"));
  assert.throws(() => odd.node(), IntegrityError);
  assert.deepEqual(decodeTree(utf8('{"nodes":null}'), "tree"), []);
  assert.equal(new ParentTree(utf8('{"nodes":null}'), "tree").find("a"), false);
});
