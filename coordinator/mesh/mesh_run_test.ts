import assert from "node:assert/strict";
import { BackupError } from "../../protocol/base/errors.ts";
import type { JobSpec } from "../../protocol/mesh/job.ts";
import { ZERO_SCAN } from "../../protocol/mesh/progress.ts";
import type { TaskResult } from "../../protocol/mesh/task.ts";
import { AgentBusyError } from "../../protocol/mesh/task_port.ts";
import { UnreachableError } from "../../protocol/rpc/client.ts";
import {
  type Answers,
  type FakeAgent,
  lane,
  laneReport,
  mirrorResult,
  scanOf,
} from "../runs/testing/fake_agent_suite.ts";
import { jobOf } from "../runs/testing/harness_suite.ts";
import { LEASE_MS, Mesh, prepare, RUN } from "./testing/mesh_suite.ts";

const OWN = "coordinator";

Deno.test("D9: completed is said only when every part at every destination is verified, merged by source", async () => {
  const counters = { ...ZERO_SCAN, files: 1, bytes: 10 };
  const parts = ["p1", "p2", "p3"].map((key) => ({ part: { key, label: key }, counters }));
  const m = new Mesh();
  m.add("a", { scan: () => ({ ...scanOf(3, 30), parts }) });
  const b = m.add("b");
  await m.start(jobOf(["photos"], ["/x", "/y"]));
  assert.equal(b.calls("join").length, 1);
  assert.equal(m.store.tasks(RUN).length, 3);
  await m.verifyAll();
  const { report } = m.outcome;
  assert.equal(report?.state, "completed");
  assert.deepEqual(
    report?.destinations.map((d) => d.lanes.map((l) => [l.source, l.report.filesVerified])),
    [
      [["photos", 3]],
      [["photos", 3]],
    ],
  );
  assert.equal(b.calls("join").length, 1, "once a run");
  assert.ok(m.store.tasks(RUN).every((t) => t.state === "succeeded"));
});

Deno.test("a home that is lost while another copies loses no task: the run is prepared anew and goes on", async () => {
  const m = new Mesh();
  const home = m.add("a");
  const other = m.add("b");
  await m.start(jobOf(["x", "y"], ["/d"]));
  assert.equal(home.calls("mirror").length + other.calls("mirror").length, 2);
  m.kill("a");
  await m.wait(LEASE_MS);
  assert.ok(
    m.store.tasks(RUN).every((t) => t.state !== "cancelled"),
    "none was taken for cancelled",
  );
  assert.equal(other.calls("prepare").at(-1)?.spec.runEpoch, 2);
  await m.verifyAll();
  assert.equal(m.outcome.report?.state, "completed");
  assert.equal(other.calls("finish").length, 1);
});

Deno.test("a home may be lost while it prepares, scans or finishes: another one does it", async () => {
  for (const op of ["prepare", "scan", "finish"] as const) {
    const m = new Mesh();
    const home = m.add("a", { [op]: "by hand" });
    m.add("b");
    await m.start(jobOf(["x"], ["/d"]));
    if (op === "finish") {
      const call = [...m.agents.values()].flatMap(({ fake }) => fake.calls("mirror"))[0]!;
      await call.succeed(mirrorResult(laneReport("/d", "verified")));
      await m.settle();
    }
    assert.equal(home.calls(op).length, 1, op);
    m.kill("a");
    await m.wait(LEASE_MS);
    await m.verifyAll();
    assert.equal(m.outcome.report?.state, "completed", op);
  }
});

Deno.test("D4: the lease of an attempt counts from when its agent was told of it, however long joining took", async () => {
  const m = new Mesh();
  m.add("a");
  const slow = m.add("b", { join: "by hand" });
  await m.start(jobOf(["x", "y"], ["/d"]));
  await m.wait(LEASE_MS - 100);
  await slow.calls("join")[0]!.succeed({
    op: "join",
    destinations: [{ destination: "/d", destinationId: "id of /d", warnings: [] }],
  });
  await m.settle();
  const { taskId } = slow.calls("mirror")[0]!.spec;
  m.kill("b");
  const next = m.add("c");
  await m.wait(LEASE_MS - 100);
  assert.equal(next.calls("mirror").length, 0, "the silent one may be at it");
  await m.wait(200);
  assert.equal(next.calls("mirror")[0]?.spec.taskId, taskId);
});

