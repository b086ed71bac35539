/** `snapshots`: which snapshots a repository has. */
import { BackupError } from "../../protocol/base/errors.ts";
import type { Command, CommandCall } from "../../protocol/cli/command.ts";
import { formatPlural } from "../../protocol/cli/format.ts";
import { isRepositoryAddress } from "../../protocol/cli/repository_address.ts";
import { textWidth, visibleText } from "../../protocol/cli/visible_text.ts";
import {
  type GroupBy,
  groupSnapshots,
  loadSnapshots,
  shortId,
  type StoredSnapshot,
} from "../repository/mod.ts";
import { snapshotMessage } from "./entry_forms.ts";
import type { RepositoryWorld } from "./repository_world.ts";
import { FILTER_OPTIONS, filterOf, passes } from "./snapshot_choice.ts";
import { lockOfReader, tellProblem } from "./telling.ts";
import { addressOf, OPENING_OPTIONS, useRepositories } from "./use_repositories.ts";

const SYNOPSIS = "snapshots restic:PATH [ID...] [OPTIONS]";

export function createSnapshotsCommand(world: RepositoryWorld): Command {
  return {
    name: "snapshots",
    summary: "List the snapshots of a repository",
    synopsis: [SYNOPSIS],
    about: ["Oldest first, or only those with an ID that begins so; latest is the newest."],
    options: [...FILTER_OPTIONS, "latest", ...OPENING_OPTIONS, "noLock", "json"],
    examples: [
      {
        says: "the newest of each host and paths",
        words: "snapshots restic:/mnt/ssd/backup --latest 1",
      },
    ],
    typedOnly: FILTER_OPTIONS,
    exitCodes: [0, 1, 2, 10, 11, 12, 130],
    exitMeanings: { 0: "listed", 1: "failed: a snapshot cannot be read, or is not there" },
    run: (call) => runSnapshots(world, call),
  };
}

async function runSnapshots(world: RepositoryWorld, call: CommandCall): Promise<number> {
  const { settings, terminal } = call;
  const [word, ...ids] = call.positionals;
  const address = addressOf(call, word, SYNOPSIS);
  const other = ids.find(isRepositoryAddress);
  if (other !== undefined) {
    throw new BackupError("usage", `Unexpected ${other}`, { hint: SYNOPSIS });
  }
  const filter = filterOf(call);
  return await useRepositories(world, call, [address], lockOfReader(call), async (opened) => {
    const { repository } = opened.repositories[0]!;
    let damaged = 0;
    const all = await loadSnapshots(repository, (_, error) => {
      damaged++;
      tellProblem(call, error.message);
    });
    const passing = all.filter((snapshot) => passes(filter, snapshot));
    const prefixes = ids.map((id) => id === "latest" ? passing.at(-1)?.id ?? id : id);
    let chosen = passing.filter(({ id }) =>
      ids.length === 0 || prefixes.some((prefix) => id.startsWith(prefix))
    );
    const unknown = ids.filter((_, i) => !chosen.some(({ id }) => id.startsWith(prefixes[i]!)));
    for (const id of unknown) tellProblem(call, `No snapshot ${id} in ${address.key}`);
    const latest = settings.get("latest").value;
    if (latest !== undefined) chosen = newestOfEach(chosen, latest);
    if (settings.get("json").value) {
      terminal.out(`${JSON.stringify(chosen.map(snapshotMessage))}\n`);
    } else terminal.out(table(chosen).join("\n") + "\n");
    return damaged + unknown.length === 0 ? 0 : 1;
  });
}

/** Of each host and paths. */
export function newestOfEach(
  snapshots: readonly StoredSnapshot[],
  count: number,
): StoredSnapshot[] {
  const by: readonly GroupBy[] = ["host", "paths"];
  const kept = new Set(
    groupSnapshots(snapshots, by).flatMap((group) => group.snapshots.slice(-count)),
  );
  return snapshots.filter((snapshot) => kept.has(snapshot));
}

/** Columns as wide as what is in them; every further path has a line of its own. */
export function table(snapshots: readonly StoredSnapshot[]): string[] {
  const rows = snapshots.map((snapshot) => [
    shortId(snapshot.id),
    timeText(snapshot.time),
    visibleText(snapshot.hostname ?? ""),
    visibleText((snapshot.tags ?? []).join(",")),
    visibleText(snapshot.paths[0] ?? ""),
  ]);
  const head = ["ID", "Time", "Host", "Tags", "Paths"];
  const widths = head.map((title, i) =>
    Math.max(title.length, ...rows.map((row) => textWidth(row[i]!)))
  );
  const line = (row: readonly string[]) =>
    row.map((text, i) =>
      i === row.length - 1 ? text : text + " ".repeat(widths[i]! - textWidth(text))
    ).join("  ").trimEnd();
  const indent = " ".repeat(widths.slice(0, -1).reduce((sum, width) => sum + width + 2, 0));
  return [
    ...(rows.length === 0 ? [] : [line(head)]),
    ...rows.flatMap((row, i) => [
      line(row),
      ...snapshots[i]!.paths.slice(1).map((path) => indent + visibleText(path)),
    ]),
    `${formatPlural(rows.length, "snapshot")}.`,
  ];
}

/** As it was where the snapshot was made, which is how `forget` counts too. */
export function timeText(time: string): string {
  return time.slice(0, 19).replace("T", " ");
}
