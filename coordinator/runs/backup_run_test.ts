/** Whole runs against an agent driven by hand: order of stages, lanes that end alone, failures, retries. */
import assert from "node:assert/strict";
import * as v from "valibot";
import { BackupError } from "../../protocol/base/errors.ts";
import { RunReport } from "../../protocol/mesh/run.ts";
import { lane, laneReport, mirrorResult, scanOf, settle } from "./testing/fake_agent_suite.ts";
import { jobOf, start } from "./testing/harness_suite.ts";

const FAST = "/mnt/fast";
const SLOW = "/mnt/slow";

function ok(...destinations: string[]) {
  return mirrorResult(...destinations.map((d) => laneReport(d, "verified")));
}

Deno.test("a run prepares, scans, mirrors, finishes, releases, and reports everything verified", async () => {
  const h = await start(jobOf(["docs"], [FAST]));
  assert.deepEqual(h.agent.mirror("docs").spec.destinations, [FAST]);
  assert.equal(h.agent.mirror("docs").spec.epoch, 1);
  await h.clock.advance(1500);
  await h.agent.mirror("docs").succeed(ok(FAST));
  const report = await h.done;
  assert.equal(report.state, "completed");
  assert.equal(report.exitCode, 0);
  assert.equal(report.elapsedMs, 1500);
  assert.deepEqual(h.ends, [{ destination: FAST, state: "verified", elapsedMs: 1500 }]);
  assert.deepEqual(report.destinations[0]!.lanes.map((l) => [l.source, l.report.state]), [
    ["docs", "verified"],
  ]);
  const ops = ["prepare", "scan", "mirror", "finish", "release"] as const;
  for (const op of ops) assert.equal(h.agent.calls(op).length, 1, op);
  assert.equal(h.store.run("run-1")!.state, "completed");
  assert.deepEqual(h.store.run("run-1")!.report, report);
  assert.deepEqual(v.parse(RunReport, report), report);
  assert.deepEqual(h.store.tasks("run-1").map((t) => [t.state, t.epoch, t.agentId]), [
    ["succeeded", 1, "agent-1"],
  ]);
});

Deno.test("S2-22: a fast destination is finished and verified while the slow one still copies", async () => {
  const h = await start(jobOf(["docs"], [FAST, SLOW]));
  const task = h.agent.mirror("docs");
  task.lanes(lane(FAST, "copy"), lane(SLOW, "copy"));
  await h.clock.advance(2000);
  task.lanes(lane(FAST, "verified"), lane(SLOW, "copy"));
  await settle();
  assert.deepEqual(h.agent.calls("finish").map((c) => c.spec.destination), [FAST]);
  assert.deepEqual(h.ends, [{ destination: FAST, state: "verified", elapsedMs: 2000 }]);
  assert.equal(h.outcome.report, undefined);
  await h.clock.advance(60_000);
  await task.succeed(ok(FAST, SLOW));
  const report = await h.done;
  assert.deepEqual(report.destinations.map((d) => [d.state, d.elapsedMs]), [
    ["verified", 2000],
    ["verified", 62_000],
  ]);
});

Deno.test("six sources, one slot: the agent reads ahead and the fast lane's finish never waits for the slow", async () => {
  const names = ["a", "bb", "ccc", "dddd", "eeeee", "ffffff"];
  const h = await start(jobOf(names, [FAST, SLOW]), {
    answers: { scan: (spec) => scanOf(1, spec.source.name.length) },
  });
  const open = () => h.agent.calls("mirror").filter((c) => c.isOpen).map((c) => c.spec.source.name);
  // The largest first, one at a time while it copies everywhere.
  assert.deepEqual(open(), ["ffffff"]);
  for (const name of names.toReversed()) {
    const task = h.agent.mirror(name);
    task.lanes(lane(FAST, "copy"), lane(SLOW, "copy"));
    await settle();
    assert.equal(open().at(-1), name);
    task.lanes(lane(FAST, "flush"), lane(SLOW, "copy"));
    await settle();
  }
  assert.equal(open().length, 6);
  for (const name of names) h.agent.mirror(name).lanes(lane(FAST, "verified"));
  await settle();
  assert.deepEqual(h.ends.map((e) => [e.destination, e.state]), [[FAST, "verified"]]);
  for (const name of names) await h.agent.mirror(name).succeed(ok(FAST, SLOW));
  assert.equal((await h.done).exitCode, 0);
  assert.deepEqual(h.ends.map((e) => e.destination), [FAST, SLOW]);
});