Deno.test("a source that its agents cannot read fails alone after a few homes", async () => {
  const scan = (spec: { source: { name: string } }): Extract<TaskResult, { op: "scan" }> => {
    if (spec.source.name === "bad") throw new BackupError("io", "Input/output error");
    return scanOf(1, 10);
  };
  const m = new Mesh();
  m.add("a", { scan });
  m.add("b", { scan });
  await m.start(jobOf(["bad", "good"], ["/d"]));
  await m.wait(60_000);
  await m.verifyAll();
  assert.equal(m.outcome.report?.state, "partial");
  assert.equal(m.outcome.report?.sources[0]?.error?.code, "io");
});

Deno.test("agents that cannot reach a destination are out for the run, and no task is to blame", async () => {
  const join: NonNullable<Answers["join"]> = ({ destinations }) => ({
    op: "join",
    destinations: destinations.map(({ spec }) => ({
      destination: spec.key,
      error: { code: "destination_changed", message: "another disk", retry: "no" },
      warnings: [],
    })),
  });
  const m = new Mesh();
  m.add("a");
  const refusing = ["b", "c", "d", "e"].map((id) => m.add(id, { join }, { load: 0.5 }));
  await m.start(jobOf(["1", "2", "3", "4", "5"], ["/d"]));
  await m.wait(60_000);
  await m.verifyAll();
  assert.equal(m.outcome.report?.state, "completed");
  for (const agent of refusing) assert.equal(agent.calls("mirror").length, 0);
});

Deno.test("D7: a coordinator started again goes on, and what was verified before it stays verified", async () => {
  const m = new Mesh();
  m.add("a", {}, { slots: 2 });
  m.add("b", {}, { slots: 2 });
  await m.start(jobOf(["x", "y"], ["/d", "/e"]));
  const [first] = [...m.agents.values()].flatMap(({ fake }) => fake.calls("mirror"));
  const { source } = first!.spec;
  // One lane ends live, its agent dies, the successor only serves the other.
  first!.lanes(lane("/d", "verified"), lane("/e", "copy"));
  await first!.fail(new BackupError("io", "gone", { retry: "later" }));
  await m.wait(10_000);
  const second = [...m.agents.values()].flatMap(({ fake }) => fake.calls("mirror"))
    .find((c) => c.isOpen && c.spec.source.name === source.name)!;
  assert.deepEqual(second.spec.destinations, ["/e"]);
  await second.succeed(mirrorResult(laneReport("/e", "verified")));
  await m.settle();
  m.run!.leave();
  m.dispatcher.close();
  await m.settle();
  const state = m.store.run(RUN)!.state;
  assert.equal(state, "running", "whoever leaves changes nothing");
  const next = new Mesh(m);
  await next.start();
  await next.verifyAll();
  assert.equal(next.outcome.report?.state, "completed");
});

Deno.test("D7: whoever took part before a restart gives back what it held, also when its task is another's by now", async () => {
  const m = new Mesh();
  m.add("a", {}, { load: 0.5 });
  const b = m.add("b", {}, { load: 0.6, capabilities: ["mirror", "compress"] });
  const job = jobOf(["x"], ["/d"]);
  await m.start({ ...job, requiredCapabilities: ["mirror", "compress"] });
  const c = m.add("c", {}, { load: 0.7, capabilities: ["mirror", "compress"] });
  const task = m.store.tasks(RUN)[0]!;
  assert.equal(task.agentId, "b");
  assert.deepEqual(m.dispatcher.move(task.taskId, task.epoch, "b", "c"), { epoch: 2 });
  await m.settle();
  assert.equal(c.calls("mirror").length, 1);
  m.run!.leave();
  m.dispatcher.close();
  await m.settle();
  const released = b.calls("release").length;
  await new Mesh(m).start();
  assert.equal(b.calls("release").length, released + 1);
});

Deno.test("cancelling the last destination ends a run that waits for an agent", async () => {
  const m = new Mesh();
  await m.start(jobOf(["x"], ["/d"]));
  assert.ok(m.notes.some((n) => n.startsWith("The run waits")));
  m.run!.cancelDestination("/d");
  await m.settle();
  assert.equal(m.outcome.report?.state, "cancelled");
  assert.equal(m.store.run(RUN)!.state, "cancelled");
});

