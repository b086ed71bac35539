import assert from "node:assert/strict";
import { silentLog } from "../../protocol/base/log.ts";
import { applyChange } from "../../protocol/mesh/apply_change.ts";
import type { ConsoleEvent, ConsoleState, TaskCard } from "../../protocol/mesh/console_state.ts";
import fc from "fast-check";
import { EMPTY_CONSOLE_STATE as EMPTY } from "../../tests/support/empty_console_state.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { createConsoleFeed, FEED_TICK_MS } from "./console_feed.ts";
import { changeBetween } from "./console_model.ts";

function withTasks(tasks: Record<string, number>): ConsoleState {
  const cards = Object.entries(tasks).map(([taskId, epoch]) => [taskId, { taskId, epoch }]);
  return { ...EMPTY, tasks: Object.fromEntries(cards) as Record<string, TaskCard> };
}

function openFeed() {
  const clock = new ManualClock();
  const at = { state: EMPTY, looks: 0 };
  const feed = createConsoleFeed({
    clock,
    log: silentLog,
    collect() {
      at.looks++;
      return at.state;
    },
  });
  return { clock, at, feed };
}

async function nextOf(stream: { next(): Promise<IteratorResult<ConsoleEvent, undefined>> }) {
  const step = await stream.next();
  assert.ok(!step.done);
  return step.value;
}

Deno.test("a reader gets a snapshot, then numbered changes without a gap, that lead to the same picture", async () => {
  const { clock, at, feed } = openFeed();
  const stream = feed.follow()!;
  const first = await nextOf(stream);
  assert.equal(first.kind, "snapshot");
  let state = first.kind === "snapshot" ? first.state : EMPTY;
  for (let epoch = 1; epoch <= 5; epoch++) {
    at.state = withTasks({ [`t${epoch}`]: epoch, always: epoch });
    await clock.advance(FEED_TICK_MS);
    const event = await nextOf(stream);
    assert.equal(event.seq, first.seq + epoch);
    assert.ok(event.kind === "change");
    state = applyChange(state, event.change);
    assert.deepEqual(state, at.state);
  }
});

Deno.test("nothing is told while nothing changes, at most four times a second otherwise, and nobody looks without readers", async () => {
  const { clock, at, feed } = openFeed();
  await clock.advance(10_000);
  assert.equal(at.looks, 0);
  const stream = feed.follow()!;
  await nextOf(stream);
  let told = 0;
  const reading = (async () => {
    while (!(await stream.next()).done) told++;
  })();
  await clock.advance(10_000);
  assert.equal(told, 0);
  for (let k = 0; k < 100; k++) {
    at.state = withTasks({ t: k });
    await clock.advance(10);
  }
  assert.ok(told <= 4 && told >= 3, String(told));
  await stream.return();
  await reading;
  const { looks } = at;
  await clock.advance(10_000);
  assert.equal(at.looks, looks);
});

Deno.test("a reader that is too slow is given the whole picture, and holds up nobody", async () => {
  const { clock, at, feed } = openFeed();
  const slow = feed.follow()!;
  const fast = feed.follow()!;
  await nextOf(slow);
  await nextOf(fast);
  for (let k = 0; k < 50; k++) {
    at.state = withTasks({ t: k });
    await clock.advance(FEED_TICK_MS);
    assert.equal((await nextOf(fast)).kind, "change");
  }
  const event = await nextOf(slow);
  assert.ok(event.kind === "snapshot");
  assert.deepEqual(event.state, at.state);
});

Deno.test("whatever two pictures are, the change between them leads from one to the other", () => {
  const state = fc.dictionary(fc.constantFrom("a", "b", "c", "d"), fc.integer({ min: 0, max: 3 }))
    .map((tasks) => withTasks({ ...tasks }));
  fc.assert(fc.property(state, state, (before, after) => {
    const change = changeBetween(before, after);
    if (change === undefined) assert.deepEqual(before, after);
    else assert.deepEqual(applyChange(before, change), after);
  }));
});