Deno.test("D9: every file × every destination: what is verified at one destination never pays for another", async () => {
  const h = await start(jobOf(["a", "b"], [FAST, SLOW]), { slots: 2 });
  const files = { filesTotal: 1, filesDone: 1, bytesTotal: 10, bytesDone: 10 };
  h.agent.mirror("a").lanes(lane(FAST, "verified", files), lane(SLOW, "copy"));
  h.agent.mirror("b").lanes(lane(SLOW, "verified", files), lane(FAST, "copy"));
  await settle();
  // Two lanes are verified, one at each destination: as many as one destination needs, and yet none is done.
  assert.deepEqual(h.agent.calls("finish"), []);
  assert.deepEqual(h.ends, []);
  // A task's result that forgets a destination does not verify it, nor does the other task's good word.
  await h.agent.mirror("a").succeed(ok(FAST));
  await h.agent.mirror("b").succeed(ok(FAST, SLOW));
  const report = await h.done;
  assert.deepEqual(report.destinations.map((d) => [d.destination, d.state]), [
    [FAST, "verified"],
    [SLOW, "failed"],
  ]);
  assert.equal(report.destinations[1]!.lanes[0]!.report.error!.code, "protocol");
  assert.equal(report.exitCode, 4);
});

Deno.test("D9: a destination that a task does not know, or that was not asked for, changes nothing", async () => {
  const h = await start(jobOf(["a"], [FAST]));
  h.agent.mirror("a").lanes(lane("/mnt/other", "verified"));
  await settle();
  assert.deepEqual(h.agent.calls("finish"), []);
  await h.agent.mirror("a").succeed(ok("/mnt/other"));
  assert.equal((await h.done).exitCode, 1);
});

Deno.test("D10: a file failure is reported once, at the last attempt, and an attempt that failed ends no destination", async () => {
  const h = await start(jobOf(["a"], [FAST, SLOW]));
  const first = h.agent.mirror("a");
  first.lanes(lane(FAST, "failed", { filesFailed: 1 }), lane(SLOW, "failed", { filesFailed: 1 }));
  await first.fail(new BackupError("io", "The agent was restarted", { retry: "later" }));
  await settle();
  assert.deepEqual(h.agent.calls("finish"), []);
  assert.deepEqual(h.ends, []);
  await h.clock.advance(1000);
  const second = h.agent.mirror("a");
  assert.equal(second.spec.epoch, 2);
  const failure = { path: "a/x", code: "io", message: "Cannot write", attempts: 3 };
  await second.succeed(mirrorResult(
    laneReport(FAST, "failed", { failures: [failure], failureCount: 1 }),
    laneReport(SLOW, "verified"),
  ));
  const report = await h.done;
  assert.deepEqual(report.destinations[0]!.lanes.map((l) => l.report.failures), [[failure]]);
  assert.equal(report.destinations[0]!.lanes[0]!.report.failureCount, 1);
  assert.deepEqual(report.destinations.map((d) => d.state), ["failed", "verified"]);
});

Deno.test("a lane that fails beside one that goes on closes its destination at once and stops nothing else", async () => {
  const h = await start(jobOf(["a"], [FAST, SLOW]));
  h.agent.mirror("a").lanes(lane(FAST, "failed", { filesFailed: 1 }), lane(SLOW, "copy"));
  await settle();
  assert.deepEqual(h.agent.calls("finish").map((c) => c.spec.destination), [FAST]);
  assert.deepEqual(h.ends.map((e) => e.state), ["failed"]);
  await h.agent.mirror("a").succeed(
    mirrorResult(laneReport(FAST, "failed"), laneReport(SLOW, "verified")),
  );
  const report = await h.done;
  assert.equal(report.exitCode, 4);
  assert.equal(report.state, "partial");
});

Deno.test("a retry serves only what is not verified yet, and late progress of the dead attempt is ignored", async () => {
  const h = await start(jobOf(["a"], [FAST, SLOW]));
  const first = h.agent.mirror("a");
  first.lanes(lane(FAST, "verified", { filesTotal: 2, filesDone: 2 }), lane(SLOW, "copy"));
  await first.fail(new BackupError("deadline", "No answer", { retry: "later" }));
  first.lanes(lane(SLOW, "verified"));
  await settle();
  assert.deepEqual(h.ends.map((e) => e.destination), [FAST]);
  await h.clock.advance(1000);
  assert.deepEqual(h.agent.mirror("a").spec.destinations, [SLOW]);
  await h.agent.mirror("a").succeed(ok(SLOW));
  const report = await h.done;
  assert.equal(report.exitCode, 0);
  const synthetic = report.destinations[0]!.lanes[0]!.report;
  assert.equal(synthetic.filesCopied, 2);
  assert.match(synthetic.warnings[0]!, /without a report/);
});

