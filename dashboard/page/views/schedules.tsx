/** What begins by itself. */
import { useState } from "preact/hooks";
import { formatDate } from "../../../protocol/cli/format.ts";
import type { NewSchedule } from "../../../protocol/mesh/console_documents.ts";
import type { ConsoleState, ScheduleCard } from "../../../protocol/mesh/console_state.ts";
import { ask } from "../actions.ts";
import { ActionButton } from "../ui/action_button.tsx";
import { Field } from "../ui/format_parts.tsx";
import { usePage } from "../ui/page_context.ts";
import { useAnswer } from "../ui/use_answer.ts";
import { REPOSITORY_PREFIX } from "../restore_words.ts";
import { formatAgo, formatEvery, formatUntil } from "../words.ts";

const MINUTE_MS = 60_000;

export function SchedulesView({ state, nowMs }: { state: ConsoleState; nowMs: number }) {
  const schedules = Object.values(state.schedules).sort((a, b) => a.name < b.name ? -1 : 1);
  return (
    <>
      <section class="box">
        <h2>Schedules</h2>
        {schedules.length === 0 && <p class="muted">Nothing begins by itself yet</p>}
        <ul class="plain-list">
          {schedules.map((schedule) => (
            <ScheduleRow key={schedule.scheduleId} schedule={schedule} nowMs={nowMs} />
          ))}
        </ul>
      </section>
      <NewScheduleForm
        hasRepository={Object.values(state.places).some(({ path }) =>
          path.startsWith(REPOSITORY_PREFIX)
        )}
      />
    </>
  );
}

function ScheduleRow({ schedule, nowMs }: { schedule: ScheduleCard; nowMs: number }) {
  const { chooseRun } = usePage();
  const { scheduleId, name, times, isOn, catchesUp, nextAtMs, lastStartedAtMs } = schedule;
  const wanted: NewSchedule = {
    ...{ name, times, isOn: !isOn, catchesUp },
    ...(schedule.profile === undefined ? {} : { profile: schedule.profile }),
    ...(schedule.job === undefined ? {} : { job: schedule.job }),
  };
  return (
    <li class="schedule">
      <div>
        <p>
          <strong>{name}</strong> <span class="muted">{timesText(times)}</span>
          {!isOn && <span class="chip">off</span>}
        </p>
        <p class="muted digits">
          {nextAtMs === null
            ? "Not due"
            : `Next ${formatUntil(nextAtMs - nowMs)}, ${formatDate(nextAtMs)}`}
          {lastStartedAtMs !== null && ` · last ${formatAgo(nowMs - lastStartedAtMs)}`}
          {catchesUp ? " · makes up for missed times" : ""}
        </p>
        {schedule.lastProblem !== null && <p class="problem">{schedule.lastProblem}</p>}
      </div>
      <div class="actions">
        <ActionButton
          icon="play"
          action={{
            title: "Run now",
            send: (api) => api.api.schedules[":scheduleId"].start.$post({ param: { scheduleId } }),
          }}
          done={`${name} was started`}
          onDone={(answer) => {
            const { runId } = answer as { runId?: string };
            if (runId !== undefined) chooseRun(runId);
          }}
        />
        <ActionButton
          action={{
            title: isOn ? "Turn off" : "Turn on",
            send: (api) =>
              api.api.schedules[":scheduleId"].$put({ param: { scheduleId }, json: wanted }),
          }}
        />
        <ActionButton
          kind="danger"
          action={{
            title: "Delete",
            send: (api) => api.api.schedules[":scheduleId"].$delete({ param: { scheduleId } }),
          }}
          question={`Delete the schedule “${name}”?`}
          done={`${name} is deleted`}
        />
      </div>
    </li>
  );
}

function NewScheduleForm({ hasRepository }: { hasRepository: boolean }) {
  const { api } = usePage();
  const [name, setName] = useState("");
  const [kind, setKind] = useState<"cron" | "interval">("cron");
  const [expression, setExpression] = useState("0 3 * * *");
  const [minutes, setMinutes] = useState(60);
  const [profile, setProfile] = useState("");
  const [catchesUp, setCatchesUp] = useState(true);
  const profiles = useAnswer(() => ask(api.api.profiles.$get({})), []);
  const schedule: NewSchedule = {
    name: name.trim() || "Daily",
    times: kind === "cron"
      ? { kind, expression }
      : { kind, everyMs: Math.max(1, Math.round(minutes)) * MINUTE_MS },
    ...(profile === "" ? { job: {} } : { profile }),
    isOn: true,
    catchesUp,
  };
  return (
    <section class="box">
      <h2>New schedule</h2>
      <div class="form">
        <Field label="Name">
          <input
            value={name}
            placeholder="Daily"
            onInput={(event) => setName(event.currentTarget.value)}
          />
        </Field>
        <Field label="When">
          <select
            value={kind}
            onChange={(event) => setKind(event.currentTarget.value as "cron" | "interval")}
          >
            <option value="cron">At times (cron)</option>
            <option value="interval">At an interval</option>
          </select>
        </Field>
        {kind === "cron"
          ? (
            <Field label="Cron expression" hint="minute hour day month weekday">
              <input
                class="mono"
                value={expression}
                onInput={(event) => setExpression(event.currentTarget.value)}
              />
            </Field>
          )
          : (
            <Field label="Every so many minutes">
              <input
                type="number"
                min={1}
                value={minutes}
                onInput={(event) => setMinutes(event.currentTarget.valueAsNumber || 1)}
              />
            </Field>
          )}
        <Field label="What">
          <select value={profile} onChange={(event) => setProfile(event.currentTarget.value)}>
            <option value="">What is selected, to all known destinations</option>
            {profiles.value?.profiles.map((one) => (
              <option key={one.name} value={one.name}>{one.name}</option>
            ))}
          </select>
        </Field>
        {profile === "" && hasRepository && (
          <p class="problem">
            A repository is among the destinations, and its password has no name here. Keep a
            profile under Back up and choose it
          </p>
        )}
        <label class="check">
          <input
            type="checkbox"
            checked={catchesUp}
            onChange={(event) => setCatchesUp(event.currentTarget.checked)}
          />
          Make up for times missed while the machine slept
        </label>
        <ActionButton
          kind="primary"
          action={{
            title: "Add schedule",
            send: (api) => api.api.schedules.$post({ json: schedule }),
          }}
          done={`${schedule.name} is scheduled`}
          onDone={() => setName("")}
        />
      </div>
    </section>
  );
}

function timesText(times: ScheduleCard["times"]): string {
  return times.kind === "interval"
    ? formatEvery(times.everyMs)
    : `${times.expression}${times.timeZone === undefined ? "" : ` ${times.timeZone}`}`;
}
