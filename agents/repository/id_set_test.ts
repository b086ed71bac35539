import assert from "node:assert/strict";
import fc from "fast-check";
import { IdSet } from "./id_set.ts";

/** Few, and many of them with the same place in the table. */
const id = fc.tuple(fc.nat(3), fc.nat(40)).map(([place, other]) =>
  place.toString(16).padStart(2, "0") + "00".repeat(30) + other.toString(16).padStart(2, "0")
);

Deno.test("ids: any that come and go are there exactly as in a set of texts", () => {
  const step = fc.record({ id, isAdded: fc.boolean() });
  fc.assert(fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
    const ids = new IdSet();
    const expected = new Set<string>();
    for (const { id, isAdded } of steps) {
      if (isAdded) ids.add(id);
      else ids.delete(id);
      if (isAdded) expected.add(id);
      else expected.delete(id);
      assert.equal(ids.size, expected.size);
    }
    for (const { id } of steps) assert.equal(ids.has(id), expected.has(id));
  }));
});
