/** How new runs are made, what places and profiles are known, and who is logged in. */
import { useEffect, useState } from "preact/hooks";
import { formatBytes, formatDuration, formatPercent } from "../../../protocol/cli/format.ts";
import type { Settings } from "../../../protocol/mesh/console_documents.ts";
import type { ConsoleState, PlaceCard } from "../../../protocol/mesh/console_state.ts";
import { answerOf, ask } from "../actions.ts";
import { ActionButton } from "../ui/action_button.tsx";
import { AnswerNote, Field } from "../ui/format_parts.tsx";
import { usePage } from "../ui/page_context.ts";
import { useAnswer } from "../ui/use_answer.ts";
import { formatAgo, listSome, placeTestWords } from "../words.ts";
import { AddPlaceForm } from "./backup.tsx";

export function SettingsView({ state, nowMs }: { state: ConsoleState; nowMs: number }) {
  const places = Object.values(state.places).sort((a, b) => a.label < b.label ? -1 : 1);
  return (
    <>
      <section class="box">
        <h2>Destinations</h2>
        {places.length === 0 && <p class="muted">None is known yet</p>}
        <ul class="plain-list">
          {places.map((place) => <PlaceRow key={place.placeId} place={place} nowMs={nowMs} />)}
        </ul>
        <AddPlaceForm />
      </section>
      <Profiles />
      <RunSettings />
      <Machine state={state} nowMs={nowMs} />
    </>
  );
}

function PlaceRow({ place, nowMs }: { place: PlaceCard; nowMs: number }) {
  const { notes } = usePage();
  const { placeId, label, path, freeBytes, totalBytes, lastVerifiedAtMs } = place;
  return (
    <li>
      <div>
        <p>
          <strong>{label}</strong> <bdi class="muted">{path}</bdi>
        </p>
        <p class="muted digits">
          {freeBytes === null ? "Free space is not known" : `${formatBytes(freeBytes)} free`}
          {totalBytes === null ? "" : ` of ${formatBytes(totalBytes)}`}
          {lastVerifiedAtMs === null
            ? ", never verified"
            : `, verified ${formatAgo(nowMs - lastVerifiedAtMs)}`}
        </p>
      </div>
      <div class="actions">
        <ActionButton
          action={{
            title: "Test",
            send: (api) => api.api.destinations.test.$post({ json: { place: placeId } }),
          }}
          onDone={(answer) => {
            const { isWell, text } = placeTestWords(label, answer);
            if (isWell) notes.say(text);
            else notes.complain(text);
          }}
        />
        <ActionButton
          kind="danger"
          action={{
            title: "Forget",
            send: (api) => api.api.destinations[":placeId"].$delete({ param: { placeId } }),
          }}
          question={`Forget ${label}? Nothing at it is touched.`}
          done={`${label} is forgotten; what is there stays`}
        />
      </div>
    </li>
  );
}

function Profiles() {
  const { api, chooseRun } = usePage();
  const { value, problem, isAsking, again } = useAnswer(() => ask(api.api.profiles.$get({})), []);
  return (
    <section class="box">
      <h2>Profiles</h2>
      <AnswerNote
        problem={problem}
        isAsking={isAsking}
        isEmpty={(value?.profiles.length ?? 0) === 0}
        empty="None yet. Keep one under Back up"
      />
      <ul class="plain-list">
        {value?.profiles.map(({ name, job }) => (
          <li key={name}>
            <div>
              <p>
                <strong>{name}</strong>
              </p>
              <p class="muted">
                {job.sources === undefined
                  ? "What is selected"
                  : listSome(job.sources.map((source) => source.path))}
                {" to "}
                {job.destinations === undefined
                  ? "all known destinations"
                  : listSome(job.destinations.map((place) => place.key ?? place.path))}
              </p>
            </div>
            <div class="actions">
              <ActionButton
                icon="play"
                action={{
                  title: "Start",
                  send: (client) => client.api.profiles[":name"].start.$post({ param: { name } }),
                }}
                done={`${name} was started`}
                onDone={(answer) => {
                  const { runId } = answer as { runId?: string };
                  if (runId !== undefined) chooseRun(runId);
                }}
              />
              <ActionButton
                kind="danger"
                action={{
                  title: "Delete",
                  send: (client) => client.api.profiles[":name"].$delete({ param: { name } }),
                }}
                question={`Delete the profile “${name}”?`}
                onDone={again}
              />
            </div>
          </li>
        ))}
      </ul>
    </section>
  );
}

