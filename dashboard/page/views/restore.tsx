/** Bringing copies back: look, search, choose, restore or download. Rule: nothing is replaced unless that was asked for. */
import { useState } from "preact/hooks";
import { formatBytes, formatCount, formatDate } from "../../../protocol/cli/format.ts";
import type { ConsoleState, RestoreCard } from "../../../protocol/mesh/console_state.ts";
import type { StoredEntry } from "../../../protocol/mesh/place_methods.ts";
import type { AnswerOf } from "../../api_client.ts";
import { ask } from "../actions.ts";
import { ActionButton } from "../ui/action_button.tsx";
import { Bar } from "../ui/bar.tsx";
import { AnswerNote, Field } from "../ui/format_parts.tsx";
import { Icon } from "../ui/icon.tsx";
import { usePage } from "../ui/page_context.ts";
import { useAnswer } from "../ui/use_answer.ts";
import { lastPart } from "../words.ts";
import { newestFirst } from "../page_model.ts";
import { REPOSITORY_PREFIX, restoreWords } from "../restore_words.ts";

const PAGE = 200;
type Stored = AnswerOf<"browseCopies">;

export function RestoreView({ state }: { state: ConsoleState }) {
  const { api } = usePage();
  const places = placesToRestoreFrom(state);
  const [chosenId, choosePlace] = useState<string>();
  const [at, setAt] = useState("");
  const [pattern, setPattern] = useState("");
  const [limit, setLimit] = useState(PAGE);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [target, setTarget] = useState("");
  const [overwrites, setOverwrites] = useState(false);
  const [passphraseName, setPassphraseName] = useState("");
  const [identityName, setIdentityName] = useState("");
  const [repositoryPasswordName, setRepositoryPasswordName] = useState("");
  const place = places.find((one) => one.id === chosenId) ?? places[0];
  const placeId = place?.id;
  const isRepository = place?.path.startsWith(REPOSITORY_PREFIX) === true;

  const keyNames = {
    ...(passphraseName.trim() === "" ? {} : { passphraseName: passphraseName.trim() }),
    ...(identityName.trim() === "" ? {} : { identityName: identityName.trim() }),
    ...(repositoryPasswordName.trim() === ""
      ? {}
      : { repositoryPasswordName: repositoryPasswordName.trim() }),
  };
  const keys = {
    ...(keyNames.passphraseName === undefined ? {} : { passphrase: keyNames.passphraseName }),
    ...(keyNames.identityName === undefined ? {} : { identities: [keyNames.identityName] }),
    ...(keyNames.repositoryPasswordName === undefined
      ? {}
      : { repositoryPassword: keyNames.repositoryPasswordName }),
  };

  const found = useAnswer<Stored | undefined>(
    () => {
      if (placeId === undefined) {
        return Promise.resolve({ ok: true as const, value: undefined });
      }
      const query = { place: placeId, limit: String(Math.min(1_000, limit)), ...keyNames };
      return pattern === ""
        ? ask(api.api.copies.$get({ query: { ...query, path: at } }))
        : ask(api.api.copies.search.$get({ query: { ...query, pattern: searchFor(pattern) } }));
    },
    [placeId, at, pattern, limit, passphraseName, identityName, repositoryPasswordName],
  );

  function go(path: string): void {
    setPattern("");
    setAt(path);
    setLimit(PAGE);
  }
  function choose(path: string): void {
    const next = new Set(chosen);
    if (!next.delete(path)) next.add(path);
    setChosen(next);
  }

  const paths = [...chosen];
  const restores = Object.values(state.restores).sort((a, b) => b.startedAtMs - a.startedAtMs);
  return (
    <>
      <section class="box">
        <h2>Restore</h2>
        <div class="filters">
          <Field label="From">
            <select
              value={placeId ?? ""}
              onChange={(event) => {
                choosePlace(event.currentTarget.value);
                setChosen(new Set());
                go("");
              }}
            >
              {places.map((one) => <option key={one.id} value={one.id}>{one.label}</option>)}
            </select>
          </Field>
          <Field label="Search by name">
            <input
              type="search"
              value={pattern}
              placeholder="letter or *.jpg"
              onInput={(event) => {
                setPattern(event.currentTarget.value);
                setLimit(PAGE);
              }}
            />
          </Field>
        </div>
        {isRepository && (
          <Field
            label="Name of the repository's password"
            hint="As the agents know it, by their --secret"
          >
            <input
              value={repositoryPasswordName}
              onChange={(event) => setRepositoryPasswordName(event.currentTarget.value)}
            />
          </Field>
        )}
        <details class="browser" hidden={isRepository}>
          <summary>Encrypted copies</summary>
          <div class="form">
            <Field label="Name of the passphrase" hint="As the agents know it, by their --secret">
              <input
                value={passphraseName}
                onChange={(event) => setPassphraseName(event.currentTarget.value)}
              />
            </Field>
            <Field label="Name of the secret key" hint="As the agents know it, by their --secret">
              <input
                value={identityName}
                onChange={(event) => setIdentityName(event.currentTarget.value)}
              />
            </Field>
          </div>
        </details>
        {pattern === "" && <Crumbs at={at} root={place?.label ?? ""} go={go} />}
        {found.value?.problems.map((text) => <p key={text} class="problem">{text}</p>)}
        <AnswerNote
          problem={found.problem}
          isAsking={found.isAsking}
          isEmpty={(found.value?.entries.length ?? 0) === 0}
          empty={placeId === undefined
            ? "Nothing has been copied yet"
            : pattern === ""
            ? "There is nothing here"
            : "Nothing has such a name"}
        />
        <ul class="entries">
          {found.value?.entries.map((entry) => (
            <EntryRow
              key={entry.path}
              entry={entry}
              query={{ place: placeId ?? "", ...keyNames }}
              isWhole={pattern !== ""}
              isChosen={chosen.has(entry.path)}
              onChoose={() => choose(entry.path)}
              onOpen={() => go(entry.path)}
            />
          ))}
        </ul>
        {found.value?.hasMore === true && (
          limit < 1_000
            ? <button type="button" onClick={() => setLimit(limit + 400)}>Show more</button>
            : <p class="muted">There is more here than is shown. Search by name</p>
        )}
        <div class="form restore-form">
          <p>
            {paths.length === 0
              ? isRepository
                ? "Nothing is chosen: all of the newest snapshot would be restored."
                : "Nothing is chosen: everything at this destination would be restored."
              : `Chosen: ${paths.length <= 3 ? paths.join(", ") : `${paths.length} entries`}`}
          </p>
          <Field label="Restore to" hint="A folder on the machine of the destination">
            <input
              class="mono"
              value={target}
              placeholder="/home/me/restored"
              onInput={(event) => setTarget(event.currentTarget.value)}
            />
          </Field>
          <label class="check">
            <input
              type="checkbox"
              checked={overwrites}
              onChange={(event) => setOverwrites(event.currentTarget.checked)}
            />
            Replace files that stand there and differ
          </label>
          <ActionButton
            kind="primary"
            icon="retry"
            action={{
              title: "Restore",
              send: (client) =>
                client.api.restores.$post({
                  json: {
                    place: placeId ?? "",
                    target,
                    paths,
                    ...(overwrites ? { overwrite: true } : {}),
                    ...(Object.keys(keys).length === 0 ? {} : { keys }),
                  },
                }),
              ...wordsOf(restoreWords({ from: place?.path ?? "", paths, target, overwrites })),
            }}
            disabled={!target.startsWith("/") || placeId === undefined}
            done="The restore was started"
          />
        </div>
      </section>
      {restores.length > 0 && (
        <section class="box">
          <h2>Restores</h2>
          <ul class="plain-list">
            {restores.map((card) => <RestoreRow key={card.restoreId} card={card} />)}
          </ul>
        </section>
      )}
    </>
  );
}

