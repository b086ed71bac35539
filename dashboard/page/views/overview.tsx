/** What goes on, in the order in which people look. */
import { useMemo } from "preact/hooks";
import type { ConsoleState } from "../../../protocol/mesh/console_state.ts";
import { laneKey, type RateHistory } from "../feed/rate_history.ts";
import { FileMatrix } from "../files/file_matrix.tsx";
import { Directories } from "../lanes/directories.tsx";
import { Lane } from "../lanes/lane.tsx";
import { RecentFiles } from "../lanes/recent_files.tsx";
import { RunHead } from "../lanes/run_head.tsx";
import { AgentsTable } from "../mesh/agents_table.tsx";
import { MeshMap } from "../mesh/mesh_map.tsx";
import { TasksTable } from "../mesh/tasks_table.tsx";
import { newestFirst, type ShownRun } from "../page_model.ts";

const RUNS_TO_CHOOSE = 50;
const NO_SAMPLES: readonly never[] = [];

export interface OverviewProps {
  state: ConsoleState;
  /** The same, a frame later. */
  calm: ConsoleState;
  run: ShownRun | undefined;
  rates: RateHistory;
  nowMs: number;
}

export function Overview({ state, calm, run, rates, nowMs }: OverviewProps) {
  return (
    <>
      {run === undefined
        ? <Welcome />
        : <RunView state={state} calm={calm} run={run} rates={rates} nowMs={nowMs} />}
      <section class="box mesh">
        <h2>Mesh</h2>
        <MeshMap
          agents={calm.agents}
          tasks={calm.tasks}
          coordinatorName={calm.coordinator.name}
        />
        <AgentsTable agents={Object.values(calm.agents)} tasks={calm.tasks} nowMs={nowMs} />
      </section>
      {run !== undefined && run.card.endedAtMs === null && (
        <TasksTable runId={run.card.runId} tasks={calm.tasks} agents={calm.agents} />
      )}
      {run !== undefined && (
        <FileMatrix runId={run.card.runId} isLive={run.card.endedAtMs === null} />
      )}
    </>
  );
}

function RunView({ state, calm, run, rates, nowMs }: OverviewProps & { run: ShownRun }) {
  const { card, live } = run;
  const calmLive = calm.live[card.runId];
  const destinations = live?.progress?.destinations ?? [];
  const keys = useMemo(() => card.destinations.map(({ key }) => key), [card.destinations]);
  const paths = new Map(card.destinations.map(({ key, path }) => [key, path]));
  return (
    <>
      <section class="run" aria-label="Run">
        <RunHead run={run} runs={newestFirst(state).slice(0, RUNS_TO_CHOOSE)} nowMs={nowMs} />
        <ul class="lanes">
          {destinations.map((lane) => (
            <Lane
              key={lane.destination}
              runId={card.runId}
              lane={lane}
              path={paths.get(lane.destination)}
              samples={rates.get(laneKey(card.runId, lane.destination)) ?? NO_SAMPLES}
              isPaused={card.isPaused}
              isOver={card.endedAtMs !== null}
            />
          ))}
        </ul>
        {destinations.length === 0 && (
          <ul class="lanes">
            {card.destinations.map(({ key, path }) => (
              <li key={key} class="lane is-waiting" title={path}>
                <h3 class="lane-name">{key}</h3>
              </li>
            ))}
          </ul>
        )}
      </section>
      {calmLive !== undefined && <Directories directories={calmLive.directories} />}
      {calmLive !== undefined && (
        <RecentFiles
          files={calmLive.recentFiles}
          destinations={keys}
          verified={destinations.filter((lane) => lane.state === "verified").map((lane) =>
            lane.destination
          ).join("\n")}
        />
      )}
    </>
  );
}

function Welcome() {
  return (
    <section class="box welcome">
      <h2>Nothing has been copied yet</h2>
      <p>Choose what to keep copies of and where. Every copy is read back and compared.</p>
      <p>
        <a class="button is-primary" href="#backup">Back up something</a>
      </p>
    </section>
  );
}
