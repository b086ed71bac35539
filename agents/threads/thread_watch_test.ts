import assert from "node:assert/strict";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import type { BackupError } from "../../protocol/base/errors.ts";
import type { ThreadClient } from "./thread_rpc.ts";
import { FLUSH_DEADLINE_FACTOR, ThreadWatch } from "./thread_watch.ts";

const TIMEOUT_MS = 10_000;
/** How much later than the deadline a look may come. */
const LOOK_MS = 250;

interface FakeThread {
  operations: number;
  pendingCount: number;
  isFlushing: boolean;
  abandonedWith: BackupError | undefined;
}

function scene(): {
  clock: ManualClock;
  watch: ThreadWatch;
  thread: FakeThread;
  client: ThreadClient;
} {
  const clock = new ManualClock();
  const watch = new ThreadWatch(clock, TIMEOUT_MS);
  const thread: FakeThread & { abandon(error: BackupError): void } = {
    operations: 0,
    pendingCount: 1,
    isFlushing: false,
    abandonedWith: undefined,
    abandon(error) {
      this.abandonedWith = error;
    },
  };
  const client = thread as unknown as ThreadClient;
  watch.add(client, "/mnt/nas");
  return { clock, watch, thread, client };
}

/** Why the thread was given up; undefined while it was not. */
function codeOf(thread: FakeThread): string | undefined {
  return thread.abandonedWith?.code;
}

Deno.test("D16: a thread that stands still in one operation is given up at its deadline, not before", async () => {
  const { clock, thread, watch, client } = scene();
  await clock.advance(TIMEOUT_MS - 1);
  assert.equal(codeOf(thread), undefined);
  assert.ok(watch.stillForMs(client) >= TIMEOUT_MS - 1);
  await clock.advance(1 + LOOK_MS);
  assert.equal(codeOf(thread), "deadline");
  assert.equal(thread.abandonedWith?.path, "/mnt/nas");
  assert.equal(thread.abandonedWith?.retry, "later");
});

Deno.test("a thread that goes on, however slowly, is never given up", async () => {
  const { clock, thread } = scene();
  for (let k = 0; k < 20; k++) {
    await clock.advance(TIMEOUT_MS - 2 * LOOK_MS);
    thread.operations++;
  }
  assert.equal(codeOf(thread), undefined);
});

Deno.test("an idle thread is not slow: its time begins with the next call", async () => {
  const { clock, thread, watch, client } = scene();
  thread.pendingCount = 0;
  await clock.advance(10 * TIMEOUT_MS);
  assert.equal(watch.stillForMs(client), 0);
  thread.pendingCount = 1;
  await clock.advance(TIMEOUT_MS - LOOK_MS);
  assert.equal(codeOf(thread), undefined);
  await clock.advance(2 * LOOK_MS);
  assert.equal(codeOf(thread), "deadline");
});

Deno.test("a flush may take longer, and has a deadline too", async () => {
  const { clock, thread } = scene();
  thread.isFlushing = true;
  await clock.advance(TIMEOUT_MS * FLUSH_DEADLINE_FACTOR - 1);
  assert.equal(codeOf(thread), undefined);
  await clock.advance(1 + LOOK_MS);
  assert.equal(codeOf(thread), "deadline");
});

Deno.test("a counter that wraps round is still a counter that moves", async () => {
  const { clock, thread } = scene();
  thread.operations = 2 ** 31 - 1;
  await clock.advance(TIMEOUT_MS / 2);
  thread.operations = -(2 ** 31);
  await clock.advance(TIMEOUT_MS - 2 * LOOK_MS);
  assert.equal(codeOf(thread), undefined);
});

Deno.test("who was removed, or whose watch was closed, is left alone", async () => {
  for (const how of ["remove", "close"] as const) {
    const { clock, thread, watch, client } = scene();
    if (how === "remove") watch.remove(client);
    else watch.close();
    await clock.advance(10 * TIMEOUT_MS);
    assert.equal(codeOf(thread), undefined);
    assert.equal(watch.stillForMs(client), 0);
  }
});

Deno.test("a jump of the wall clock gives nobody up", async () => {
  const { clock, thread } = scene();
  clock.jumpWallClock(1e12);
  await clock.advance(LOOK_MS * 2);
  clock.jumpWallClock(-2e12);
  await clock.advance(LOOK_MS * 2);
  assert.equal(codeOf(thread), undefined);
});
