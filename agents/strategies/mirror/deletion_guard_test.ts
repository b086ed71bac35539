import assert from "node:assert/strict";
import fc from "fast-check";
import { deletionGuard, HALF_COUNTS_FROM_FILES } from "./deletion_guard.ts";

Deno.test("an empty source deletes nothing unless it is told again, however few files there were", () => {
  assert.match(deletionGuard({ filesGone: 1, filesBefore: 1, inSource: 0 })!, /source is empty/);
  assert.equal(deletionGuard({ filesGone: 0, filesBefore: 0, inSource: 0 }), undefined);
});

Deno.test("half of the files may go, more may not", () => {
  const source = { inSource: 5 };
  assert.equal(deletionGuard({ filesGone: 5, filesBefore: 10, ...source }), undefined);
  assert.match(deletionGuard({ filesGone: 6, filesBefore: 10, ...source })!, /6 of 10 files/);
  assert.equal(deletionGuard({ filesGone: 8, filesBefore: 9, ...source }), undefined);
});

Deno.test("whatever the numbers, more than half of ten files or more is never deleted unasked", () => {
  fc.assert(
    fc.property(fc.nat(1e6), fc.nat(1e6), fc.nat(1e6), (filesGone, filesBefore, inSource) => {
      const reason = deletionGuard({ filesGone, filesBefore, inSource });
      const isMany = filesBefore >= HALF_COUNTS_FROM_FILES && filesGone > filesBefore / 2;
      assert.equal(reason !== undefined, filesGone > 0 && (isMany || inSource === 0));
    }),
  );
});
