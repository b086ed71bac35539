import assert from "node:assert/strict";
import fc from "fast-check";
import { BufferBudget } from "./buffer_budget.ts";

Deno.test("S2-10: runs share one budget: each gets what it wants while there is enough, then what is left, then what it needs", () => {
  const budget = new BufferBudget(100);
  const first = budget.take(64, 20);
  const second = budget.take(64, 20);
  const third = budget.take(64, 20);
  assert.deepEqual([first.bytes, second.bytes, third.bytes], [64, 36, 20]);
  first.giveBack();
  first.giveBack();
  assert.equal(budget.take(64, 20).bytes, 44);
});

Deno.test("S2-10: whatever runs come and go, they hold no more than the budget and what they need", () => {
  const run = fc.record({ wanted: fc.nat(100), needed: fc.nat(30), endsEarly: fc.boolean() });
  fc.assert(fc.property(fc.nat(300), fc.array(run, { maxLength: 30 }), (total, runs) => {
    const budget = new BufferBudget(total);
    const held: { bytes: number; needed: number; giveBack(): void }[] = [];
    for (const { wanted, needed, endsEarly } of runs) {
      const share = budget.take(wanted, needed);
      assert.ok(share.bytes >= needed && share.bytes <= Math.max(wanted, needed));
      held.push({ ...share, needed });
      const sum = held.reduce((bytes, one) => bytes + one.bytes, 0);
      const needs = held.reduce((bytes, one) => bytes + one.needed, 0);
      assert.ok(sum <= total + needs, `${sum} of ${total}`);
      if (endsEarly) held.shift()!.giveBack();
    }
    for (const one of held) one.giveBack();
    assert.equal(budget.leftBytes, total);
  }));
});
