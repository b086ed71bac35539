/** `forget`: removes snapshots that no rule keeps, or those named. Rule: no rules and no names remove nothing. */
import { BackupError } from "../../protocol/base/errors.ts";
import type { Command, CommandCall } from "../../protocol/cli/command.ts";
import { formatPlural } from "../../protocol/cli/format.ts";
import { visibleText } from "../../protocol/cli/visible_text.ts";
import {
  applyPolicy,
  type Bucket,
  type ForgetDecision,
  type GroupBy,
  groupSnapshots,
  instantOfMs,
  isEmptyPolicy,
  type KeepPolicy,
  loadSnapshot,
  loadSnapshots,
  parseKeepDuration,
  type Repository,
  shortId,
  type SnapshotGroup,
  type StoredSnapshot,
} from "../repository/mod.ts";
import { snapshotMessage } from "./entry_forms.ts";
import { prune, PRUNE_OPTIONS } from "./prune.ts";
import type { RepositoryWorld } from "./repository_world.ts";
import { FILTER_OPTIONS, filterOf, isEmptyFilter, passes, tagLists } from "./snapshot_choice.ts";
import { table, timeText } from "./snapshots.ts";
import { tellExit, tellProblem } from "./telling.ts";
import { addressOf, OPENING_OPTIONS, useRepositories } from "./use_repositories.ts";

const SYNOPSIS = "forget restic:PATH [ID...] [--keep-... N] [--prune] [OPTIONS]";

const COUNTS = {
  hourly: "keepHourly",
  daily: "keepDaily",
  weekly: "keepWeekly",
  monthly: "keepMonthly",
  yearly: "keepYearly",
} as const satisfies Record<Bucket, string>;
const WITHINS = {
  hourly: "keepWithinHourly",
  daily: "keepWithinDaily",
  weekly: "keepWithinWeekly",
  monthly: "keepWithinMonthly",
  yearly: "keepWithinYearly",
} as const satisfies Record<Bucket, string>;

export function createForgetCommand(world: RepositoryWorld): Command {
  return {
    name: "forget",
    summary: "Remove snapshots that no rule keeps, and with --prune the data that only they need",
    synopsis: [SYNOPSIS],
    about: [
      "Snapshots of one host with the same paths are judged together (--group-by). Each rule keeps what it says, and what " +
      "any rule keeps stays; without a rule nothing is removed. Rules that would leave nothing of a group are refused. " +
      "With IDs those are removed, whatever the rules say. --dry-run shows it first.",
      "The data stays until `prune`, or --prune here, removes what no snapshot needs.",
    ],
    options: [
      "keepLast",
      ...Object.values(COUNTS),
      "keepWithin",
      ...Object.values(WITHINS),
      "keepTag",
      "groupBy",
      ...FILTER_OPTIONS,
      "unsafeAllowRemoveAll",
      "prune",
      ...PRUNE_OPTIONS,
      "dryRun",
      ...OPENING_OPTIONS,
      "json",
      "quiet",
    ],
    optionHelp: { dryRun: "Show what would be removed; change nothing" },
    examples: [
      {
        says: "a week of days, two months of weeks, two years of months",
        words:
          "forget restic:/mnt/ssd/backup --keep-daily 7 --keep-weekly 8 --keep-monthly 24 --prune",
      },
      { says: "one snapshot", words: "forget restic:/mnt/ssd/backup 4f3a2c1d" },
    ],
    typedOnly: FILTER_OPTIONS,
    exitCodes: [0, 1, 2, 3, 10, 11, 12, 130],
    exitMeanings: {
      0: "what the rules do not keep is removed",
      1: "failed: nothing was removed",
      3: "some snapshots could not be removed (named)",
    },
    run: (call) => runForget(world, call),
  };
}

interface Judged extends ForgetDecision {
  group: SnapshotGroup;
}

async function runForget(world: RepositoryWorld, call: CommandCall): Promise<number> {
  const { settings, clock } = call;
  const [word, ...ids] = call.positionals;
  const address = addressOf(call, word, SYNOPSIS);
  const policy = policyOf(call);
  const filter = filterOf(call);
  if (ids.length === 0 && isEmptyPolicy(policy)) {
    throw new BackupError("usage", "No rule says which snapshots to keep, so none is removed", {
      hint: "Give --keep-last, --keep-daily or others, or name snapshots by their ids",
    });
  }
  const dryRun = settings.get("dryRun").value;
  const lock = dryRun ? "none" : "exclusive";
  return await useRepositories(world, call, [address], { lock }, async (opened) => {
    const { repository } = opened.repositories[0]!;
    let judged: Judged[];
    if (ids.length > 0) {
      const named: StoredSnapshot[] = [];
      for (const id of new Set(ids)) named.push(await find(repository, id));
      judged = [{ group: { snapshots: named }, keep: [], remove: named }];
    } else {
      // One that cannot be read could be kept by a rule: it stays, and nothing is decided about it.
      const snapshots = (await loadSnapshots(repository, (_, error) =>
        tellProblem(call, error.message)))
        .filter((snapshot) => passes(filter, snapshot));
      const now = instantOfMs(clock.nowMs());
      judged = groupSnapshots(snapshots, groupingOf(call)).map((group) => ({
        group,
        ...applyPolicy(group.snapshots, policy, now),
      }));
      if (!settings.get("unsafeAllowRemoveAll").value) judged.forEach(requireSomeKept);
      else if (isEmptyFilter(filter)) {
        throw new BackupError("usage", "--unsafe-allow-remove-all needs --host, --tag or --path");
      }
    }
    report(call, judged, { dryRun, isNamed: ids.length > 0 });
    const gone = judged.flatMap(({ remove }) => remove);
    const failed = dryRun ? 0 : await removeAll(call, repository, gone, opened.signal);
    if (settings.get("prune").value && gone.length > failed) {
      await prune(call, repository, {
        isDryRun: dryRun,
        signal: opened.signal,
        without: new Set(gone.map(({ id }) => id)),
      });
    }
    if (failed > 0) tellExit(call, 3, "Some snapshots could not be removed");
    return failed > 0 ? 3 : 0;
  });
}

