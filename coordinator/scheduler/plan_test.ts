/** The scheduler by tables: who gets what, and what the others are told. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { LaneState } from "../../protocol/mesh/progress.ts";
import { mirrorHoldsSlot } from "../../protocol/mesh/holds_slot.ts";
import { plan, TASKS_PER_AGENT_MAX } from "./plan.ts";
import { createPlanner, STEAL_AFTER_MS } from "./planner.ts";
import type { AgentView, Command, PlannerLimits, RunView, TaskView } from "./view.ts";

const NOW_MS = 1000;

function agent(agentId: string, more: Partial<AgentView> = {}): AgentView {
  return { agentId, capabilities: ["mirror"], slots: 1, load: 0, ...more };
}

function task(taskId: string, more: Partial<TaskView> = {}): TaskView {
  return {
    taskId,
    runId: "run-1",
    requires: ["mirror"],
    sizeBytes: 1,
    agentId: null,
    holdsSlot: false,
    onlyAgents: null,
    notBeforeMs: 0,
    ...more,
  };
}

/** `task>agent` for an assignment, `task: reason` for a wait. */
function planned(
  agents: AgentView[],
  tasks: TaskView[],
  runs: RunView[] = [],
  limits: PlannerLimits = {},
): string[] {
  return shown(plan({ agents, tasks, runs }, NOW_MS, limits));
}

function shown(commands: readonly Command[]): string[] {
  return commands.map((c) =>
    c.kind === "assign"
      ? `${c.taskId}>${c.agentId}`
      : c.kind === "wait"
      ? `${c.taskId}: ${c.reason}`
      : `${c.taskId}<${c.agentId}`
  );
}

