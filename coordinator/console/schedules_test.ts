import assert from "node:assert/strict";
import { silentLog } from "../../protocol/base/log.ts";
import type { NewSchedule } from "../../protocol/mesh/console_documents.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import type { JobStore } from "../store/job_store.ts";
import { SPEC } from "../store/job_store_suite.ts";
import { openMemoryStore } from "../store/open_store.ts";
import { LATE_AFTER_MS, type Schedules } from "./schedules.ts";
import { createSchedules } from "./schedules.ts";

const START_MS = Date.UTC(2026, 0, 1, 0, 0, 0);
const HOUR_MS = 3_600_000;
const NIGHTLY: NewSchedule = {
  name: "nightly",
  times: { kind: "cron", expression: "0 3 * * *", timeZone: "UTC" },
  job: {},
};
const HOURLY: NewSchedule = {
  name: "hourly",
  times: { kind: "interval", everyMs: HOUR_MS },
  job: {},
};

class Desk {
  readonly clock: ManualClock;
  readonly store: JobStore;
  readonly schedules: Schedules;
  /** When a run was started. */
  readonly startedMs: number[] = [];
  refusal: Error | undefined;

  constructor(before?: Desk) {
    this.clock = before?.clock ?? new ManualClock(START_MS);
    this.store = before?.store ?? openMemoryStore(this.clock);
    this.schedules = createSchedules({
      store: this.store,
      clock: this.clock,
      log: silentLog,
      profile: () => ({}),
      check: () => {},
      run: (_, idempotencyKey) => {
        if (this.refusal !== undefined) throw this.refusal;
        const known = this.store.runByKey(idempotencyKey);
        if (known !== undefined) return known.runId;
        const runId = `run-${idempotencyKey}`;
        this.store.transact((tx) =>
          tx.insertRun({ runId, hostId: "h", spec: SPEC, owner: "mesh", idempotencyKey })
        );
        this.startedMs.push(this.clock.nowMs());
        return runId;
      },
    });
    this.schedules.watch();
  }

  end(runId: string): void {
    this.store.transact((tx) => tx.moveRun(runId, "cancelled"));
  }

  get card() {
    return this.schedules.cards()[0]!;
  }
}

Deno.test("a schedule fires at its time under a manual clock, once each time", async () => {
  const desk = new Desk();
  const card = desk.schedules.put(undefined, NIGHTLY);
  assert.equal(card.nextAtMs, START_MS + 3 * HOUR_MS);
  await desk.clock.advance(3 * HOUR_MS - 2_000);
  assert.deepEqual(desk.startedMs, []);
  await desk.clock.advance(3_000);
  assert.deepEqual(desk.startedMs, [START_MS + 3 * HOUR_MS]);
  assert.equal(desk.card.nextAtMs, START_MS + 27 * HOUR_MS);
  desk.end(desk.card.lastRunId!);
  await desk.clock.advance(24 * HOUR_MS);
  assert.deepEqual(desk.startedMs.length, 2);
});

Deno.test("an interval counts from when it was made, also over a restart", async () => {
  const desk = new Desk();
  desk.schedules.put(undefined, HOURLY);
  await desk.clock.advance(HOUR_MS + 1_000);
  desk.end(desk.card.lastRunId!);
  desk.schedules.close();
  const again = new Desk(desk);
  await again.clock.advance(HOUR_MS);
  assert.deepEqual([desk.startedMs.length, again.startedMs.length], [1, 1]);
  assert.equal(again.startedMs[0]! - START_MS, 2 * HOUR_MS);
});

Deno.test("times that were slept through are made up for by one run, or left out with a reason", async () => {
  const desk = new Desk();
  desk.schedules.put(undefined, HOURLY);
  desk.schedules.put(undefined, { ...HOURLY, name: "strict", catchesUp: false });
  // The machine sleeps: the wall clock has gone on, and no tick came meanwhile.
  desk.clock.jumpWallClock(10 * HOUR_MS + LATE_AFTER_MS + 5_000);
  await desk.clock.advance(2_000);
  assert.equal(desk.startedMs.length, 1);
  const [kind, strict] = desk.schedules.cards();
  assert.equal(kind!.lastProblem, null);
  assert.match(strict!.lastProblem!, /missed/);
  assert.equal(strict!.lastRunId, null);
  await desk.clock.advance(10_000);
  assert.equal(desk.startedMs.length, 1);
});

Deno.test("a run that still goes on is not overtaken by the next of its schedule", async () => {
  const desk = new Desk();
  desk.schedules.put(undefined, HOURLY);
  await desk.clock.advance(2 * HOUR_MS + 1_000);
  assert.equal(desk.startedMs.length, 1);
  assert.match(desk.card.lastProblem!, /still goes on/);
  desk.end(desk.card.lastRunId!);
  await desk.clock.advance(HOUR_MS);
  assert.equal(desk.startedMs.length, 2);
  assert.equal(desk.card.lastProblem, null);
});

Deno.test("one time is one run, whatever happens between starting it and noting that", async () => {
  const desk = new Desk();
  const { scheduleId } = desk.schedules.put(undefined, HOURLY);
  const before = desk.store.document("schedule", scheduleId)!;
  await desk.clock.advance(HOUR_MS + 1_000);
  // As after a crash: the run is there, the note is not.
  desk.store.transact((tx) => tx.putDocument("schedule", scheduleId, before));
  await new Desk(desk).clock.advance(2_000);
  assert.equal(desk.startedMs.length, 1);
  assert.notEqual(desk.card.lastRunId, null);
});

Deno.test("a schedule that cannot start says why and waits for its next time", async () => {
  const desk = new Desk();
  desk.refusal = new Error("No destination is known");
  desk.schedules.put(undefined, HOURLY);
  await desk.clock.advance(HOUR_MS + 5_000);
  assert.match(desk.card.lastProblem!, /No destination is known/);
  desk.refusal = undefined;
  await desk.clock.advance(HOUR_MS);
  assert.equal(desk.startedMs.length, 1);
});

Deno.test("one that is off never fires, and what passed meanwhile is not made up for", async () => {
  const desk = new Desk();
  const { scheduleId } = desk.schedules.put(undefined, { ...HOURLY, isOn: false });
  await desk.clock.advance(5 * HOUR_MS);
  desk.schedules.put(scheduleId, HOURLY);
  await desk.clock.advance(1_000);
  assert.equal(desk.startedMs.length, 0);
});

Deno.test("what is no time, or never comes, is refused when it is made", () => {
  const desk = new Desk();
  for (const expression of ["nonsense", "61 * * * *", "0 0 30 2 *", "* * * * * *"]) {
    const times = { kind: "cron" as const, expression };
    assert.throws(() => desk.schedules.put(undefined, { ...NIGHTLY, times }), { code: "usage" });
  }
  const times = { kind: "cron" as const, expression: "0 3 * * *", timeZone: "Nowhere/Here" };
  assert.throws(() => desk.schedules.put(undefined, { ...NIGHTLY, times }), { code: "usage" });
  assert.throws(
    () => desk.schedules.put(undefined, { ...NIGHTLY, profile: "both" }),
    { code: "usage" },
  );
});