async function find(repository: Repository, prefix: string): Promise<StoredSnapshot> {
  if (!/^[0-9a-f]{1,64}$/.test(prefix)) {
    throw new BackupError("usage", `${prefix} is not the beginning of an id`, {
      hint: "Snapshots that are removed are named by their ids",
    });
  }
  return await loadSnapshot(repository, await repository.find("snapshot", prefix));
}

function requireSomeKept({ group, keep, remove }: Judged): void {
  if (keep.length > 0 || remove.length === 0) return;
  const what = [group.host, ...group.paths ?? [], ...group.tags ?? []].filter(Boolean).join(", ");
  throw new BackupError("rejected", `The rules would keep no snapshot of ${what || "all"}`, {
    hint: "Give a rule that keeps some; --unsafe-allow-remove-all with a filter allows it",
  });
}

async function removeAll(
  call: CommandCall,
  repository: Repository,
  gone: readonly StoredSnapshot[],
  signal: AbortSignal,
): Promise<number> {
  let failed = 0;
  for (const { id } of gone) {
    signal.throwIfAborted();
    try {
      await repository.remove("snapshot", id);
    } catch (error) {
      if (!(error instanceof BackupError)) throw error;
      failed++;
      tellProblem(call, error.message);
    }
  }
  return failed;
}

function policyOf({ settings }: CommandCall): KeepPolicy {
  const policy: KeepPolicy = { counts: {}, withinBuckets: {} };
  const last = settings.get("keepLast").value;
  if (last !== 0) policy.last = last;
  for (const [bucket, key] of Object.entries(COUNTS)) {
    const count = settings.get(key).value;
    if (count !== 0) policy.counts![bucket as Bucket] = count;
  }
  const within = settings.get("keepWithin").value;
  if (within !== undefined) policy.within = parseKeepDuration(within)!;
  for (const [bucket, key] of Object.entries(WITHINS)) {
    const duration = settings.get(key).value;
    if (duration !== undefined) {
      policy.withinBuckets![bucket as Bucket] = parseKeepDuration(duration)!;
    }
  }
  const tags = tagLists(settings.get("keepTag").value);
  if (tags.length > 0) policy.tags = tags;
  return policy;
}

const GROUPINGS: Readonly<Record<string, GroupBy>> = {
  host: "host",
  path: "paths",
  paths: "paths",
  tag: "tags",
  tags: "tags",
};

function groupingOf({ settings }: CommandCall): GroupBy[] {
  return settings.get("groupBy").value.split(",").filter((word) => word !== "")
    .map((word) => GROUPINGS[word]!);
}

function report(
  { settings, terminal }: CommandCall,
  judged: readonly Judged[],
  { dryRun, isNamed }: { dryRun: boolean; isNamed: boolean },
): void {
  if (settings.get("json").value) {
    terminal.out(`${JSON.stringify(judged.map(groupMessage))}\n`);
    return;
  }
  if (settings.get("quiet").value) return;
  const would = dryRun ? "Would remove" : "Removing";
  if (judged.length === 0) {
    terminal.out(
      isEmptyFilter(filterOf({ settings })) ? "There is no snapshot.\n" : "No snapshot matches.\n",
    );
  }
  for (const { group, keep, remove } of judged) {
    const lines: string[] = [];
    if (!isNamed) {
      const of = [group.host, ...group.paths ?? []].filter(Boolean).map((text) =>
        visibleText(text!)
      );
      lines.push(
        `${of.join(", ") || "All snapshots"}: keeping ${formatPlural(keep.length, "snapshot")}`,
      );
      for (const { snapshot, reasons } of keep) {
        lines.push(`  ${shortId(snapshot.id)}  ${timeText(snapshot.time)}  ${reasons.join(", ")}`);
      }
    }
    lines.push(
      `${would} ${formatPlural(remove.length, "snapshot")}${remove.length > 0 ? ":" : "."}`,
    );
    if (remove.length > 0) lines.push(...table(remove).slice(0, -1).map((line) => `  ${line}`));
    terminal.out(lines.join("\n") + "\n");
  }
}

/** restic's shape of a group. */
function groupMessage({ group, keep, remove }: Judged): Record<string, unknown> {
  const list = (snapshots: readonly StoredSnapshot[]) =>
    snapshots.length === 0 ? null : snapshots.map(snapshotMessage);
  return {
    tags: group.tags ?? null,
    host: group.host ?? "",
    paths: group.paths ?? null,
    keep: list(keep.map(({ snapshot }) => snapshot)),
    remove: list(remove),
    reasons: keep.length === 0 ? null : keep.map(({ snapshot, reasons }) => ({
      snapshot: snapshotMessage(snapshot),
      matches: reasons,
    })),
  };
}
