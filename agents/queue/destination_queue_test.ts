import assert from "node:assert/strict";
import fc from "fast-check";
import { BackupError, type ErrorCode } from "../../protocol/base/errors.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import {
  type Batch,
  DestinationQueue,
  type FileOutcome,
  type QueueLimits,
  type QueueWork,
} from "./destination_queue.ts";

const LIMITS: QueueLimits = {
  workersMin: 1,
  workersMax: 8,
  workersStart: 2,
  attemptsMax: 3,
  batchFilesMax: 4,
  batchBytesMax: 1 << 20,
};
/** Longer than all the waits before a third attempt. */
const ALL_RETRIES_MS = 10_000;

interface Worker {
  id: number;
  isLost: boolean;
}

interface Running {
  worker: Worker;
  batch: Batch;
  end(outcomes?: FileOutcome[]): void;
  fail(error: Error): void;
}

/** A destination whose work ends when the test says so. */
class FakeWork implements QueueWork<Worker> {
  readonly running: Running[] = [];
  readonly batches: Batch[] = [];
  readonly failures: { slot: number; row: number; code: string; attempts: number }[] = [];
  readonly open = new Set<Worker>();
  fatals: BackupError[] = [];
  opened = 0;
  openError: Error | undefined;

  openWorker(): Promise<Worker> {
    if (this.openError !== undefined) return Promise.reject(this.openError);
    const worker = { id: this.opened++, isLost: false };
    this.open.add(worker);
    return Promise.resolve(worker);
  }

  closeWorker(worker: Worker): void {
    assert.ok(this.open.delete(worker), "closed once");
  }

  isLost(worker: Worker): boolean {
    return worker.isLost;
  }

  sizeBytes(): number {
    return 1000;
  }

  execute(worker: Worker, batch: Batch): Promise<FileOutcome[]> {
    assert.ok(this.open.has(worker), "an open worker");
    this.batches.push(batch);
    return new Promise((resolve, reject) => {
      const forget = () => this.running.splice(this.running.indexOf(running), 1);
      const running: Running = {
        worker,
        batch,
        end: (outcomes = []) => (forget(), resolve(outcomes)),
        fail: (error) => (forget(), reject(error)),
      };
      this.running.push(running);
    });
  }

  failed(slot: number, row: number, error: BackupError, attempts: number): void {
    this.failures.push({ slot, row, code: error.code, attempts });
  }

  fatal(error: BackupError): void {
    this.fatals.push(error);
  }
}

function scene(limits: Partial<QueueLimits> = {}): {
  clock: ManualClock;
  work: FakeWork;
  queue: DestinationQueue<Worker>;
} {
  const clock = new ManualClock();
  const work = new FakeWork();
  const queue = new DestinationQueue(clock, work, "fifo", { ...LIMITS, ...limits });
  return { clock, work, queue };
}

function watch(promise: Promise<void>): { isDone: boolean } {
  const state = { isDone: false };
  promise.then(() => state.isDone = true);
  return state;
}

const later = (row: number): FileOutcome => ({
  row,
  error: new BackupError("io", "busy", { retry: "later" }),
});
const never = (row: number): FileOutcome => ({ row, error: new BackupError("unsupported", "no") });

Deno.test("D10: a file that fails twice and then succeeds is no failure; one that fails thrice is one", async () => {
  const { clock, work, queue } = scene({ workersMax: 1 });
  queue.addMany(0, [1, 2], 0);
  const drained = watch(queue.drained(0));
  await clock.advance(0);
  work.running[0]!.end([later(1), later(2)]);
  for (const isLast of [false, true]) {
    await clock.advance(ALL_RETRIES_MS);
    for (let k = 0; k < 2; k++) {
      assert.equal(drained.isDone, false);
      const { batch, end } = work.running[0]!;
      assert.equal(batch.rows.length, 1, "a retry runs alone");
      const [row] = batch.rows as [number];
      end(row === 1 && isLast ? [] : [later(row)]);
      await clock.advance(0);
    }
  }
  assert.equal(drained.isDone, true);
  assert.deepEqual(work.failures, [{ slot: 0, row: 2, code: "io", attempts: 3 }]);
  assert.deepEqual(work.batches.map(({ attempt }) => attempt), [1, 2, 2, 3, 3]);
  queue.stop();
});

Deno.test("what no retry can help fails at once, and a retry waits for its backoff", async () => {
  const { clock, work, queue } = scene({ workersMax: 1 });
  queue.addMany(0, [1, 2], 0);
  await clock.advance(0);
  work.running[0]!.end([never(1), later(2)]);
  await clock.advance(399);
  assert.deepEqual(work.failures, [{ slot: 0, row: 1, code: "unsupported", attempts: 1 }]);
  assert.equal(work.running.length, 0);
  await clock.advance(201);
  assert.deepEqual(work.running[0]!.batch, { slot: 0, rows: [2], attempt: 2 });
  queue.stop();
});