Deno.test("cancelling one destination leaves the other; cancelling the run ends it", async () => {
  const m = new Mesh();
  const a = m.add("a");
  await m.start(jobOf(["x"], ["/d", "/e"]));
  m.run!.cancelDestination("/d");
  assert.equal(a.calls("drop").length, 1);
  await a.mirror("x").succeed(
    mirrorResult(laneReport("/d", "cancelled"), laneReport("/e", "verified")),
  );
  await m.settle();
  assert.deepEqual(m.outcome.report?.destinations.map((d) => d.state), ["cancelled", "verified"]);
  const n = new Mesh();
  const b = n.add("b");
  await n.start(jobOf(["x", "y"], ["/d"]));
  n.abort.abort();
  await n.wait(1_000);
  assert.equal(n.outcome.report?.state, "cancelled");
  assert.ok(n.store.tasks(RUN).every((t) => t.state === "cancelled"));
  assert.equal(b.calls("release").length, 1);
});

Deno.test("an agent that joins while a destination is cancelled is not asked to copy there", async () => {
  const m = new Mesh();
  m.add("a");
  const slow = m.add("b", { join: "by hand" });
  await m.start(jobOf(["x", "y"], ["/d", "/e"]));
  m.run!.cancelDestination("/d");
  const [join] = slow.calls("join");
  await join!.succeed({
    op: "join",
    destinations: join!.spec.destinations.map(({ spec: { key }, destinationId }) => ({
      ...{ destination: key, destinationId, warnings: [] },
    })),
  });
  await m.settle();
  assert.deepEqual(slow.calls("mirror").map(({ spec }) => spec.destinations), [["/e"]]);
  assert.ok(slow.calls("drop").some(({ spec }) => spec.destination === "/d"));
  await m.verifyAll();
  assert.deepEqual(m.outcome.report?.destinations.map((d) => d.state), ["cancelled", "verified"]);
});

Deno.test("S1-42: without any worker the coordinator does the work itself and says so", async () => {
  const m = new Mesh();
  const own = m.add(OWN, {}, { isFallback: true });
  await m.start(jobOf(["x", "y"], ["/d"]));
  assert.ok(m.notes.some((n) => n.includes("the coordinator does the work itself")));
  assert.equal(own.calls("mirror").length, 1, "one directory at a time");
  const worker = m.add("late");
  await m.verifyAll();
  assert.equal(m.outcome.report?.state, "completed");
  assert.ok(worker.calls("mirror").length + own.calls("mirror").length >= 2);
});

Deno.test("a directory that fails everywhere fails alone, visibly", async () => {
  const m = new Mesh();
  m.add("a");
  m.add("b");
  await m.start(jobOf(["poison", "fine"], ["/d"]));
  for (let turn = 0; turn < 10; turn++) {
    for (const { fake } of m.agents.values()) {
      for (const call of fake.calls("mirror").filter((c) => c.isOpen)) {
        if (call.spec.source.name === "poison") await call.fail(new BackupError("internal", "bug"));
        else await call.succeed(mirrorResult(laneReport("/d", "verified")));
      }
    }
    await m.wait(30_000);
  }
  const states = m.store.tasks(RUN).map((t) => [t.source.name, t.state, t.epoch]);
  assert.deepEqual(states, [["poison", "failed", 3], ["fine", "succeeded", 1]]);
  assert.equal(m.outcome.report?.destinations[0]?.state, "failed");
});

Deno.test("an agent that takes nothing more for a while is no fault of a directory, nor of a home", async () => {
  const m = new Mesh();
  let busy = 10;
  const refuse = () => {
    if (busy-- > 0) throw new AgentBusyError("The agent refused the call: full (-32093)");
  };
  const agent = m.add("a", {
    prepare: (spec) => {
      refuse();
      return (prepare as Exclude<typeof prepare, string>)(spec);
    },
  });
  await m.start(jobOf(["x"], ["/d"]));
  for (let turn = 0; turn < 20; turn++) await m.wait(30_000);
  for (let refusals = 0; refusals < 5; refusals++) {
    const call = agent.calls("mirror").find((c) => c.isOpen)!;
    await call.fail(new AgentBusyError("The agent refused the call: full (-32093)"));
    for (let turn = 0; turn < 3; turn++) await m.wait(30_000);
  }
  await m.verifyAll();
  assert.equal(m.outcome.report?.state, "completed");
});