const TABLE: readonly [
  string,
  AgentView[],
  TaskView[],
  string[],
  RunView[]?,
  PlannerLimits?,
][] = [
  ["nothing to do gives no command", [agent("a")], [], []],
  ["a queued task goes to an agent that can do it", [agent("a")], [task("t")], ["t>a"]],
  [
    "aliases match their wire ids",
    [agent("a", { capabilities: ["backup.parallel"] })],
    [task("t", { requires: ["parallel"] })],
    ["t>a"],
  ],
  [
    "a task that no agent can do waits and says what is missing",
    [agent("a"), agent("b", { capabilities: [] })],
    [task("t", { requires: ["mirror", "encrypt"] })],
    ["t: No agent offers encrypt (nearest: a)"],
  ],
  ["without agents a task waits", [], [task("t")], ["t: No agent is known"]],
  [
    "a task bound to one agent waits for it even when another is idle",
    [agent("a")],
    [task("t", { onlyAgents: ["b"] })],
    ["t: Waiting for b: no other agent can reach its data"],
  ],
  [
    "a task bound to a busy agent waits for a slot there",
    [agent("a"), agent("b")],
    [task("r", { agentId: "b", holdsSlot: true }), task("t", { onlyAgents: ["b"] })],
    ["t: All slots are in use"],
  ],
  [
    "the largest task of a run goes first",
    [agent("a")],
    [task("small", { sizeBytes: 1 }), task("big", { sizeBytes: 9 })],
    ["big>a", "small: All slots are in use"],
  ],
  [
    "a burst is spread, because an assignment is reserved at once",
    [agent("a", { slots: 2 }), agent("b", { slots: 2 })],
    [task("t1"), task("t2"), task("t3"), task("t4")],
    ["t1>a", "t2>b", "t3>a", "t4>b"],
  ],
  [
    "the least loaded agent is taken, by its own word too",
    [agent("a", { load: 0.7 }), agent("b", { load: 0.2 })],
    [task("t")],
    ["t>b"],
  ],
  [
    "a load outside 0…1 is clamped, so the tie goes to the first",
    [agent("a", { load: -3 }), agent("b", { load: 0 })],
    [task("t")],
    ["t>a"],
  ],
  [
    "slots already held count as load",
    [agent("a", { slots: 2 }), agent("b", { slots: 2 })],
    [task("r", { agentId: "a", holdsSlot: true }), task("t")],
    ["t>b"],
  ],
  [
    "a task that waits only for slow lanes leaves its slot to the next",
    [agent("a")],
    [task("r", { agentId: "a", holdsSlot: false }), task("t")],
    ["t>a"],
  ],
  [
    "a task in backoff gets no command",
    [agent("a")],
    [task("t", { notBeforeMs: NOW_MS + 1 }), task("u", { notBeforeMs: NOW_MS })],
    ["u>a"],
  ],
  [
    "two runs share the slots in turn, whatever their sizes",
    [agent("a", { slots: 3 })],
    [
      task("x1", { runId: "x", sizeBytes: 9 }),
      task("x2", { runId: "x", sizeBytes: 8 }),
      task("y1", { runId: "y", sizeBytes: 1 }),
    ],
    ["x1>a", "y1>a", "x2>a"],
  ],
  [
    "a run that waits in vain does not hold up another",
    [agent("a")],
    [task("x", { runId: "x", requires: ["encrypt"] }), task("y", { runId: "y" })],
    ["y>a", "x: No agent offers encrypt (nearest: a)"],
  ],
  [
    "an agent has a limit of tasks even when none of them holds a slot",
    [agent("a")],
    [
      ...Array.from({ length: TASKS_PER_AGENT_MAX }, (_, i) => task(`r${i}`, { agentId: "a" })),
      task("t"),
    ],
    ["t: All slots are in use"],
  ],
  [
    "a task goes to the host of its directory, even where another is idle",
    [agent("a", { hostId: "h1" }), agent("b", { hostId: "h2", load: 0.9 })],
    [task("t", { place: { hostId: "h2" } }), task("u", { place: { hostId: "h3" } })],
    ["t>b", "u: No agent is known on the host of its directory"],
  ],
  [
    "a root's label wins over the host",
    [agent("a", { hostId: "h1" }), agent("b", { hostId: "h2", roots: ["nas"] })],
    [
      task("t", { place: { hostId: "h1", root: "nas" } }),
      task("u", { place: { hostId: "h1", root: "tape" } }),
    ],
    ["t>b", "u: No agent has a root tape"],
  ],
  [
    "what is draining, silent or dead gets nothing, and the reason says so",
    [
      agent("a", { readiness: "draining" }),
      agent("b", { readiness: "suspect" }),
      agent("c", { readiness: "dead" }),
    ],
    [task("t")],
    ["t: Waiting for an agent: a is draining, b is suspect, c is dead"],
  ],
  [
    "an agent that failed a task is avoided, and waited for another",
    [agent("a"), agent("b")],
    [task("r", { agentId: "b", holdsSlot: true }), task("t", { avoid: ["a"] })],
    ["t: All slots are in use"],
  ],
  [
    "an agent that failed a task gets it when there is no other",
    [agent("a"), agent("b", { readiness: "dead" })],
    [task("t", { avoid: ["a"] })],
    ["t>a"],
  ],
  [
    "an agent that cannot reach the destinations of a run gets nothing of it",
    [agent("a")],
    [task("t"), task("u", { runId: "run-2" })],
    ["u>a", "t: Agent a cannot take part: its /mnt/b is another disk"],
    [{ runId: "run-1", excluded: new Map([["a", "its /mnt/b is another disk"]]) }],
  ],
  [
    "a run that is paused waits and holds up no other",
    [agent("a")],
    [task("t"), task("u", { runId: "run-2" })],
    ["u>a", "t: The run is paused"],
    [{ runId: "run-1", isPaused: true }],
  ],
  [
    "the coordinator has a limit of tasks at once",
    [agent("a", { slots: 9 })],
    [task("r", { agentId: "gone", holdsSlot: true }), task("t"), task("u")],
    ["t>a", "u: The coordinator runs 2 tasks at once, and no more"],
    [],
    { tasksMax: 2 },
  ],
  [
    "S1-21: a directory comes after another, also when it is named before it",
    [agent("a", { slots: 9 })],
    [
      task("ssh", { source: ".ssh", after: ["Documents"], sizeBytes: 99 }),
      task("docs", { source: "Documents" }),
    ],
    ["ssh: Waits for Documents", "docs>a"],
  ],
  [
    "what it comes after has no task any more: it comes at once",
    [agent("a")],
    [task("t", { source: "b", after: ["a"] })],
    ["t>a"],
  ],
  [
    "without any other agent the coordinator's own is used at once",
    [agent("own", { isFallback: true })],
    [task("t"), task("u")],
    ["t>own", "u: All slots are in use"],
  ],
  [
    "an agent that is near and cannot do it is no reason to use the coordinator's own",
    [agent("own", { isFallback: true, capabilities: ["mirror", "encrypt"] }), agent("a")],
    [task("t", { requires: ["encrypt"] })],
    ["t: No agent offers encrypt (nearest: a)"],
    [],
    { fallbackAfterMs: 0 },
  ],
  [
    "a load that is no number is a busy agent",
    [agent("a", { load: NaN }), agent("b", { load: 0.9 })],
    [task("t")],
    ["t>b"],
  ],
];

