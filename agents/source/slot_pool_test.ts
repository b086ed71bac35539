import assert from "node:assert/strict";
import fc from "fast-check";
import { type Slot, SLOT_BYTES, SlotPool } from "./slot_pool.ts";

Deno.test("the pool has what the budget allows and never fewer than are needed", () => {
  assert.equal(new SlotPool(0, 5).size, 5);
  assert.equal(new SlotPool(9 * SLOT_BYTES + 1, 5).size, 9);
  assert.equal(new SlotPool(0, 2).memory.byteLength, 2 * SLOT_BYTES);
});

Deno.test("a slot in use is never given away, and the least recently used goes first", () => {
  const step = fc.record({ take: fc.boolean(), at: fc.nat(20) });
  fc.assert(fc.property(fc.integer({ min: 1, max: 5 }), fc.array(step), (size, steps) => {
    const pool = new SlotPool(0, size);
    const slots = Array.from({ length: size }, () => pool.take(() => {})!);
    assert.equal(new Set(slots.map((slot) => slot.offset)).size, size);
    const held = [...slots];
    const lastUse = new Map<Slot, number>(slots.map((slot, k) => [slot, k]));
    steps.forEach(({ take, at }, k) => {
      if (!take) {
        const [slot] = held.splice(at % Math.max(1, held.length), 1);
        if (slot !== undefined) pool.unpin(slot);
        return;
      }
      const free = slots.filter((slot) => !held.includes(slot));
      const expected = free.toSorted((a, b) => lastUse.get(a)! - lastUse.get(b)!)[0];
      const slot = pool.take(() => {});
      assert.equal(slot, expected);
      if (slot === undefined) return;
      held.push(slot);
      lastUse.set(slot, size + k);
    });
  }));
});

Deno.test("who gets a slot for something new is told after the old content was forgotten", () => {
  const pool = new SlotPool(0, 1);
  const log: string[] = [];
  const slot = pool.take(() => log.push("a is gone"))!;
  pool.unpin(slot);
  assert.equal(log.length, 0);
  assert.ok(pool.take(() => log.push("b is gone")) === slot);
  assert.equal(log.join(), "a is gone");
  assert.equal(pool.take(() => {}), undefined);
});

Deno.test("everybody who waits looks again when a slot becomes free, not before", async () => {
  const pool = new SlotPool(0, 1);
  const slot = pool.take(() => {})!;
  pool.pin(slot);
  let woken = 0;
  for (let k = 0; k < 3; k++) pool.freed().then(() => woken++);
  pool.unpin(slot);
  await Promise.resolve();
  assert.equal(woken, 0);
  pool.unpin(slot);
  await Promise.resolve();
  assert.equal(woken, 3);
});