Deno.test("D11: a retry that comes after the queue looked empty is still done", async () => {
  const { clock, work, queue } = scene({ workersMin: 2 });
  queue.addMany(0, [1, 2, 3, 4, 5], 0);
  const drained = watch(queue.drained(0));
  await clock.advance(0);
  assert.equal(work.running.length, 2);
  work.running[0]!.end();
  await clock.advance(5000);
  assert.equal(queue.depth, 0);
  work.running[0]!.end([later(5)]);
  await clock.advance(ALL_RETRIES_MS);
  assert.equal(drained.isDone, false);
  assert.deepEqual(work.running[0]!.batch.rows, [5]);
  work.running[0]!.end();
  await clock.advance(0);
  assert.equal(drained.isDone, true);
  queue.stop();
});

Deno.test("D11: the number of live workers follows its target up and down, and the ones let go are closed", async () => {
  const { clock, work, queue } = scene();
  queue.addMany(0, Array.from({ length: 50_000 }, (_, k) => k), 0);
  let seenMax = 0;
  let wentDown = false;
  let before = queue.workersTarget;
  // Four workers are worth having, more make it slower.
  for (let second = 0; second < 200; second++) {
    for (let tick = 0; tick < 10; tick++) {
      for (const running of work.running.slice()) running.end();
      queue.progressed(1e6 * Math.min(queue.workers, 4) / Math.max(1, queue.workers - 3), 1);
      await clock.advance(100);
    }
    for (const running of work.running.slice()) running.end();
    await clock.advance(0);
    assert.equal(queue.workers, queue.workersTarget);
    assert.equal(work.open.size, queue.workers);
    seenMax = Math.max(seenMax, queue.workers);
    wentDown ||= queue.workersTarget < before;
    before = queue.workersTarget;
  }
  assert.ok(seenMax >= 4, `${seenMax}`);
  assert.ok(wentDown);
  queue.stop();
  for (const running of work.running.slice()) running.end();
  await clock.advance(0);
  assert.equal(work.open.size, 0);
  assert.equal(queue.workers, 0);
});

Deno.test("S2-02: one queue never waits for another", async () => {
  const slow = scene();
  const fast = scene();
  slow.queue.addMany(0, [1, 2, 3], 0);
  fast.queue.addMany(0, [1, 2, 3], 0);
  const done = watch(fast.queue.drained(0));
  await fast.clock.advance(0);
  fast.work.running[0]!.end();
  await fast.clock.advance(0);
  assert.equal(done.isDone, true);
  slow.queue.stop();
  fast.queue.stop();
});

Deno.test("slots are drained each for itself", async () => {
  const { clock, work, queue } = scene({ workersMax: 1, workersMin: 1 });
  queue.addMany(0, [1], 0);
  queue.addMany(1, [1], 0);
  const [first, second, unused] = [0, 1, 2].map((slot) => watch(queue.drained(slot)));
  await clock.advance(0);
  assert.deepEqual(work.running[0]!.batch.slot, 0);
  work.running[0]!.end();
  await clock.advance(0);
  assert.deepEqual([first, second, unused].map((one) => one!.isDone), [true, false, true]);
  work.running[0]!.end();
  await clock.advance(0);
  assert.equal(second!.isDone, true);
  queue.stop();
});

Deno.test("stop settles whoever waits, starts nothing more and closes every worker", async () => {
  const { clock, work, queue } = scene({ workersMin: 2 });
  queue.addMany(0, Array.from({ length: 20 }, (_, k) => k), 0);
  await clock.advance(0);
  const waiting = [watch(queue.drained(0)), watch(queue.drained(0))];
  work.running[0]!.end([later(0)]);
  await clock.advance(0);
  queue.stop();
  queue.stop();
  await clock.advance(0);
  assert.ok(waiting.every((one) => one.isDone));
  queue.addMany(0, [99], 0);
  assert.equal(watch(queue.drained(0)).isDone, false);
  await queue.drained(0);
  const started = work.batches.length;
  for (const running of work.running.slice()) running.end([later(running.batch.rows[0]!)]);
  await clock.advance(ALL_RETRIES_MS);
  assert.equal(work.batches.length, started);
  assert.equal(work.open.size, 0);
  assert.deepEqual(work.failures, []);
});

Deno.test("a lost worker is replaced and its files are done by another", async () => {
  const { clock, work, queue } = scene({ workersMax: 1 });
  queue.addMany(0, [1, 2], 0);
  const drained = watch(queue.drained(0));
  await clock.advance(0);
  const [lost] = work.running;
  lost!.worker.isLost = true;
  lost!.fail(new BackupError("deadline", "hung", { retry: "later" }));
  await clock.advance(ALL_RETRIES_MS);
  assert.equal(work.opened, 2);
  for (let k = 0; k < 2; k++) {
    assert.notEqual(work.running[0]!.worker, lost!.worker);
    work.running[0]!.end();
    await clock.advance(0);
  }
  assert.equal(drained.isDone, true);
  assert.deepEqual(work.fatals, []);
  queue.stop();
});

