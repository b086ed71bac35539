/**
 * What there is to do for one task at a destination. Rule: what interrupted runs left is put right first, or taken over
 * when it is this run's; only then is the source compared with what is recorded and what really stands there.
 */
import { BackupError } from "../../../protocol/base/errors.ts";
import {
  type Capabilities,
  isWholeFileSystem,
  untriedCapabilities,
} from "../../destinations/capabilities.ts";
import { createNameProbe } from "../../destinations/name_probe.ts";
import { ENOENT, posixError } from "../../platform/errno.ts";
import { cName, newStat, type Posix } from "../../platform/posix.ts";
import { latin1OfUtf8 } from "../../source/entry_table.ts";
import { superseded } from "./attempt_guard.ts";
import { countedLines } from "./deletion_measure.ts";
import { diff, type DiffResult } from "./diff.ts";
import { STATUS_ADOPTED, STATUS_FAILED } from "./entry_status.ts";
import { foldedClashes } from "./folded_names.ts";
import type { ItemProblem } from "./item_problem.ts";
import { addToJournal, jsonLines } from "./journal.ts";
import type { LaneHistory } from "./lane_history.ts";
import type { LaneTask } from "./lane_task.ts";
import { type CopyDestination, dropShadowed, isSealedAlike } from "./list_keys.ts";
import type { ManifestHeader } from "./manifest_file.ts";
import { removeStrays } from "./old_forms.ts";
import { openTaskList, taskListName } from "./part_list.ts";
import { settleParts, type Settling } from "./part_settling.ts";
import { putBackUnless, readJournals, recover, type Recovered } from "./recovery.ts";
import { TriedTimes } from "./time_trust.ts";
import { fileBytesMax, forbiddenName, unholdableRows } from "./unholdable_rows.ts";

export interface CompareRequest {
  task: string;
  dryRun: boolean;
  /** Unchanged files are verified as well. */
  readsAllBack: boolean;
  /** Files that are recorded are counted, for the guard of `--delete`. */
  deletesGone?: boolean;
}

export interface Diffed extends DiffResult {
  /** Entries that cannot be copied here, whatever is tried. */
  problems: ItemProblem[];
  isFresh: boolean;
  warnings: string[];
  /** Type of the destination's file system. */
  fileSystem: string;
  /** Whether modes and owners can be kept here at all; where not, that was said when the destination was opened. */
  keeps: { modes: boolean; owners: boolean };
  /** With `deletesGone`: files recorded before the first of those gone now went missing. */
  filesBeforeGone?: number;
}

/** What is compared, and by whom. */
export interface Comparison {
  posix: Posix;
  destination: CopyDestination;
  task: LaneTask;
  history: LaneHistory;
  settling: Settling;
  /** This process may give files away. */
  isRoot: boolean;
  /** Not asked in a dry run, which tries nothing. */
  capabilities(): Capabilities;
  tick(): void;
}

const TIMES_NOT_KEPT =
  "This file system keeps no modification times: what is altered here by hand is only noticed by its size";

