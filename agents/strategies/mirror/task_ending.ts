/**
 * The end of one task at a destination. Rule: generation of ASC MHL → folders → manifest → the stage is done with, each
 * only after the one before, so that a crash in between is put right by the next run.
 */
import { asBackupError } from "../../../protocol/base/errors.ts";
import { cName, type Posix } from "../../platform/posix.ts";
import { markChecksumsStale } from "./checksums.ts";
import { flushDestination } from "./flush_destination.ts";
import type { ItemProblem } from "./item_problem.ts";
import type { LaneHistory } from "./lane_history.ts";
import type { LaneTask } from "./lane_task.ts";
import type { LaneWriter } from "./lane_writer.ts";
import type { CopyDestination } from "./list_keys.ts";
import type { FileVersion } from "./manifest_line.ts";
import { updateManifest } from "./manifest_update.ts";
import { writeGeneration } from "./mhl/write_generation.ts";
import { retireOldForms } from "./old_forms.ts";
import { openTaskList } from "./part_list.ts";
import { DONE_PREFIX } from "./recovery.ts";
import { removeTree } from "./tree_removal.ts";

export interface FinishRequest {
  task: string;
  versions: [number, FileVersion][];
  /** Further names that are files of their own here. */
  ownFiles: number[];
  verifiedAtMs: number;
  createdAt: string;
  /** Copies lie under names that their entries have no more. */
  hasOldForms: boolean;
  /** False when the manifest would come out as it is. */
  writeManifest: boolean;
  /** A generation of ASC MHL is written, dated now. */
  mhlAtMs?: number;
  /** Replaced files are kept as versions. */
  keepsVersions?: boolean;
  filesBeforeGone?: number | undefined;
}

export interface Finished {
  problems: ItemProblem[];
  warnings: string[];
  versionsKept: number;
  /** The dated folder that has them, when there are any. */
  versionsAt?: string;
}

/** What ends, and by whom. */
export interface Ending {
  posix: Posix;
  destination: CopyDestination;
  task: LaneTask;
  history: LaneHistory;
  writer: LaneWriter;
  tick(): void;
}

interface Said {
  problems: ItemProblem[];
  warnings: string[];
}

const NOTHING_SAID: Said = { problems: [], warnings: [] };

export function finishTask(context: Ending, request: FinishRequest): Finished {
  const { posix, destination, task, history, writer, tick } = context;
  task.assertMayChange();
  const retired = request.hasOldForms && request.writeManifest ? retireOld(context) : NOTHING_SAID;
  const mhl = writeMhl(context, request);
  const problems = [
    ...retired.problems,
    ...mhl.problems,
    ...writer.folders.finish(task),
  ];
  const keep = request.writeManifest && request.keepsVersions === true
    ? history.replaced(request.createdAt)
    : undefined;
  if (request.writeManifest) {
    markChecksumsStale(posix, destination);
    tick();
    flushDestination(posix, destination);
    if (request.filesBeforeGone !== undefined) history.writeMeasure(request.filesBeforeGone);
    updateManifest({
      posix,
      destination,
      task,
      versions: new Map(request.versions),
      ownFiles: new Set(request.ownFiles),
      verifiedAtMs: request.verifiedAtMs,
      createdAt: request.createdAt,
      replaced: keep?.lines,
      beforeCommit: () => task.assertMayChange(),
      tick,
    });
  }
  markDone(posix, task);
  // Should this fail the stage stays, and the next run moves them.
  const warnings = [...retired.warnings, ...mhl.warnings];
  if (keep === undefined || keep.lines.isEmpty) return { problems, warnings, versionsKept: 0 };
  const versionsKept = history.keepReplaced();
  return {
    problems,
    warnings,
    versionsKept,
    ...(versionsKept > 0 && { versionsAt: keep.folder }),
  };
}

function retireOld({ posix, destination, task, writer, tick }: Ending): Said {
  const old = openTaskList(posix, destination, task.share);
  if (old === undefined) return NOTHING_SAID;
  try {
    return retireOldForms(posix, writer.kept, task, old.lines, tick);
  } finally {
    old.close();
  }
}

/** That there is none is a failure by name, but the copy is verified and its manifest is written all the same. */
function writeMhl(
  { posix, destination, task, tick }: Ending,
  { mhlAtMs, versions, verifiedAtMs }: FinishRequest,
): Said {
  if (mhlAtMs === undefined) {
    task.xxh64 = undefined;
    return NOTHING_SAID;
  }
  try {
    const warnings = writeGeneration({
      posix,
      destination,
      task,
      versions: new Map(versions),
      verifiedAtMs,
      createdAtMs: mhlAtMs,
      tick,
    });
    return { problems: [], warnings };
  } catch (thrown) {
    task.xxh64 = undefined;
    const error = asBackupError(thrown);
    const hint = error.hint === undefined ? "" : `. ${error.hint}`;
    const message =
      `The ASC MHL of ${task.share.name} could not be written: ${error.message}${hint}`;
    return { problems: [{ row: 0, code: error.code, message, retry: "no" }], warnings: [] };
  }
}

/**
 * From here on what the stage keeps is older than what stands, whatever later manifests say. Should the new name not
 * take, the manifest still names the stage, until the next run has put that right.
 */
function markDone(posix: Posix, task: LaneTask): void {
  const above = task.openStages();
  if (above < 0) return;
  const { stageName } = task.share;
  posix.rename(above, cName(stageName), above, cName(DONE_PREFIX + stageName));
  posix.closeDirectory(above);
}

/** Whether its task is done with or not. */
export function removeStage(posix: Posix, task: LaneTask, tick: () => void): void {
  const above = task.openStages();
  if (above < 0) return;
  const { stageName } = task.share;
  for (const name of [DONE_PREFIX + stageName, stageName]) {
    removeTree(posix, above, cName(name), tick);
  }
  posix.closeDirectory(above);
}