Deno.test("two workers lost in a row, with nothing done between, give the destination up", async () => {
  const { clock, work, queue } = scene({ workersMax: 1 });
  queue.addMany(0, [1], 0);
  const drained = watch(queue.drained(0));
  for (let k = 0; k < 2; k++) {
    await clock.advance(ALL_RETRIES_MS);
    work.running[0]!.worker.isLost = true;
    work.running[0]!.fail(new BackupError("deadline", "hung", { retry: "later" }));
  }
  await clock.advance(ALL_RETRIES_MS);
  assert.deepEqual(work.fatals.map(({ code }) => code), ["deadline"]);
  assert.equal(drained.isDone, true);
  assert.equal(queue.workers, 0);
});

Deno.test("a worker that cannot be opened gives the destination up", async () => {
  const { clock, work, queue } = scene();
  work.openError = new BackupError("destination_lost", "gone");
  queue.addMany(0, [1], 0);
  const drained = watch(queue.drained(0));
  await clock.advance(0);
  assert.deepEqual(work.fatals.map(({ code }) => code), ["destination_lost"]);
  assert.equal(drained.isDone, true);
});

for (const code of ["no_space", "read_only", "destination_lost", "cancelled"] as ErrorCode[]) {
  Deno.test(`${code} ends the destination at once, without naming each file`, async () => {
    const { clock, work, queue } = scene({ workersMax: 1 });
    queue.addMany(0, Array.from({ length: 10 }, (_, k) => k), 0);
    const drained = watch(queue.drained(0));
    await clock.advance(0);
    work.running[0]!.end([{ row: 0, error: new BackupError(code, "x", { retry: "later" }) }]);
    await clock.advance(ALL_RETRIES_MS);
    assert.equal(work.fatals.length, 1);
    assert.deepEqual(work.failures, []);
    assert.equal(work.batches.length, 1);
    assert.equal(drained.isDone, true);
  });
}

Deno.test("batches keep to their limits of files and bytes and never mix tasks", async () => {
  const { clock, work, queue } = scene({ workersMax: 1, batchBytesMax: 2500 });
  queue.addMany(3, [1, 2, 3], 0);
  queue.addMany(4, [1], 0);
  for (let k = 0; k < 3; k++) {
    await clock.advance(0);
    work.running[0]!.end();
  }
  assert.deepEqual(work.batches.map(({ slot, rows }) => [slot, rows]), [
    [3, [1, 2]],
    [3, [3]],
    [4, [1]],
  ]);
  queue.stop();
});

Deno.test("whatever happens, every file ends exactly once: it succeeded, or it failed by name", async () => {
  const ending = fc.constantFrom("ok", "ok", "later", "never", "whole batch", "lost");
  const slots = fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 3 });
  const limits = fc.record({
    workersMax: fc.integer({ min: 1, max: 4 }),
    attemptsMax: fc.integer({ min: 1, max: 4 }),
  });
  await fc.assert(
    fc.asyncProperty(slots, limits, fc.infiniteStream(ending), async (counts, limit, endings) => {
      const { clock, work, queue } = scene(limit);
      const attempts = new Map<string, number>();
      const succeeded = new Map<string, number>();
      const drained = counts.map((count, slot) => {
        queue.addMany(slot, Array.from({ length: count }, (_, row) => row), 0);
        return watch(queue.drained(slot));
      });
      let lostBefore = false;
      for (let turns = 0; turns < 2000 && !drained.every((one) => one.isDone); turns++) {
        await clock.advance(work.running.length === 0 ? ALL_RETRIES_MS : 0);
        const running = work.running[0];
        if (running === undefined) continue;
        const { slot, rows, attempt } = running.batch;
        const id = (row: number) => `${slot}:${row}`;
        for (const row of rows) {
          assert.equal(attempt, (attempts.get(id(row)) ?? 0) + 1);
          attempts.set(id(row), attempt);
        }
        const how = endings.next().value!;
        if (how === "lost" && !lostBefore) {
          running.worker.isLost = true;
          running.fail(new BackupError("deadline", "hung", { retry: "later" }));
          // A second one in a row would end it all, which another test is about.
          lostBefore = true;
          continue;
        }
        if (how === "whole batch") {
          running.fail(new BackupError("io", "all", { retry: "later" }));
          continue;
        }
        lostBefore = false;
        const outcomes = rows.flatMap((row): FileOutcome[] => {
          const mine = row === rows[0] ? how : endings.next().value!;
          if (mine === "later") return [later(row)];
          if (mine === "never") return [never(row)];
          succeeded.set(id(row), (succeeded.get(id(row)) ?? 0) + 1);
          return [];
        });
        running.end(outcomes);
      }
      await clock.advance(0);
      assert.ok(drained.every((one) => one.isDone), "drained");
      assert.deepEqual(work.fatals, []);
      const failed = work.failures.map(({ slot, row }) => `${slot}:${row}`);
      assert.equal(new Set(failed).size, failed.length, "failed once");
      const files = counts.flatMap((count, slot) =>
        Array.from({ length: count }, (_, row) => `${slot}:${row}`)
      );
      for (const file of files) {
        const ended = (succeeded.get(file) ?? 0) + (failed.includes(file) ? 1 : 0);
        assert.equal(ended, 1, `${file} ended ${ended} times`);
        assert.ok(attempts.get(file)! <= limit.attemptsMax);
      }
      queue.stop();
    }),
    { numRuns: 60 },
  );
});

