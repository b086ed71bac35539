import assert from "node:assert/strict";
import { newId, randomFraction } from "./ids.ts";

Deno.test("ids say what they are of and are never the same twice", () => {
  const ids = Array.from({ length: 10_000 }, () => newId("run"));
  assert.equal(new Set(ids).size, ids.length);
  for (const id of ids) assert.match(id, /^run-[\w-]{16}$/);
});

Deno.test("a random fraction is at least 0 and below 1, and spread over the range", () => {
  const fractions = Array.from({ length: 10_000 }, randomFraction);
  assert.ok(fractions.every((fraction) => fraction >= 0 && fraction < 1));
  assert.ok(Math.min(...fractions) < 0.05 && Math.max(...fractions) > 0.95);
});
