/** What the memory store forgets, refuses and lists. */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { RpcError } from "../rpc/rpc_error.ts";
import { createMemoryTaskStore, positionOf } from "./memory_task_store.ts";
import type { TaskPosition, TaskRecord } from "./task_store.ts";
import type { TaskState } from "./task_state.ts";

function record(id: string, state: TaskState, more: Partial<TaskRecord> = {}): TaskRecord {
  const task = { id, contextId: "c", status: { state } };
  return { task, caller: "me", updatedAtMs: 0, ...more };
}

const DONE = "TASK_STATE_COMPLETED";
const WORKING = "TASK_STATE_WORKING";
const LIMITS = { endedMax: 2, endedCharsMax: 1_000, liveMax: 2, liveCharsMax: 500 };

Deno.test("the longest ended tasks are forgotten with their keys, live ones never", () => {
  const store = createMemoryTaskStore(LIMITS);
  store.put(record("live", WORKING));
  for (const id of ["a", "b", "c"]) {
    const idempotency = { key: `key ${id}`, bodyHash: "h" };
    store.put(record(id, WORKING, { idempotency }));
    store.put(record(id, DONE, { idempotency }));
  }
  assert.deepEqual(["live", "a", "b", "c"].map((id) => store.get(id) !== undefined), [
    true,
    false,
    true,
    true,
  ]);
  assert.equal(store.findByKey("me", "key a"), undefined);
  assert.equal(store.findByKey("me", "key b")?.task.id, "b");
  assert.equal(store.findByKey("you", "key b"), undefined);
});

Deno.test("large results are forgotten sooner, but never the newest", () => {
  const store = createMemoryTaskStore(LIMITS);
  for (const id of ["a", "b"]) {
    const artifacts = [{ artifactId: "report", parts: [{ text: "x".repeat(2_000) }] }];
    const task = { ...record(id, DONE).task, artifacts };
    store.put({ ...record(id, DONE), task });
  }
  assert.equal(store.get("a"), undefined);
  assert(store.get("b"));
});

Deno.test("a task over the limit on live ones is refused, changes of known ones are not", () => {
  const store = createMemoryTaskStore(LIMITS);
  store.put(record("a", WORKING));
  store.put(record("b", WORKING));
  assert.throws(() => store.put(record("c", WORKING)), RpcError);
  store.put(record("a", DONE));
  store.put(record("c", WORKING));
});

Deno.test("what live tasks were sent is bounded together, and given back when they end", () => {
  const store = createMemoryTaskStore(LIMITS);
  const said = (id: string, state: TaskState, chars: number) => {
    const parts = [{ text: "x".repeat(chars) }];
    const history = [{ messageId: "m", role: "ROLE_USER" as const, parts }];
    return { ...record(id, state), task: { ...record(id, state).task, history } };
  };
  store.put(said("a", WORKING, 300));
  assert.throws(() => store.put(said("b", WORKING, 300)), RpcError);
  store.put(said("b", WORKING, 10));
  store.put(said("a", DONE, 300));
  store.put(said("c", WORKING, 300));
  // Two ended tasks of 700 are too long together.
  store.put(said("b", DONE, 700));
  assert.equal(store.get("a"), undefined);
});

Deno.test("pages give every task once, newest first, whatever is added meanwhile", () => {
  fc.assert(fc.property(
    fc.array(fc.nat({ max: 5 }), { maxLength: 30 }),
    fc.integer({ min: 1, max: 7 }),
    (times, limit) => {
      const store = createMemoryTaskStore();
      times.forEach((updatedAtMs, i) => store.put(record(`t${i}`, WORKING, { updatedAtMs })));
      const seen: TaskPosition[] = [];
      let after: TaskPosition | undefined;
      for (;;) {
        const { records } = store.list({ caller: "me", after, limit });
        if (records.length === 0) break;
        seen.push(...records.map(positionOf));
        after = seen.at(-1);
        store.put(record(`new${seen.length}`, WORKING, { updatedAtMs: 9 }));
      }
      assert.equal(new Set(seen.map((p) => p.taskId)).size, times.length);
      assert.equal(seen.length, times.length);
      const order = seen.map((p) => p.updatedAtMs);
      assert.deepEqual(order, [...order].sort((a, b) => b - a));
    },
  ));
});
