/** What every job store must do, whatever holds its tables. Both engines run it. */
import assert from "node:assert/strict";
import { BackupError } from "../../protocol/base/errors.ts";
import {
  type JobSpec,
  NEXT_RUN_STATES,
  NEXT_TASK_STATES,
  RUN_STATES,
  type RunState,
  TASK_STATES,
  type TaskState,
} from "../../protocol/mesh/job.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { createJobStore } from "./create_job_store.ts";
import { ENDED_RUNS_KEPT, type JobStore, NOTES_MAX } from "./job_store.ts";
import type { StoredAgent } from "./records.ts";
import type { Tables } from "./tables.ts";

export const SPEC: JobSpec = {
  sources: [{ path: "/home/me/Ünï\ncode", name: "Ünï\ncode" }],
  destinations: [{ key: "/mnt/a", kind: "local", path: "/mnt/a", isNew: false }],
  strategy: "mirror",
  options: {
    verify: "new",
    order: "priority",
    priorities: [],
    excludes: [],
    ignoreFiles: true,
    excludeCaches: false,
    oneFileSystem: false,
    dryRun: false,
    attemptsMax: 3,
    workersMin: 1,
    workersMax: 8,
    operationTimeoutMs: 30_000,
    waitMs: 0,
    bufferBytes: 64 << 20,
  },
  requiredCapabilities: [],
};

const SOURCE = SPEC.sources[0]!;
const RUN_PATHS = shortestPaths<RunState>("queued", NEXT_RUN_STATES);
const TASK_PATHS = shortestPaths<TaskState>("queued", NEXT_TASK_STATES);

