import assert from "node:assert/strict";
import type { AgentCardView, TaskCard } from "../../../protocol/mesh/console_state.ts";
import { calledBy, labelOf, openTasks, whoCouldTake } from "./handoff.ts";

function agent(name: string, more: Partial<AgentCardView> = {}): AgentCardView {
  return {
    agentId: `id-${name}`,
    name,
    ...{
      url: "http://w",
      version: "1",
      hostId: "h",
      capabilities: ["mirror"],
      roots: [],
      slots: 1,
    },
    ...{ load: 0, state: "alive" as const, tasks: [], heardAtMs: 0, isOwn: false },
    totals: { bytes: 0, files: 0, tasks: 0 },
    ...more,
  };
}

function task(taskId: string, more: Partial<TaskCard> = {}): TaskCard {
  return {
    ...{ taskId, state: "running", agent: "id-a", agentName: "a", runId: "r", epoch: 1 },
    ...{ files: 1, sizeBytes: 1, source: { path: "/s", name: "s", hostId: "h" }, reason: null },
    requires: ["mirror"],
    ...more,
  };
}

Deno.test("a task can be given to whoever lives, reaches its directory and offers what it needs, and to nobody else", () => {
  const agents = [
    agent("a"),
    agent("z"),
    agent("b"),
    agent("dead", { state: "dead" }),
    agent("leaving", { state: "draining" }),
    agent("elsewhere", { hostId: "other" }),
    agent("less", { capabilities: [] }),
    agent("coordinator", { isOwn: true }),
  ];
  const names = (some: TaskCard) => whoCouldTake(some, agents).map(({ name }) => name);
  assert.deepEqual(names(task("t")), ["b", "z"]);
  assert.deepEqual(names(task("t", { state: "queued", agent: null })), []);
  assert.deepEqual(names(task("t", { agent: "id-coordinator" })), []);
  const below = { path: "s", name: "s", root: "media" };
  assert.deepEqual(names(task("t", { source: below })), []);
  const rooted = [...agents, agent("nas", { hostId: "other", roots: ["media"] })];
  assert.deepEqual(
    whoCouldTake(task("t", { source: below }), rooted).map(({ name }) => name),
    ["nas"],
  );
});

Deno.test("tasks in hand come first, those of other runs and ended ones not at all", () => {
  const tasks = [
    task("1", { state: "queued", agent: null }),
    task("2", { state: "succeeded" }),
    task("3", { source: { path: "/z", name: "z" } }),
    task("4", { runId: "other" }),
    task("5", { source: { path: "/b", name: "b" }, state: "assigned" }),
  ];
  const open = openTasks(Object.fromEntries(tasks.map((one) => [one.taskId, one])), "r");
  assert.deepEqual(open.map(({ taskId }) => taskId), ["5", "3", "1"]);
});

Deno.test("a command names an agent as it can be told from the others, and a part as what it is", () => {
  const twins = [agent("b"), agent("b", { agentId: "id-b2" }), agent("c")];
  assert.equal(calledBy(twins[0]!, twins), "id-b");
  assert.equal(calledBy(twins[2]!, twins), "c");
  const part = { part: { label: "a to m" } } as Partial<TaskCard>;
  assert.equal(labelOf(task("t", part)), "s (a to m)");
});
