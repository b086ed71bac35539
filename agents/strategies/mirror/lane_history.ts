/** What a destination's thread does to the past of one copy: earlier versions, and what the source does not have any more. */
import { asBackupError } from "../../../protocol/base/errors.ts";
import { posixError } from "../../platform/errno.ts";
import type { DirectoryHandle, Posix } from "../../platform/posix.ts";
import type { EntryMarks } from "../../source/moved_in_source.ts";
import type { CopyDestination } from "./list_keys.ts";
import {
  type Deleted,
  deleteGone,
  type Deletion,
  type Gone,
  listGone,
  settleDeletion,
} from "./deletion.ts";
import { forgetMeasure, pendingMeasure, writeMeasure } from "./deletion_measure.ts";
import type { LaneCall } from "./lane_call.ts";
import type { LaneTask } from "./lane_task.ts";
import { MANIFEST_FORMAT, MANIFEST_VERSION, type ManifestHeader } from "./manifest_file.ts";
import { movedLines } from "./moved_lines.ts";
import type { TimeTrust } from "./recorded_state.ts";
import { ReplacedLines, type SettleContext, settleReplaced } from "./replaced_versions.ts";
import { freeFolder } from "./version_lists.ts";
import { type Pruned, pruneVersions } from "./version_pruning.ts";

export interface DeleteRequest {
  task: string;
  /** In walk order, one byte a character. */
  paths: string[];
  keepsVersions: boolean;
  /** The dated folder of this run, when it has one already. */
  versionsAt?: string | undefined;
  createdAt: string;
}

export class LaneHistory {
  /** What could not be put in order and does not stop a backup. */
  readonly warnings: string[] = [];
  readonly #posix: Posix;
  readonly #destination: CopyDestination;
  readonly #task: LaneTask;
  readonly #call: LaneCall;
  readonly #trust: TimeTrust;
  readonly #markStale: () => void;

  constructor(
    posix: Posix,
    destination: CopyDestination,
    task: LaneTask,
    call: LaneCall,
    trust: TimeTrust,
    markStale: () => void,
  ) {
    this.#posix = posix;
    this.#destination = destination;
    this.#task = task;
    this.#call = call;
    this.#trust = trust;
    this.#markStale = markStale;
  }

  /** Where the lines of replaced files go while the manifest is written. */
  replaced(createdAt: string): { folder: string; lines: ReplacedLines } {
    const { share } = this.#task;
    const folder = freeFolder(this.#posix, this.#destination, share.bindingKey, createdAt);
    const header: ManifestHeader = {
      format: MANIFEST_FORMAT,
      version: MANIFEST_VERSION,
      name: share.name,
      sourcePath: share.sourcePath,
      runId: share.runId,
      stage: share.stageName,
      createdAt,
      versionsAt: folder,
    };
    const display = `${this.#destination.display}/.backup-agent/stage/${share.bindingKey}`;
    const lines = new ReplacedLines(
      this.#posix,
      () => this.#task.stage(),
      this.#destination.keys,
      header,
      display,
    );
    return { folder, lines };
  }

  /** Moves what this task replaced to its dated folder. @throws {BackupError} when that fails; it is still in the stage */
  keepReplaced(): number {
    const stage = this.#task.stage();
    if (stage < 0) {
      throw posixError(
        stage,
        "open",
        `${this.#destination.display}/.backup-agent/stage/${this.#task.share.bindingKey}`,
      );
    }
    return settleReplaced(this.#settleContext(this.#destination.batchFlush), stage);
  }

  /** The same for the stage of an earlier run that was cut off; see `SettleStage`. */
  settleStage(stage: DirectoryHandle): boolean {
    try {
      // Comparing is no call that may take as long as a flush of everything.
      settleReplaced(this.#settleContext(false), stage);
      return true;
    } catch (thrown) {
      this.warnings.push(
        `Earlier versions of an interrupted run wait in the stage: ${
          asBackupError(thrown).message
        }`,
      );
      return false;
    }
  }

  /** @throws {BackupError} when the manifest cannot be brought up to date */
  endInterruptedDeletion(): void {
    settleDeletion(this.#deletion());
  }

  /** Every entry that was gone is settled: what is recorded from here on is the measure. */
  forgetMeasure(): void {
    forgetMeasure(this.#posix, this.#destination, this.#task.share.bindingKey);
  }

  /** How many files were recorded before the first of those gone now went missing, `counted` being those recorded now. */
  measure(counted: number): number {
    const pending = pendingMeasure(this.#posix, this.#destination, this.#task.share.bindingKey);
    return Math.min(counted, pending ?? counted);
  }

  /** @throws {BackupError} when it cannot be written */
  writeMeasure(files: number): void {
    writeMeasure(this.#posix, this.#destination, this.#task.share.bindingKey, files);
  }

  listGone(): Gone {
    return listGone(this.#deletion(), this.#task);
  }

  /** Paths of what is recorded and shares a mark with what appeared in the source. */
  movedLines(marks: readonly EntryMarks[]): string[] {
    const { bindingKey } = this.#task.share;
    return movedLines(this.#posix, this.#destination, bindingKey, marks, this.#call.tick);
  }

  deleteGone(request: DeleteRequest): Deleted {
    const { share } = this.#task;
    const versionsAt = request.keepsVersions
      ? request.versionsAt ??
        freeFolder(this.#posix, this.#destination, share.bindingKey, request.createdAt)
      : undefined;
    return deleteGone(this.#deletion(), {
      paths: request.paths,
      ...(versionsAt === undefined ? {} : { versionsAt }),
      runId: share.runId,
      stage: share.stageName,
      sourcePath: share.sourcePath,
      createdAt: request.createdAt,
    }, {
      isStopped: () => this.#call.isStopped(this.#task),
      isFenced: () => this.#call.isFenced,
    });
  }

  prune(keepVersions: number): Pruned {
    return pruneVersions(
      this.#posix,
      this.#destination,
      this.#task.share.bindingKey,
      keepVersions,
      this.#call.tick,
      () => this.#call.isStopped(this.#task),
    );
  }

  #deletion(): Deletion {
    return {
      posix: this.#posix,
      destination: this.#destination,
      name: this.#task.share.name,
      bindingKey: this.#task.share.bindingKey,
      trust: this.#trust,
      tick: this.#call.tick,
      markStale: this.#markStale,
    };
  }

  #settleContext(batchFlush: boolean): SettleContext {
    return {
      batchFlush,
      posix: this.#posix,
      destination: this.#destination,
      bindingKey: this.#task.share.bindingKey,
      trust: this.#trust,
      tick: this.#call.tick,
    };
  }
}