Deno.test("an error that may pass is tried three times in all, then its lanes failed with it", async () => {
  const h = await start(jobOf(["a"], [FAST]));
  for (let attempt = 1; attempt <= 3; attempt++) {
    assert.equal(h.agent.calls("mirror").length, attempt);
    assert.equal(h.agent.mirror("a").spec.epoch, attempt);
    await h.agent.mirror("a").fail(new BackupError("io", `No ${attempt}`, { retry: "later" }));
    await h.clock.advance(5000);
  }
  const report = await h.done;
  assert.equal(h.agent.calls("mirror").length, 3);
  assert.deepEqual(report.destinations[0]!.lanes[0]!.report.error!.message, "No 3");
  assert.equal(report.exitCode, 1);
  assert.equal(h.store.tasks("run-1")[0]!.state, "failed");
  assert.equal(h.store.tasks("run-1")[0]!.epoch, 3);
});

Deno.test("an error that will not pass is not tried again", async () => {
  const h = await start(jobOf(["a", "b"], [FAST]), { slots: 2 });
  await h.agent.mirror("a").fail(new BackupError("protocol", "Nonsense"));
  await h.agent.mirror("b").succeed(ok(FAST));
  const report = await h.done;
  assert.equal(h.agent.calls("mirror").length, 2);
  assert.deepEqual(report.destinations[0]!.lanes.map((l) => l.report.state), [
    "failed",
    "verified",
  ]);
});

Deno.test("a destination that cannot be prepared is out with its error, the others go on", async () => {
  const h = await start(jobOf(["a"], [FAST, SLOW]), {
    answers: {
      prepare: () => ({
        op: "prepare",
        destinations: [
          { destination: FAST, warnings: ["Same disk"] },
          {
            destination: SLOW,
            warnings: [],
            error: { code: "destination_busy", message: "In use", retry: "later" },
          },
        ],
      }),
    },
  });
  assert.deepEqual(h.ends.map((e) => [e.destination, e.state]), [[SLOW, "failed"]]);
  assert.deepEqual(h.agent.mirror("a").spec.destinations, [FAST]);
  await h.agent.mirror("a").succeed(ok(FAST));
  const report = await h.done;
  assert.equal(report.exitCode, 11);
  assert.deepEqual(report.destinations[0]!.warnings, ["Same disk"]);
  assert.deepEqual(report.destinations[1]!.lanes, []);
});

Deno.test("a usage error from prepare is thrown before anything is written, and all is given back", async () => {
  const h = await start(jobOf(["a"], [FAST]), {
    answers: {
      prepare() {
        throw new BackupError("usage", "The copy would be the source");
      },
    },
  });
  await assert.rejects(h.done, { code: "usage" });
  assert.deepEqual(h.agent.calls("scan"), []);
  assert.equal(h.agent.calls("release").length, 1);
  assert.equal(h.store.run("run-1")!.state, "failed");
});

Deno.test("any other failure of prepare fails every destination with it", async () => {
  const h = await start(jobOf(["a"], [FAST, SLOW]), {
    answers: {
      prepare() {
        throw new BackupError("permission", "Not allowed");
      },
    },
  });
  const report = await h.done;
  assert.deepEqual(report.destinations.map((d) => d.error?.code), ["permission", "permission"]);
  assert.equal(report.exitCode, 1);
});

Deno.test("an unreadable source is reported and the others are safe", async () => {
  const h = await start(jobOf(["a", "b"], [FAST]), {
    answers: {
      scan(spec) {
        if (spec.source.name === "a") throw new BackupError("permission", "Cannot read a");
        return scanOf(1, 1);
      },
    },
  });
  await h.agent.mirror("b").succeed(ok(FAST));
  const report = await h.done;
  assert.equal(report.exitCode, 3);
  assert.equal(report.state, "partial");
  assert.equal(report.sources[0]!.error!.code, "permission");
  assert.equal(report.sources[1]!.error, undefined);
});

Deno.test("unreadable files of scan and copy are named once each and counted once", async () => {
  const scanned = { path: "a/x", code: "permission", message: "no", attempts: 1 };
  const copied = { path: "a/y", code: "changed_while_read", message: "no", attempts: 3 };
  const scan = scanOf(3, 30);
  const h = await start(jobOf(["a"], [FAST]), {
    answers: {
      scan: () => ({
        ...scan,
        counters: { ...scan.counters, unreadable: 1 },
        unreadable: [scanned],
      }),
    },
  });
  await h.agent.mirror("a").succeed({
    ...ok(FAST),
    unreadable: [scanned, copied],
    unreadableCount: 2,
  });
  const report = await h.done;
  assert.deepEqual(report.sources[0]!.unreadable, [scanned, copied]);
  assert.equal(report.sources[0]!.unreadableCount, 2);
  assert.equal(report.exitCode, 3);
});

