/** Coordinator, agents and the tasks that move between them. Rule: a picture of the table
 * that stands below it; what moves are boxes of their own over the drawing, so that a browser moves them without drawing anew. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { AgentCardView, TaskCard } from "../../../protocol/mesh/console_state.ts";
import { clampFraction } from "../../../protocol/cli/format.ts";
import { memo } from "../ui/memo.ts";
import { canEverything } from "../words.ts";
import { layOutMesh, MAP, NAME_GAP, type NameSide, placeTasks } from "./mesh_layout.ts";

const CHIPS_MAX = 3;
const COORDINATOR_NAME_MAX = 18;
/** In a small node, beside its colour. */
const SIGNS: Partial<Record<AgentCardView["state"], string>> = {
  dead: "×",
  suspect: "?",
  draining: "–",
};
/** Beyond the dots of one. */
const MORE_AT = 34;

export interface MeshMapProps {
  agents: Readonly<Record<string, AgentCardView>>;
  tasks: Readonly<Record<string, TaskCard>>;
  coordinatorName: string;
}

export const MeshMap = memo(({ agents, tasks, coordinatorName }: MeshMapProps) => {
  const frame = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState<number>(MAP.widthMax);
  useEffect(() => {
    const watcher = new ResizeObserver(([entry]) =>
      setWidth(
        Math.round(Math.min(MAP.widthMax, Math.max(MAP.widthMin, entry!.contentRect.width))),
      )
    );
    if (frame.current !== null) watcher.observe(frame.current);
    return () => watcher.disconnect();
  }, []);
  const shown = Object.values(agents).filter((agent) => agent.state !== "foreign");
  const layout = layOutMesh(shown, width);
  const { nodes, centre, height } = layout;
  const { dots, more } = placeTasks(Object.values(tasks), layout);
  return (
    <div ref={frame}>
      <div
        class={`mesh-stage ${layout.isDense ? "is-dense" : ""}`}
        style={{ width: `${width}px`, height: `${height}px` }}
      >
        <svg
          class="mesh-map"
          viewBox={`0 0 ${width} ${height}`}
          width={width}
          height={height}
          role="img"
          aria-label={summary(shown)}
        >
          {nodes.map((node) => (
            <line
              key={node.agentId}
              class={`edge is-${agents[node.agentId]?.state}`}
              x1={centre.x}
              y1={centre.y}
              x2={node.x}
              y2={node.y}
            />
          ))}
          <g class="node is-coordinator" transform={`translate(${centre.x} ${centre.y})`}>
            <circle class="node-body" r={MAP.coordinatorRadius} />
            <text class="node-letter" y={6}>C</text>
            <text class="node-name" y={MAP.coordinatorRadius + 24}>
              {short(coordinatorName, COORDINATOR_NAME_MAX)}
            </text>
          </g>
          {nodes.map((node) => (
            <Node
              key={node.agentId}
              agent={agents[node.agentId]!}
              {...node}
              hasChips={layout.hasChips}
              more={more.get(node.agentId) ?? 0}
            />
          ))}
        </svg>
        {!layout.isDense && nodes.map(({ agentId, x, y, radius }) => {
          const { state, heardAtMs } = agents[agentId]!;
          if (state === "dead" || heardAtMs === null) return null;
          return (
            <div
              key={`${agentId} ${heardAtMs}`}
              class="pulse"
              aria-hidden="true"
              style={{ left: `${x - radius}px`, top: `${y - radius}px` }}
            />
          );
        })}
        {dots.map(({ taskId, state, x, y }) => (
          <div
            key={taskId}
            class={`task-dot is-${state}`}
            data-task={taskId}
            aria-hidden="true"
            style={{ transform: `translate(${x}px, ${y}px)` }}
          />
        ))}
      </div>
    </div>
  );
});

interface NodeProps {
  agent: AgentCardView;
  x: number;
  y: number;
  radius: number;
  name: NameSide;
  nameMax: number;
  hasChips: boolean;
  more: number;
}

const Node = memo((props: NodeProps) => {
  const { agent, x, y, radius, name, nameMax, hasChips, more } = props;
  const length = 2 * Math.PI * radius;
  const load = clampFraction(agent.load);
  const isGone = agent.state === "dead";
  return (
    <g
      class={`node is-${agent.state}`}
      transform={`translate(${x} ${y})`}
      data-agent={agent.name}
      data-state={agent.state}
    >
      <title>{titleOf(agent)}</title>
      <circle class="node-body" r={radius} />
      <circle class="load-track" r={radius} />
      {!isGone && load > 0 && (
        <circle
          class="load-ring"
          r={radius}
          transform="rotate(-90)"
          stroke-dasharray={`${load * length} ${length}`}
        />
      )}
      {name === "below"
        ? (
          <>
            <text class="node-letter" y={5}>{isGone ? "×" : `${Math.round(load * 100)}%`}</text>
            <text class="node-name" y={radius + 32}>{short(agent.name, nameMax)}</text>
            {(hasChips || agent.state !== "alive") && (
              <text class="node-chips" y={radius + 48}>{isGone ? "dead" : chips(agent)}</text>
            )}
            {more > 0 && <text class="node-more" x={radius + 16} y={-radius}>{`+${more}`}</text>}
          </>
        )
        : <SideWords {...props} />}
    </g>
  );
});

/** Beside a small node: its name, what is wrong with it where there is room, and how many tasks more than there are dots. */
function SideWords(
  { agent, radius, name, nameMax, hasChips, more }: NodeProps,
) {
  const way = name === "left" ? -1 : 1;
  const sign = SIGNS[agent.state];
  return (
    <>
      {sign !== undefined && <text class="node-letter" y={4}>{sign}</text>}
      <text class={`node-name is-${name}`} x={way * (radius + NAME_GAP)} y={4}>
        {short(agent.name, nameMax)}
        {hasChips && sign !== undefined && <tspan class="node-state">{` ${agent.state}`}</tspan>}
      </text>
      {more > 0 && (
        <text class={`node-more is-${name === "left" ? "right" : "left"}`} x={-way * MORE_AT} y={4}>
          {`+${more}`}
        </text>
      )}
    </>
  );
}

/** All of it, for whoever points at a node. */
function titleOf({ name, state, load, isOwn }: AgentCardView): string {
  if (isOwn) return `${name}, the coordinator's own, when nobody else can`;
  return state === "dead" ? `${name}, dead` : `${name}, ${state}, load ${Math.round(load * 100)} %`;
}

function chips({ capabilities, state, isOwn }: AgentCardView): string {
  if (isOwn) return "when nobody else can";
  if (state === "suspect" || state === "draining") return state;
  if (canEverything(capabilities)) return "can everything";
  const words = capabilities.map((id) => id.replace(/^backup\./, ""));
  const more = words.length > CHIPS_MAX ? ["…"] : [];
  return [...words.slice(0, CHIPS_MAX), ...more].join(" · ");
}

function short(name: string, most: number): string {
  return name.length <= most ? name : `${name.slice(0, most - 1)}…`;
}

function summary(agents: readonly AgentCardView[]): string {
  const alive = agents.filter((agent) => agent.state === "alive").length;
  const dead = agents.filter((agent) => agent.state === "dead").map((agent) => agent.name);
  return `${alive} of ${agents.length} agents are there` +
    `${dead.length === 0 ? "" : `, ${dead.join(", ")} ${dead.length === 1 ? "is" : "are"} dead`}`;
}