function RunSettings() {
  const { api } = usePage();
  const asked = useAnswer(() => ask(api.api.settings.$get({})), []);
  const [draft, setDraft] = useState<Settings>();
  useEffect(() => setDraft(asked.value?.settings), [asked.value]);
  if (draft === undefined) {
    return (
      <section class="box">
        <h2>New runs</h2>
        <AnswerNote problem={asked.problem} isAsking={asked.isAsking} isEmpty empty="" />
      </section>
    );
  }
  const { options } = draft;
  const change = (next: Partial<Settings["options"]>): void =>
    setDraft({ ...draft, options: { ...options, ...next } });
  return (
    <section class="box">
      <h2>New runs</h2>
      <div class="form">
        <Field label="Read back">
          <select
            value={options.verify ?? "new"}
            onChange={(event) => change({ verify: event.currentTarget.value as "new" | "all" })}
          >
            <option value="new">What was copied</option>
            <option value="all">Everything, each time</option>
          </select>
        </Field>
        <Field label="Order">
          <select
            value={options.order ?? "priority"}
            onChange={(event) =>
              change({ order: event.currentTarget.value as "priority" | "fifo" })}
          >
            <option value="priority">By priority, small files first</option>
            <option value="fifo">As found</option>
          </select>
        </Field>
        <Field label="Threads at one destination, at most">
          <input
            type="number"
            min={1}
            max={8}
            value={options.workersMax ?? 8}
            onInput={(event) =>
              change({ workersMax: between(event.currentTarget.valueAsNumber, 1, 8) })}
          />
        </Field>
        <Field label="Attempts for one file">
          <input
            type="number"
            min={1}
            max={10}
            value={options.attemptsMax ?? 3}
            onInput={(event) =>
              change({ attemptsMax: between(event.currentTarget.valueAsNumber, 1, 10) })}
          />
        </Field>
        <Field label="Earlier versions kept">
          <input
            type="number"
            min={0}
            value={options.keepVersions ?? 0}
            onInput={(event) =>
              change({ keepVersions: between(event.currentTarget.valueAsNumber, 0, 10_000) })}
          />
        </Field>
        <Field label="Leave out" hint="One pattern a line, as in .gitignore">
          <textarea
            class="mono"
            rows={4}
            value={(options.excludes ?? []).map((rule) => rule.pattern).join("\n")}
            onChange={(event) =>
              change({
                excludes: event.currentTarget.value.split("\n").filter((line) => line !== "")
                  .map((pattern) => ({ pattern, origin: "settings" })),
              })}
          />
        </Field>
        <Field label="Directories are looked for in" hint="Empty: the home folder">
          <input
            class="mono"
            value={draft.discoverFrom ?? ""}
            onInput={(event) =>
              setDraft({ ...draft, discoverFrom: event.currentTarget.value || null })}
          />
        </Field>
        <ActionButton
          kind="primary"
          action={{
            title: "Save",
            send: (client) => client.api.settings.$patch({ json: draft }),
          }}
          done="The settings are saved"
        />
      </div>
    </section>
  );
}

function Machine({ state, nowMs }: { state: ConsoleState; nowMs: number }) {
  const { api, notes } = usePage();
  const { value } = useAnswer(() => ask(api.api.machine.$get({})), []);
  const { coordinator } = state;
  return (
    <section class="box">
      <h2>This coordinator</h2>
      <p class="muted digits">
        {`${coordinator.name}, version ${coordinator.version}, up for ` +
          formatDuration(nowMs - coordinator.startedAtMs)}
      </p>
      {value !== undefined && (
        <p class="muted digits">
          {`${value.hostName}, ${value.processors} processors at ${formatPercent(value.load)}, ` +
            `${formatBytes(value.memoryFreeBytes)} of ${formatBytes(value.memoryTotalBytes)} ` +
            `memory free, this program uses ${formatBytes(value.processMemoryBytes)}`}
        </p>
      )}
      <p>
        <a href="/api">The HTTP API</a>
      </p>
      <button
        type="button"
        onClick={async () => {
          const outcome = await answerOf(
            api.api.session.$delete({}) as unknown as Promise<Response>,
          );
          if (outcome.ok) location.reload();
          else notes.complain(outcome.message);
        }}
      >
        Log out
      </button>
    </section>
  );
}

function between(value: number, low: number, high: number): number {
  return Number.isFinite(value) ? Math.min(high, Math.max(low, Math.round(value))) : low;
}
