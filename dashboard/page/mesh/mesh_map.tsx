/** Coordinator, agents and the tasks that move between them. Rule: a picture of the table
 * that stands below it; what moves are boxes of their own over the drawing, so that a browser moves them without drawing anew. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { AgentCardView, TaskCard } from "../../../protocol/mesh/console_state.ts";
import { clampFraction } from "../../../protocol/cli/format.ts";
import { memo } from "../ui/memo.ts";
import { layOutMesh, MAP, placeTasks } from "./mesh_layout.ts";

const CHIPS_MAX = 3;
const NAME_CHARACTERS = 18;

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
      <div class="mesh-stage" style={{ width: `${width}px`, height: `${height}px` }}>
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
            <text class="node-name" y={MAP.coordinatorRadius + 24}>{short(coordinatorName)}</text>
          </g>
          {nodes.map((node) => (
            <Node
              key={node.agentId}
              agent={agents[node.agentId]!}
              {...node}
              hasNames={layout.hasNames}
              hasChips={layout.hasChips}
              more={more.get(node.agentId) ?? 0}
            />
          ))}
        </svg>
        {layout.hasNames && nodes.map(({ agentId, x, y, radius }) => {
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
  hasNames: boolean;
  hasChips: boolean;
  more: number;
}

const Node = memo((props: NodeProps) => {
  const { agent, x, y, radius, hasNames, hasChips, more } = props;
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
      <text class="node-letter" y={hasNames ? 5 : 4}>
        {isGone ? "×" : hasNames ? `${Math.round(load * 100)}%` : ""}
      </text>
      {hasNames && <text class="node-name" y={radius + 32}>{short(agent.name)}</text>}
      {(hasChips || (hasNames && agent.state !== "alive")) && (
        <text class="node-chips" y={radius + 48}>
          {isGone ? "dead" : chips(agent)}
        </text>
      )}
      {more > 0 && <text class="node-more" x={radius + 16} y={-radius}>{`+${more}`}</text>}
    </g>
  );
});

function chips({ capabilities, state, isOwn }: AgentCardView): string {
  if (isOwn) return "when nobody else can";
  if (state === "suspect" || state === "draining") return state;
  const own = capabilities.map((id) => id.replace(/^backup\./, "")).slice(0, CHIPS_MAX);
  return own.join(" · ");
}

function short(name: string): string {
  return name.length <= NAME_CHARACTERS ? name : `${name.slice(0, NAME_CHARACTERS - 1)}…`;
}

function summary(agents: readonly AgentCardView[]): string {
  const alive = agents.filter((agent) => agent.state === "alive").length;
  const dead = agents.filter((agent) => agent.state === "dead").map((agent) => agent.name);
  return `${alive} of ${agents.length} agents are there` +
    `${dead.length === 0 ? "" : `, ${dead.join(", ")} ${dead.length === 1 ? "is" : "are"} dead`}`;
}