Deno.test("S1-21: a source that comes after another is begun when that has ended, and not before", async () => {
  const mesh = new Mesh();
  const agents = ["a", "b"].map((id) => mesh.add(id));
  const job = jobOf(["Documents", ".ssh"], ["/d"]);
  const sources = job.sources.map((s) => s.name === ".ssh" ? { ...s, after: ["Documents"] } : s);
  await mesh.start({ ...job, sources });
  const begun = () => agents.flatMap((a) => a.calls("mirror").map((c) => c.spec.source.name));
  await mesh.wait(LEASE_MS);
  assert.deepEqual(begun(), ["Documents"]);
  const waiting = mesh.store.tasks(RUN).find((t) => t.source.name === ".ssh")!;
  assert.deepEqual([waiting.state, waiting.reason], ["queued", "Waits for Documents"]);
  await mesh.verifyAll();
  assert.deepEqual(begun(), ["Documents", ".ssh"]);
  assert.equal(mesh.outcome.report?.state, "completed");
});

Deno.test("what only the copying agent could not list is reported, and what the scan has named too counts once", async () => {
  const known = { path: "src/x", code: "permission", message: "Denied", attempts: 1 };
  const mesh = new Mesh();
  const agent = mesh.add("a", {
    scan: () => ({
      ...scanOf(1, 1),
      counters: { ...ZERO_SCAN, files: 1, unreadable: 1 },
      unreadable: [known],
    }),
  });
  await mesh.start(jobOf(["src"], ["/d"]));
  const [call] = agent.calls("mirror");
  await call!.succeed({
    ...mirrorResult(laneReport("/d", "verified")),
    walked: { counters: ZERO_SCAN, unreadable: [known, { ...known, path: "src/y" }] },
  });
  await mesh.verifyAll();
  const [source] = mesh.outcome.report!.sources;
  assert.deepEqual(source!.unreadable.map(({ path }) => path), ["src/x", "src/y"]);
  assert.equal(source!.unreadableCount, 2);
  assert.equal(mesh.outcome.report!.exitCode, 3);
});

/** Sources `one` and `two` on hosts of those names. */
function onTwoHosts(destinations: string[]): JobSpec {
  const job = jobOf(["one", "two"], destinations);
  return { ...job, sources: job.sources.map((s) => ({ ...s, hostId: s.name })) };
}

const reaches = (...keys: string[]): Pick<Answers, "prepare" | "join"> => ({
  prepare: (spec) => ({
    op: "prepare",
    destinations: spec.destinations.map(({ key }) =>
      keys.includes(key) ? { destination: key, destinationId: `id of ${key}`, warnings: [] } : {
        destination: key,
        warnings: [],
        error: { code: "destination_missing", message: `${key} is not mounted`, retry: "no" },
      }
    ),
  }),
  join: (spec) => ({
    op: "join",
    destinations: spec.destinations.map(({ spec: { key } }) =>
      keys.includes(key) ? { destination: key, warnings: [] } : {
        destination: key,
        warnings: [],
        error: { code: "rejected", message: `${key} is not mounted`, retry: "elsewhere" },
      }
    ),
  }),
});

Deno.test("sources on two hosts: each is scanned and copied where it lies, and one agent prepares and finishes for both", async () => {
  const m = new Mesh();
  const one = m.add("a", {}, { hostId: "one" });
  const two = m.add("b", {}, { hostId: "two", load: 0.5 });
  await m.start(onTwoHosts(["/d"]));
  await m.verifyAll();
  assert.equal(m.outcome.report?.state, "completed");
  const scanned = (agent: FakeAgent) => agent.calls("scan").map((c) => c.spec.source.name);
  assert.deepEqual([scanned(one), scanned(two)], [["one"], ["two"]]);
  const copied = (agent: FakeAgent) => agent.calls("mirror").map((c) => c.spec.source.name);
  assert.deepEqual([copied(one), copied(two)], [["one"], ["two"]]);
  const counts = [one, two].map((a) => [a.calls("prepare").length, a.calls("finish").length]);
  assert.deepEqual(counts, [[1, 1], [0, 0]]);
});

Deno.test("sources on two hosts: nothing begins before both have an agent, and who is missing is said", async () => {
  const m = new Mesh();
  const one = m.add("a", {}, { hostId: "one" });
  await m.start(onTwoHosts(["/d"]));
  assert.equal(one.calls("prepare").length, 0);
  assert.ok(m.notes.some((n) => /^The run waits: No agent is known on the host/.test(n)));
  m.add("b", {}, { hostId: "two" });
  await m.wait(1_000);
  await m.verifyAll();
  assert.equal(m.outcome.report?.state, "completed");
});

