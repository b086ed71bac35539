/**
 * One task at one destination, from comparing to verified. Rule: what it reports adds up – every file of the task is
 * unchanged, copied and verified, failed by name, or unreadable at the source – and no number goes back.
 */
import type { Clock } from "../../../protocol/base/clock.ts";
import { asBackupError, BackupError } from "../../../protocol/base/errors.ts";
import type { FileFailure, MirrorOptions } from "../../../protocol/mesh/job.ts";
import {
  type LaneCounters,
  type LaneFile,
  type LaneState,
  ZERO_COUNTERS,
} from "../../../protocol/mesh/progress.ts";
import type { LaneHistory, LanePlan, LaneReport } from "../../../protocol/mesh/task.ts";
import { toWireError } from "../../../protocol/mesh/task_mapping.ts";
import { KIND_DIRECTORY, KIND_FILE } from "../../platform/posix.ts";
import type { Batch, DestinationQueue, FileOutcome } from "../../queue/destination_queue.ts";
import { staticKey } from "../../queue/score.ts";
import { EntryTable, FLAG_LISTING_FAILED, NONE } from "../../source/entry_table.ts";
import { type FanOutReader, WHOLE_FILE_BYTES_MAX } from "../../source/fan_out_reader.ts";
import { createPriorities } from "../../source/priorities.ts";
import type { ThreadClient } from "../../threads/thread_rpc.ts";
import { AttemptGuard, superseded } from "./attempt_guard.ts";
import {
  STATUS_ADOPTED,
  STATUS_FAILED,
  STATUS_PUBLISHED,
  STATUS_RECORDED,
  STATUS_REVERIFIED,
  STATUS_STAGED,
  STATUS_UNCHANGED,
  STATUS_VERIFIED,
  STATUS_WANTED,
} from "./entry_status.ts";
import { verificationKind } from "./file_verifier.ts";
import { type ItemProblem, problemError } from "./item_problem.ts";
import type { GivenUp, KeptNotes, Standing } from "./kept_files.ts";
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
import {
  type LaneTaskShare,
  NOT_KEPT_BYTES,
  NOT_KEPT_MODES,
  NOT_KEPT_OWNERS,
  NOT_KEPT_TIMES,
  NOT_KEPT_XATTRS,
} from "./lane_task.ts";
import type { Verified } from "./lane_verifier.ts";
import type { FileVersion } from "./manifest_line.ts";
import { Xxh64Column } from "./mhl/xxh64_column.ts";
import { RecentRows } from "./recent_rows.ts";
import { countRecorded, recordedWarnings } from "./recorded_only.ts";
import type { MovedOthers } from "./lane_others.ts";
import type { Moved } from "./publisher.ts";
import type { SourceProblems } from "./source_problems.ts";
import type { WriteItem } from "./staged_files.ts";
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

/** What a lane run uses of its destination. */
export interface LaneTools {
  clock: Clock;
  /** The thread for comparing, publishing, flushing; it also copies. It can be replaced, so ask each time. */
  control(): ThreadClient;
  /** Calls a method on every open worker thread, and on those opened later. */
  announce(share: LaneTaskShare): Promise<void>;
  retract(task: string): Promise<void>;
  queue: DestinationQueue<ThreadClient>;
  /** Queue slots of this run: files to copy, files to verify. */
  copySlot: number;
  verifySlot: number;
  reader: FanOutReader;
  sourceProblems: SourceProblems;
  signal: AbortSignal;
  /** Why the destination cannot go on, when it cannot. */
  fatalError(): BackupError | undefined;
}

/**
 * Staged files are flushed and published together. A flush costs a barrier on the disk, so it is not done more often than
 * this; but it runs beside the copying, so that the disk writes while the next files are read …
 */
const PUBLISH_EVERY_MS = 3000;
/** … and never later than after so many files … */
const PUBLISH_FILES = 32_768;
/** … or so many bytes. */
const PUBLISH_BYTES = 1 << 30;
const FAILURES_NAMED_MAX = 10_000;
const WARNINGS_NAMED_MAX = 1000;
const VERIFY_KEY = -1e12;
/** Chunks of one file on their way to a writer thread. */
const CHUNKS_IN_FLIGHT = 2;
/** How long a control thread that was given up may take to be replaced, looked at so often. */
const REPLACED_WITHIN_MS = 10_000;
const REPLACED_LOOK_MS = 250;
/** What ends a whole destination must not come from a file of the source. */
const DESTINATION_CODES: ReadonlySet<string> = new Set([
  "no_space",
  "read_only",
  "destination_lost",
]);