Deno.test("files of a slot that wants one at a time run alone, retries too, while others go on beside them", async () => {
  const { clock, work, queue } = scene({ workersStart: 4, workersMin: 4 });
  queue.oneAtATime(1);
  queue.addMany(1, [1, 2, 3], 0);
  queue.addMany(0, [10, 11, 12, 13, 14], 0);
  const drained = watch(queue.drained(1));
  const handled: number[] = [];
  let failedOnce = false;
  for (let step = 0; step < 100 && !drained.isDone; step++) {
    await clock.advance(1000);
    const single = work.running.filter(({ batch }) => batch.slot === 1);
    assert.ok(single.length <= 1, "one in hand");
    for (const { batch, end } of [...work.running]) {
      if (batch.slot === 0) continue;
      assert.equal(batch.rows.length, 1);
      const isRetried: boolean = batch.rows[0] === 2 && !failedOnce;
      failedOnce ||= isRetried;
      if (!isRetried) handled.push(...batch.rows);
      end(isRetried ? [later(2)] : []);
    }
  }
  assert.equal(drained.isDone, true);
  assert.deepEqual(handled.sort(), [1, 2, 3]);
  assert.ok(work.running.some(({ batch }) => batch.slot === 0), "the others were begun beside it");
  queue.stop();
});

Deno.test("a slot that is dropped ends at once, says nothing more, and leaves the others alone", async () => {
  const { clock, work, queue } = scene({ workersMax: 1 });
  queue.addMany(0, [1, 2, 3, 4, 5, 6], 0);
  queue.addMany(1, [7], 0);
  const [dropped, other] = [watch(queue.drained(0)), watch(queue.drained(1))];
  await clock.advance(0);
  const [inHand] = work.running;
  queue.drop(0);
  await clock.advance(0);
  assert.deepEqual([dropped.isDone, other.isDone], [true, false]);
  inHand!.end([{ row: 1, error: new BackupError("cancelled", "Cancelled") }, later(2)]);
  await clock.advance(ALL_RETRIES_MS);
  assert.deepEqual([work.failures, work.fatals], [[], []]);
  assert.deepEqual(work.running.map(({ batch }) => [batch.slot, batch.rows]), [[1, [7]]]);
  work.running[0]!.end();
  queue.addMany(0, [8], 0);
  await queue.drained(0);
  await clock.advance(0);
  assert.deepEqual([other.isDone, work.running.length, queue.depth], [true, 0, 0]);
  queue.stop();
});

Deno.test("a paused queue takes no further file, ends what is in hand, and goes on where it was", async () => {
  const { clock, work, queue } = scene({ workersStart: 1, workersMax: 1, batchFilesMax: 1 });
  queue.addMany(0, [1, 2, 3], 0);
  await clock.advance(0);
  assert.equal(work.running.length, 1);
  queue.pause(true);
  work.running[0]!.end([later(1)]);
  queue.addMany(0, [4], 0);
  await clock.advance(ALL_RETRIES_MS);
  assert.deepEqual([work.running.length, queue.depth, queue.stillForMs], [0, 4, 0]);
  const drained = watch(queue.drained(0));
  queue.pause(false);
  while (work.batches.length < 5) {
    await clock.advance(0);
    work.running[0]?.end();
  }
  await clock.advance(0);
  assert.ok(drained.isDone);
  assert.deepEqual(work.failures, []);
  queue.stop();
});

Deno.test("a queue that is paused before it has anything opens no worker, and one that is stopped while paused settles", async () => {
  const { clock, work, queue } = scene();
  queue.pause(true);
  queue.addMany(0, [1, 2, 3], 0);
  await clock.advance(1_000);
  assert.equal(work.opened, 0);
  const drained = watch(queue.drained(0));
  queue.stop();
  await clock.advance(0);
  assert.ok(drained.isDone);
});
