/** The scheduler by tables: who gets what, and what the others are told. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { LaneState } from "../../protocol/mesh/progress.ts";
import { mirrorHoldsSlot } from "../../protocol/mesh/holds_slot.ts";
import { plan, TASKS_PER_AGENT_MAX } from "./plan.ts";
import type { AgentView, TaskView } from "./view.ts";

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
function planned(agents: AgentView[], tasks: TaskView[]): string[] {
  return plan({ agents, tasks }, NOW_MS).map((c) =>
    c.kind === "assign" ? `${c.taskId}>${c.agentId}` : `${c.taskId}: ${c.reason}`
  );
}

const TABLE: readonly [string, AgentView[], TaskView[], string[]][] = [
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
    ["x: No agent offers encrypt (nearest: a)", "y>a"],
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
];

for (const [title, agents, tasks, expected] of TABLE) {
  Deno.test(`plan: ${title}`, () => assert.deepEqual(planned(agents, tasks), expected));
}

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
