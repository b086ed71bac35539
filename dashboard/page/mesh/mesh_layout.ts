/** Where the nodes and dots of the mesh map stand. Rule: pure; an agent keeps its place while the agents are the same. */
import type { AgentCardView, TaskCard } from "../../../protocol/mesh/console_state.ts";
import { byName } from "../words.ts";

export interface Point {
  x: number;
  y: number;
}

export const MAP = { widthMax: 760, widthMin: 280, dotRadius: 4, coordinatorRadius: 30 } as const;
/** So many in one ring around the coordinator; more stand in columns beside it, smaller and each with its name. */
export const ONE_RING_MAX = 14;
/** Dots drawn at one node; the rest is told as a number. */
export const DOTS_MAX = { ring: 12, column: 2 } as const;

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
const CELL_MIN = 104;

const COLUMN_RADIUS = 8;
const COLUMN_STEP = 24;
const COLUMN_TOP = 20;
/** Of one column: a name, its node and the dots beside it. */
const COLUMN_WIDTH = 172;
/** Between the innermost columns stands the coordinator, with what leads to it. */
const MIDDLE_MIN = 170;
const NARROW_TOP = 116;
const NARROW_COLUMN_MIN = 136;
/** Of one, in a font of 12 px that is rather wide. */
export const CHARACTER_WIDTH = 6.9;
/** Between a small node and its name. */
export const NAME_GAP = 7;
const COLUMN_ROWS_MAX = 30;
const DOT_STEP = 11;

/** Which way the name of a node stands; `below` in a ring, else the dots are on the other side. */
export type NameSide = "below" | "left" | "right";

export interface NodePlace extends Point {
  agentId: string;
  radius: number;
  name: NameSide;
  /** Characters that its name may have. */
  nameMax: number;
}

export interface MeshLayout {
  width: number;
  height: number;
  /** Of the coordinator. */
  centre: Point;
  nodes: NodePlace[];
  /** Nodes are small and stand in columns. */
  isDense: boolean;
  /** Further words fit beside names. */
  hasChips: boolean;
}

export function layOutMesh(agents: readonly AgentCardView[], width: number): MeshLayout {
  const sorted = [...agents].sort((a, b) => byName(a.name, b.name));
  const isNarrow = width < RING_WIDTH_MIN;
  if (sorted.length > ONE_RING_MAX) {
    return isNarrow ? inNarrowColumns(sorted, width) : inColumns(sorted, width);
  }
  return isNarrow ? inRows(sorted, width) : inRing(sorted, width);
}

function inRing(sorted: readonly AgentCardView[], width: number): MeshLayout {
  const centre = { x: width / 2, y: RING_HEIGHT / 2 - LIFT };
  const count = sorted.length;
  // Two stand left and right, where there is the most room.
  const turn = count === 2 ? Math.PI / 2 : 0;
  const nodes = sorted.map(({ agentId }, at): NodePlace => {
    const angle = (2 * Math.PI * at) / count - Math.PI / 2 + turn;
    return {
      agentId,
      radius: 24,
      name: "below",
      nameMax: 18,
      x: round(centre.x + Math.cos(angle) * (width / 2 - SIDE)),
      y: round(centre.y + Math.sin(angle) * (RING_HEIGHT / 2 - ABOVE)),
    };
  });
  return { width, height: RING_HEIGHT, centre, nodes, isDense: false, hasChips: true };
}

function inRows(sorted: readonly AgentCardView[], width: number): MeshLayout {
  const columns = Math.max(1, Math.floor(width / CELL_MIN));
  const rows = Math.ceil(sorted.length / columns);
  const nodes = sorted.map(({ agentId }, at): NodePlace => {
    const row = Math.floor(at / columns);
    const inRow = Math.min(columns, sorted.length - row * columns);
    return {
      agentId,
      radius: 24,
      name: "below",
      nameMax: 14,
      x: round(width * ((at % columns) + 0.5) / inRow),
      y: ROW_TOP + row * ROW_STEP,
    };
  });
  const height = ROW_TOP + Math.max(0, rows - 1) * ROW_STEP + 70;
  const centre = { x: width / 2, y: 46 };
  return { width, height, centre, nodes, isDense: false, hasChips: false };
}

