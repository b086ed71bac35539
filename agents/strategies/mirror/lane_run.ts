/**
 * One task at one destination, from comparing to verified. Rule: what it reports adds up – every file of the task is
 * unchanged, copied and verified, failed by name, or unreadable at the source – and no number goes back.
 */
import { asBackupError, type BackupError } from "../../../protocol/base/errors.ts";
import type { MirrorOptions } from "../../../protocol/mesh/job.ts";
import type { LaneCounters, LaneFile, LaneState } from "../../../protocol/mesh/progress.ts";
import type { LanePlan, LaneReport } from "../../../protocol/mesh/task.ts";
import { toWireError } from "../../../protocol/mesh/task_mapping.ts";
import { KIND_DIRECTORY, KIND_FILE } from "../../platform/posix.ts";
import type { Batch, FileOutcome } from "../../queue/destination_queue.ts";
import { staticKey } from "../../queue/score.ts";
import { EntryTable, FLAG_LISTING_FAILED, NONE } from "../../source/entry_table.ts";
import { WHOLE_FILE_BYTES_MAX } from "../../source/fan_out_reader.ts";
import { createPriorities } from "../../source/priorities.ts";
import type { ThreadClient } from "../../threads/thread_rpc.ts";
import { AttemptGuard, superseded } from "./attempt_guard.ts";
import { displayOf } from "./entry_display.ts";
import {
  isPublished,
  STATUS_PUBLISHED,
  STATUS_RECORDED,
  STATUS_REVERIFIED,
  STATUS_UNCHANGED,
  STATUS_VERIFIED,
  STATUS_WANTED,
} from "./entry_status.ts";
import { FinalNames } from "./final_names.ts";
import { FurtherNames } from "./further_names.ts";
import type { ItemProblem } from "./item_problem.ts";
import type { Diffed } from "./lane_comparison.ts";
import { LaneCopier } from "./lane_copier.ts";
import { LaneCounts } from "./lane_counts.ts";
import type { GoneSource } from "./lane_deletion.ts";
import { LaneFailures } from "./lane_failures.ts";
import { LanePast } from "./lane_past.ts";
import type { LaneTaskShare } from "./lane_task.ts";
import type { LaneTools } from "./lane_tools.ts";
import { LaneWarnings } from "./lane_warnings.ts";
import { Xxh64Column } from "./mhl/xxh64_column.ts";
import { NOT_KEPT_BYTES, notKeptWarnings } from "./not_kept.ts";
import { ReadBack } from "./read_back.ts";
import { RecentRows } from "./recent_rows.ts";
import { countRecorded, recordedWarnings } from "./recorded_only.ts";
import { RowAttempts } from "./row_attempts.ts";
import { RowVersions } from "./row_versions.ts";
import { StagedBatches } from "./staged_batches.ts";
import { STORED_ROW_BYTES } from "./stored_rows.ts";
import type { Finished } from "./task_ending.ts";

export interface LaneRunInput {
  destination: string;
  share: LaneTaskShare;
  /** What the scan counted: the totals of this lane. */
  filesTotal: number;
  bytesTotal: number;
  options: MirrorOptions;
  /** One file at a time. */
  isSequential?: boolean;
  /** Needed for `deleteGone`. */
  source?: GoneSource;
}

const CURRENT_FILES_NAMED = 8;

export class LaneRun {
  readonly table: EntryTable;
  state: LaneState = "manifest";
  readonly #input: LaneRunInput;
  readonly #tools: LaneTools;
  readonly #share: LaneTaskShare;
  readonly #notKept: Int32Array;
  readonly #guard: AttemptGuard | undefined;
  readonly #status: Uint8Array;
  readonly #recent = new RecentRows();
  readonly #attempts = new RowAttempts();
  readonly #versions: RowVersions;
  readonly #warnings = new LaneWarnings();
  readonly #counts: LaneCounts;
  readonly #failures: LaneFailures;
  readonly #copier: LaneCopier;
  readonly #staged: StagedBatches;
  readonly #names: FinalNames;
  readonly #readBack: ReadBack;
  readonly #furtherNames: FurtherNames;
  /** The row that a thread has in hand, the first of its batch. */
  readonly #current = new Map<ThreadClient, number>();
  readonly #past: LanePast;

