/** Which run is shown, and what can be done with it. */
import { formatClock, formatDate } from "../../../protocol/cli/format.ts";
import type { RunCard } from "../../../protocol/mesh/console_state.ts";
import type { ShownRun } from "../page_model.ts";
import { ActionButton } from "../ui/action_button.tsx";
import { usePage } from "../ui/page_context.ts";
import { listSome, RUN_STATE_WORDS } from "../words.ts";

export interface RunHeadProps {
  run: ShownRun;
  /** To choose from; the newest first. */
  runs: readonly RunCard[];
  nowMs: number;
}

export function RunHead({ run: { card, live }, runs, nowMs }: RunHeadProps) {
  const { chooseRun } = usePage();
  const { runId } = card;
  const isOver = card.endedAtMs !== null;
  const elapsedMs = (card.endedAtMs ?? nowMs) - card.createdAtMs;
  return (
    <div class="run-head">
      <div>
        <h2>{listSome(card.sources.map((source) => source.name))}</h2>
        <p class="muted">
          {card.isPaused && !isOver ? "Paused" : RUN_STATE_WORDS[card.state]}
          {card.isDryRun && ", dry run: nothing is written"}
          {" · "}
          {formatDate(card.createdAtMs)}
          {" · "}
          <span class="digits">{formatClock(elapsedMs)}</span>
          {!isOver && live?.progress?.statusLine ? ` · ${live.progress.statusLine}` : ""}
        </p>
      </div>
      <div class="actions">
        {!isOver && !card.isPaused && (
          <ActionButton
            icon="pause"
            action={{
              title: "Pause",
              send: (api) => api.api.runs[":runId"].pause.$post({ param: { runId } }),
              words: ["pause", runId],
            }}
            done="Paused. Files in hand are copied to their end, and no further one is begun"
          />
        )}
        {!isOver && card.isPaused && (
          <ActionButton
            icon="play"
            kind="primary"
            action={{
              title: "Resume",
              send: (api) => api.api.runs[":runId"].resume.$post({ param: { runId } }),
              words: ["resume", runId],
            }}
            done="The run goes on"
          />
        )}
        {!isOver && (
          <ActionButton
            icon="stop"
            kind="danger"
            action={{
              title: "Cancel",
              send: (api) => api.api.runs[":runId"].cancel.$post({ param: { runId } }),
              words: ["cancel", runId],
            }}
            question="Cancel this run? What is verified stays verified."
            done="The run is cancelled. What was verified stays"
          />
        )}
        {isOver && card.state !== "completed" && !card.isDryRun && <RetryButton runId={runId} />}
      </div>
      {runs.length > 1 && (
        <label class="run-choice">
          <span>Run</span>
          <select
            value={runId}
            onChange={(event) => chooseRun(event.currentTarget.value)}
          >
            {runs.map((one) => (
              <option key={one.runId} value={one.runId}>
                {`${formatDate(one.createdAtMs)} ${listSome(one.sources.map((s) => s.name), 2)}, ` +
                  RUN_STATE_WORDS[one.state].toLowerCase()}
              </option>
            ))}
          </select>
        </label>
      )}
      {card.notes.length > 0 && (
        <ul class="run-notes">
          {card.notes.map((note) => <li key={note}>{note}</li>)}
        </ul>
      )}
    </div>
  );
}

/** Again, for what did not get through; the page then shows the new run. */
export function RetryButton({ runId }: { runId: string }) {
  const { chooseRun } = usePage();
  return (
    <ActionButton
      icon="retry"
      kind="primary"
      action={{
        title: "Retry failures",
        send: (api) => api.api.runs[":runId"].retry.$post({ param: { runId } }),
      }}
      done="A new run was started for what did not get through"
      onDone={(answer) => {
        const next = (answer as { runId?: unknown } | null)?.runId;
        if (typeof next === "string") chooseRun(next);
      }}
    />
  );
}
