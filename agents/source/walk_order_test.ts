import assert from "node:assert/strict";
import fc from "fast-check";
import { compareWalkOrder } from "./walk_order.ts";

/** Names of bytes around the slash, which a plain string comparison would order wrongly. */
const name = fc.array(fc.constantFrom("\x01", " ", "-", ".", "0", "a", "b", "\xff"), {
  minLength: 1,
  maxLength: 3,
}).map((letters) => letters.join(""));
const path = fc.array(name, { maxLength: 4 });

/** Component by component, a directory before what is in it. */
function oracle(a: string[], b: string[]): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    if (a[i]! !== b[i]!) return a[i]! < b[i]! ? -1 : 1;
  }
  return a.length - b.length;
}

Deno.test("walk order is the order of the path's components, by byte, a directory before its entries", () => {
  fc.assert(
    fc.property(path, path, (a, b) => {
      const order = compareWalkOrder(a.join("/"), b.join("/"));
      assert.equal(Math.sign(order), Math.sign(oracle(a, b)));
    }),
    { numRuns: 2000 },
  );
});

Deno.test("what is below a folder comes before a sibling whose name goes on with a smaller byte", () => {
  const sorted = ["", "a", "a/b", "a/b/c", "a\x01", "a-b", "a.b", "ab", "b"];
  for (let k = 1; k < sorted.length; k++) {
    assert.ok(compareWalkOrder(sorted[k - 1]!, sorted[k]!) < 0, `${sorted[k - 1]} ${sorted[k]}`);
    assert.ok(compareWalkOrder(sorted[k]!, sorted[k - 1]!) > 0);
  }
});
