import assert from "node:assert/strict";
import { LeaseKeeper } from "./lease_keeper.ts";

const first = { taskId: "task-1", epoch: 1 };
const second = { taskId: "task-1", epoch: 2 };

Deno.test("a lease ends when nobody renews it, and a renewal never shortens it", () => {
  const keeper = new LeaseKeeper();
  assert.ok(keeper.begin(first, 100));
  keeper.renew(first, 200);
  keeper.renew(first, 150);
  assert.deepEqual(keeper.expired(199), []);
  assert.deepEqual(keeper.expired(200), [first]);
  keeper.end(first);
  assert.deepEqual([keeper.expired(1_000), keeper.held()], [[], []]);
});

Deno.test("a newer attempt takes the place of an older one, and late words about the older change nothing", () => {
  const keeper = new LeaseKeeper();
  keeper.begin(first, 100);
  assert.ok(keeper.begin(second, 300));
  assert.ok(!keeper.begin(first, 900));
  keeper.renew(first, 900);
  keeper.end(first);
  assert.deepEqual(keeper.held(), [second]);
  assert.deepEqual([keeper.endsAtMs(first), keeper.endsAtMs(second)], [undefined, 300]);
});

Deno.test("an attempt without a lease never ends by itself", () => {
  const keeper = new LeaseKeeper();
  keeper.begin(first, Infinity);
  assert.deepEqual(keeper.expired(Number.MAX_VALUE), []);
});
