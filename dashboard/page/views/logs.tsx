/** The coordinator's log: the latest lines, filtered, and whole files to keep. */
import { useState } from "preact/hooks";
import { formatBytes, formatDate } from "../../../protocol/cli/format.ts";
import { ask } from "../actions.ts";
import { AnswerNote, Field } from "../ui/format_parts.tsx";
import { Icon } from "../ui/icon.tsx";
import { usePage } from "../ui/page_context.ts";
import { useAnswer, useEvery } from "../ui/use_answer.ts";

const LINES = 300;
const REFRESH_EVERY_MS = 2_000;
const LEVELS = ["debug", "info", "warn", "error"] as const;
type Level = (typeof LEVELS)[number];

export function LogsView() {
  const { api, clock } = usePage();
  const [level, setLevel] = useState<Level>("info");
  const [contains, setContains] = useState("");
  const [isFollowing, setFollowing] = useState(true);
  const lines = useAnswer(
    () =>
      ask(
        api.api.logs.$get({
          query: { limit: String(LINES), level, ...(contains === "" ? {} : { contains }) },
        }),
      ),
    [level, contains],
  );
  const files = useAnswer(() => ask(api.api.logs.files.$get({})), []);
  useEvery(clock, REFRESH_EVERY_MS, lines.again, isFollowing);
  return (
    <>
      <section class="box">
        <h2>Log</h2>
        <div class="filters">
          <Field label="Contains">
            <input
              type="search"
              value={contains}
              onInput={(event) => setContains(event.currentTarget.value)}
            />
          </Field>
          <Field label="At least">
            <select
              value={level}
              onChange={(event) => setLevel(event.currentTarget.value as Level)}
            >
              {LEVELS.map((name) => <option key={name} value={name}>{name}</option>)}
            </select>
          </Field>
          <label class="check">
            <input
              type="checkbox"
              checked={isFollowing}
              onChange={(event) => setFollowing(event.currentTarget.checked)}
            />
            Keep up to date
          </label>
        </div>
        <AnswerNote
          problem={lines.problem}
          isAsking={lines.isAsking}
          isEmpty={(lines.value?.lines.length ?? 0) === 0}
          empty="No such lines"
        />
        <div class="log-lines scroll" role="region" aria-label="Log lines" tabindex={0}>
          {[...lines.value?.lines ?? []].reverse().map((line, at) => (
            <p key={at} class={`log-line is-${line.level}`}>
              <span class="log-time digits">{line.time.replace("T", " ").slice(0, 19)}</span>
              <span class="log-level">{line.level}</span>
              <span class="log-text">{line.message}{restOf(line)}</span>
            </p>
          ))}
        </div>
      </section>
      <section class="box">
        <h2>Log files</h2>
        <ul class="plain-list">
          {files.value?.logs.map((log) => (
            <li key={log.name}>
              <a href={`/api/logs/files/${encodeURIComponent(log.name)}`} download>
                <Icon name="down" />
                {log.name}
              </a>
              <span class="muted digits">
                {`${formatBytes(log.sizeBytes)} · ${formatDate(log.changedAtMs)}`}
              </span>
            </li>
          ))}
        </ul>
      </section>
    </>
  );
}

/** What else a line says, as it stands in the file. */
function restOf(line: Record<string, unknown>): string {
  const { time: _, level: __, message: ___, ...rest } = line;
  const text = JSON.stringify(rest);
  return text === "{}" ? "" : ` ${text}`;
}
