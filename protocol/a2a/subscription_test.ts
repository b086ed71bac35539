/** What a slow reader gets, and what it does not. */
import assert from "node:assert/strict";
import type { StreamEvent } from "./stream_event.ts";
import { createSubscription, type Subscription } from "./subscription.ts";

function progress(n: number): StreamEvent {
  const status = { state: "TASK_STATE_WORKING" as const };
  return { statusUpdate: { taskId: "t", contextId: "c", status, metadata: { n } } };
}

function artifact(n: number): StreamEvent {
  const parts = [{ data: n }];
  return { artifactUpdate: { taskId: "t", contextId: "c", artifact: { artifactId: "a", parts } } };
}

async function drain(subscription: Subscription): Promise<StreamEvent[]> {
  const all: StreamEvent[] = [];
  for (let step = await subscription.next(); !step.done; step = await subscription.next()) {
    all.push(step.value);
  }
  return all;
}

Deno.test("events come in order, before and after the reader waits, and then the end", async () => {
  const subscription = createSubscription(() => {});
  subscription.push(artifact(1));
  subscription.push(progress(2));
  const all = drain(subscription);
  await Promise.resolve();
  subscription.push(artifact(3));
  subscription.end();
  subscription.push(artifact(4));
  assert.deepEqual(await all, [artifact(1), progress(2), artifact(3)]);
});

Deno.test("a full queue drops its oldest progress and nothing else", async () => {
  const subscription = createSubscription(() => {}, 3);
  const pushed = [artifact(0), progress(1), artifact(2), progress(3), artifact(4)];
  for (const event of pushed) subscription.push(event);
  subscription.end();
  assert.deepEqual(await drain(subscription), [artifact(0), artifact(2), artifact(4)]);
});

Deno.test("a reader too slow for events that count is dropped, not fed with gaps", async () => {
  let closed = 0;
  const subscription = createSubscription(() => closed++, 2);
  for (let n = 0; n < 3; n++) subscription.push(artifact(n));
  assert.deepEqual(await drain(subscription), []);
  assert.equal(closed, 1);
});

Deno.test("a reader that leaves is told so once and gets nothing more", async () => {
  let closed = 0;
  const subscription = createSubscription(() => closed++);
  const waiting = subscription.next();
  await subscription.return();
  await subscription.return();
  subscription.push(artifact(1));
  assert.equal((await waiting).done, true);
  assert.equal((await subscription.next()).done, true);
  assert.equal(closed, 1);
});