export function compareTask(context: Comparison, request: CompareRequest): Diffed {
  const { task } = context;
  if (task.isOver) throw superseded();
  const { posix, destination, history, settling, tick } = context;
  const { part, bindingKey: key, runId, isShared } = task.share;
  if (!request.dryRun) {
    dropShadowed(posix, destination.manifests, taskListName(task.share));
    if (part === undefined) {
      // It may take lines out of the manifest.
      history.endInterruptedDeletion();
      settleParts(settling, { name: task.share.name, key }, { butRun: runId });
    }
  }
  const old = openTaskList(posix, destination, task.share);
  const isAlike = old === undefined || isSealedAlike(old, destination.keys);
  const recorded = request.deletesGone === true ? countedLines(old) : undefined;
  try {
    const recovered = request.dryRun
      ? { journal: new Map(), hasTakenOver: false }
      : takeOver(context, old?.header);
    if (!request.dryRun && isShared === true) {
      const made = task.makeStage();
      if (made < 0) throw posixError(made, "write to", `${destination.display}/.backup-agent`);
    }
    const stat = newStat();
    const top = posix.statAt(destination.root, cName(task.share.name), stat);
    const isFresh = top === -ENOENT;
    // Names that this file system cannot tell apart: the first of them is copied, the others fail by name.
    const folded = destination.foldsCase ? foldedClashes(task.table) : [];
    const problems = [
      ...folded.map(foldedProblem),
      ...unholdable(context, request.dryRun, new Set(folded)),
    ];
    for (const { row } of problems) task.status[row] = STATUS_FAILED;
    const { type } = destination.fileSystem;
    const capabilities = request.dryRun ? untriedCapabilities(type) : context.capabilities();
    const trust = new TriedTimes(posix, destination, task, request.dryRun);
    const result = diff({
      posix,
      task,
      oldLines: recorded?.lines ?? old?.lines,
      journal: recovered.journal,
      isFresh,
      mtimeToleranceMs: trust.mtimeToleranceMs,
      capabilities,
      keepsOwners: context.isRoot && capabilities.owners,
      foldsCase: destination.foldsCase,
      readsAllBack: request.readsAllBack,
      keepsTimes: () => trust.keepsTimes(),
      tick,
    });
    if (!request.dryRun) removeStrays(posix, task, result.strays, tick);
    if (recovered.hasTakenOver) {
      putBackUnless(posix, destination.root, task.stage(), task.share.name, (path) => {
        const row = task.rowStoredAt(path);
        return row !== undefined && task.status[row] === STATUS_ADOPTED;
      }, tick);
    }
    const warnings = trust.areLost ? [TIMES_NOT_KEPT] : [];
    if (result.filesForOthers > 0) {
      warnings.push(stillForOthers(task.share.name, result.filesForOthers));
    }
    warnings.push(...history.warnings);
    const keeps = { modes: capabilities.modes, owners: capabilities.owners };
    const filesBeforeGone = recorded === undefined ? undefined : history.measure(recorded.files());
    return {
      ...result,
      manifestStands: result.manifestStands && isAlike,
      isFresh,
      warnings,
      problems,
      fileSystem: type,
      keeps,
      ...(filesBeforeGone === undefined ? {} : { filesBeforeGone }),
    };
  } finally {
    old?.close();
  }
}

/** What earlier attempts left. Of those of this run it is taken over; of others it is put right. */
function takeOver(context: Comparison, header: ManifestHeader | undefined): Recovered {
  const { posix, destination: { root, stage }, task, history, tick } = context;
  const { name, stageName, bindingKey, part } = task.share;
  const recovered = recover(posix, root, stage, {
    name,
    stageKey: task.stageKey,
    stageName,
    completedStage: header?.stage,
    settle: (at) => history.settleStage(at),
    ownStage: () => task.makeStage(),
    keep: (journal) => {
      if (journal.size === 0) return;
      // Should this attempt be cut off too, the next one knows as much; a journal that cannot be written costs a copy.
      const own = task.makeStage();
      if (own >= 0) addToJournal(posix, own, jsonLines(journal.values()), true, tick);
    },
    tick,
  });
  if (part !== undefined) {
    readJournals(posix, stage, bindingKey, recovered.journal);
  }
  return recovered;
}

/** What cannot stand here under its name or in its size. A dry run tries no names. */
function unholdable(
  { posix, destination, task }: Comparison,
  isDryRun: boolean,
  known: ReadonlySet<number>,
): ItemProblem[] {
  const { stage, display, fileSystem: { type } } = destination;
  if (isWholeFileSystem(type)) return [];
  const whyNot = isDryRun ? () => undefined : createNameProbe(posix, stage);
  const { name } = task.share;
  const why = whyNot(latin1OfUtf8(name));
  if (why !== undefined) {
    throw new BackupError("unsupported", `${name}: ${forbiddenName(why, type)}`, {
      path: `${display}/${name}`,
      hint: "Choose another name with --as NAME",
    });
  }
  const limits = { fileSystem: type, whyNot, fileBytesMax: fileBytesMax(type) };
  return unholdableRows(task.table, limits).filter(({ row }) => !known.has(row));
}

function stillForOthers(name: string, count: number): string {
  const files = count === 1 ? "1 file" : `${count} files`;
  return `${files} of ${name} stay encrypted for the recipients of an earlier backup, not for those of now: ` +
    "--reencrypt stores them again, as far as the source has them";
}

function foldedProblem(row: number): ItemProblem {
  return {
    row,
    code: "unsupported",
    message: "This destination cannot tell its name, or that of a folder above it, from another's",
    retry: "no",
  };
}
