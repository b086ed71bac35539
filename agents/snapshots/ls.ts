/** `ls` and `find` on a repository: what its snapshots have, without reading any file's content. */
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import type { CommandCall } from "../../protocol/cli/command.ts";
import { jsonLine } from "../../protocol/cli/error_line.ts";
import { visibleText } from "../../protocol/cli/visible_text.ts";
import { listLine } from "../cli/list_line.ts";
import {
  loadSnapshots,
  shortId,
  showBytes,
  type StoredSnapshot,
  utf8ByteString,
} from "../repository/mod.ts";
import { globMatcher } from "../strategies/mirror/restore/glob.ts";
import { openBlobGroup } from "./blob_group.ts";
import { entryMessage, listedLine, snapshotMessage } from "./entry_forms.ts";
import type { RepositoryWorld } from "./repository_world.ts";
import {
  chooseSnapshot,
  filterOf,
  LATEST,
  parseSnapshotWord,
  passes,
  treeOfFolder,
} from "./snapshot_choice.ts";
import { cleanPath } from "./selection.ts";
import { timeText } from "./snapshots.ts";
import { lockOfReader, tellProblem, tellWarning } from "./telling.ts";
import { addressOf, type Opened, refuseMore, useRepositories } from "./use_repositories.ts";
import { type WalkedEntry, walkSnapshot } from "./walk_snapshot.ts";

/** Text is written in pieces of about this size: a call a line would be slow. */
const PRINT_CHARACTERS = 32 << 10;

const LS_SYNOPSIS = "ls restic:PATH [SNAPSHOT] [FOLDER]";
const FIND_SYNOPSIS = "find restic:PATH PATTERN";

/** Everything in the snapshot; with FOLDER what is in it, with --recursive all below it. */
export async function runLs(world: RepositoryWorld, call: CommandCall): Promise<number> {
  const { settings } = call;
  const [place, ...words] = call.positionals;
  const address = addressOf(call, place, LS_SYNOPSIS);
  // restic names the snapshot first; a path alone is one of the latest.
  const word = words[0]?.startsWith("/") === true ? undefined : words.shift();
  const [folder = ""] = words;
  refuseMore(words, 1, LS_SYNOPSIS);
  const chosen = parseSnapshotWord(word ?? settings.get("snapshot").value ?? LATEST);
  const wanted = utf8ByteString(cleanPath(folder));
  const recursive = wanted === "" || settings.get("recursive").value;
  const json = settings.get("json").value;
  return await useRepositories(world, call, [address], lockOfReader(call), async (opened) => {
    const { reader, repository, problems, tell } = await openReader(call, opened);
    const snapshot = await chooseSnapshot(
      repository,
      chosen.id,
      filterOf(call),
      (error) => tellWarning(call, error.message),
    );
    const tree = await treeOfFolder(reader, snapshot.tree, chosen.folder);
    const printer = new Printer(call);
    if (json) printer.print({ ...snapshotMessage(snapshot), ...kindOf("snapshot") });
    let found = 0;
    const walk = walkSnapshot(reader, tree, {
      enters: (path) =>
        wanted.startsWith(`${path}/`) || path === wanted ||
        (recursive && path.startsWith(`${wanted}/`)),
      onFailure: tell,
      signal: opened.signal,
    });
    for await (const entry of walk) {
      const { path } = entry;
      const isIn = path === wanted || (path.startsWith(`${wanted}/`) &&
        (recursive || !path.includes("/", wanted.length + 1)));
      if (!isIn) continue;
      found++;
      if (json) printer.print({ ...entryMessage(entry), ...kindOf("node") });
      else printer.text(`${listLine(listedLine(entry))}\n`);
    }
    printer.close();
    if (problems.count > 0) return 1;
    if (found > 0 || wanted === "") return 0;
    tellProblem(call, `Snapshot ${shortId(snapshot.id)} has no ${folder}`);
    return 1;
  });
}

/** Every entry of every snapshot, or of the one named, whose name or path the pattern matches. */
export async function runFind(world: RepositoryWorld, call: CommandCall): Promise<number> {
  const { settings, terminal } = call;
  const [place, pattern] = call.positionals;
  const address = addressOf(call, place, FIND_SYNOPSIS);
  if (pattern === undefined || pattern === "") {
    throw new BackupError("usage", "No pattern is given", { hint: FIND_SYNOPSIS });
  }
  refuseMore(call.positionals, 2, "Quote the pattern, or the shell expands it");
  const matches = globMatcher(pattern, settings.get("ignoreCase").value);
  const json = settings.get("json").value;
  const id = settings.get("snapshot").value;
  return await useRepositories(world, call, [address], lockOfReader(call), async (opened) => {
    const { reader, repository, problems, tell } = await openReader(call, opened);
    const filter = filterOf(call);
    const all = id === undefined
      ? (await loadSnapshots(repository, (_, error) => tell("", error)))
        .filter((snapshot) => passes(filter, snapshot)).reverse()
      : [await chooseSnapshot(repository, id, filter, (error) => tell("", error))];
    const printer = new Printer(call);
    const results: Record<string, unknown>[] = [];
    let hits = 0;
    for (const snapshot of all) {
      const found: WalkedEntry[] = [];
      const walk = walkSnapshot(reader, snapshot.tree, { onFailure: tell, signal: opened.signal });
      for await (const entry of walk) {
        // Without its first slash, as the paths of mirrors are.
        if (!matches(showBytes(entry.path.slice(1)))) continue;
        hits++;
        if (json) found.push(entry);
        else {
          if (found.length === 0) printer.text(`${titleOf(snapshot)}\n`);
          found.push(entry);
          printer.text(`${listLine(listedLine(entry))}\n`);
          found.length = 1;
        }
      }
      if (json && found.length > 0) {
        const list = found.map(entryMessage);
        results.push({ matches: list, hits: list.length, snapshot: snapshot.id });
      }
    }
    printer.close();
    if (json) terminal.out(`${JSON.stringify(results)}\n`);
    if (problems.count > 0) return 1;
    if (hits === 0 && !json) tellProblem(call, `Nothing in ${address.key} matches ${pattern}`);
    return hits > 0 ? 0 : 1;
  });
}

async function openReader(call: CommandCall, { repositories }: Opened) {
  const problems = { count: 0 };
  const tell = (path: string, error: unknown) => {
    const { message } = asBackupError(error);
    problems.count++;
    tellProblem(call, path === "" || message.includes(path) ? message : `${path}: ${message}`);
  };
  const { reader } = await openBlobGroup(repositories, call.clock, (message) => {
    problems.count++;
    tellProblem(call, message);
  });
  return { reader, repository: repositories[0]!.repository, problems, tell };
}

function kindOf(kind: "snapshot" | "node") {
  return { message_type: kind, struct_type: kind };
}

function titleOf(snapshot: StoredSnapshot): string {
  const host = snapshot.hostname ? `, ${visibleText(snapshot.hostname)}` : "";
  return `Snapshot ${shortId(snapshot.id)} of ${timeText(snapshot.time)}${host}:`;
}

class Printer {
  readonly #call: CommandCall;
  #text = "";

  constructor(call: CommandCall) {
    this.#call = call;
  }

  print(message: Record<string, unknown>): void {
    this.text(jsonLine(message));
  }

  text(text: string): void {
    this.#text += text;
    if (this.#text.length >= PRINT_CHARACTERS) this.close();
  }

  close(): void {
    if (this.#text !== "") this.#call.terminal.out(this.#text);
    this.#text = "";
  }
}