Deno.test("no source readable: nothing is mirrored, exit 1", async () => {
  const h = await start(jobOf(["a"], [FAST]), {
    answers: {
      scan() {
        throw new BackupError("not_found", "No such directory");
      },
    },
  });
  assert.equal((await h.done).exitCode, 1);
  assert.deepEqual(h.agent.calls("mirror"), []);
  assert.deepEqual(h.agent.calls("finish"), []);
  assert.equal(h.agent.calls("release").length, 1);
});

Deno.test("a finish that fails leaves its destination unverified", async () => {
  const h = await start(jobOf(["a"], [FAST, SLOW]), {
    answers: {
      finish: (spec) =>
        spec.destination === FAST
          ? { op: "finish", error: { code: "no_space", message: "Full", retry: "no" } }
          : { op: "finish" },
    },
  });
  await h.agent.mirror("a").succeed(ok(FAST, SLOW));
  const report = await h.done;
  assert.deepEqual(report.destinations.map((d) => [d.state, d.error?.code]), [
    ["failed", "no_space"],
    ["verified", undefined],
  ]);
});

Deno.test("a report that takes back an announced success wins", async () => {
  const h = await start(jobOf(["a"], [FAST, SLOW]));
  h.agent.mirror("a").lanes(lane(FAST, "verified"), lane(SLOW, "copy"));
  await settle();
  assert.equal(h.ends[0]!.state, "verified");
  await h.agent.mirror("a").succeed(
    mirrorResult(laneReport(FAST, "verified", { failureCount: 1 }), laneReport(SLOW, "verified")),
  );
  const report = await h.done;
  assert.deepEqual(report.destinations.map((d) => d.state), ["failed", "verified"]);
  assert.equal(report.exitCode, 4);
});

Deno.test("a dry run scans and plans, finishes nothing, and gives back what it held", async () => {
  const h = await start(jobOf(["a"], [FAST], { dryRun: true }));
  const plan = { filesToCopy: 1, bytesToCopy: 10, filesUnchanged: 0, filesGone: 0 };
  await h.agent.mirror("a").succeed(mirrorResult(laneReport(FAST, "planned", { plan })));
  const report = await h.done;
  assert.equal(report.exitCode, 0);
  assert.equal(report.destinations[0]!.state, "planned");
  assert.deepEqual(report.destinations[0]!.lanes[0]!.report.plan, plan);
  assert.deepEqual(h.agent.calls("finish"), []);
  assert.equal(h.agent.calls("release").length, 1);
  assert.equal(h.progress.at(-1)!.statusLine, "Planned");
});

Deno.test("what listens cannot stop a backup", async () => {
  const h = await start(jobOf(["a"], [FAST]));
  h.ends.push = () => {
    throw new Error("EPIPE");
  };
  await h.agent.mirror("a").succeed(ok(FAST));
  assert.equal((await h.done).exitCode, 0);
});

Deno.test("the first progress comes before the store is opened, with every destination at zero", async () => {
  const h = await start(jobOf(["a"], [FAST, SLOW]), { answers: { prepare: "by hand" } });
  const first = h.progress[0]!;
  assert.equal(first.state, "queued");
  assert.deepEqual(first.destinations.map((d) => [d.destination, d.state, d.counters.filesTotal]), [
    [FAST, "analyze", 0],
    [SLOW, "analyze", 0],
  ]);
  h.abort.abort();
  await h.done;
});

Deno.test("when the job store fails in the middle, the agent's tasks are cancelled, all is given back, and the error is thrown", async () => {
  const h = await start(jobOf(["a"], [FAST, SLOW]));
  const task = h.agent.mirror("a");
  h.store.close();
  task.lanes(lane(FAST, "verified"), lane(SLOW, "copy"));
  await assert.rejects(h.done, /closed job store/);
  assert.ok(task.signal!.aborted);
  assert.equal(h.agent.calls("release").length, 1);
  assert.equal(h.progress.at(-1)!.state, "failed");
});

Deno.test("what could not be read when a destination was verified is reported, though the copy of the others fails", async () => {
  const h = await start(jobOf(["a"], ["/x", "/y"]));
  const named = [{ path: "a/secret", code: "permission", message: "denied", attempts: 1 }];
  h.agent.mirror("a").progress({
    seq: 1,
    lanes: [lane("/x", "verified"), lane("/y", "copy")],
    unreadable: { named, count: 1 },
  });
  await settle();
  await h.agent.mirror("a").fail(new BackupError("io", "broken"));
  const report = await h.done;
  assert.deepEqual(report.sources[0]!.unreadable, named);
  assert.deepEqual(report.destinations.map((d) => d.state), ["verified", "failed"]);
});
