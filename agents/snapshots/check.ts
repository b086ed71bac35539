/** `check`, and `verify` on a repository: is everything there that snapshots need, and is it whole? */
import { BackupError } from "../../protocol/base/errors.ts";
import type { Command, CommandCall } from "../../protocol/cli/command.ts";
import { jsonLine } from "../../protocol/cli/error_line.ts";
import { formatDuration, formatPlural } from "../../protocol/cli/format.ts";
import { visibleText } from "../../protocol/cli/visible_text.ts";
import {
  type CheckCounts,
  checkRepository,
  parseReadDataSubset,
  type Problem,
  type ReadData,
} from "../repository/mod.ts";
import { showPackProgress } from "./pack_progress.ts";
import { startPackThreads } from "./pack_threads.ts";
import { repairFrom } from "./repair.ts";
import type { RepositoryWorld } from "./repository_world.ts";
import { tellExit } from "./telling.ts";
import { addressOf, OPENING_OPTIONS, refuseMore, useRepositories } from "./use_repositories.ts";

const SYNOPSIS = "check restic:PATH [--read-data | --read-data-subset PART] [OPTIONS]";

export function createCheckCommand(world: RepositoryWorld): Command {
  return {
    name: "check",
    summary:
      "Check a repository: its index, its snapshots and trees, and with --read-data every pack",
    synopsis: [SYNOPSIS],
    about: [
      "Without --read-data packs are only looked for and measured. Each problem is named with the file it is in; `repair` " +
      "takes such files from a replica. Nobody else may use the repository meanwhile.",
    ],
    options: [
      "readData",
      "readDataSubset",
      ...OPENING_OPTIONS,
      "noLock",
      "json",
      "quiet",
    ],
    examples: [
      {
        says: "a seventh of the data each day of the week",
        words: "check restic:/mnt/ssd/backup --read-data-subset 3/7",
      },
      { says: "everything", words: "check restic:/mnt/ssd/backup --read-data" },
    ],
    exitCodes: [0, 1, 2, 10, 11, 12, 130],
    exitMeanings: { 0: "no errors were found", 1: "errors were found (each is named)" },
    run(call) {
      const all = call.settings.get("readData").value;
      const part = call.settings.get("readDataSubset").value;
      if (all && part !== undefined) {
        throw new BackupError("usage", "--read-data and --read-data-subset are both given");
      }
      refuseMore(call.positionals, 1, SYNOPSIS);
      const readData = all ? { kind: "all" } as const : part && readDataOf(part);
      return runCheck(world, call, readData || undefined);
    },
  };
}

/** `verify restic:A [--repair-from restic:B]`: every byte, after putting right what a replica can. */
export async function runVerify(world: RepositoryWorld, call: CommandCall): Promise<number> {
  refuseMore(call.positionals, 1, "verify restic:PATH");
  const others = call.settings.get("repairFrom").value;
  if (others.length > 0) await repairFrom(world, call, others);
  return await runCheck(world, call, { kind: "all" });
}

async function runCheck(
  world: RepositoryWorld,
  call: CommandCall,
  readData: ReadData | undefined,
): Promise<number> {
  const { settings, terminal, clock } = call;
  const address = addressOf(call, call.positionals[0], SYNOPSIS);
  const json = settings.get("json").value;
  const quiet = settings.get("quiet").value;
  const startedAtMs = clock.monotonicMs();
  const lock = settings.get("noLock").value ? "none" : "exclusive";
  const broken = new Set<string>();
  const options = { lock, mayGoWithout: true } as const;
  const counts = await useRepositories(world, call, [address], options, async (opened) => {
    const { repository } = opened.repositories[0]!;
    const progress = showPackProgress(call, `Checking: ${address.key}`);
    try {
      return await checkRepository(repository, {
        ...(readData === undefined ? {} : { readData }),
        onProblem(problem) {
          // What is cut short is not damaged.
          if (opened.signal.aborted) return;
          if (problem.isError && problem.packId !== undefined) broken.add(problem.packId);
          if (problem.isError || !quiet) tell(call, problem);
        },
        onPack: progress.set,
        startReaders: (packSizes) =>
          startPackThreads(repository, packSizes, {
            clock,
            timeoutMs: settings.get("timeout").value,
            spawn: world.spawn,
            signal: opened.signal,
          }),
        signal: opened.signal,
      });
    } finally {
      progress.close();
    }
  });
  const isSound = counts.errors === 0;
  if (json) {
    terminal.out(jsonLine({
      message_type: "summary",
      num_errors: counts.errors,
      broken_packs: broken.size === 0 ? null : [...broken],
      suggest_repair_index: false,
      suggest_prune: counts.hints > 0,
      snapshots: counts.snapshots,
      packs: counts.packs,
      packs_read: counts.packsRead,
      used_blobs: counts.usedBlobs,
      unused_blobs: counts.unusedBlobs,
      seconds_elapsed: (clock.monotonicMs() - startedAtMs) / 1000,
    }));
  } else if (!quiet || !isSound) {
    const print = quiet ? terminal.err : terminal.out;
    const elapsedMs = clock.monotonicMs() - startedAtMs;
    print(`${sentence(call, counts, { key: address.key, readData, elapsedMs })}\n`);
    if (isSound && counts.hints > 0) {
      print(
        "Notes tell of no damage; packs in no index, as an interrupted backup leaves them, go with prune.\n",
      );
    }
    if (!isSound) {
      const key = visibleText(address.key);
      print(
        `If a replica has the same data, repair ${key} --from restic:OTHER puts this one right.\n`,
      );
    }
  }
  if (!isSound) tellExit(call, 1, `${address.key} has errors`);
  return isSound ? 0 : 1;
}

function sentence(
  call: CommandCall,
  counts: CheckCounts,
  { key, readData, elapsedMs }: { key: string; readData: ReadData | undefined; elapsedMs: number },
): string {
  const { outStyle: style } = call.terminal;
  const isSound = counts.errors === 0;
  const found = isSound ? "No errors" : formatPlural(counts.errors, "error");
  const read = counts.packsRead === 0
    ? readData === undefined || counts.packs === 0
      ? "no data read"
      : "no pack is in that part, so no data read"
    : counts.packsRead === counts.packs
    ? "all data read"
    : `${counts.packsRead} of ${formatPlural(counts.packs, "pack")} read`;
  const mark = isSound ? style.good(style.glyphs.done) : style.bad(style.glyphs.failed);
  return `${mark} ${style.bold(`${found} in ${visibleText(key)}`)}: ${
    formatPlural(counts.snapshots, "snapshot")
  }, ${formatPlural(counts.packs, "pack")}, ${
    formatPlural(counts.usedBlobs, "blob")
  } in use, ${read}, in ${formatDuration(elapsedMs)}.`;
}

function tell({ settings, terminal }: CommandCall, problem: Problem): void {
  const { isError, message, path, packId } = problem;
  if (settings.get("json").value) {
    const kind = isError ? "error" : "hint";
    const about = {
      ...(path === undefined ? {} : { path }),
      ...(packId === undefined ? {} : { pack: packId }),
    };
    terminal.err(jsonLine({ message_type: kind, message, ...about }));
  } else terminal.err(`${isError ? "Error" : "Note"}: ${visibleText(message)}\n`);
}

/** @throws {BackupError} `usage` */
function readDataOf(text: string): ReadData {
  const parsed = parseReadDataSubset(text);
  if (parsed !== undefined) return parsed;
  throw new BackupError(
    "usage",
    `--read-data-subset must be n/t, x% or a size such as 500M, not ${JSON.stringify(text)}`,
  );
}
