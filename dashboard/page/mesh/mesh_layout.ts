/** Where the nodes and dots of the mesh map stand. Rule: pure; an agent keeps its place while the agents are the same. */
import type { AgentCardView, TaskCard } from "../../../protocol/mesh/console_state.ts";

export interface Point {
  x: number;
  y: number;
}

export const MAP = { widthMax: 760, widthMin: 280, dotRadius: 4, coordinatorRadius: 30 } as const;
/** So many in one ring around the coordinator, with their names; from here on two rings of smaller nodes. */
export const ONE_RING_MAX = 14;
/** Dots drawn at one node; the rest is told as a number. */
export const DOTS_MAX = 12;

const RING_HEIGHT = 400;
/** What names need beside the outermost nodes, and above and below them. */
const SIDE = 92;
const ABOVE = 62;
/** Names stand below nodes, so the ring sits a little higher than the middle. */
const LIFT = 12;
/** Narrower than this nodes stand in rows below the coordinator. */
const RING_WIDTH_MIN = 560;
const ROW_TOP = 170;
const ROW_STEP = 112;
const COLUMN_MIN = 104;
const DENSE_COLUMN_MIN = 52;
const DENSE_ROW_STEP = 56;

export interface NodePlace extends Point {
  agentId: string;
  radius: number;
}

export interface MeshLayout {
  width: number;
  height: number;
  /** Of the coordinator. */
  centre: Point;
  nodes: NodePlace[];
  /** Names fit beside the nodes. */
  hasNames: boolean;
  hasChips: boolean;
}

export function layOutMesh(agents: readonly AgentCardView[], width: number): MeshLayout {
  const sorted = [...agents].sort((a, b) => a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
  const hasNames = sorted.length <= ONE_RING_MAX;
  return width < RING_WIDTH_MIN
    ? inRows(sorted, width, hasNames)
    : inRings(sorted, width, hasNames);
}

function inRings(sorted: readonly AgentCardView[], width: number, hasNames: boolean): MeshLayout {
  const centre = { x: width / 2, y: RING_HEIGHT / 2 - LIFT };
  const inner = hasNames ? sorted.length : Math.ceil(sorted.length / 3);
  const nodes = sorted.map((agent, at) => {
    const isInner = at < inner;
    const index = isInner ? at : at - inner + 0.5;
    const count = isInner ? inner : sorted.length - inner;
    const reach = !hasNames && isInner ? 0.55 : 1;
    // Two stand left and right, where there is the most room.
    const turn = count === 2 ? Math.PI / 2 : 0;
    const angle = (2 * Math.PI * index) / count - Math.PI / 2 + turn;
    return {
      agentId: agent.agentId,
      radius: hasNames ? 24 : 12,
      x: round(centre.x + Math.cos(angle) * (width / 2 - SIDE) * reach),
      y: round(centre.y + Math.sin(angle) * (RING_HEIGHT / 2 - ABOVE) * reach),
    };
  });
  return { width, height: RING_HEIGHT, centre, nodes, hasNames, hasChips: hasNames };
}

function inRows(sorted: readonly AgentCardView[], width: number, hasNames: boolean): MeshLayout {
  const columns = Math.max(1, Math.floor(width / (hasNames ? COLUMN_MIN : DENSE_COLUMN_MIN)));
  const step = hasNames ? ROW_STEP : DENSE_ROW_STEP;
  const rows = Math.ceil(sorted.length / columns);
  const nodes = sorted.map((agent, at) => {
    const row = Math.floor(at / columns);
    const inRow = Math.min(columns, sorted.length - row * columns);
    return {
      agentId: agent.agentId,
      radius: hasNames ? 24 : 12,
      x: round(width * ((at % columns) + 0.5) / inRow),
      y: ROW_TOP + row * step,
    };
  });
  const height = ROW_TOP + Math.max(0, rows - 1) * step + (hasNames ? 70 : 30);
  return { width, height, centre: { x: width / 2, y: 46 }, nodes, hasNames, hasChips: false };
}

export interface DotPlace extends Point {
  taskId: string;
  state: TaskCard["state"];
}

/** Tasks that go on, each at the agent that has it, those that wait at the coordinator. */
export function placeTasks(
  tasks: readonly TaskCard[],
  { nodes, centre }: Pick<MeshLayout, "nodes" | "centre">,
): { dots: DotPlace[]; more: Map<string, number> } {
  const middle: NodePlace = { agentId: "", radius: MAP.coordinatorRadius, ...centre };
  const byAgent = new Map(nodes.map((node) => [node.agentId, node]));
  const taken = new Map<string, number>();
  const more = new Map<string, number>();
  const dots: DotPlace[] = [];
  for (const task of [...tasks].sort((a, b) => a.taskId < b.taskId ? -1 : 1)) {
    if (task.state !== "queued" && task.state !== "assigned" && task.state !== "running") continue;
    const owner = task.state === "queued" || task.agent === null
      ? undefined
      : byAgent.get(task.agent);
    const node = owner ?? middle;
    const index = taken.get(node.agentId) ?? 0;
    taken.set(node.agentId, index + 1);
    if (index >= DOTS_MAX) {
      more.set(node.agentId, (more.get(node.agentId) ?? 0) + 1);
      continue;
    }
    const angle = (index * 2 * Math.PI) / DOTS_MAX - Math.PI / 2;
    const reach = node.radius + MAP.dotRadius + 7;
    dots.push({
      taskId: task.taskId,
      state: task.state,
      x: round(node.x + Math.cos(angle) * reach),
      y: round(node.y + Math.sin(angle) * reach),
    });
  }
  return { dots, more };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
