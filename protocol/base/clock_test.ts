import assert from "node:assert/strict";
import { systemClock } from "./clock.ts";

Deno.test("monotonic time never goes back and a sleep is never early", async () => {
  const startMs = systemClock.monotonicMs();
  await systemClock.sleep(0);
  await systemClock.sleep(2);
  assert.ok(systemClock.monotonicMs() - startMs >= 2);
});

Deno.test("a sleep that is aborted rejects with the signal's reason, before and during", async () => {
  const reason = new Error("enough");
  await assert.rejects(systemClock.sleep(1e9, AbortSignal.abort(reason)), reason);
  const abort = new AbortController();
  const sleeping = systemClock.sleep(1e9, abort.signal);
  abort.abort(reason);
  await assert.rejects(sleeping, reason);
});

Deno.test("ticks come until they are stopped, also from within one", async () => {
  let ticks = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const stop = systemClock.every(1, () => {
    if (++ticks < 3) return;
    stop();
    resolve();
  });
  // A tick alone keeps no program alive, so somebody must wait.
  const abort = new AbortController();
  const waiting = systemClock.sleep(1e6, abort.signal).catch(() => {});
  await promise;
  abort.abort();
  await waiting;
  assert.equal(ticks, 3);
});
