import assert from "node:assert/strict";
import fc from "fast-check";
import { PriorityQueue } from "./priority_queue.ts";

Deno.test("an empty queue has nothing to peek at or pop", () => {
  const queue = new PriorityQueue<number>((a, b) => a - b);
  assert.equal(queue.peek(), undefined);
  assert.equal(queue.pop(), undefined);
  assert.equal(queue.size, 0);
});

Deno.test("clear empties the queue and it can be used again", () => {
  const queue = new PriorityQueue<number>((a, b) => a - b);
  queue.push(2);
  queue.clear();
  assert.equal(queue.size, 0);
  queue.push(5);
  assert.equal(queue.pop(), 5);
});

Deno.test("any mix of pushes and pops leaves in the order of a stable sort, ties first come first served", () => {
  const push = fc.record({ level: fc.integer({ min: 0, max: 3 }) });
  const pop = fc.constant("pop" as const);
  fc.assert(fc.property(fc.array(fc.oneof({ weight: 3, arbitrary: push }, pop)), (steps) => {
    const queue = new PriorityQueue<{ level: number; id: number }>((a, b) => b.level - a.level);
    let oracle: { level: number; id: number }[] = [];
    steps.forEach((step, id) => {
      if (step === "pop") {
        const expected = oracle.toSorted((a, b) => b.level - a.level || a.id - b.id)[0];
        assert.deepEqual(queue.peek(), expected);
        assert.deepEqual(queue.pop(), expected);
        oracle = oracle.filter((o) => o.id !== expected?.id);
      } else {
        queue.push({ level: step.level, id });
        oracle.push({ level: step.level, id });
      }
      assert.equal(queue.size, oracle.length);
    });
  }));
});
