/**
 * The past of one task at one destination: what a run that deletes or keeps versions does to it, last of all. Rule: first
 * what the source does not have any more goes, then the versions that are too many; nothing goes after a failure.
 */
import type { MirrorOptions } from "../../../protocol/mesh/job.ts";
import type { LaneHistory, LanePlan } from "../../../protocol/mesh/task.ts";
import type { EntryTable } from "../../source/entry_table.ts";
import type { Diffed } from "./lane_comparison.ts";
import {
  deleteDoomed,
  type GoneSource,
  type LastStep,
  NO_HISTORY,
  planDeletion,
  pruneOld,
  unfinishedReason,
  wantsHistory,
} from "./lane_deletion.ts";
import type { LaneFailures } from "./lane_failures.ts";
import type { LaneTaskShare } from "./lane_task.ts";
import type { LaneTools } from "./lane_tools.ts";
import type { LaneWarnings } from "./lane_warnings.ts";
import type { Finished } from "./task_ending.ts";

export interface LanePastTools {
  lane: Pick<LaneTools, "control" | "signal" | "sourceProblems">;
  share: LaneTaskShare;
  table: EntryTable;
  options: MirrorOptions;
  /** Needed for `deleteGone`. */
  source: GoneSource | undefined;
  failures: LaneFailures;
  warnings: LaneWarnings;
}

export class LanePast {
  readonly #tools: LanePastTools;
  readonly #history: LaneHistory = { ...NO_HISTORY };

  constructor(tools: LanePastTools) {
    this.#tools = tools;
  }

  /** For a dry run. */
  async plan(compared: Diffed): Promise<Partial<LanePlan>> {
    if (this.#tools.options.deleteGone !== true) return {};
    return await planDeletion(this.#lastStep(compared));
  }

  /** Once the manifest is written. @throws {BackupError} `rejected` when the guard says no */
  async settle(compared: Diffed, finished: Finished, createdAt: string): Promise<void> {
    const { lane, share: { name }, options, failures, warnings } = this.#tools;
    this.#history.versionsKept += finished.versionsKept;
    if (!wantsHistory(options)) return;
    const step = this.#lastStep(compared);
    const reason = unfinishedReason(step, {
      here: failures.count,
      inSource: lane.sourceProblems.count,
    });
    if (options.deleteGone === true) {
      if (reason !== undefined) warnings.add([`Nothing was deleted from ${name}: ${reason}`]);
      else {
        const { versionsAt } = finished;
        await deleteDoomed(step, { versionsAt, createdAt }, this.#history);
        lane.signal.throwIfAborted();
      }
    }
    if (failures.count === 0) await pruneOld(step, this.#history);
  }

  /** Undefined in a run that neither deletes nor keeps versions. */
  get history(): LaneHistory | undefined {
    return wantsHistory(this.#tools.options) ? { ...this.#history } : undefined;
  }

  #lastStep(compared: Diffed): LastStep {
    const { lane, share, table, options, source, warnings } = this.#tools;
    return {
      task: share.task,
      name: share.name,
      control: lane.control(),
      table,
      options,
      source,
      signal: lane.signal,
      filesBefore: compared.filesBeforeGone ?? 0,
      warn: (said) => warnings.add(said),
    };
  }
}