  constructor(input: LaneRunInput, tools: LaneTools) {
    this.#input = input;
    this.#tools = tools;
    const table = this.table = EntryTable.fromShare(input.share.table);
    const notKept = new SharedArrayBuffer(NOT_KEPT_BYTES);
    this.#notKept = new Int32Array(notKept);
    const { guard } = input.share;
    this.#guard = guard === undefined ? undefined : new AttemptGuard(guard);
    const { encoding } = input.options;
    const share = this.#share = {
      ...input.share,
      notKept,
      ...(encoding === undefined ? {} : {
        encoding: {
          ...encoding,
          reencrypts: input.options.reencrypt === true,
          rows: new SharedArrayBuffer(table.count * STORED_ROW_BYTES),
        },
      }),
    };
    const status = this.#status = new Uint8Array(share.status);
    const { task, name } = share;
    const versions = this.#versions = new RowVersions(table);
    const counts = this.#counts = new LaneCounts(input.filesTotal, input.bytesTotal);
    const failures = this.#failures = new LaneFailures(
      table,
      name,
      tools.sourceProblems,
      this.#recent,
    );
    this.#staged = new StagedBatches(tools.clock, (rows) => this.#publish(rows));
    const { destination } = input;
    this.#copier = new LaneCopier({ ...tools, destination, share, table, versions }, {
      wrote: (bytes) => {
        counts.wrote(bytes);
        tools.queue.progressed(bytes, 0);
      },
      tookBack: (bytes) => counts.tookBack(bytes),
      staged: (row, sizeBytes, bytesLeft) => {
        this.#staged.add(row, sizeBytes);
        this.#recent.add(row, "copied");
        counts.wrote(bytesLeft);
        counts.staged();
        tools.queue.progressed(bytesLeft, 1);
      },
    });
    const names = this.#names = new FinalNames(tools, share, table, versions, this.#warnings);
    const readBack = this.#readBack = new ReadBack({
      lane: tools,
      task,
      status,
      attemptsMax: input.options.attemptsMax,
      attempts: this.#attempts,
      versions,
      names,
      counts,
      failures,
      recent: this.#recent,
      copyAgain: (rows) => this.#copyAgain(rows),
    });
    this.#furtherNames = new FurtherNames({
      lane: tools,
      task,
      table,
      status,
      names,
      counts,
      failures,
      readBack,
    });
    this.#past = new LanePast({
      lane: tools,
      share,
      table,
      options: input.options,
      source: input.source,
      failures,
      warnings: this.#warnings,
    });
  }

  /** Counters for people: monotone, and within a large file up to date. */
  counters(): LaneCounters {
    const { bytesInHand } = this.#readBack;
    return { ...this.#counts.shown(bytesInHand), filesFailed: this.#failures.files };
  }

  /** The files that ended a step since the last call, the latest of them; each call begins anew. */
  takeRecentFiles(): LaneFile[] {
    return this.#recent.take().map(({ row, mark }) => ({
      path: this.#display(row),
      sizeBytes: this.table.columns.sizeBytes[row]!,
      mark,
    }));
  }

  /** Names of files in hand, the first of them. */
  currentFiles(): string[] {
    return [...this.#current.values()].slice(0, CURRENT_FILES_NAMED).map((row) =>
      this.#display(row)
    );
  }

  /** Takes the task to its end. Never rejects: how it ended is in the report. */
  async run(): Promise<LaneReport> {
    let error: BackupError | undefined;
    let compared: Diffed | undefined;
    try {
      await this.#tools.announce(this.#share);
      compared = await this.#tools.control().call<Diffed>("compare", {
        task: this.#share.task,
        dryRun: this.#input.options.dryRun,
        readsAllBack: this.#input.options.verify === "all",
        deletesGone: this.#input.options.deleteGone === true,
      });
      this.#warnings.add(compared.warnings);
      this.#names.found(compared);
      this.#counts.compared(compared);
      if (this.#input.options.dryRun) {
        const deletion = await this.#past.plan(compared);
        return this.#report("planned", undefined, compared, deletion);
      }
      this.#failures.addEach(compared.problems);
      await this.#copyAndVerify(compared);
    } catch (thrown) {
      error = asBackupError(thrown);
    }
    error = this.#tools.fatalError() ?? error;
    if (error !== undefined) error = this.endOf(error);
    const cancelled = this.#tools.signal.aborted || error?.code === "cancelled";
    this.#current.clear();
    if (cancelled) return this.#report("cancelled", undefined, compared);
    const ok = error === undefined && this.#failures.count === 0;
    return this.#report(ok ? "verified" : "failed", error, compared);
  }

  async #copyAndVerify(compared: Diffed): Promise<void> {
    await this.#makeDirectories();

    this.state = "copy";
    const { files, others } = this.#wanted();
    await this.#copyAll(files);
    this.#stopOnFatal();
    const unholdable = new Set(compared.problems.map(({ row }) => row));
    const late = await this.#furtherNames.make(others, unholdable, compared.ownFiles);
    if (late.length > 0) await this.#copyAll(late);
    this.#stopOnCancel();

    this.state = "flush";
    const { ownFiles } = this.#furtherNames;
    const verifyRows = this.#rowsToVerify(ownFiles);
    this.#counts.adopted(compared);
    if (this.#counts.filesCopied > 0 || others.length > 0) await this.#flush();

    this.state = "verify";
    const verifiedAtMs = this.#tools.clock.nowMs();
    const linked = others.filter((row) =>
      !ownFiles.has(row) && this.#status[row] === STATUS_PUBLISHED
    );
    let verifyBytes = 0;
    for (const row of verifyRows) verifyBytes += this.#versions.sizeBytes(row);
    const { kind } = this.table.columns;
    this.#counts.willVerify(
      verifyRows.length + linked.filter((row) => kind[row] === KIND_FILE).length,
      verifyBytes,
    );
    await this.#readBack.untilRight(verifyRows);
    this.#stopOnFatal();
    await this.#furtherNames.verify(await this.#furtherNames.linkAgain(linked));
    this.#stopOnCancel();
    await this.#finish(compared, verifiedAtMs);
  }

  async #makeDirectories(): Promise<void> {
    const made = await this.#tools.control().call<{ problems: ItemProblem[]; warnings: string[] }>(
      "makeDirectories",
      this.#share.task,
    );
    this.#warnings.add(made.warnings);
    this.#failures.addEach(made.problems);
  }

  /** From waiting to under their names. */
  async #copyAll(rows: ArrayLike<number>): Promise<void> {
    const { queue, copySlot } = this.#tools;
    this.#addCopies(rows);
    await queue.drained(copySlot);
    await this.#staged.publishAll();
  }

  async #copyAgain(rows: number[]): Promise<void> {
    // The folders of files that were unchanged until now are as the source has them, and may be read-only.
    await this.#makeDirectories();
    await this.#copyAll(rows);
    await this.#flush();
  }

  async #flush(): Promise<void> {
    await this.#tools.control().callFlush("flush", undefined);
  }

  /** Rows with work to do: files for the queue; links, nodes and further names for afterwards. */
  #wanted(): { files: Uint32Array; others: number[] } {
    const others: number[] = [];
    const c = this.table.columns;
    const files = this.#rowsWhere((i) => {
      if (this.#status[i] !== STATUS_WANTED || c.kind[i] === KIND_DIRECTORY) return false;
      const isFile = c.kind[i] === KIND_FILE && c.linkTo[i] === NONE;
      if (!isFile) others.push(i);
      return isFile;
    });
    return { files, others };
  }

  /** Four bytes a row: lists can be millions long. */
  #rowsWhere(isWanted: (row: number) => boolean): Uint32Array {
    const rows = new Uint32Array(this.table.count);
    let count = 0;
    for (let i = 0; i < this.table.count; i++) if (isWanted(i)) rows[count++] = i;
    return rows.subarray(0, count);
  }

  #addCopies(rows: ArrayLike<number>): void {
    const { options } = this.#input;
    const nowMs = this.#tools.clock.monotonicMs();
    const level = createPriorities(options.priorities);
    const plain = options.priorities.length === 0;
    const keys = new Float64Array(rows.length);
    for (let k = 0; k < rows.length; k++) {
      const row = rows[k]!;
      const priority = plain ? 1 : level(this.table.pathText(row));
      keys[k] = staticKey(priority, this.table.columns.sizeBytes[row]!, nowMs);
    }
    this.#tools.queue.addMany(this.#tools.copySlot, rows, keys);
  }

  sizeBytes(row: number): number {
    return this.table.columns.sizeBytes[row]!;
  }

  /** What is cut off because the attempt is over says so, since a cancel of the thread would end the destination. */
  endOf(error: BackupError): BackupError {
    return error.code === "cancelled" && this.#guard?.isOver === true ? superseded() : error;
  }

  /** Copies one batch; called by the queue. */
  async copy(worker: ThreadClient, { rows, attempt }: Batch): Promise<FileOutcome[]> {
    for (const row of rows) this.#attempts.atLeast(row, attempt);
    this.#current.set(worker, rows[0]!);
    try {
      const large = attempt > 1 || this.sizeBytes(rows[0]!) > WHOLE_FILE_BYTES_MAX;
      return large && rows.length === 1
        ? await this.#copier.copyLarge(worker, rows[0]!, attempt)
        : await this.#copier.copySmall(worker, rows);
    } finally {
      this.#current.delete(worker);
      this.#staged.publishWhenDue();
    }
  }

  /** Gives a batch that is staged its names. */
  async #publish(rows: number[]): Promise<void> {
    if (this.#tools.signal.aborted) return;
    const { problems } = await this.#names.publish(rows);
    const failed = new Set(problems.map(({ row }) => row));
    for (const problem of problems) {
      this.#counts.unstaged();
      this.#failures.add(problem.row, problem, this.#attempts.of(problem.row));
    }
    for (const row of rows) {
      // What is copied again was counted before.
      if (failed.has(row) || this.#readBack.isRewriting(row)) continue;
      this.#counts.published(this.#versions.sizeBytes(row));
    }
  }

  /** Verifies one batch; called by the queue. */
  async verify(worker: ThreadClient, batch: Batch): Promise<FileOutcome[]> {
    this.#current.set(worker, batch.rows[0]!);
    try {
      return await this.#readBack.verify(worker, batch);
    } finally {
      this.#current.delete(worker);
    }
  }

  /** The queue gave a file up while copying. */
  copyFailed(row: number, error: BackupError, attempts: number): void {
    this.#failures.addCopy(row, error, attempts);
  }

  /** The queue gave a file up while verifying. */
  verifyFailed(row: number, error: BackupError): void {
    this.#readBack.failed(row, error);
  }

  /** `ownFiles`: further names that are files of their own here. */
  #rowsToVerify(ownFiles: ReadonlySet<number>): Uint32Array {
    const c = this.table.columns;
    const all = this.#input.options.verify === "all";
    const { xxh64 } = this.#share;
    const hashed = xxh64 === undefined ? undefined : new Xxh64Column(xxh64);
    return this.#rowsWhere((i) => {
      if (c.kind[i] !== KIND_FILE || (c.linkTo[i] !== NONE && !ownFiles.has(i))) return false;
      const isAsked = all || hashed?.has(i) === false;
      return isPublished(this.#status[i]) || (isAsked && this.#status[i] === STATUS_UNCHANGED);
    });
  }

  async #finish(compared: Diffed, verifiedAtMs: number): Promise<void> {
    const { clock, retract } = this.#tools;
    const { task } = this.#input.share;
    if (this.#names.unfinishable !== undefined) throw this.#names.unfinishable;
    this.#failUnaccounted();
    const nothingNew = compared.manifestStands && this.#counts.filesVerified === 0 &&
      this.#failures.count === 0;
    const createdAt = new Date(clock.nowMs()).toISOString();
    const finished = await this.#tools.control().callFlush<Finished>("finishTask", {
      task,
      versions: this.#versions.all(),
      ownFiles: [...this.#furtherNames.ownFiles],
      verifiedAtMs,
      createdAt,
      hasOldForms: compared.oldForms > 0,
      writeManifest: !nothingNew,
      keepsVersions: (this.#input.options.keepVersions ?? 0) > 0,
      filesBeforeGone: compared.filesBeforeGone,
      ...this.#mhlRequest(),
    });
    this.#warnings.add(finished.warnings);
    this.#failures.addEach(finished.problems);
    this.#warnings.add(notKeptWarnings(this.#notKept, compared.keeps));
    const recorded = countRecorded(this.table, this.#status);
    if (recorded !== undefined) {
      this.#warnings.add(recordedWarnings(recorded, compared.fileSystem));
    }
    try {
      await this.#past.settle(compared, finished, createdAt);
    } finally {
      await retract(task);
    }
  }

  /** A generation of ASC MHL stands for a whole copy; of one with gaps none is written. */
  #mhlRequest(): { mhlAtMs?: number } {
    if (this.#share.xxh64 === undefined) return {};
    const { flags } = this.table.columns;
    const isWhole = this.#failures.isEmpty &&
      !flags.some((each) => (each & FLAG_LISTING_FAILED) !== 0);
    if (isWhole) return { mhlAtMs: this.#tools.clock.nowMs() };
    const { name } = this.#input.share;
    this.#warnings.add([
      `No ASC MHL was written for ${name}: not all of it could be copied and verified`,
    ]);
    return {};
  }

  /** Whatever is neither as it should be nor named as failed was forgotten by somebody: it is not called verified. */
  #failUnaccounted(): void {
    const { kind } = this.table.columns;
    for (let i = 0; i < this.table.count; i++) {
      if (kind[i] === KIND_DIRECTORY || SOUND.has(this.#status[i]!) || this.#failures.has(i)) {
        continue;
      }
      const message = `It was left at step ${this.#status[i]}, not verified`;
      this.#failures.add(i, { code: "internal", message }, 1);
    }
  }

  #report(
    state: LaneReport["state"],
    error: BackupError | undefined,
    compared: Diffed | undefined,
    plannedDeletion: Partial<LanePlan> = {},
  ): LaneReport {
    if (state !== "planned") this.state = state;
    const report: LaneReport = {
      destination: this.#input.destination,
      state,
      ...this.#counts.sums(),
      failures: this.#failures.named,
      failureCount: this.#failures.count,
      rewritten: this.#readBack.rewritten.map((row) => this.#display(row)),
      warnings: this.#warnings.named,
    };
    if (error !== undefined) report.error = toWireError(error);
    const recordedOnly = countRecorded(this.table, this.#status);
    if (recordedOnly !== undefined) report.recordedOnly = recordedOnly;
    if (compared !== undefined && compared.oldestVerifiedAtMs > 0) {
      report.oldestVerifiedAtMs = compared.oldestVerifiedAtMs;
    }
    if (state === "planned" && compared !== undefined) {
      report.plan = {
        filesToCopy: compared.filesWanted,
        bytesToCopy: compared.bytesWanted,
        filesUnchanged: compared.filesUnchanged,
        filesGone: compared.filesGone,
        ...plannedDeletion,
      };
    }
    const { history } = this.#past;
    if (history !== undefined) report.history = history;
    return report;
  }

  #display(row: number): string {
    return displayOf(this.table, this.#share.name, row);
  }

  /** What is published stays, with its journal in the stage, and the next run goes on from there. */
  #stopOnFatal(): void {
    const error = this.#tools.fatalError();
    if (error !== undefined) throw error;
  }

  #stopOnCancel(): void {
    this.#tools.signal.throwIfAborted();
  }
}

/** Where a row that is neither failed nor unreadable must have come. */
const SOUND: ReadonlySet<number> = new Set([
  STATUS_UNCHANGED,
  STATUS_VERIFIED,
  STATUS_REVERIFIED,
  STATUS_RECORDED,
]);