export class LaneRun {
  readonly table: EntryTable;
  state: LaneState = "manifest";
  readonly #input: LaneRunInput;
  readonly #tools: LaneTools;
  readonly #share: LaneTaskShare;
  readonly #notKept: Int32Array;
  readonly #guard: AttemptGuard | undefined;
  readonly #status: Uint8Array;
  readonly #counters: LaneCounters;
  /** Bytes counted for files that are not complete yet, which a failure takes back. */
  #reportedBytesDone = 0;
  #reportedVerifyBytes = 0;
  readonly #versions = new Map<number, FileVersion>();
  readonly #attempts = new Map<number, number>();
  #staged: number[] = [];
  #stagedBytes = 0;
  #publishing: Promise<void> = Promise.resolve();
  #isPublishing = false;
  #publishedAtMs: number;
  #keepOld = true;
  #strangers: ReadonlySet<number> = new Set();
  /** Rows that cannot stand here whatever is tried. */
  #unholdable: ReadonlySet<number> = new Set();
  /** Further names that are files of their own here. */
  #ownFiles: ReadonlySet<number> = new Set();
  /** 1 for every row that this run put under its final name: nothing else is ever taken away. */
  readonly #published: Uint8Array;
  /** What the last read-back of a row said against it. */
  readonly #readBack = new Map<number, BackupError>();
  readonly #recopy = new Set<number>();
  /** Copied again after a failed verification. */
  readonly #recopied = new Set<number>();
  /** Rows that failed for good, and how a further name of the same file fails with them. */
  readonly #gaveUp = new Map<number, (row: number) => void>();
  /** Those of them that this destination failed, each counted once. */
  readonly #failed = new Set<number>();
  readonly #givingUp: Promise<void>[] = [];
  /** Why the task may not be finished: its stage holds the only earlier version of a file. */
  #unfinishable: BackupError | undefined;
  readonly #rewriting = new Set<number>();
  readonly #rewritten: string[] = [];
  readonly #failures: FileFailure[] = [];
  #failureCount = 0;
  #filesCopied = 0;
  #bytesCopied = 0;
  #filesVerified = 0;
  #bytesVerified = 0;
  #fromDisk = 0;
  #fromCache = 0;
  readonly #warnings: string[] = [];
  #warningsUnnamed = 0;
  readonly #history: LaneHistory = { ...NO_HISTORY };
  #plannedDeletion: Partial<LanePlan> = {};
  #nextFile = 0;
  readonly #recent = new RecentRows();
  readonly #current = new Map<ThreadClient, number>();
  readonly #verifying = new Map<ThreadClient, { startBytes: number; maxBytes: number }>();