for (const [title, agents, tasks, expected, runs, limits] of TABLE) {
  Deno.test(`plan: ${title}`, () => {
    assert.deepEqual(planned(agents, tasks, runs, limits), expected);
  });
}

Deno.test("planner: the coordinator's own agent waits as long as it is told, then steps in, one task at a time", () => {
  const planner = createPlanner({ fallbackAfterMs: 500 });
  planner.putAgent(agent("own", { isFallback: true }));
  planner.putAgent(agent("a", { readiness: "dead" }));
  planner.add(task("t"));
  planner.add(task("u"));
  assert.deepEqual(shown(planner.plan(0)), [
    "t: Waiting for an agent: a is dead",
    "u: Waiting for an agent: a is dead",
  ]);
  assert.equal(planner.nextDueMs(0), 500);
  assert.deepEqual(shown(planner.plan(499)), []);
  assert.deepEqual(shown(planner.plan(500)), ["t>own", "u: All slots are in use"]);
  // An agent that is back takes what is left.
  planner.putAgent(agent("a"));
  assert.deepEqual(shown(planner.plan(501)), ["u>a"]);
});

Deno.test("planner: time without an agent is counted anew after there was one", () => {
  const planner = createPlanner({ fallbackAfterMs: 500 });
  planner.putAgent(agent("own", { isFallback: true }));
  planner.putAgent(agent("a", { readiness: "draining" }));
  planner.add(task("t"));
  planner.plan(0);
  planner.putAgent(agent("a", { readiness: "suspect" }));
  assert.deepEqual(shown(planner.plan(400)), ["t: Waiting for an agent: a is suspect"]);
  planner.putAgent(agent("a", { readiness: "dead" }));
  assert.deepEqual(shown(planner.plan(600)), ["t: Waiting for an agent: a is dead"]);
  assert.deepEqual(shown(planner.plan(1100)), ["t>own"]);
});

Deno.test("planner: an idle agent gets what a busy one has not begun, once, and not what it has begun", () => {
  const planner = createPlanner();
  planner.putAgent(agent("a", { slots: 3 }));
  for (const id of ["t1", "t2", "t3"]) planner.add(task(id));
  assert.equal(planner.plan(0).length, 3);
  planner.begin("t1");
  planner.putAgent(agent("b", { slots: 3 }));
  assert.deepEqual(shown(planner.plan(STEAL_AFTER_MS - 1)), []);
  assert.equal(planner.nextDueMs(STEAL_AFTER_MS - 1), STEAL_AFTER_MS);
  assert.deepEqual(shown(planner.plan(STEAL_AFTER_MS)), ["t2<a"]);
  planner.requeue("t2");
  assert.deepEqual(shown(planner.plan(STEAL_AFTER_MS)), ["t2>b"]);
  assert.deepEqual(shown(planner.plan(STEAL_AFTER_MS * 9)), []);
});

Deno.test("planner: a task that was handed over counts where it is now", () => {
  const planner = createPlanner();
  planner.putAgent(agent("a"));
  planner.putAgent(agent("b"));
  planner.add(task("t"));
  planner.plan(0);
  planner.move("t", "b");
  planner.add(task("u"));
  planner.add(task("v"));
  assert.deepEqual(shown(planner.plan(0)), ["u>a", "v: All slots are in use"]);
  planner.end("t");
  assert.deepEqual(shown(planner.plan(0)), ["v>b"]);
});

