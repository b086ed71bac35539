/** A new run: what, where to, and how. */
import { useState } from "preact/hooks";
import { formatBytes, formatPlural } from "../../../protocol/cli/format.ts";
import type { JobRequest } from "../../../protocol/mesh/console_documents.ts";
import type { ConsoleState } from "../../../protocol/mesh/console_state.ts";
import { type Action, ask } from "../actions.ts";
import { ActionButton } from "../ui/action_button.tsx";
import { AnswerNote, Field } from "../ui/format_parts.tsx";
import { Icon } from "../ui/icon.tsx";
import { usePage } from "../ui/page_context.ts";
import { type Answer, useAnswer } from "../ui/use_answer.ts";
import { REPOSITORY_PREFIX } from "../restore_words.ts";
import { lastPart, placeTestWords } from "../words.ts";
import { commandPart, isWhole, jobPart, PLAIN, StoredFormFields } from "./stored_form.tsx";

type Selection = { directories: { directoryId: string; path: string; hostId: string }[] };

export function BackupView({ state }: { state: ConsoleState }) {
  const { api, chooseRun } = usePage();
  const selection = useAnswer<Selection>(() => ask(api.api.selection.$get({})), []);
  const [leftOut, setLeftOut] = useState<ReadonlySet<string>>(new Set());
  const [verifiesAll, setVerifiesAll] = useState(false);
  const [deletesGone, setDeletesGone] = useState(false);
  const [form, setForm] = useState(PLAIN);
  const [profileName, setProfileName] = useState("");
  const places = Object.values(state.places).sort((a, b) => a.label < b.label ? -1 : 1);
  const directories = selection.value?.directories ?? [];
  const chosen = places.filter((place) => !leftOut.has(place.placeId));
  const repositories = chosen.map(({ path }) => path)
    .filter((path) => path.startsWith(REPOSITORY_PREFIX));

  const job: JobRequest = {
    sources: directories.map(({ path, hostId }) => ({ path, hostId })),
    destinations: chosen.map(({ path, label }) => ({ path, key: label })),
    options: {
      ...(verifiesAll ? { verify: "all" as const } : {}),
      ...(deletesGone ? { deleteGone: true } : {}),
    },
    ...jobPart(form, repositories),
  };
  const words = [
    "submit",
    ...directories.map(({ path }) => path),
    ...chosen.flatMap(({ path }) => ["--to", path]),
    ...(verifiesAll ? ["--verify=all"] : []),
    ...(deletesGone ? ["--delete"] : []),
    ...commandPart(form, repositories),
  ];
  const isReady = directories.length > 0 && chosen.length > 0 && isWhole(form, repositories);
  const show = (answer: unknown): void => {
    const { runId } = answer as { runId?: string };
    if (runId !== undefined) chooseRun(runId);
  };
  const start: Action = {
    title: "Start",
    send: (client) => client.api.runs.$post({ json: { job } }),
    words,
  };
  return (
    <>
      <section class="box">
        <h2>What</h2>
        <AnswerNote
          problem={selection.problem}
          isAsking={selection.isAsking}
          isEmpty={directories.length === 0}
          empty="No directory is selected yet. Choose some below"
        />
        <ul class="plain-list">
          {directories.map(({ directoryId, path }) => (
            <li key={directoryId}>
              <span class="path">
                <Icon name="folder" /> <bdi>{path}</bdi>
              </span>
              <ActionButton
                action={{
                  title: "Take out",
                  send: (client) =>
                    client.api.selection[":directoryId"].$delete({ param: { directoryId } }),
                }}
                onDone={selection.again}
              />
            </li>
          ))}
        </ul>
        <DirectoryBrowser selection={selection} />
      </section>
      <section class="box">
        <h2>Where to</h2>
        {places.length === 0 && <p class="muted">No destination is known yet</p>}
        <ul class="plain-list">
          {places.map((place) => (
            <li key={place.placeId}>
              <label class="check">
                <input
                  type="checkbox"
                  checked={!leftOut.has(place.placeId)}
                  onChange={() => {
                    const next = new Set(leftOut);
                    if (!next.delete(place.placeId)) next.add(place.placeId);
                    setLeftOut(next);
                  }}
                />
                <span>
                  <strong>{place.label}</strong>{" "}
                  <bdi class="muted">{place.path === place.label ? "" : place.path}</bdi>
                </span>
              </label>
              <span class="muted digits">
                {place.freeBytes === null ? "" : `${formatBytes(place.freeBytes)} free`}
              </span>
            </li>
          ))}
        </ul>
        <AddPlaceForm />
      </section>
      <section class="box">
        <h2>How</h2>
        <div class="form">
          <label class="check">
            <input
              type="checkbox"
              checked={verifiesAll}
              onChange={(event) => setVerifiesAll(event.currentTarget.checked)}
            />
            Read unchanged files back too
          </label>
          <label class="check">
            <input
              type="checkbox"
              checked={deletesGone}
              onChange={(event) => setDeletesGone(event.currentTarget.checked)}
            />
            Remove from the copies what the source no longer has
          </label>
          <StoredFormFields form={form} repositories={repositories} onForm={setForm} />
          <div class="actions">
            <ActionButton
              kind="primary"
              icon="play"
              action={start}
              disabled={!isReady}
              done="The run was started"
              onDone={show}
            />
            <ActionButton
              action={{
                title: "Dry run",
                send: (client) => client.api["dry-runs"].$post({ json: { job } }),
                words: [...words, "--dry-run"],
              }}
              disabled={!isReady}
              done="The dry run was started; it writes nothing"
              onDone={show}
            />
          </div>
          <Field label="Keep this as a profile">
            <input
              value={profileName}
              placeholder="Name"
              onInput={(event) => setProfileName(event.currentTarget.value)}
            />
          </Field>
          <ActionButton
            action={{
              title: "Save profile",
              send: (client) =>
                client.api.profiles[":name"].$put({
                  param: { name: profileName.trim() || "Profile" },
                  json: { job },
                }),
            }}
            disabled={!isReady || profileName.trim() === ""}
            done={`The profile ${profileName} is kept`}
            onDone={() => setProfileName("")}
          />
        </div>
      </section>
    </>
  );
}