/** Left and right of the coordinator, names outwards, so that what leads to the middle crosses as few of them as can be. */
function inColumns(sorted: readonly AgentCardView[], width: number): MeshLayout {
  const most = Math.max(1, Math.floor((width - MIDDLE_MIN) / 2 / COLUMN_WIDTH));
  const perSide = Math.min(most, Math.ceil(sorted.length / 2 / COLUMN_ROWS_MAX));
  const columns = perSide * 2;
  const rows = Math.ceil(sorted.length / columns);
  const height = Math.max(200, COLUMN_TOP * 2 + (rows - 1) * COLUMN_STEP);
  const nodes = sorted.map(({ agentId }, at): NodePlace => {
    const column = Math.floor(at / rows);
    const isLeft = column < perSide;
    const fromEdge = isLeft ? column : columns - 1 - column;
    const inColumn = Math.min(rows, sorted.length - column * rows);
    const inset = (fromEdge + 1) * COLUMN_WIDTH - DOT_STEP * 4;
    return {
      agentId,
      radius: COLUMN_RADIUS,
      name: isLeft ? "left" : "right",
      nameMax: 15,
      x: round(isLeft ? inset : width - inset),
      y: round(height / 2 + (at % rows - (inColumn - 1) / 2) * COLUMN_STEP),
    };
  });
  const centre = { x: width / 2, y: height / 2 - LIFT };
  return { width, height, centre, nodes, isDense: true, hasChips: true };
}

/** On a phone: two columns below the coordinator, or one where it is narrower still. */
function inNarrowColumns(sorted: readonly AgentCardView[], width: number): MeshLayout {
  const columns = Math.max(1, Math.floor(width / NARROW_COLUMN_MIN));
  const rows = Math.ceil(sorted.length / columns);
  const inset = COLUMN_RADIUS + DOT_STEP * 3 + 6;
  const forName = width / columns - inset - COLUMN_RADIUS - NAME_GAP * 2;
  const nodes = sorted.map(({ agentId }, at): NodePlace => ({
    agentId,
    radius: COLUMN_RADIUS,
    name: "right",
    nameMax: Math.floor(forName / CHARACTER_WIDTH),
    x: round(Math.floor(at / rows) * (width / columns) + inset),
    y: NARROW_TOP + (at % rows) * COLUMN_STEP,
  }));
  const height = NARROW_TOP + (rows - 1) * COLUMN_STEP + COLUMN_TOP;
  const centre = { x: width / 2, y: 40 };
  return { width, height, centre, nodes, isDense: true, hasChips: false };
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
  const middle: NodePlace = {
    ...{ agentId: "", radius: MAP.coordinatorRadius, name: "below", nameMax: 0 },
    ...centre,
  };
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
    if (index >= (node.name === "below" ? DOTS_MAX.ring : DOTS_MAX.column)) {
      more.set(node.agentId, (more.get(node.agentId) ?? 0) + 1);
      continue;
    }
    dots.push({ taskId: task.taskId, state: task.state, ...dotAt(node, index) });
  }
  return { dots, more };
}

/** Around a node of a ring; in a line on that side of a small one where its name is not. */
function dotAt({ x, y, radius, name }: NodePlace, index: number): Point {
  if (name === "below") {
    const angle = (index * 2 * Math.PI) / DOTS_MAX.ring - Math.PI / 2;
    const reach = radius + MAP.dotRadius + 7;
    return { x: round(x + Math.cos(angle) * reach), y: round(y + Math.sin(angle) * reach) };
  }
  const reach = radius + MAP.dotRadius + 4 + index * DOT_STEP;
  return { x: round(name === "left" ? x + reach : x - reach), y };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