/** Registers the suite; `makeTables` gives empty tables, which the suite closes. */
export function jobStoreSuite(name: string, makeTables: () => Tables): void {
  function test(title: string, body: (store: JobStore, clock: ManualClock) => void): void {
    Deno.test(`${name}: ${title}`, () => {
      const clock = new ManualClock();
      const store = createJobStore(makeTables(), clock);
      try {
        body(store, clock);
      } finally {
        store.close();
      }
    });
  }

  test("a run and its tasks come back as they were stored", (store, clock) => {
    insert(store, "run-1", ["task-1", "task-2"]);
    assert.deepEqual(store.run("run-1"), {
      runId: "run-1",
      hostId: "host-1",
      owner: "command",
      idempotencyKey: null,
      state: "queued",
      spec: SPEC,
      createdAtMs: clock.nowMs(),
      endedAtMs: null,
      report: null,
      runEpoch: 0,
      homeAgentId: null,
      isPaused: false,
      notes: [],
    });
    assert.deepEqual(store.tasks("run-1").map((t) => t.taskId), ["task-1", "task-2"]);
    assert.deepEqual(store.task("task-1"), {
      taskId: "task-1",
      runId: "run-1",
      source: SOURCE,
      part: null,
      requires: ["mirror"],
      files: 0,
      sizeBytes: 7,
      state: "queued",
      epoch: 0,
      agentId: null,
      reason: null,
    });
    assert.equal(store.run("run-2"), undefined);
    assert.equal(store.task("task-3"), undefined);
  });

  test("runs are listed newest first and no more than asked for", (store) => {
    for (const runId of ["run-1", "run-2", "run-3"]) insert(store, runId, []);
    assert.deepEqual(store.runs(2).map((r) => r.runId), ["run-3", "run-2"]);
  });

  test("a run moves over every pair of its table and over no other pair", (store) => {
    for (const from of RUN_STATES) {
      for (const to of RUN_STATES) {
        const runId = `run-${from}-${to}`;
        insert(store, runId, []);
        for (const step of RUN_PATHS.get(from)!) store.transact((tx) => tx.moveRun(runId, step));
        const move = () => store.transact((tx) => tx.moveRun(runId, to));
        if ((NEXT_RUN_STATES[from] as readonly RunState[]).includes(to)) {
          assert.equal(move().state, to);
        } else {
          assert.throws(move, RangeError);
          assert.equal(store.run(runId)!.state, from);
        }
      }
    }
  });

  test("a task moves over every pair of its table and over no other pair", (store) => {
    insert(store, "run-1", []);
    for (const from of TASK_STATES) {
      for (const to of TASK_STATES) {
        const taskId = `task-${from}-${to}`;
        insertTask(store, "run-1", taskId);
        for (const step of TASK_PATHS.get(from)!) moveTask(store, taskId, step);
        if ((NEXT_TASK_STATES[from] as readonly TaskState[]).includes(to)) {
          moveTask(store, taskId, to);
          assert.equal(store.task(taskId)!.state, to);
        } else {
          assert.throws(() => moveTask(store, taskId, to), RangeError);
          assert.equal(store.task(taskId)!.state, from);
        }
      }
    }
  });

  test("each assignment has the next epoch and an older epoch changes nothing", (store) => {
    insert(store, "run-1", ["task-1"]);
    assert.equal(store.transact((tx) => tx.assignTask("task-1", "agent-1")).epoch, 1);
    store.transact((tx) => tx.moveTask("task-1", 1, "running"));
    const back = store.transact((tx) => tx.moveTask("task-1", 1, "queued", "The disk was busy"));
    assert.equal(back.agentId, null);
    assert.equal(back.reason, "The disk was busy");
    assert.equal(store.transact((tx) => tx.assignTask("task-1", "agent-2")).epoch, 2);
    const before = { task: store.task("task-1"), events: store.eventsAfter(0, 100) };
    assert.throws(
      () => store.transact((tx) => tx.moveTask("task-1", 1, "running")),
      { code: "superseded" },
    );
    assert.deepEqual({ task: store.task("task-1"), events: store.eventsAfter(0, 100) }, before);
  });

  test("a transaction that throws leaves no row and no event behind", (store) => {
    insert(store, "run-1", ["task-1"]);
    const seen = store.eventsAfter(0, 100);
    assert.throws(() =>
      store.transact((tx) => {
        tx.moveRun("run-1", "planning");
        tx.insertTask({
          taskId: "task-2",
          runId: "run-1",
          source: SOURCE,
          requires: [],
          sizeBytes: 1,
        });
        throw new Error("no");
      }), /^Error: no$/);
    assert.equal(store.run("run-1")!.state, "queued");
    assert.equal(store.task("task-2"), undefined);
    assert.deepEqual(store.eventsAfter(0, 100), seen);
    store.transact((tx) => tx.moveRun("run-1", "planning"));
    assert.equal(store.run("run-1")!.state, "planning");
  });

  test("a transaction inside a transaction is refused", (store) => {
    assert.throws(() => store.transact(() => store.transact(() => 1)), TypeError);
    insert(store, "run-1", []);
    assert.equal(store.runs(9).length, 1);
  });

  test("an id is given once and a task needs its run", (store) => {
    insert(store, "run-1", ["task-1"]);
    assert.throws(() => insert(store, "run-1", []), { code: "rejected" });
    assert.throws(() => insertTask(store, "run-1", "task-1"), { code: "rejected" });
    assert.throws(() => insertTask(store, "run-9", "task-9"), { code: "not_found" });
    assert.throws(() => store.transact((tx) => tx.moveRun("run-9", "planning")), BackupError);
  });

  test("events are numbered, in order, and can be read on from any number", (store, clock) => {
    insert(store, "run-1", ["task-1"]);
    insert(store, "run-2", []);
    store.transact((tx) => {
      tx.explainTask("task-1", "No agent offers encrypt");
      tx.explainTask("task-1", "No agent offers encrypt");
      tx.note({
        kind: "destination_ended",
        runId: "run-1",
        destination: "/mnt/a",
        state: "failed",
        elapsedMs: 1.5,
        error: { code: "io", message: "x", retry: "no" },
      });
    });
    const all = store.eventsAfter(0, 100);
    assert.deepEqual(
      all.map((e) => e.event.kind),
      ["run_state", "task_state", "run_state", "task_waits", "destination_ended"],
    );
    assert.ok(all.every((e, i) => i === 0 || e.seq > all[i - 1]!.seq));
    assert.ok(all.every((e) => e.atMs === clock.nowMs()));
    assert.deepEqual(store.eventsAfter(all[1]!.seq, 2), all.slice(2, 4));
    assert.deepEqual(store.eventsAfter(0, 9, "run-2"), [all[2]]);
    assert.equal(store.task("task-1")!.reason, "No agent offers encrypt");
  });

  test("a key is given once, and finds its run", (store) => {
    const run = { hostId: "host-1", spec: SPEC, owner: "mesh", idempotencyKey: "key-1" } as const;
    store.transact((tx) => tx.insertRun({ ...run, runId: "run-1" }));
    assert.throws(() => store.transact((tx) => tx.insertRun({ ...run, runId: "run-2" })), {
      code: "rejected",
    });
    assert.equal(store.runByKey("key-1")!.runId, "run-1");
    assert.equal(store.runByKey("key-2"), undefined);
    insert(store, "run-3", []);
    insert(store, "run-4", []);
  });

  test("what an owner has to go on with is what it has not ended, oldest first", (store) => {
    for (const runId of ["run-1", "run-2", "run-3"]) {
      store.transact((tx) => tx.insertRun({ runId, hostId: "h", spec: SPEC, owner: "mesh" }));
    }
    insert(store, "run-of-a-command", []);
    store.transact((tx) => tx.moveRun("run-2", "cancelled"));
    assert.deepEqual(store.unfinishedRuns("mesh").map((r) => r.runId), ["run-1", "run-3"]);
    assert.deepEqual(store.unfinishedRuns("command").map((r) => r.runId), ["run-of-a-command"]);
  });

  test("a run's homes are numbered, and its notes are said once each and have a limit", (store) => {
    insert(store, "run-1", []);
    store.transact((tx) => tx.rehomeRun("run-1", "agent-1"));
    assert.equal(store.transact((tx) => tx.rehomeRun("run-1", "agent-2")).runEpoch, 2);
    store.transact((tx) => tx.pauseRun("run-1", true));
    assert.ok(store.transact((tx) => tx.noteRun("run-1", "No worker can be reached")));
    assert.ok(!store.transact((tx) => tx.noteRun("run-1", "No worker can be reached")));
    const { homeAgentId, runEpoch, isPaused, notes } = store.run("run-1")!;
    assert.deepEqual([homeAgentId, runEpoch, isPaused], ["agent-2", 2, true]);
    assert.deepEqual(notes, ["No worker can be reached"]);
    for (let i = 0; i < NOTES_MAX + 5; i++) store.transact((tx) => tx.noteRun("run-1", `n${i}`));
    assert.equal(store.run("run-1")!.notes.length, NOTES_MAX);
  });

  test("a task is planned until it is begun: its part, files and size", (store) => {
    insert(store, "run-1", ["task-1"]);
    const part = { key: "p1", from: "YQ==", label: "a … b" };
    const plan = { part, files: 3, sizeBytes: 2 ** 45 };
    store.transact((tx) => tx.planTask("task-1", plan));
    const planned = store.task("task-1")!;
    assert.deepEqual([planned.part, planned.files, planned.sizeBytes], [part, 3, 2 ** 45]);
    store.transact((tx) => tx.assignTask("task-1", "agent-1"));
    assert.throws(() => store.transact((tx) => tx.planTask("task-1", plan)), {
      code: "superseded",
    });
  });

  test("results, scans and what is known of destinations come back as they were stored", (store) => {
    insert(store, "run-1", ["task-1", "task-2"]);
    insert(store, "run-2", ["task-3"]);
    const scan = {
      kind: "scanned",
      scan: {
        op: "scan",
        counters: { files: 1, directories: 0, others: 0, bytes: 5, unreadable: 0, excluded: 0 },
        excluded: [],
        unreadable: [],
        warnings: [],
      },
    } as const;
    const failed = { kind: "failed", error: { code: "io", message: "x", retry: "no" } } as const;
    const result = { op: "mirror", lanes: [], unreadable: [], unreadableCount: 2 } as const;
    store.transact((tx) => {
      tx.putResult("task-2", { ...result, lanes: [], unreadable: [], unreadableCount: 1 });
      tx.putResult("task-2", { ...result, lanes: [], unreadable: [] });
      tx.putScan("run-1", "docs", failed);
      tx.putScan("run-1", "docs", structuredClone(scan) as never);
      tx.putScan("run-1", "pics", failed);
      tx.changeDestination("run-1", "/mnt/a", { isCancelled: true });
      tx.changeDestination("run-1", "/mnt/a", { warnings: ["Same disk"], destinationId: "dest-1" });
      const end = { destination: "/mnt/a", state: "cancelled", elapsedMs: 1.5 } as const;
      tx.changeDestination("run-1", "/mnt/a", { end });
    });
    assert.deepEqual([...store.results("run-1")], [["task-2", result]]);
    assert.deepEqual(store.results("run-2").size, 0);
    assert.deepEqual(Object.fromEntries(store.scans("run-1")), { docs: scan, pics: failed });
    assert.deepEqual(store.destinations("run-1"), [{
      destination: "/mnt/a",
      isCancelled: true,
      destinationId: "dest-1",
      warnings: ["Same disk"],
      end: { destination: "/mnt/a", state: "cancelled", elapsedMs: 1.5 },
    }]);
    assert.deepEqual(store.destinations("run-2"), []);
  });

  test("what was found under a path of a host last is known, also of other hosts", (store) => {
    const at = (hostId: string, destinationId: string) => ({
      hostId,
      path: "/mnt/a",
      destinationId,
    });
    store.transact((tx) => {
      tx.rememberDestination(at("nas", "dest-1"));
      tx.rememberDestination(at("desk", "dest-2"));
      tx.rememberDestination(at("nas", "dest-3"));
      tx.rememberDestination({ ...at("nas", "dest-4"), path: "/mnt/b" });
    });
    const fails = () =>
      store.transact((tx) => {
        tx.rememberDestination(at("desk", "dest-5"));
        throw new TypeError("as if");
      });
    assert.throws(fails, /as if/);
    assert.deepEqual(store.knownDestinations("/mnt/a"), [
      at("desk", "dest-2"),
      at("nas", "dest-3"),
    ]);
    assert.deepEqual(store.knownDestinations("/mnt/c"), []);
  });

  test("tasks are counted by state without being read", (store) => {
    insert(store, "run-1", ["a", "b", "c"]);
    insert(store, "run-2", ["d"]);
    moveTask(store, "b", "assigned");
    assert.deepEqual({ ...store.taskCounts("run-1") }, { queued: 2, assigned: 1 });
    assert.deepEqual({ ...store.taskCounts("run-9") }, {});
  });

  test("documents come back as they were put, by kind, and can be replaced and dropped", (store) => {
    const profile = (name: string, changedAtMs = 1) => ({ name, job: {}, changedAtMs });
    store.transact((tx) => {
      tx.putDocument("profile", "b", profile("b"));
      tx.putDocument("profile", "a", profile("a"));
      tx.putDocument("settings", "a", { options: {}, discoverFrom: "/home" });
      tx.putDocument("profile", "b", profile("b", 2));
    });
    assert.deepEqual(store.documents("profile"), [profile("b", 2), profile("a")]);
    assert.deepEqual(store.document("settings", "a"), { options: {}, discoverFrom: "/home" });
    assert.equal(store.document("settings", "b"), undefined);
    assert.throws(() =>
      store.transact((tx) => {
        tx.dropDocument("profile", "b");
        throw new Error("undone");
      }), /undone/);
    assert.equal(store.documents("profile").length, 2);
    assert.deepEqual(
      store.transact((tx) => [tx.dropDocument("profile", "b"), tx.dropDocument("profile", "b")]),
      [true, false],
    );
    assert.deepEqual(store.documents("profile"), [profile("a")]);
  });

  test("a document that is not what its kind must be is reported as damaged", (store) => {
    store.transact((tx) => tx.putDocument("profile", "a", { name: "a" } as never));
    assert.throws(() => store.document("profile", "a"), { code: "damaged" });
  });

  test("agents keep the order of their first registration", (store) => {
    for (const name of ["b", "a", "c"]) store.transact((tx) => tx.putAgent(agent(name)));
    store.transact((tx) => tx.putAgent({ ...agent("b"), isDraining: true }));
    store.transact((tx) => tx.dropAgent("c"));
    const known = store.agents().map((a) => [a.agentId, a.isDraining]);
    assert.deepEqual(known, [["b", true], ["a", false]]);
    assert.deepEqual(store.agents()[1], agent("a"));
  });

  test("every kind of change is undone when its transaction throws", (store) => {
    insert(store, "run-1", ["task-1"]);
    store.transact((tx) => tx.putAgent(agent("a")));
    const all = () => ({
      runs: store.runs(9),
      tasks: store.tasks("run-1"),
      results: store.results("run-1"),
      scans: store.scans("run-1"),
      destinations: store.destinations("run-1"),
      agents: store.agents(),
      events: store.eventsAfter(0, 99),
    });
    const before = all();
    assert.throws(() =>
      store.transact((tx) => {
        tx.insertRun({ runId: "run-2", hostId: "h", spec: SPEC, idempotencyKey: "k" });
        tx.rehomeRun("run-1", "a");
        tx.noteRun("run-1", "n");
        tx.planTask("task-1", { files: 1, sizeBytes: 1 });
        tx.putResult("task-1", { op: "mirror", lanes: [], unreadable: [], unreadableCount: 0 });
        tx.putScan("run-1", "docs", {
          kind: "failed",
          error: { code: "io", message: "x", retry: "no" },
        });
        tx.changeDestination("run-1", "/mnt/a", { isCancelled: true });
        tx.putAgent(agent("b"));
        tx.dropAgent("a");
        throw new Error("no");
      }), /^Error: no$/);
    assert.deepEqual(all(), before);
  });

  test("the report stays with the run and the end has a time", (store, clock) => {
    insert(store, "run-1", []);
    store.transact((tx) => tx.moveRun("run-1", "planning"));
    const report = {
      runId: "run-1",
      state: "failed" as const,
      startedAtMs: clock.nowMs(),
      elapsedMs: 0.25,
      sources: [],
      destinations: [],
      exitCode: 1,
    };
    store.transact((tx) => tx.moveRun("run-1", "failed", report));
    assert.deepEqual(store.run("run-1")!.report, report);
    assert.equal(store.run("run-1")!.endedAtMs, clock.nowMs());
  });

  test("what is handed out or in is a copy", (store) => {
    insert(store, "run-1", []);
    store.run("run-1")!.spec.sources.length = 0;
    assert.deepEqual(store.run("run-1")!.spec, SPEC);
  });

  test("only the newest ended runs are kept, and every run that has not ended", (store) => {
    insert(store, "run-live", ["task-live"]);
    for (let i = 0; i <= ENDED_RUNS_KEPT + 1; i++) {
      insert(store, `run-${i}`, i === 0 ? ["task-0"] : []);
      store.transact((tx) => tx.moveRun(`run-${i}`, "cancelled"));
    }
    insert(store, "run-last", []);
    assert.equal(store.runs(1e6).length, ENDED_RUNS_KEPT + 2);
    assert.equal(store.run("run-0"), undefined);
    assert.equal(store.task("task-0"), undefined);
    assert.deepEqual(store.eventsAfter(0, 9, "run-0"), []);
    assert.ok(store.run("run-2"));
    assert.ok(store.task("task-live"));
  });

  test("a closed store answers nothing", (store) => {
    store.close();
    assert.throws(() => store.runs(1), TypeError);
    assert.throws(() => store.transact(() => 1), TypeError);
  });
}