function DirectoryBrowser({ selection }: { selection: Answer<Selection> }) {
  const { api } = usePage();
  const [path, setPath] = useState<string>();
  const found = useAnswer(
    () => ask(api.api.directories.$get({ query: path === undefined ? {} : { path } })),
    [path],
  );
  const { value } = found;
  const selected = new Set(selection.value?.directories.map((one) => one.path));
  return (
    <details class="browser">
      <summary>Choose directories</summary>
      <AnswerNote
        problem={found.problem}
        isAsking={found.isAsking}
        isEmpty={value === undefined}
        empty=""
      />
      {value !== undefined && (
        <>
          <p class="crumbs">
            {value.parent !== null && (
              <button
                type="button"
                onClick={() => setPath(value.parent ?? undefined)}
              >
                Up
              </button>
            )}
            <bdi class="path">{value.path}</bdi>
            <span class="muted">{` on ${value.agentName}`}</span>
          </p>
          <ul class="plain-list">
            {value.directories.map((directory) => (
              <li key={directory.path}>
                <button type="button" class="link path" onClick={() => setPath(directory.path)}>
                  <Icon name="folder" />
                  <bdi>{directory.name}</bdi>
                </button>
                <span class="muted digits">
                  {directory.problem ??
                    `${directory.isCounted ? "" : "more than "}${
                      formatPlural(directory.files, "file")
                    }, ${formatBytes(directory.sizeBytes)}`}
                </span>
                {selected.has(directory.path) ? <span class="chip">selected</span> : (
                  <ActionButton
                    action={{
                      title: "Select",
                      send: (client) =>
                        client.api.selection.$post({
                          json: { path: directory.path, hostId: value.hostId },
                        }),
                    }}
                    onDone={selection.again}
                  />
                )}
              </li>
            ))}
          </ul>
        </>
      )}
    </details>
  );
}

/** Used by the settings too. */
export function AddPlaceForm() {
  const { notes } = usePage();
  const [path, setPath] = useState("");
  const [label, setLabel] = useState("");
  const isGiven = /^(?:restic:)?\//.test(path);
  const name = label.trim() || lastPart(path);
  return (
    <details class="browser">
      <summary>Add a destination</summary>
      <div class="form">
        <Field
          label="Folder"
          hint="The whole path, on the coordinator's machine. A repository is restic: and its path"
        >
          <input
            class="mono"
            value={path}
            placeholder="/mnt/disk"
            onInput={(event) => setPath(event.currentTarget.value)}
          />
        </Field>
        <Field label="Name">
          <input
            value={label}
            placeholder={path === "" ? "disk" : lastPart(path)}
            onInput={(event) => setLabel(event.currentTarget.value)}
          />
        </Field>
        <div class="actions">
          <ActionButton
            action={{
              title: "Test",
              send: (client) =>
                client.api.destinations.test.$post({ json: { place: path, writes: true } }),
            }}
            disabled={!isGiven}
            onDone={(answer) => {
              const { isWell, text } = placeTestWords(path, answer);
              if (isWell) notes.say(text);
              else notes.complain(text);
            }}
          />
          <ActionButton
            kind="primary"
            action={{
              title: "Add",
              send: (client) => client.api.destinations.$post({ json: { path, label: name } }),
            }}
            disabled={!isGiven}
            done={`${name} is known now`}
            onDone={() => {
              setPath("");
              setLabel("");
            }}
          />
        </div>
      </div>
    </details>
  );
}