Deno.test("sources on two hosts: an agent that dies while it scans is replaced, and the home stays", async () => {
  const m = new Mesh();
  const home = m.add("a", {}, { hostId: "one" });
  m.add("b", { scan: "by hand" }, { hostId: "two" });
  await m.start(onTwoHosts(["/d"]));
  const other = m.add("c", {}, { hostId: "two", load: 0.5 });
  const [open] = m.agents.get("b")!.fake.calls("scan");
  m.kill("b");
  await open!.fail(new UnreachableError("gone"));
  await m.wait(5_000);
  await m.verifyAll();
  assert.equal(m.outcome.report?.state, "completed");
  assert.equal(other.calls("scan").length, 1);
  assert.equal(home.calls("prepare").length, 1);
});

Deno.test("the home is whoever reaches the destinations, whichever agent is asked first", async () => {
  const m = new Mesh();
  const away = m.add("a", reaches(), { hostId: "one" });
  const near = m.add("b", reaches("/d"), { hostId: "one", load: 0.5 });
  await m.start({ ...jobOf(["x"], ["/d"]), sources: [{ name: "x", path: "/x", hostId: "one" }] });
  await m.wait(1_000);
  await m.verifyAll();
  assert.equal(m.outcome.report?.state, "completed");
  assert.equal(away.calls("prepare").length, 1);
  assert.ok(away.calls("release").length > 0);
  assert.deepEqual([near.calls("prepare").length, near.calls("finish").length], [1, 1]);
  assert.ok(m.notes.some((n) => n.includes("/d is not mounted")));
});

Deno.test("a source whose agents cannot reach the destination fails with that reason, and the other source is copied", async () => {
  const m = new Mesh();
  m.add("a", reaches("/d"), { hostId: "one" });
  m.add("b", reaches(), { hostId: "two" });
  await m.start(onTwoHosts(["/d"]));
  await m.wait(5_000);
  await m.verifyAll();
  const { report } = m.outcome;
  assert.deepEqual(report?.sources.map((s) => s.error?.message), [
    undefined,
    "two cannot be copied: Agent b cannot take part: /d: /d is not mounted",
  ]);
  assert.equal(report?.destinations[0]?.lanes[0]?.report.state, "verified");
  assert.notEqual(report?.exitCode, 0);
});

Deno.test("whatever is not safe at the end has a reason, also when its agent gave none", async () => {
  const m = new Mesh();
  const agent = m.add("a");
  await m.start(jobOf(["x"], ["/d", "/e"]));
  await agent.mirror("x").succeed(
    mirrorResult(laneReport("/d", "failed"), laneReport("/e", "verified")),
  );
  await m.verifyAll();
  const [bad, good] = m.outcome.report!.destinations;
  assert.match(bad!.error!.message, /not why/);
  assert.deepEqual(bad!.lanes[0]!.report.error, bad!.error);
  assert.deepEqual([good!.state, good!.error, good!.lanes[0]!.report.error], [
    "verified",
    undefined,
    undefined,
  ]);
});

Deno.test("a limit is divided among the agents that work at once, and anew when one dies, joins or the work runs out", async () => {
  const m = new Mesh();
  const agents = ["a", "b", "c"].map((id) => m.add(id));
  const job = jobOf(["1", "2", "3", "4"], ["/d"]);
  const destinations = job.destinations.map((d) => ({ ...d, limitBytesPerSecond: 900 }));
  await m.start({
    ...job,
    destinations,
    options: { ...job.options, workersMin: 2, workersMax: 8 },
  });
  const limit = () => m.run!.share().limits[0]!.bytesPerSecond;
  const joined = agents.flatMap((a) => a.calls("join")).map((c) => c.spec.destinations[0]!.spec);
  assert.deepEqual(joined.map((d) => d.limitBytesPerSecond), [300, 300]);
  assert.deepEqual([limit(), m.run!.share().workersMax], [300, 2]);
  m.kill("b");
  await m.wait(1_000);
  assert.equal(limit(), 450);
  m.add("d");
  await m.wait(1_000);
  assert.equal(limit(), 300);
  const given = m.agents.get("d")!.fake.calls("join")[0]!.spec;
  assert.equal(given.destinations[0]!.spec.limitBytesPerSecond, 300);
  // One task is left: whoever has it may use all there is.
  for (let left = 4; left > 1; left--) {
    await m.wait(1_000);
    const [call] = [...m.agents.values()].filter(({ view }) => view.readiness !== "dead")
      .flatMap(({ fake }) => fake.calls("mirror").filter((c) => c.isOpen));
    await call!.succeed(mirrorResult(laneReport("/d", "verified")));
  }
  await m.wait(1_000);
  assert.equal(limit(), 900);
  assert.equal(m.run!.share().workersMax, 8);
  await m.verifyAll();
  assert.equal(m.outcome.report?.state, "completed");
});