interface StoredAt {
  /** As the API takes a place. */
  id: string;
  label: string;
  path: string;
}

/** Those that are known, and whatever runs have copied to beside them. */
function placesToRestoreFrom(state: ConsoleState): StoredAt[] {
  const known = Object.values(state.places).map(({ placeId, label, path }) => ({
    id: placeId,
    label,
    path,
  }));
  const paths = new Map(known.map((place) => [place.path, place]));
  for (const { destinations } of newestFirst(state)) {
    for (const { key, path } of destinations) {
      if (!paths.has(path)) paths.set(path, { id: path, label: key, path });
    }
  }
  return [...paths.values()].sort((a, b) => a.label < b.label ? -1 : 1);
}

function Crumbs({ at, root, go }: { at: string; root: string; go(path: string): void }) {
  const parts = at === "" ? [] : at.split("/");
  return (
    <nav class="crumbs" aria-label="Folder">
      <button type="button" class="link" onClick={() => go("")}>{root}</button>
      {parts.map((part, index) => {
        const path = parts.slice(0, index + 1).join("/");
        return (
          <span key={path}>
            {" / "}
            <button type="button" class="link" onClick={() => go(path)}>
              <bdi>{part}</bdi>
            </button>
          </span>
        );
      })}
    </nav>
  );
}

