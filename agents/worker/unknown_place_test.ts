import assert from "node:assert/strict";
import { unknownPlace } from "./unknown_place.ts";

const spec = { key: "/mnt/nas", isNew: false };
const code = (...call: Parameters<typeof unknownPlace>) => unknownPlace(...call)?.code;

Deno.test("a place is used when nothing is known of it, or when it is what anybody knows it to be", () => {
  const unknown = { here: [undefined, undefined], isKnownElsewhere: false };
  assert.equal(code(spec, undefined, unknown), undefined);
  assert.equal(code(spec, "a", unknown), undefined);
  assert.equal(code(spec, "a", { ...unknown, isKnownElsewhere: true }), undefined);
  for (const here of [["a"], ["b", "a"], [undefined, "a"]]) {
    assert.equal(code(spec, "a", { here, isKnownElsewhere: false }), undefined);
    assert.equal(code(spec, "c", { here, isKnownElsewhere: false }), "destination_changed");
    assert.equal(code(spec, undefined, { here, isKnownElsewhere: false }), "destination_changed");
  }
});

Deno.test("nothing is made under a path that other hosts know, unless it is said to be new", () => {
  const elsewhere = { here: [undefined], isKnownElsewhere: true };
  const error = unknownPlace(spec, undefined, elsewhere);
  assert.equal(error?.code, "destination_changed");
  assert.match(error!.hint!, /Mount it here .*--init/);
  assert.equal(code({ ...spec, isNew: true }, undefined, elsewhere), undefined);
  assert.equal(code({ ...spec, isNew: true }, "b", { ...elsewhere, here: ["a"] }), undefined);
});