Deno.test("planner: a task comes when the last task of what it comes after has ended, in chains too", () => {
  const planner = createPlanner();
  planner.putAgent(agent("a", { slots: 9 }));
  planner.add(task("c", { source: "C", after: ["B"] }));
  planner.add(task("b", { source: "B", after: ["A"] }));
  planner.add(task("a1", { source: "A" }));
  planner.add(task("a2", { source: "A" }));
  assert.deepEqual(shown(planner.plan(0)), ["c: Waits for B", "b: Waits for A", "a1>a", "a2>a"]);
  planner.end("a1");
  assert.deepEqual(shown(planner.plan(0)), []);
  planner.requeue("a2");
  assert.deepEqual(shown(planner.plan(0)), ["a2>a"]);
  planner.end("a2");
  assert.deepEqual(shown(planner.plan(0)), ["b>a"]);
  planner.end("b");
  assert.deepEqual(shown(planner.plan(0)), ["c>a"]);
});

Deno.test("planner: the same reason is told once, and again only after it changed", () => {
  const planner = createPlanner();
  planner.putAgent(agent("a"));
  planner.add(task("t", { requires: ["encrypt"] }));
  assert.equal(planner.plan(0).length, 1);
  assert.equal(planner.plan(1).length, 0);
  planner.add(task("u", { requires: ["encrypt"] }));
  assert.deepEqual(planner.plan(2).map((c) => c.taskId), ["u"]);
  planner.dropAgent("a");
  assert.deepEqual(shown(planner.plan(3)), ["t: No agent is known", "u: No agent is known"]);
  planner.dropRun("run-1");
  assert.equal(planner.queued, 0);
  assert.deepEqual(planner.plan(4), []);
});

Deno.test("plan: no agent ever gets more than its slots, every due task gets one command, and equal views give equal plans", () => {
  const agents = fc.uniqueArray(
    fc.record({
      agentId: fc.constantFrom("a", "b", "c"),
      capabilities: fc.subarray(["mirror", "encrypt"]),
      slots: fc.integer({ min: 1, max: 3 }),
      load: fc.double({ min: -1, max: 2, noNaN: true }),
    }),
    { selector: (a) => a.agentId },
  );
  const tasks = fc.uniqueArray(
    fc.record({
      taskId: fc.integer({ min: 0, max: 30 }).map((n) => `t${n}`),
      runId: fc.constantFrom("x", "y"),
      requires: fc.subarray(["mirror", "encrypt"]),
      sizeBytes: fc.nat(9),
      agentId: fc.constantFrom(null, null, "a", "b", "gone"),
      holdsSlot: fc.boolean(),
      onlyAgents: fc.constantFrom(null, ["a"], ["b", "c"]),
      notBeforeMs: fc.constantFrom(0, 2000),
    }),
    { selector: (t) => t.taskId },
  );
  fc.assert(fc.property(agents, tasks, (someAgents, someTasks) => {
    const view = { agents: someAgents, tasks: someTasks };
    const commands = plan(view, NOW_MS);
    assert.deepEqual(plan(structuredClone(view), NOW_MS), commands);
    const due = someTasks.filter((t) => t.agentId === null && t.notBeforeMs <= NOW_MS);
    assert.deepEqual(commands.map((c) => c.taskId).sort(), due.map((t) => t.taskId).sort());
    for (const { agentId, slots } of someAgents) {
      const held = someTasks.filter((t) => t.agentId === agentId && t.holdsSlot).length;
      const given = commands.filter((c) => c.kind === "assign" && c.agentId === agentId).length;
      assert.ok(given <= Math.max(0, slots - held));
    }
  }));
});

const SLOT_TABLE: readonly [LaneState[], boolean][] = [
  [[], true],
  [["analyze", "manifest"], true],
  [["copy", "copy"], true],
  [["copy", "flush"], false],
  [["copy", "verify"], false],
  [["verified", "analyze"], false],
  [["failed", "copy"], false],
  [["cancelled", "copy"], false],
];

for (const [lanes, holds] of SLOT_TABLE) {
  Deno.test(`a task with lanes [${lanes.join(", ")}] ${holds ? "holds" : "frees"} its slot`, () => {
    assert.equal(mirrorHoldsSlot(lanes), holds);
  });
}

Deno.test("plan: agents that say the same load, as those of one machine do, share a burst", () => {
  const agents = ["a", "b", "c"].map((id) => agent(id, { load: 1, slots: 3 }));
  const tasks = ["t1", "t2", "t3", "t4", "t5", "t6"].map((id) => task(id));
  assert.deepEqual(
    plan({ agents, tasks }, NOW_MS).map((c) => c.kind === "assign" ? c.agentId : c.kind),
    ["a", "b", "c", "a", "b", "c"],
  );
});