interface EntryRowProps {
  entry: StoredEntry;
  /** Of a download, beside its path. */
  query: Record<string, string>;
  /** The whole path, as what is shown lies in many folders. */
  isWhole: boolean;
  isChosen: boolean;
  onChoose(): void;
  onOpen(): void;
}

function EntryRow(
  { entry, query, isWhole, isChosen, onChoose, onOpen }: EntryRowProps,
) {
  const name = isWhole ? entry.path : lastPart(entry.path);
  const isFolder = entry.type === "directory";
  return (
    <li class={entry.isGone ? "is-gone" : ""}>
      <input
        type="checkbox"
        aria-label={`Choose ${entry.path}`}
        checked={isChosen}
        onChange={onChoose}
      />
      <Icon name={isFolder ? "folder" : "file"} />
      {isFolder
        ? (
          <button type="button" class="link path" onClick={onOpen}>
            <bdi>{name}</bdi>
          </button>
        )
        : <bdi class="path">{name}</bdi>}
      <span class="muted digits entry-facts">
        {[
          ...(entry.isGone ? ["gone from the source"] : []),
          ...(isFolder || entry.sizeBytes === null ? [] : [formatBytes(entry.sizeBytes)]),
          ...(entry.mtimeMs === null ? [] : [formatDate(entry.mtimeMs)]),
        ].join(" · ")}
      </span>
      {entry.type === "file" && (
        <a
          class="download"
          href={`/api/copies/file?${new URLSearchParams({ ...query, path: entry.path })}`}
          download
          aria-label={`Download ${entry.path}`}
        >
          <Icon name="down" />
        </a>
      )}
    </li>
  );
}

const TONES = {
  running: "copying",
  completed: "copying",
  failed: "failed",
  cancelled: "cancelled",
  interrupted: "failed",
} as const;

function RestoreRow({ card }: { card: RestoreCard }) {
  const { restoreId, state, filesDone, filesTotal, bytesDone, bytesTotal } = card;
  const fraction = state === "completed"
    ? 1
    : filesTotal + bytesTotal === 0
    ? 0
    : Math.min(1, (filesDone + bytesDone) / (filesTotal + bytesTotal));
  const percent = Math.floor(fraction * 100);
  const counts = `${formatCount(filesDone)} of ${formatCount(filesTotal)} files, ` +
    `${formatBytes(bytesDone)} of ${formatBytes(bytesTotal)}`;
  const words = {
    running: "Restoring",
    completed: "Restored",
    failed: "Failed",
    cancelled: "Cancelled",
    interrupted: "Interrupted",
  };
  return (
    <li class={`restore is-${state}`}>
      <div class="restore-what">
        <p>
          <strong>{`${words[state]} ${state === "running" ? `${percent} %` : ""}`}</strong>
          <bdi class="muted">{` ${card.destination} → ${card.target}`}</bdi>
        </p>
        <Bar
          label={`Restore to ${card.target}`}
          text={`${words[state]}, ${counts}`}
          percent={percent}
          copied={state === "completed" ? 1 : fraction}
          verified={state === "completed" ? 1 : 0}
          tone={TONES[state]}
        />
        <p class="muted digits">{counts}</p>
        {card.error !== null && <p class="problem">{card.error}</p>}
        {card.failures.slice(0, 5).map((failure) => (
          <p key={failure.path} class="problem">
            <bdi>{failure.path}</bdi>: {failure.message}
          </p>
        ))}
        {card.failureCount > 5 && (
          <p class="muted">{`${formatCount(card.failureCount)} files in all`}</p>
        )}
      </div>
      {state === "running" && (
        <ActionButton
          kind="danger"
          action={{
            title: "Cancel restore",
            send: (api) => api.api.restores[":restoreId"].cancel.$post({ param: { restoreId } }),
          }}
          done="The restore is cancelled; what is restored stays"
        />
      )}
    </li>
  );
}

function wordsOf(words: string[] | undefined): { words?: string[] } {
  return words === undefined ? {} : { words };
}

/** A plain word is looked for anywhere in a name. */
function searchFor(pattern: string): string {
  return /[*?]/.test(pattern) ? pattern : `*${pattern}*`;
}
