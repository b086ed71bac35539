import assert from "node:assert/strict";
import fc from "fast-check";
import type { AgentCardView, TaskCard } from "../../../protocol/mesh/console_state.ts";
import {
  CHARACTER_WIDTH,
  DOTS_MAX,
  layOutMesh,
  MAP,
  NAME_GAP,
  type NodePlace,
  placeTasks,
} from "./mesh_layout.ts";

function agents(count: number): AgentCardView[] {
  return Array.from({ length: count }, (_, at) => ({
    agentId: `agent-${at}`,
    name: `worker-${at}`,
    ...{ url: "http://w", version: "1", hostId: "h", capabilities: [], roots: [], slots: 1 },
    ...{ load: 0, state: "alive" as const, tasks: [], heardAtMs: 0, isOwn: false },
    totals: { bytes: 0, files: 0, tasks: 0 },
  }));
}

function task(taskId: string, state: TaskCard["state"], agent: string | null): TaskCard {
  return {
    ...{ taskId, state, agent, runId: "r", epoch: 1, agentName: agent, requires: [], reason: null },
    ...{ files: 1, sizeBytes: 1, source: { path: "/s", name: "s" } },
  };
}

Deno.test("every agent has a place of its own inside of the map, however many there are and however wide it is", () => {
  fc.assert(fc.property(
    fc.nat(60),
    fc.integer({ min: MAP.widthMin, max: MAP.widthMax }),
    (count, width) => {
      const { nodes, height } = layOutMesh(agents(count), width);
      assert.equal(nodes.length, count);
      assert.equal(new Set(nodes.map(({ x, y }) => `${x} ${y}`)).size, count);
      for (const { x, y, radius } of nodes) {
        assert.ok(x >= radius && x <= width - radius, `${x} of ${width}`);
        assert.ok(y >= radius && y <= height - radius, `${y} of ${height}`);
      }
    },
  ));
});

Deno.test("a task moves from the dead agent's node to that of whoever takes it over", () => {
  const layout = layOutMesh(agents(3), 700);
  const at = (some: TaskCard) => {
    const { dots: [dot] } = placeTasks([some], layout);
    return layout.nodes.find(({ x, y, radius }) => Math.hypot(x - dot!.x, y - dot!.y) < radius + 20)
      ?.agentId;
  };
  assert.equal(at(task("t", "running", "agent-1")), "agent-1");
  assert.equal(at(task("t", "queued", "agent-1")), undefined);
  assert.equal(at(task("t", "running", "agent-2")), "agent-2");
  assert.equal(placeTasks([task("t", "succeeded", "agent-2")], layout).dots.length, 0);
});

Deno.test("more tasks than there is room for are told as a number", () => {
  const layout = layOutMesh(agents(1), 700);
  const tasks = Array.from(
    { length: DOTS_MAX.ring + 5 },
    (_, at) => task(`t${at}`, "running", "agent-0"),
  );
  const { dots, more } = placeTasks(tasks, layout);
  assert.equal(dots.length, DOTS_MAX.ring);
  assert.equal(more.get("agent-0"), 5);
});

/** Where a small node's name may stand, with its dots. */
function boxOf({ x, y, radius, name, nameMax }: NodePlace) {
  const words = radius + NAME_GAP + nameMax * CHARACTER_WIDTH;
  const dots = radius + MAP.dotRadius * 2 + 4 + 11 * (DOTS_MAX.column - 1);
  const [left, right] = name === "left" ? [words, dots] : [dots, words];
  return { left: x - left, right: x + right, top: y - 9, bottom: y + 9 };
}

Deno.test("with more agents than fit a ring each has its name, beside it, inside of the map and over no other", () => {
  fc.assert(fc.property(
    fc.integer({ min: 15, max: 120 }),
    fc.integer({ min: MAP.widthMin, max: MAP.widthMax }),
    (count, width) => {
      const { nodes, isDense, centre } = layOutMesh(agents(count), width);
      assert.ok(isDense);
      const boxes = nodes.map(boxOf);
      for (const [at, box] of boxes.entries()) {
        assert.ok(box.left >= 0 && box.right <= width, `${JSON.stringify(box)} of ${width}`);
        const middle = MAP.coordinatorRadius;
        assert.ok(
          box.right < centre.x - middle || box.left > centre.x + middle ||
            box.top > centre.y + middle,
          "over the coordinator",
        );
        for (const other of boxes.slice(at + 1)) {
          const isOver = box.left < other.right && other.left < box.right &&
            box.top < other.bottom && other.top < box.bottom;
          assert.ok(!isOver, `${JSON.stringify(box)} and ${JSON.stringify(other)}`);
        }
      }
    },
  ));
});

Deno.test("agents with numbers in their names stand in the order of the numbers", () => {
  const { nodes } = layOutMesh(agents(20), 700);
  assert.deepEqual(nodes.map(({ agentId }) => agentId), agents(20).map(({ agentId }) => agentId));
});
