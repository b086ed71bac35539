/** S2-30: a run that is cancelled ends within a second, whatever its agent does, and leaves nothing active behind. */
import assert from "node:assert/strict";
import { BackupError } from "../../protocol/base/errors.ts";
import { lane, laneReport, mirrorResult, settle } from "./testing/fake_agent_suite.ts";
import { type Harness, jobOf, start } from "./testing/harness_suite.ts";

const FAST = "/mnt/fast";
const SLOW = "/mnt/slow";

function assertCancelled(h: Harness): void {
  const { report } = h.outcome;
  assert.ok(report, "the run has not ended");
  assert.equal(report.state, "cancelled");
  assert.equal(report.exitCode, 130);
  assert.equal(h.store.run("run-1")!.state, "cancelled");
  for (const task of h.store.tasks("run-1")) assert.equal(task.state, "cancelled");
  assert.equal(h.agent.calls("release").length, 1);
  const last = h.progress.at(-1)!;
  assert.equal(last.state, "cancelled");
  assert.match(last.statusLine, /^Cancelled, \d of 2 verified$/);
  for (const d of last.destinations) {
    assert.ok(["verified", "failed", "cancelled"].includes(d.state));
    assert.ok(!Object.values(d.pills).includes("active"));
    assert.equal(d.gauges.workers, 0);
  }
}

Deno.test("S2-30: a cancel while copying ends tasks that run and tasks that wait, at once", async () => {
  const h = await start(jobOf(["a", "b"], [FAST, SLOW]));
  h.agent.mirror("a").lanes(lane(FAST, "copy"), lane(SLOW, "copy"));
  h.abort.abort();
  await settle();
  assertCancelled(h);
  assert.ok(h.agent.mirror("a").signal!.aborted);
  assert.deepEqual(h.ends.map((e) => e.state), ["cancelled", "cancelled"]);
  assert.deepEqual(h.agent.calls("finish"), []);
});

Deno.test("S2-30: a cancel is over within a second when the agent does not answer any more", async () => {
  for (const stage of ["prepare", "scan", "mirror", "finish"] as const) {
    const h = await start(jobOf(["a"], [FAST, SLOW]), {
      answers: { [stage]: "by hand", release: "by hand" },
    });
    if (stage === "finish") {
      await h.agent.mirror("a").succeed(
        mirrorResult(laneReport(FAST, "verified"), laneReport(SLOW, "verified")),
      );
    }
    assert.ok(h.agent.calls(stage)[0]!.isOpen, stage);
    h.agent.goDeaf();
    h.abort.abort();
    await h.clock.advance(1000);
    assert.ok(h.outcome.report, `${stage} held the run`);
    assert.equal(h.outcome.report.exitCode, 130);
    assert.ok(h.outcome.report.elapsedMs <= 1000);
  }
});

Deno.test("S2-30: what was verified before the cancel stays verified, and late words change nothing", async () => {
  const h = await start(jobOf(["a"], [FAST, SLOW]));
  const task = h.agent.mirror("a");
  task.lanes(lane(FAST, "verified"), lane(SLOW, "copy"));
  await settle();
  h.agent.goDeaf();
  h.abort.abort();
  task.lanes(lane(SLOW, "verified"));
  await h.clock.advance(1000);
  assertCancelled(h);
  await task.succeed(mirrorResult(laneReport(FAST, "verified"), laneReport(SLOW, "verified")));
  await settle();
  assert.deepEqual(h.outcome.report!.destinations.map((d) => d.state), ["verified", "cancelled"]);
  assert.deepEqual(h.ends.map((e) => e.state), ["verified", "cancelled"]);
  assertCancelled(h);
});

Deno.test("S2-30: what a cancel leaves verified has its agent's own report, and nothing is said to lack one", async () => {
  const h = await start(jobOf(["a"], [FAST, SLOW]));
  const verified = [
    laneReport(FAST, "verified", { filesVerified: 7 }),
    // What is not so is not believed.
    laneReport(SLOW, "verified"),
  ];
  h.agent.mirror("a").progress({
    seq: 1,
    lanes: [lane(FAST, "verified"), lane(SLOW, "copy", { filesTotal: 9, filesDone: 4 })],
    verified,
  });
  await settle();
  h.abort.abort();
  await settle();
  const [fast, slow] = h.outcome.report!.destinations;
  assert.deepEqual([fast!.state, slow!.state], ["verified", "cancelled"]);
  assert.deepEqual(fast!.lanes[0]!.report, verified[0]);
  const { filesCopied, state, warnings } = slow!.lanes[0]!.report;
  assert.deepEqual([filesCopied, state, warnings], [4, "cancelled", []]);
});

Deno.test("S2-30: a cancel while an attempt waits for its backoff starts no other attempt", async () => {
  const h = await start(jobOf(["a"], [FAST, SLOW]));
  await h.agent.mirror("a").fail(new BackupError("io", "Restarted", { retry: "later" }));
  await settle();
  assert.equal(h.store.tasks("run-1")[0]!.state, "queued");
  h.abort.abort();
  await settle();
  assertCancelled(h);
  await h.clock.advance(60_000);
  assert.equal(h.agent.calls("mirror").length, 1);
});

Deno.test("a task that its agent cancelled by itself is a failure, not a cancelled run", async () => {
  const h = await start(jobOf(["a"], [FAST]));
  await h.agent.mirror("a").fail(new BackupError("cancelled", "The agent stops"));
  const report = await h.done;
  assert.equal(report.exitCode, 1);
  assert.equal(report.destinations[0]!.error!.code, "cancelled");
});

Deno.test("S2-30: a run that is cancelled before it starts writes nothing and is recorded", async () => {
  const h = await start(jobOf(["a"], [FAST, SLOW]), { answers: { prepare: "by hand" } });
  h.abort.abort();
  await settle();
  assertCancelled(h);
  assert.deepEqual(h.agent.calls("scan"), []);
});

Deno.test("S2-30: a cancel after the last destination is verified does not take that back", async () => {
  const h = await start(jobOf(["a"], [FAST]), { answers: { release: "by hand" } });
  await h.agent.mirror("a").succeed(mirrorResult(laneReport(FAST, "verified")));
  h.abort.abort();
  await h.clock.advance(1000);
  assert.equal(h.outcome.report!.exitCode, 0);
});