Deno.test("more agents than workers: each has one, also where the job asks for two at least", async () => {
  const m = new Mesh();
  const agents = ["a", "b", "c"].map((id) => m.add(id));
  const job = jobOf(["1", "2", "3"], ["/d"]);
  await m.start({ ...job, options: { ...job.options, workersMin: 2, workersMax: 2 } });
  const specs = agents.flatMap((a) => [...a.calls("prepare"), ...a.calls("join")]);
  for (const { spec: { options } } of specs) {
    assert.deepEqual([options.workersMin, options.workersMax], [1, 1]);
  }
});

/** As the coordinator does it: the store first, then the run. */
function pause(m: Mesh, isPaused: boolean): void {
  m.store.transact((tx) => tx.pauseRun(RUN, isPaused));
  m.run!.pause(isPaused);
}

Deno.test("a paused run leases nothing new, its agents begin no further file, and it goes on when it is resumed", async () => {
  const m = new Mesh();
  const a = m.add("a");
  await m.start(jobOf(["x", "y"], ["/d"]));
  assert.equal(a.calls("mirror").length, 1);
  pause(m, true);
  await m.settle();
  assert.deepEqual(a.calls("pause").map((c) => c.spec.isPaused), [true]);
  await m.verifyAll();
  await m.wait(60_000);
  assert.deepEqual(m.store.tasks(RUN).map((t) => t.state), ["succeeded", "queued"]);
  pause(m, false);
  await m.verifyAll();
  assert.deepEqual(a.calls("pause").map((c) => c.spec.isPaused), [true, false]);
  assert.equal(m.outcome.report?.state, "completed");
});

Deno.test("a coordinator that is started again leaves a paused run alone until it is resumed, and it can be cancelled", async () => {
  for (const end of ["resumed", "cancelled"] as const) {
    const before = new Mesh();
    before.add("a");
    await before.start(jobOf(["x"], ["/d"]));
    pause(before, true);
    before.run!.leave();
    await before.settle();
    const m = new Mesh(before);
    const { fake: a } = m.agents.get("a")!;
    const prepared = a.calls("prepare").length;
    await m.start();
    await m.wait(60_000);
    assert.equal(a.calls("prepare").length, prepared, "no lock is taken");
    if (end === "resumed") pause(m, false);
    else m.abort.abort();
    await m.wait(1_000);
    await m.verifyAll();
    assert.equal(m.outcome.report?.state, end === "resumed" ? "completed" : "cancelled");
  }
});

Deno.test("a coordinator that was ended while a run was being cancelled ends it as cancelled when it is started again", async () => {
  const before = new Mesh();
  before.add("a");
  await before.start(jobOf(["x"], ["/d", "/e"]));
  before.store.transact((tx) => {
    for (const key of ["/d", "/e"]) tx.changeDestination(RUN, key, { isCancelled: true });
  });
  before.run!.leave();
  await before.settle();
  const m = new Mesh(before);
  const { fake: a } = m.agents.get("a")!;
  const prepared = a.calls("prepare").length;
  await m.start();
  await m.wait(1_000);
  assert.equal(a.calls("prepare").length, prepared, "nothing is begun again");
  assert.equal(m.outcome.report?.state, "cancelled");
  assert.equal(m.store.run(RUN)!.state, "cancelled");
});

Deno.test("an agent that gets a task of a paused run is told to wait before it begins", async () => {
  const m = new Mesh();
  m.add("a");
  m.add("b");
  await m.start(jobOf(["x"], ["/d"]));
  const [task] = m.store.tasks(RUN);
  const [from, to] = task!.agentId === "a" ? ["a", "b"] : ["b", "a"];
  pause(m, true);
  await m.settle();
  assert.deepEqual(m.dispatcher.move(task!.taskId, task!.epoch, from!, to!), {
    epoch: task!.epoch + 1,
  });
  await m.settle();
  const { fake } = m.agents.get(to!)!;
  assert.deepEqual(fake.calls("pause").at(-1)?.spec.isPaused, true);
  assert.equal(fake.calls("mirror").length, 1);
  m.abort.abort();
  await m.wait(1_000);
});