function agent(agentId: string): StoredAgent {
  return {
    agentId,
    name: `Agent ${agentId}`,
    url: "http://127.0.0.1:8801/rpc",
    version: "0.1.0",
    facts: {
      agentId,
      bootId: "boot-1",
      hostId: "host-1",
      capabilities: ["mirror"],
      roots: ["home"],
      limits: { slots: 2 },
      load: { score: 0.5, observedAtMs: 1 },
      state: "ready",
    },
    isDraining: false,
  };
}

function insert(store: JobStore, runId: string, taskIds: readonly string[]): void {
  store.transact((tx) => tx.insertRun({ runId, hostId: "host-1", spec: SPEC }));
  for (const taskId of taskIds) insertTask(store, runId, taskId);
}

function insertTask(store: JobStore, runId: string, taskId: string): void {
  const task = { taskId, runId, source: SOURCE, requires: ["mirror"], sizeBytes: 7 };
  store.transact((tx) => tx.insertTask(task));
}

function moveTask(store: JobStore, taskId: string, to: TaskState): void {
  store.transact((tx) => {
    if (to === "assigned") tx.assignTask(taskId, "agent-1");
    else tx.moveTask(taskId, tx.task(taskId)!.epoch, to);
  });
}

/** For each state one way to get there from `start`. */
function shortestPaths<S extends string>(
  start: S,
  table: Record<S, readonly S[]>,
): Map<S, readonly S[]> {
  const paths = new Map<S, readonly S[]>([[start, []]]);
  for (const [from, path] of paths) {
    for (const to of table[from]) if (!paths.has(to)) paths.set(to, [...path, to]);
  }
  return paths;
}
