/** What was, newest first, with the last success and the last verification of each destination. */
import { useState } from "preact/hooks";
import { formatCount, formatDate, formatDuration } from "../../../protocol/cli/format.ts";
import type { ConsoleState } from "../../../protocol/mesh/console_state.ts";
import type { HistoryEntry } from "../../../protocol/mesh/console_methods.ts";
import { ask } from "../actions.ts";
import { RetryButton } from "../lanes/run_head.tsx";
import { AnswerNote } from "../ui/format_parts.tsx";
import { Icon } from "../ui/icon.tsx";
import { usePage } from "../ui/page_context.ts";
import { useAnswer } from "../ui/use_answer.ts";
import { formatAgo, listSome, RUN_STATE_WORDS } from "../words.ts";

const SHOWN_MAX = 200;
const FAILURES_SHOWN = 200;

export function HistoryView({ state, nowMs }: { state: ConsoleState; nowMs: number }) {
  const { api } = usePage();
  const ended = Object.values(state.runs).filter((run) => run.endedAtMs !== null).length;
  const { value, problem, isAsking } = useAnswer(
    () => ask(api.api.history.$get({ query: { limit: String(SHOWN_MAX) } })),
    [ended, Object.keys(state.runs).length],
  );
  const verified = Object.entries(value?.lastVerifiedAtMs ?? {});
  return (
    <>
      <section class="cards" aria-label="Last times">
        <div class="box">
          <h2>Last success</h2>
          {value?.lastSuccessAtMs == null ? <p class="muted">Never yet</p> : (
            <>
              <p class="big">{formatAgo(nowMs - value.lastSuccessAtMs)}</p>
              <p class="muted digits">{formatDate(value.lastSuccessAtMs)}</p>
            </>
          )}
        </div>
        {verified.map(([destination, atMs]) => (
          <div class="box" key={destination}>
            <h2>{`${destination} verified`}</h2>
            <p class="big">{formatAgo(nowMs - atMs)}</p>
            <p class="muted digits">{formatDate(atMs)}</p>
          </div>
        ))}
      </section>
      <section class="box">
        <h2>Runs</h2>
        <AnswerNote
          problem={problem}
          isAsking={isAsking}
          isEmpty={(value?.runs.length ?? 0) === 0}
          empty="No run yet"
        />
        <ul class="history">
          {value?.runs.map((run) => <HistoryRow key={run.runId} run={run} />)}
        </ul>
      </section>
    </>
  );
}

function HistoryRow({ run }: { run: HistoryEntry }) {
  const { chooseRun } = usePage();
  const [isOpen, setOpen] = useState(false);
  const icon = run.endedAtMs === null
    ? "busy"
    : run.verdict.tone === "good"
    ? "check"
    : run.state === "cancelled"
    ? "stop"
    : "warn";
  return (
    <li class={`history-run is-${run.verdict.tone}`}>
      <Icon name={icon} />
      <div class="history-what">
        <p>
          <button type="button" class="link" onClick={() => chooseRun(run.runId)}>
            {listSome(run.sources.map((source) => source.name))}
          </button>
          <span class="muted">{` to ${listSome(run.destinations.map(({ key }) => key))}`}</span>
          {run.isDryRun && <span class="chip">dry run</span>}
        </p>
        <p>{run.verdict.text}</p>
        <p class="muted digits">
          {`${formatDate(run.createdAtMs)} · ${formatDuration(run.elapsedMs)} · ` +
            RUN_STATE_WORDS[run.state]}
        </p>
        {isOpen && <Failures runId={run.runId} />}
      </div>
      <div class="actions">
        {run.failureCount > 0 && (
          <button
            type="button"
            aria-expanded={isOpen}
            onClick={() => setOpen(!isOpen)}
          >
            {`${formatCount(run.failureCount)} failed`}
          </button>
        )}
        {run.endedAtMs !== null && run.state !== "completed" && !run.isDryRun && (
          <RetryButton runId={run.runId} />
        )}
      </div>
    </li>
  );
}

function Failures({ runId }: { runId: string }) {
  const { api } = usePage();
  const { value, problem, isAsking } = useAnswer(
    () =>
      ask(
        api.api.runs[":runId"].failures.$get({
          param: { runId },
          query: { limit: String(FAILURES_SHOWN) },
        }),
      ),
    [runId],
  );
  return (
    <>
      <AnswerNote
        problem={problem}
        isAsking={isAsking}
        isEmpty={(value?.failures.length ?? 0) === 0}
        empty="Nothing failed by name"
      />
      <ul class="failures">
        {value?.failures.map((failure, at) => (
          <li key={at}>
            <bdi class="path">{failure.path || failure.source}</bdi>
            <span class="muted">
              {` ${failure.destination ?? "source"}: ${failure.message}`}
            </span>
          </li>
        ))}
      </ul>
      {value !== undefined && value.total > value.failures.length && (
        <p class="muted">{`and ${formatCount(value.total - value.failures.length)} more`}</p>
      )}
    </>
  );
}