/** Under the same path this host has a disk of its own. */
const anotherDisk: NonNullable<Answers["prepare"]> = (spec) => ({
  op: "prepare",
  destinations: spec.destinations.map(({ key }) => ({
    ...{ destination: key, destinationId: "another disk", warnings: [] },
  })),
});

Deno.test("a run whose home is lost goes on only where its destination is the same one, and says nothing of another disk", async () => {
  for (const isThird of [false, true]) {
    for (const isRestarted of [false, true]) {
      let m = new Mesh();
      const home = m.add("a");
      await m.start(jobOf(["x", "y"], ["/d"]));
      await home.mirror("x").succeed(mirrorResult(laneReport("/d", "verified")));
      await m.settle();
      const other = m.add("b", { prepare: anotherDisk });
      if (isThird) m.add("c", {}, { load: 0.5 });
      if (isRestarted) {
        m.run!.leave();
        await m.settle();
        m = new Mesh(m);
      }
      m.kill("a");
      if (isRestarted) await m.start();
      await m.wait(LEASE_MS);
      await m.verifyAll();
      const { report } = m.outcome;
      assert.deepEqual(other.calls("prepare")[0]!.spec.expectedIds, { "/d": "id of /d" });
      assert.equal(report?.state, isThird ? "completed" : "failed");
      const code = isThird ? undefined : "destination_changed";
      assert.equal(report?.destinations[0]?.error?.code, code);
      if (isThird) assert.equal(other.calls("finish").length, 0);
    }
  }
});

Deno.test("what any run has found under a path is told to whoever prepares the next one, by host", async () => {
  const m = new Mesh();
  m.store.transact((tx) => {
    tx.rememberDestination({ hostId: "nas", path: "/d", destinationId: "id of /d" });
    tx.rememberDestination({ hostId: "desk", path: "/e", destinationId: "earlier" });
    tx.rememberDestination({ hostId: "desk", path: "/new", destinationId: "earlier" });
  });
  const onDesk = m.add("a", {}, { hostId: "desk" });
  m.add("b", {}, { hostId: "loft", load: 0.5 });
  const job = jobOf(["x", "y"], ["/d", "/e", "/f", "/new"]);
  const destinations = job.destinations.map((d) => ({ ...d, isNew: d.key === "/new" }));
  await m.start({ ...job, destinations });
  assert.deepEqual(onDesk.calls("prepare")[0]!.spec.knownIds, { "/d": null, "/e": "earlier" });
  await m.verifyAll();
  assert.equal(m.outcome.report?.state, "completed");
  const known = (path: string) => m.store.knownDestinations(path).map((d) => d.hostId);
  assert.deepEqual(known("/d"), ["desk", "loft", "nas"], "who has joined has found it as well");
  assert.deepEqual(m.store.knownDestinations("/new").map((d) => d.destinationId), [
    "id of /new",
    "id of /new",
  ]);
});

Deno.test("a destination that is gone wherever its path is known fails as changed, after all were asked", async () => {
  const gone: NonNullable<Answers["prepare"]> = ({ destinations }) => ({
    op: "prepare",
    destinations: destinations.map(({ key }) => ({
      destination: key,
      error: { code: "destination_changed", message: `${key} is not here`, retry: "no" },
      warnings: [],
    })),
  });
  const m = new Mesh();
  const agents = ["a", "b"].map((id) => m.add(id, { prepare: gone }));
  await m.start(jobOf(["x"], ["/d"]));
  await m.wait(LEASE_MS);
  assert.equal(m.outcome.report?.exitCode, 10);
  for (const agent of agents) assert.ok(agent.calls("prepare").length > 0);
  assert.deepEqual(m.store.knownDestinations("/d"), []);
});

Deno.test("an agent that says nothing more is told to be waited for at once, by name, until it is heard or lost", async () => {
  const m = new Mesh();
  const home = m.add("a");
  await m.start(jobOf(["x"], ["/d", "/e"]));
  const call = home.mirror("x");
  const waits = () => m.told!.destinations.map((d) => d.waitsFor);
  const nobody = [undefined, undefined];
  // Listing a source may take long without a word.
  await m.wait(10_000);
  assert.deepEqual(waits(), nobody);
  call.lanes(lane("/d", "copy"), lane("/e", "verified"));
  await m.wait(2_000);
  assert.deepEqual(waits(), nobody);
  await m.wait(2_500);
  assert.deepEqual(waits(), [[{ agent: "a", silentForMs: 4_000 }], undefined], "the other is safe");
  await m.wait(3_000);
  assert.deepEqual(waits()[0], [{ agent: "a", silentForMs: 7_000 }]);
  call.lanes(lane("/d", "copy"), lane("/e", "verified"));
  await m.wait(500);
  assert.deepEqual(waits(), nobody);
  await call.fail(new UnreachableError("gone"));
  await m.wait(250);
  assert.deepEqual(waits()[0], [{ agent: "a", silentForMs: 0 }], "what is known is told");
  m.add("b");
  m.kill("a");
  await m.wait(LEASE_MS);
  assert.deepEqual(waits(), nobody);
});

