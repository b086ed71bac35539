/** The tasks of a run in words: which directory, who has it, and a way to give it to another agent. */
import { useRef, useState } from "preact/hooks";
import { formatBytes, formatCount, formatPlural } from "../../../protocol/cli/format.ts";
import type { AgentCardView, TaskCard } from "../../../protocol/mesh/console_state.ts";
import { ActionButton } from "../ui/action_button.tsx";
import { memo } from "../ui/memo.ts";
import {
  calledBy,
  isInHand,
  labelOf,
  openTasks,
  type Taker,
  takerOf,
  TASKS_SHOWN_MAX,
  whoCouldTake,
} from "./handoff.ts";

/** More of them are scrolled through. */
const ROWS_SEEN = 12;
const STATE_WORDS: Partial<Record<TaskCard["state"], string>> = {
  queued: "Waiting",
  assigned: "Given",
  running: "Working",
};

export interface TasksTableProps {
  runId: string;
  tasks: Readonly<Record<string, TaskCard>>;
  agents: Readonly<Record<string, AgentCardView>>;
}

export function TasksTable({ runId, tasks, agents }: TasksTableProps) {
  const takers = useStanding(Object.values(agents).map(takerOf));
  const open = openTasks(tasks, runId);
  if (open.length === 0) return null;
  const shown = open.slice(0, TASKS_SHOWN_MAX);
  return (
    <section class="box tasks">
      <h2>Tasks</h2>
      <div
        class={`scroll ${shown.length > ROWS_SEEN ? "is-long" : ""}`}
        role="region"
        aria-label="Tasks"
        tabindex={0}
      >
        <table>
          <thead>
            <tr>
              <th scope="col">Directory</th>
              <th scope="col">State</th>
              <th scope="col">Agent</th>
              <th scope="col" class="number">Files</th>
              <th scope="col" class="number">Size</th>
              <th scope="col">Give to</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((task) => <TaskRow key={task.taskId} task={task} agents={takers} />)}
          </tbody>
        </table>
      </div>
      {open.length > shown.length && (
        <p class="muted">{`and ${formatPlural(open.length - shown.length, "task")} more`}</p>
      )}
    </section>
  );
}

/** The same array for as long as what is in it is the same, so that no row is drawn anew for it. */
function useStanding(now: Taker[]): readonly Taker[] {
  const kept = useRef<{ takers: readonly Taker[]; text: string }>({ takers: [], text: "" });
  const text = JSON.stringify(now);
  if (text !== kept.current.text) kept.current = { takers: now, text };
  return kept.current.takers;
}

const TaskRow = memo(({ task, agents }: { task: TaskCard; agents: readonly Taker[] }) => {
  const { taskId, epoch, state, agentName, files, sizeBytes, reason } = task;
  const [chosenId, choose] = useState("");
  const label = labelOf(task);
  const able = whoCouldTake(task, agents);
  const chosen = able.find((agent) => agent.agentId === chosenId);
  return (
    <tr data-task={taskId}>
      <th scope="row" title={task.source.path}>
        <bdi>{label}</bdi>
      </th>
      <td>
        {STATE_WORDS[state]}
        {reason !== null && state === "queued" && <span class="muted">{reason}</span>}
      </td>
      <td>{isInHand(task) ? agentName : "–"}</td>
      <td class="number">{formatCount(files)}</td>
      <td class="number">{formatBytes(sizeBytes)}</td>
      <td>
        {able.length === 0
          ? <span class="muted">{isInHand(task) ? "Nobody else can take it" : "–"}</span>
          : (
            <span class="handoff">
              <select
                aria-label={`Agent that is to take ${label}`}
                value={chosen === undefined ? "" : chosenId}
                onChange={(event) => choose(event.currentTarget.value)}
              >
                <option value="">Choose an agent</option>
                {able.map((agent) => (
                  <option key={agent.agentId} value={agent.agentId}>{agent.name}</option>
                ))}
              </select>
              <ActionButton
                action={{
                  title: "Hand off",
                  send: (api) =>
                    api.api.tasks[":taskId"].handoff.$post({
                      param: { taskId },
                      // The attempt that is seen here: a click that comes late moves no other.
                      json: { agent: chosenId, epoch },
                    }),
                  words: chosen === undefined ? [] : ["handoff", taskId, calledBy(chosen, agents)],
                }}
                disabled={chosen === undefined}
                done={`${label} goes to ${chosen?.name}; what it has copied is not copied again`}
                onDone={() => choose("")}
              />
            </span>
          )}
      </td>
    </tr>
  );
});
