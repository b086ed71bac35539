import assert from "node:assert/strict";
import { settled } from "../../../tests/support/fake_threads.ts";
import { ManualClock } from "../../../tests/support/manual_clock.ts";
import { BackupError } from "../../../protocol/base/errors.ts";
import { StagedBatches } from "./staged_batches.ts";

/** Batches whose publishing ends when the test says so. */
function scene() {
  const clock = new ManualClock();
  const begun: number[][] = [];
  const ends: PromiseWithResolvers<void>[] = [];
  const batches = new StagedBatches(clock, (rows) => {
    begun.push(rows);
    const end = Promise.withResolvers<void>();
    ends.push(end);
    return end.promise;
  });
  return { clock, begun, ends, batches };
}

Deno.test("what is staged is published after three seconds, together", async () => {
  const { clock, begun, batches } = scene();
  batches.publishWhenDue();
  batches.add(1, 10);
  batches.add(2, 10);
  await clock.advance(2999);
  batches.publishWhenDue();
  await settled();
  assert.deepEqual(begun, []);
  await clock.advance(1);
  batches.publishWhenDue();
  await settled();
  assert.deepEqual(begun, [[1, 2]]);
});

Deno.test("a gibibyte, or many files, are published at once", async () => {
  const large = scene();
  large.batches.add(1, 1 << 30);
  large.batches.publishWhenDue();
  const many = scene();
  for (let row = 0; row < 32_768; row++) many.batches.add(row, 1);
  many.batches.publishWhenDue();
  await settled();
  assert.deepEqual([large.begun.length, many.begun.length], [1, 1]);
});

Deno.test("a batch waits for the one before it, however large it is", async () => {
  const { clock, begun, ends, batches } = scene();
  batches.add(1, 1 << 30);
  batches.publishWhenDue();
  batches.add(2, 1 << 30);
  batches.publishWhenDue();
  await clock.advance(10_000);
  await settled();
  assert.deepEqual(begun, [[1]]);
  ends[0]!.resolve();
  await settled();
  batches.add(3, 1);
  const all = batches.publishAll();
  await settled();
  assert.deepEqual(begun, [[1], [2, 3]]);
  ends[1]!.resolve();
  await all;
});

Deno.test("whoever waits for all hears of a batch that failed before", async () => {
  const { ends, batches } = scene();
  batches.add(1, 1 << 30);
  batches.publishWhenDue();
  await settled();
  ends[0]!.reject(new BackupError("io", "The flush failed"));
  await assert.rejects(batches.publishAll(), /The flush failed/);
});