Deno.test("a destination that is verified is given back by all who take part, while others go on", async () => {
  const m = new Mesh();
  const home = m.add("a");
  const other = m.add("b");
  await m.start(jobOf(["x", "y"], ["/d", "/e"]));
  const calls = [home, other].map((agent) => agent.calls("mirror")[0]!);
  calls[0]!.lanes(lane("/d", "verified"), lane("/e", "copy"));
  await m.settle();
  assert.equal(home.calls("finish").length, 0, "another task still needs it");
  calls[1]!.lanes(lane("/d", "verified"), lane("/e", "copy"));
  await m.settle();
  assert.deepEqual(home.calls("finish").map(({ spec }) => spec.destination), ["/d"]);
  assert.deepEqual(other.calls("drop").map(({ spec }) => [spec.destination, spec.isDone]), [
    ["/d", true],
  ]);
  assert.equal(home.calls("drop").length, 0, "it has given it back by finishing it");
  await m.verifyAll();
  assert.equal(m.outcome.report?.state, "completed");
});

Deno.test("D7: a destination that was verified before a restart is not asked for again: others may have it by now", async () => {
  const m = new Mesh();
  m.add("a", {}, { slots: 2 });
  await m.start(jobOf(["x", "y"], ["/d", "/e"]));
  const report = laneReport("/d", "verified", { filesVerified: 7 });
  for (const call of m.agents.get("a")!.fake.calls("mirror")) {
    const lanes = [lane("/d", "verified"), lane("/e", "copy")];
    call.progress({ seq: 1, lanes, verified: [report] });
  }
  await m.settle();
  m.run!.leave();
  m.dispatcher.close();
  await m.settle();
  const next = new Mesh(m);
  const { fake } = next.agents.get("a")!;
  await next.start();
  const { spec } = fake.calls("prepare").at(-1)!;
  assert.deepEqual(spec.destinations.map(({ key }) => key), ["/e"]);
  await next.wait(LEASE_MS);
  assert.deepEqual(next.told!.destinations.map(({ state }) => state === "verified"), [true, false]);
  for (const call of fake.calls("mirror").filter((c) => c.isOpen)) {
    assert.deepEqual(call.spec.destinations, ["/e"]);
  }
  await next.verifyAll();
  assert.equal(next.outcome.report?.state, "completed");
  assert.deepEqual(
    next.outcome.report!.destinations[0]!.lanes.map((l) => l.report.filesVerified),
    [7, 7],
  );
  assert.ok(next.store.tasks(RUN).every((t) => t.state === "succeeded"));
});

Deno.test("what could not be read when a destination was verified is reported, though its agent dies and the next can read it", async () => {
  const named = [{ path: "x/secret", code: "permission", message: "denied", attempts: 1 }];
  for (const isRestarted of [false, true]) {
    for (const isCancelled of [false, true]) {
      let m = new Mesh();
      const first = m.add("a");
      await m.start(jobOf(["x"], ["/d", "/e"]));
      first.mirror("x").progress({
        seq: 1,
        lanes: [lane("/d", "verified"), lane("/e", "copy")],
        verified: [laneReport("/d", "verified")],
        unreadable: { named, count: 2 },
      });
      await m.settle();
      if (isRestarted) {
        m.isKilled = true;
        m = new Mesh(m);
        await m.start();
      } else {
        await first.mirror("x").fail(new BackupError("io", "gone", { retry: "later" }));
        await m.wait(10_000);
      }
      if (isCancelled) {
        m.abort.abort();
        await m.wait(1_000);
      } else await m.verifyAll();
      const { report } = m.outcome;
      assert.deepEqual(report!.sources[0]!.unreadable, named);
      assert.equal(report!.sources[0]!.unreadableCount, 2);
      assert.deepEqual(
        [report!.exitCode, report!.destinations.map((d) => d.state)],
        isCancelled ? [130, ["verified", "cancelled"]] : [3, ["verified", "verified"]],
      );
    }
  }
});