  constructor(input: LaneRunInput, tools: LaneTools) {
    this.#input = input;
    this.#tools = tools;
    this.#publishedAtMs = tools.clock.monotonicMs();
    this.table = EntryTable.fromShare(input.share.table);
    const notKept = new SharedArrayBuffer(NOT_KEPT_BYTES);
    this.#notKept = new Int32Array(notKept);
    const { guard } = input.share;
    this.#guard = guard === undefined ? undefined : new AttemptGuard(guard);
    const { encoding } = input.options;
    this.#share = {
      ...input.share,
      notKept,
      ...(encoding === undefined ? {} : {
        encoding: {
          ...encoding,
          reencrypts: input.options.reencrypt === true,
          rows: new SharedArrayBuffer(this.table.count * STORED_ROW_BYTES),
        },
      }),
    };
    this.#published = new Uint8Array(this.table.count);
    this.#status = new Uint8Array(input.share.status);
    this.#counters = {
      ...ZERO_COUNTERS,
      filesTotal: input.filesTotal,
      bytesTotal: input.bytesTotal,
    };
  }

  /** Counters for people: monotone, and within a large file up to date. */
  counters(): LaneCounters {
    const c = this.#counters;
    this.#reportedBytesDone = Math.min(
      c.bytesTotal,
      Math.max(this.#reportedBytesDone, c.bytesDone),
    );
    let verifyBytes = c.verifyBytesDone;
    for (const [thread, { startBytes, maxBytes }] of this.#verifying) {
      verifyBytes += Math.min(maxBytes, thread.bytes - startBytes);
    }
    this.#reportedVerifyBytes = Math.min(
      c.verifyBytesTotal,
      Math.max(this.#reportedVerifyBytes, verifyBytes),
    );
    return {
      ...c,
      bytesDone: this.#reportedBytesDone,
      verifyBytesDone: this.#reportedVerifyBytes,
    };
  }

  /** The files that ended a step since the last call, the latest of them; each call begins anew. */
  takeRecentFiles(): LaneFile[] {
    return this.#recent.take().map(({ row, mark }) => ({
      path: this.#displayOf(row),
      sizeBytes: this.table.columns.sizeBytes[row]!,
      mark,
    }));
  }

  /** Names of files in hand, at most eight. */
  currentFiles(): string[] {
    const { name } = this.#input.share;
    return [...this.#current.values()].slice(0, 8).map((row) =>
      `${name}/${this.table.pathText(row)}`
    );
  }

  /** Takes the task to its end. Never rejects: how it ended is in the report. */
  async run(): Promise<LaneReport> {
    let error: BackupError | undefined;
    let compared: Diffed | undefined;
    try {
      await this.#tools.announce(this.#share);
      compared = await this.#tools.control().call<Diffed>("compare", {
        task: this.#input.share.task,
        dryRun: this.#input.options.dryRun,
        readsAllBack: this.#input.options.verify === "all",
        deletesGone: this.#input.options.deleteGone === true,
      });
      this.#warn(compared.warnings);
      this.#strangers = new Set(compared.strangers);
      this.#counters.filesDone = this.#counters.filesUnchanged = compared.filesUnchanged;
      this.#counters.bytesDone = this.#counters.bytesUnchanged = compared.bytesUnchanged;
      if (this.#input.options.dryRun) {
        if (this.#input.options.deleteGone === true) {
          this.#plannedDeletion = await planDeletion(this.#lastStep(compared));
        }
        return this.#report("planned", undefined, compared);
      }
      for (const problem of compared.problems) this.#fail(problem, 1);
      this.#unholdable = new Set(compared.problems.map(({ row }) => row));
      await this.#copyAndVerify(compared);
    } catch (thrown) {
      error = asBackupError(thrown);
    }
    error = this.#tools.fatalError() ?? error;
    if (error !== undefined) error = this.endOf(error);
    const cancelled = this.#tools.signal.aborted || error?.code === "cancelled";
    this.#current.clear();
    if (cancelled) return this.#report("cancelled", undefined, compared);
    const ok = error === undefined && this.#failureCount === 0;
    return this.#report(ok ? "verified" : "failed", error, compared);
  }

  async #copyAndVerify(compared: Diffed): Promise<void> {
    const { queue, copySlot, clock } = this.#tools;
    this.#keepOld = !compared.isFresh;
    await this.#makeDirectories();

    this.state = "copy";
    const others = this.#addWanted();
    await queue.drained(copySlot);
    await this.#publishStaged();
    this.#stopOnFatal();
    const lateFiles = await this.#makeOthers(others);
    if (lateFiles.length > 0) {
      this.#addCopies(lateFiles);
      await queue.drained(copySlot);
      await this.#publishStaged();
    }
    this.#stopOnCancel();

    this.state = "flush";
    const late = new Set([...lateFiles, ...compared.ownFiles]);
    this.#ownFiles = late;
    const verifyRows = this.#rowsToVerify(late);
    this.#counters.filesDone += compared.filesAdopted;
    this.#counters.bytesDone += compared.bytesAdopted;
    if (this.#filesCopied > 0 || others.length > 0) {
      await this.#tools.control().callFlush("flush", undefined);
    }

    this.state = "verify";
    const verifiedAtMs = clock.nowMs();
    const linked = others.filter((row) => !late.has(row) && this.#status[row] === STATUS_PUBLISHED);
    this.#counters.verifyFilesTotal = verifyRows.length +
      linked.filter((row) => this.table.columns.kind[row] === KIND_FILE).length;
    let verifyBytes = 0;
    for (const row of verifyRows) verifyBytes += this.#sizeOf(row);
    this.#counters.verifyBytesTotal = verifyBytes;
    await this.#verifyUntilRight(verifyRows);
    this.#stopOnFatal();
    await this.#verifyOthers(await this.#linkAgain(linked));
    this.#stopOnCancel();
    await this.#finish(compared, verifiedAtMs);
  }

  async #makeDirectories(): Promise<void> {
    const made = await this.#tools.control().call<{ problems: ItemProblem[]; warnings: string[] }>(
      "makeDirectories",
      this.#input.share.task,
    );
    this.#warn(made.warnings);
    for (const problem of made.problems) this.#fail(problem, 1);
  }

  #warn(warnings: string[]): void {
    const room = WARNINGS_NAMED_MAX - this.#warnings.length;
    this.#warnings.push(...warnings.slice(0, Math.max(0, room)));
    this.#warningsUnnamed += Math.max(0, warnings.length - Math.max(0, room));
  }

  /** Starts the copying; answers what is to be made afterwards. */
  #addWanted(): number[] {
    const { files, others } = this.#wanted();
    this.#addCopies(files);
    return others;
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
  async copy(worker: ThreadClient, batch: Batch): Promise<FileOutcome[]> {
    const { rows, attempt } = batch;
    for (const row of rows) {
      // A file that is copied again after its verification has used up attempts already.
      const before = this.#attempts.get(row) ?? 1;
      if (attempt > 1) this.#attempts.set(row, Math.max(before, attempt));
    }
    this.#current.set(worker, rows[0]!);
    try {
      const large = attempt > 1 || this.sizeBytes(rows[0]!) > WHOLE_FILE_BYTES_MAX;
      return large && rows.length === 1
        ? await this.#copyLarge(worker, rows[0]!, attempt)
        : await this.#copySmall(worker, rows);
    } finally {
      this.#current.delete(worker);
      this.#maybePublish();
    }
  }

  async #copySmall(worker: ThreadClient, rows: number[]): Promise<FileOutcome[]> {
    const { reader, signal } = this.#tools;
    const { task } = this.#input.share;
    const outcomes: FileOutcome[] = [];
    const held = await this.#fromSource(
      reader.files(this.#input.destination, task, rows, signal),
    );
    const items: WriteItem[] = [];
    for (const file of held.value) {
      if (file.problem !== undefined) {
        outcomes.push({ row: file.row, error: this.#sourceError(file.row, file.problem) });
        continue;
      }
      this.#setVersion(file.row, file.version);
      items.push({
        row: file.row,
        offset: file.offset,
        sizeBytes: file.sizeBytes,
        version: file.version,
      });
    }
    let problems: ItemProblem[] = [];
    try {
      if (items.length > 0) {
        problems = await worker.call<ItemProblem[]>("writeFiles", { task, items });
      }
    } finally {
      held.release();
    }
    const failed = new Set(problems.map((problem) => problem.row));
    for (const problem of problems) outcomes.push(outcomeOf(problem));
    for (const item of items) {
      if (failed.has(item.row)) continue;
      if (this.#status[item.row] !== STATUS_STAGED) outcomes.push(cancelledOutcome(item.row));
      else this.#stagedOne(item.row, item.sizeBytes, true);
    }
    return outcomes;
  }

  async #copyLarge(worker: ThreadClient, row: number, attempt: number): Promise<FileOutcome[]> {
    const { reader, signal } = this.#tools;
    const { task } = this.#input.share;
    const file = this.#nextFile++;
    let counted = 0;
    let begun = false;
    const inFlight: Promise<ItemProblem | undefined>[] = [];
    try {
      const opened = await this.#fromSource(
        reader.open(this.#input.destination, task, row, attempt, signal),
      );
      const begin = await worker.call<ItemProblem | undefined>("beginFile", { task, file, row });
      if (begin !== undefined) return [outcomeOf(begin)];
      begun = true;
      let version: FileVersion | undefined;
      for (let k = 0; k < opened.chunkCount; k++) {
        const held = await this.#fromSource(opened.chunk(k));
        const { offset, bytes } = held.value;
        version = held.value.version ?? version;
        const written = worker.call<ItemProblem | undefined>("writeChunk", {
          task,
          file,
          slotOffset: offset,
          bytes,
        }).then((problem) => {
          if (problem === undefined) {
            counted += bytes;
            this.#counters.bytesDone += bytes;
            this.#tools.queue.progressed(bytes, 0);
          }
          return problem;
        }).finally(() => held.release());
        // It may fail while the next chunk is awaited; a rejection that nobody handles ends the whole process.
        written.catch(() => {});
        inFlight.push(written);
        if (inFlight.length >= CHUNKS_IN_FLIGHT) {
          const problem = await inFlight.shift();
          if (problem !== undefined) throw problemError(problem);
        }
      }
      for (const promise of inFlight.splice(0)) {
        const problem = await promise;
        if (problem !== undefined) throw problemError(problem);
      }
      const end = await worker.call<ItemProblem | undefined>("endFile", { task, file, version });
      if (end !== undefined) throw problemError(end);
      this.#setVersion(row, version);
      this.#stagedOne(row, opened.sizeBytes, false);
      return [];
    } catch (thrown) {
      await Promise.allSettled(inFlight);
      this.#counters.bytesDone -= counted;
      if (begun && !worker.isClosed) {
        await worker.call("abortFile", { task, file }).catch(() => {});
      }
      if (worker.isClosed) throw thrown;
      return [{ row, error: asBackupError(thrown) }];
    }
  }

  /** Marks what fails here as the source's fault. */
  async #fromSource<T>(promise: Promise<T>): Promise<T> {
    try {
      return await promise;
    } catch (thrown) {
      let error = asBackupError(thrown);
      if (error.code === "cancelled" || error.code === "internal") throw error;
      if (DESTINATION_CODES.has(error.code)) error = new BackupError("io", error.message, error);
      this.#tools.sourceProblems.mark(error);
      throw error;
    }
  }

  /** A version of an earlier copy says nothing about this one. */
  #setVersion(row: number, version: FileVersion | undefined): void {
    if (version === undefined) this.#versions.delete(row);
    else this.#versions.set(row, version);
  }

  #sourceError(
    row: number,
    problem: { code: string; message: string; retry: boolean },
  ): BackupError {
    const code = DESTINATION_CODES.has(problem.code) ? "io" : problem.code;
    const error = new BackupError(code as BackupError["code"], problem.message, {
      path: this.#displayOf(row),
      retry: problem.retry ? "later" : "no",
    });
    this.#tools.sourceProblems.mark(error);
    return error;
  }

  #stagedOne(row: number, sizeBytes: number, countBytes: boolean): void {
    this.#staged.push(row);
    this.#recent.add(row, "copied");
    this.#stagedBytes += sizeBytes;
    this.#counters.filesDone++;
    if (countBytes) this.#counters.bytesDone += sizeBytes;
    this.#tools.queue.progressed(countBytes ? sizeBytes : 0, 1);
  }

  #maybePublish(): void {
    if (this.#staged.length === 0 || this.#isPublishing) return;
    const sinceMs = this.#tools.clock.monotonicMs() - this.#publishedAtMs;
    if (
      sinceMs >= PUBLISH_EVERY_MS || this.#staged.length >= PUBLISH_FILES ||
      this.#stagedBytes >= PUBLISH_BYTES
    ) {
      // What goes wrong here shows in the failures, or when the last batch is published.
      this.#publishStaged().catch(() => {});
    }
  }

  /** One batch after the other: all of a batch is flushed before its first file gets its name. */
  #publishStaged(): Promise<void> {
    const rows = this.#staged;
    this.#staged = [];
    this.#stagedBytes = 0;
    this.#isPublishing = true;
    const done = this.#publishing.then(async () => {
      if (rows.length === 0 || this.#tools.signal.aborted) return;
      const moved = await this.#publishOrRetry(rows);
      const failed = new Set(moved.problems.map((problem) => problem.row));
      for (const problem of moved.problems) {
        this.#counters.filesDone--;
        this.#fail(problem, this.#attempts.get(problem.row) ?? 1);
      }
      for (const row of rows) {
        if (failed.has(row) || this.#rewriting.has(row)) continue;
        this.#filesCopied++;
        this.#bytesCopied += this.#sizeOf(row);
      }
    });
    this.#publishing = done;
    const ended = () => {
      if (this.#publishing !== done) return;
      this.#isPublishing = false;
      this.#publishedAtMs = this.#tools.clock.monotonicMs();
    };
    done.then(ended, ended);
    return done;
  }

  /** A control thread that is given up in the middle is replaced; what it did not publish its successor does, once. */
  async #publishOrRetry(rows: number[]): Promise<Moved> {
    const control = this.#tools.control();
    try {
      return await this.#publish(control, rows);
    } catch (thrown) {
      if (!control.isClosed) throw thrown;
      const next = await this.#successor(control);
      if (next === undefined) throw thrown;
      await next.call("addTask", this.#share);
      return await this.#publish(next, rows.filter((row) => this.#status[row] === STATUS_STAGED));
    }
  }

  async #publish(control: ThreadClient, rows: number[]): Promise<Moved> {
    try {
      const moved = await control.callFlush<Moved>("publish", {
        task: this.#input.share.task,
        // Staged in the order of their size: side by side, the files of a folder need it opened once.
        rows: Uint32Array.from(rows).sort(),
        versions: this.#versionsOf(rows),
        standing: this.#standing(rows),
      });
      this.#noteMoved(moved);
      return moved;
    } finally {
      this.#notePublished(rows);
    }
  }

  /** The thread that replaced `lost`, or undefined when none does in time. */
  async #successor(lost: ThreadClient): Promise<ThreadClient | undefined> {
    const { clock, signal } = this.#tools;
    for (let waitedMs = 0; waitedMs < REPLACED_WITHIN_MS; waitedMs += REPLACED_LOOK_MS) {
      const control = this.#tools.control();
      if (control !== lost && !control.isClosed) return control;
      if (this.#tools.fatalError() !== undefined || signal.aborted) return undefined;
      await clock.sleep(REPLACED_LOOK_MS, signal);
    }
    return undefined;
  }

  #standing(rows: number[]): Standing {
    return {
      keepOld: this.#keepOld,
      strangers: this.#strangers.size === 0
        ? NO_ROWS
        : new Set(rows.filter((row) => this.#strangers.has(row))),
      ours: this.#recopied.size === 0
        ? NO_ROWS
        : new Set(rows.filter((row) => this.#published[row] === 1)),
    };
  }

  #notePublished(rows: number[]): void {
    for (const row of rows) {
      if (this.#status[row] === STATUS_PUBLISHED) this.#published[row] = 1;
    }
  }

  #noteMoved({ warnings, stageMustStay }: KeptNotes): void {
    this.#warn(warnings);
    if (stageMustStay === undefined) return;
    this.#unfinishable ??= new BackupError(
      "io",
      `The earlier version of ${stageMustStay} could not be put back`,
      {
        path: stageMustStay,
        hint: "It is kept at the destination and put back when the same backup runs again",
        retry: "later",
      },
    );
  }

  async #makeOthersOf(rows: number[]): Promise<MovedOthers> {
    try {
      const moved = await this.#tools.control().call<MovedOthers>("makeOthers", {
        task: this.#input.share.task,
        rows: Uint32Array.from(rows),
        standing: this.#standing(rows),
      });
      this.#noteMoved(moved);
      return moved;
    } finally {
      this.#notePublished(rows);
    }
  }

  async #makeOthers(wanted: number[]): Promise<number[]> {
    const { kind, linkTo } = this.table.columns;
    // Whose first name cannot stand here becomes a file of its own.
    const isAlone = (row: number) => kind[row] === KIND_FILE && this.#unholdable.has(linkTo[row]!);
    const alone = wanted.filter(isAlone);
    const others = wanted.filter((row) => !isAlone(row) && !this.#failsWithFirst(row));
    if (others.length === 0 || this.#tools.signal.aborted) return alone;
    const moved = await this.#makeOthersOf(others);
    const failed = new Set([...moved.problems.map((p) => p.row), ...moved.asFiles]);
    for (const problem of moved.problems) this.#fail(problem, 1);
    for (const row of others) {
      if (failed.has(row) || this.table.columns.kind[row] !== KIND_FILE) continue;
      this.#counters.filesDone++;
      this.#filesCopied++;
    }
    return [...alone, ...moved.asFiles];
  }

  /**
   * A further name of a file that is not here fails as its first name did, instead of naming an older copy. Links and
   * nodes have no content to miss: they are made by themselves then.
   */
  #failsWithFirst(row: number): boolean {
    if (this.table.columns.kind[row] !== KIND_FILE) return false;
    const fail = this.#gaveUp.get(this.table.columns.linkTo[row]!);
    fail?.(row);
    return fail !== undefined;
  }

  /**
   * Further names of files that were copied again still name the bad copy: they are linked anew, or given up with the
   * first name. Answers those that stand.
   */
  async #linkAgain(linked: number[]): Promise<number[]> {
    const { linkTo } = this.table.columns;
    const given = linked.filter((row) => this.#failsWithFirst(row));
    for (const row of given) await this.#giveUpCopy(row, this.#readBack.get(linkTo[row]!));
    const stands = new Set(linked);
    for (const row of given) stands.delete(row);
    for (const row of this.#unchangedNamesOfRecopied()) {
      if (this.#failsWithFirst(row)) {
        this.#status[row] = STATUS_FAILED;
        continue;
      }
      stands.add(row);
      this.#counters.verifyFilesTotal++;
    }
    const stale = [...stands].filter((row) => this.#recopied.has(linkTo[row]!));
    if (stale.length === 0) return [...stands];
    const moved = await this.#makeOthersOf(stale);
    for (const problem of moved.problems) {
      this.#fail(problem, 1);
      stands.delete(problem.row);
    }
    return [...stands];
  }

  /** With `--verify all` a file that did not change can turn out to be damaged, under all its names. */
  #unchangedNamesOfRecopied(): number[] {
    if (this.#readBack.size === 0) return [];
    const { linkTo } = this.table.columns;
    const rows: number[] = [];
    for (let i = 0; i < this.table.count; i++) {
      const first = linkTo[i]!;
      const isName = first !== NONE && !this.#ownFiles.has(i) &&
        (this.#recopied.has(first) || this.#failed.has(first));
      if (isName && this.#status[i] === STATUS_UNCHANGED) rows.push(i);
    }
    return rows;
  }

  /** `late`: further names that had to become files of their own. */
  #rowsToVerify(late: ReadonlySet<number>): Uint32Array {
    const c = this.table.columns;
    const all = this.#input.options.verify === "all";
    const { xxh64 } = this.#share;
    const hashed = xxh64 === undefined ? undefined : new Xxh64Column(xxh64);
    return this.#rowsWhere((i) => {
      if (c.kind[i] !== KIND_FILE || (c.linkTo[i] !== NONE && !late.has(i))) return false;
      const isAsked = all || hashed?.has(i) === false;
      return this.#isPublished(i) || (isAsked && this.#status[i] === STATUS_UNCHANGED);
    });
  }

  #isPublished(row: number): boolean {
    return this.#status[row] === STATUS_PUBLISHED || this.#status[row] === STATUS_ADOPTED;
  }

  /** Verifies; what differs is copied again and verified again, as often as attempts are allowed. */
  async #verifyUntilRight(rows: Uint32Array): Promise<void> {
    const { queue, copySlot, verifySlot } = this.#tools;
    let toRead: ArrayLike<number> = rows;
    while (toRead.length > 0 && !this.#tools.signal.aborted) {
      this.#recopy.clear();
      queue.addMany(verifySlot, toRead, VERIFY_KEY);
      await queue.drained(verifySlot);
      await Promise.all(this.#givingUp.splice(0));
      if (this.#recopy.size === 0 || this.#tools.fatalError() !== undefined) return;
      const left = [...this.#recopy];
      for (const row of left) this.#recopied.add(row);
      for (const row of left) {
        this.#status[row] = STATUS_WANTED;
        this.#rewriting.add(row);
        // The counters said it was copied; they say so still, and the bytes are not counted twice.
        this.#counters.filesDone--;
        this.#counters.bytesDone -= this.#sizeOf(row);
      }
      // The folders of files that were unchanged until now are as the source has them, and may be read-only.
      await this.#makeDirectories();
      this.#addCopies(left);
      await queue.drained(copySlot);
      await this.#publishStaged();
      await this.#tools.control().callFlush("flush", undefined);
      for (const row of left) {
        if (this.#isPublished(row) || !this.#gaveUp.has(row)) continue;
        // It could not be copied again. Whoever's fault that is, what is here was read back and is not right.
        const error = this.#readBack.get(row)!;
        this.#failure(row, error.code, error.message, this.#attempts.get(row) ?? 1);
        await this.#giveUpCopy(row, error);
      }
      toRead = left.filter((row) => this.#isPublished(row));
    }
  }

  /** Verifies one batch; called by the queue. */
  async verify(worker: ThreadClient, batch: Batch): Promise<FileOutcome[]> {
    let maxBytes = 0;
    for (const row of batch.rows) maxBytes += this.#sizeOf(row);
    this.#current.set(worker, batch.rows[0]!);
    this.#verifying.set(worker, { startBytes: worker.bytes, maxBytes });
    try {
      const done = await worker.call<Verified>("verify", {
        task: this.#input.share.task,
        rows: Uint32Array.from(batch.rows),
        versions: this.#versionsOf(batch.rows),
      });
      this.#countVerified(done);
      this.#tools.queue.progressed(done.bytes, done.files);
      const failed = new Set(done.problems.map(({ row }) => row));
      for (const row of batch.rows) {
        if (!failed.has(row)) this.#recent.add(row, "verified");
        if (this.#rewriting.has(row) && !done.problems.some((p) => p.row === row)) {
          this.#rewritten.push(this.#displayOf(row));
          this.#rewriting.delete(row);
        }
      }
      return done.problems.map(outcomeOf);
    } finally {
      this.#current.delete(worker);
      this.#verifying.delete(worker);
    }
  }

  #countVerified(done: Verified): void {
    this.#counters.verifyFilesDone += done.files;
    this.#counters.verifyBytesDone += done.bytes;
    this.#filesVerified += done.files;
    this.#bytesVerified += done.bytes;
    this.#fromDisk += done.fromDisk;
    this.#fromCache += done.fromCache;
  }

  async #verifyOthers(rows: number[]): Promise<void> {
    if (rows.length === 0) return;
    const done = await this.#tools.control().call<Verified>("verifyOthers", {
      task: this.#input.share.task,
      rows: Uint32Array.from(rows),
    });
    this.#countVerified(done);
    for (const problem of done.problems) this.#fail(problem, 1);
  }

  /** The queue gave a file up while copying. */
  copyFailed(row: number, error: BackupError, attempts: number): void {
    if (this.#tools.sourceProblems.has(error)) {
      this.#gaveUp.set(row, (other) => this.copyFailed(other, error, attempts));
      this.#tools.sourceProblems.add(row, this.#displayOf(row), error, attempts);
      return;
    }
    this.#failure(row, error.code, error.message, attempts);
  }

  /** The queue gave a file up while verifying: it is copied again unless that was its last attempt. */
  verifyFailed(row: number, error: BackupError): void {
    const attempts = (this.#attempts.get(row) ?? 1) + 1;
    this.#readBack.set(row, error);
    if (attempts <= this.#input.options.attemptsMax) {
      this.#attempts.set(row, attempts);
      this.#recopy.add(row);
      return;
    }
    this.#failure(row, error.code, error.message, attempts - 1);
    this.#givingUp.push(this.#giveUpCopy(row, error));
  }

  /**
   * The earlier version comes back. Without one, what stands there is taken away only when this run put it there and it
   * was read and is wrong: what merely could not be read may be right, and what was there before is not ours to delete.
   */
  async #giveUpCopy(row: number, readBack: BackupError | undefined): Promise<void> {
    const mayRemove = this.#published[row] === 1 && readBack?.code === "damaged";
    try {
      this.#noteMoved(
        await this.#tools.control().call<GivenUp>("giveUpCopy", {
          task: this.#input.share.task,
          row,
          mayRemove,
        }),
      );
    } catch (thrown) {
      // Nobody knows whether it was put back: without a manifest the next run puts the whole stage right.
      this.#unfinishable ??= asBackupError(thrown);
    }
  }

  #fail(problem: ItemProblem, attempts: number): void {
    this.#failure(problem.row, problem.code, problem.message, attempts);
  }

  #failure(row: number, code: string, message: string, attempts: number): void {
    // A folder that could not be made cannot be finished either: one failure, not two.
    if (this.#failed.has(row)) return;
    this.#failed.add(row);
    this.#failureCount++;
    this.#gaveUp.set(row, (other) => this.#failure(other, code, message, attempts));
    if (this.table.columns.kind[row] === KIND_FILE) {
      this.#counters.filesFailed++;
      this.#recent.add(row, "failed");
    }
    if (this.#failures.length < FAILURES_NAMED_MAX) {
      this.#failures.push({ path: this.#displayOf(row), code, message, attempts });
    }
  }

  async #finish(compared: Diffed, verifiedAtMs: number): Promise<void> {
    const { clock, retract } = this.#tools;
    const { task } = this.#input.share;
    if (this.#unfinishable !== undefined) throw this.#unfinishable;
    this.#failUnaccounted();
    const nothingNew = compared.manifestStands && this.#filesVerified === 0 &&
      this.#failureCount === 0;
    const createdAt = new Date(clock.nowMs()).toISOString();
    const finished = await this.#tools.control().callFlush<Finished>("finishTask", {
      task,
      versions: [...this.#versions],
      ownFiles: [...this.#ownFiles],
      verifiedAtMs,
      createdAt,
      hasOldForms: compared.oldForms > 0,
      writeManifest: !nothingNew,
      keepsVersions: (this.#input.options.keepVersions ?? 0) > 0,
      filesBeforeGone: compared.filesBeforeGone,
      ...this.#mhlRequest(),
    });
    this.#warn(finished.warnings);
    for (const problem of finished.problems) this.#fail(problem, 1);
    this.#warnNotKept(compared.keeps);
    const recorded = countRecorded(this.table, this.#status);
    if (recorded !== undefined) this.#warn(recordedWarnings(recorded, compared.fileSystem));
    try {
      await this.#settleHistory(compared, finished, createdAt);
    } finally {
      await retract(task);
    }
  }

  /** Last of all: what the source does not have any more goes, then the versions that are too many. */
  async #settleHistory(compared: Diffed, finished: Finished, createdAt: string): Promise<void> {
    const { options, share } = this.#input;
    this.#history.versionsKept += finished.versionsKept;
    if (!wantsHistory(options)) return;
    const step = this.#lastStep(compared);
    const reason = unfinishedReason(step, {
      here: this.#failureCount,
      inSource: this.#tools.sourceProblems.count,
    });
    if (options.deleteGone === true) {
      if (reason !== undefined) this.#warn([`Nothing was deleted from ${share.name}: ${reason}`]);
      else {
        const { versionsAt } = finished;
        await deleteDoomed(step, { versionsAt, createdAt }, this.#history);
        this.#stopOnCancel();
      }
    }
    if (this.#failureCount === 0) await pruneOld(step, this.#history);
  }

  #lastStep(compared: Diffed): LastStep {
    const { share, options, source } = this.#input;
    return {
      task: share.task,
      name: share.name,
      control: this.#tools.control(),
      table: this.table,
      options,
      source,
      signal: this.#tools.signal,
      filesBefore: compared.filesBeforeGone ?? 0,
      warn: (warnings) => this.#warn(warnings),
    };
  }

  /** A generation of ASC MHL stands for a whole copy; of one with gaps none is written. */
  #mhlRequest(): { mhlAtMs?: number } {
    if (this.#share.xxh64 === undefined) return {};
    const { flags } = this.table.columns;
    const isWhole = this.#gaveUp.size === 0 &&
      !flags.some((each) => (each & FLAG_LISTING_FAILED) !== 0);
    if (isWhole) return { mhlAtMs: this.#tools.clock.nowMs() };
    const { name } = this.#input.share;
    this.#warn([`No ASC MHL was written for ${name}: not all of it could be copied and verified`]);
    return {};
  }

  /** Whatever is neither as it should be nor named as failed was forgotten by somebody: it is not called verified. */
  #failUnaccounted(): void {
    const { kind } = this.table.columns;
    for (let i = 0; i < this.table.count; i++) {
      if (kind[i] === KIND_DIRECTORY || SOUND.has(this.#status[i]!) || this.#gaveUp.has(i)) {
        continue;
      }
      this.#failure(i, "internal", `It was left at step ${this.#status[i]}, not verified`, 1);
    }
  }

  /** What can never be kept here was said when the destination was opened. */
  #warnNotKept(keeps: Diffed["keeps"]): void {
    const owners = this.#notKept[NOT_KEPT_OWNERS]!;
    const modes = this.#notKept[NOT_KEPT_MODES]!;
    const times = this.#notKept[NOT_KEPT_TIMES]!;
    if (owners > 0 && keeps.owners) {
      this.#warn([
        `${owners} owners could not be kept: that needs root and a file system with owners`,
      ]);
    }
    if (modes > 0 && keeps.modes) {
      this.#warn([`modes of ${modes} files and folders could not be kept on this file system`]);
    }
    if (times > 0) {
      this.#warn([`times of ${times} files and folders could not be kept on this file system`]);
    }
    const xattrs = this.#notKept[NOT_KEPT_XATTRS]!;
    if (xattrs > 0) {
      this.#warn([
        `extended attributes or ACLs of ${xattrs === 1 ? "one entry" : `${xattrs} entries`} ` +
        "could not be kept here; the manifest has them",
      ]);
    }
  }

  #report(
    state: LaneReport["state"],
    error: BackupError | undefined,
    compared: Diffed | undefined,
  ): LaneReport {
    if (state !== "planned") this.state = state;
    const verification = verificationKind(this.#fromDisk, this.#fromCache);
    const report: LaneReport = {
      destination: this.#input.destination,
      state,
      filesTotal: this.#counters.filesTotal,
      filesCopied: this.#filesCopied,
      bytesCopied: this.#bytesCopied,
      filesUnchanged: this.#counters.filesUnchanged,
      filesVerified: this.#filesVerified,
      bytesVerified: this.#bytesVerified,
      verification,
      failures: this.#failures,
      failureCount: this.#failureCount,
      rewritten: this.#rewritten,
      warnings: this.#warningsUnnamed === 0
        ? this.#warnings
        : [...this.#warnings, `… and ${this.#warningsUnnamed} more warnings`],
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
        ...this.#plannedDeletion,
      };
    }
    if (wantsHistory(this.#input.options)) report.history = { ...this.#history };
    return report;
  }

  #versionsOf(rows: number[]): [number, FileVersion][] {
    if (this.#versions.size === 0) return [];
    const found: [number, FileVersion][] = [];
    for (const row of rows) {
      const version = this.#versions.get(row);
      if (version !== undefined) found.push([row, version]);
    }
    return found;
  }

  #sizeOf(row: number): number {
    return this.#versions.get(row)?.sizeBytes ?? this.table.columns.sizeBytes[row]!;
  }

  #displayOf(row: number): string {
    const path = this.table.pathText(row);
    const { name } = this.#input.share;
    return path === "" ? name : `${name}/${path}`;
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

function outcomeOf(problem: ItemProblem): FileOutcome {
  return { row: problem.row, error: problemError(problem) };
}

function cancelledOutcome(row: number): FileOutcome {
  return { row, error: new BackupError("cancelled", "Cancelled") };
}

const NO_ROWS: ReadonlySet<number> = new Set();
/** Where a row that is neither failed nor unreadable must have come. */
const SOUND: ReadonlySet<number> = new Set([
  STATUS_UNCHANGED,
  STATUS_VERIFIED,
  STATUS_REVERIFIED,
  STATUS_RECORDED,
]);
