/**
 * The queue of one destination: file tasks in order of their score, 1–8 workers of its own, a throughput monitor, retries.
 * Rule: it shares nothing with the queue of another destination, so none can slow another.
 */
import { backoffMs } from "../../protocol/base/backoff.ts";
import type { Clock } from "../../protocol/base/clock.ts";
import { asBackupError, type BackupError } from "../../protocol/base/errors.ts";
import { FileHeap, fileIndexOf, type QueueOrder, taskSlotOf } from "./file_heap.ts";
import { ThroughputMonitor } from "./throughput_monitor.ts";
import {
  nextWorkerCount,
  startWorkerCount,
  throughputScore,
  withHelp,
  withLimits,
  type WorkerCountState,
} from "./worker_count.ts";

/** Files of one task slot that one worker handles together. */
export interface Batch {
  slot: number;
  rows: number[];
  /** The attempt this is, from 1; the same for all of a batch. */
  attempt: number;
}

/** How one file of a batch ended. A row that has none succeeded. */
export interface FileOutcome {
  row: number;
  error: BackupError;
}

/** What the queue does not know: where workers come from and what a batch means. */
export interface QueueWork<W> {
  openWorker(): Promise<W>;
  closeWorker(worker: W): void;
  /** The worker was given up; a new one may be opened. */
  isLost(worker: W): boolean;
  sizeBytes(slot: number, row: number): number;
  /** Handles a batch; rejects only when the whole batch failed. */
  execute(worker: W, batch: Batch): Promise<FileOutcome[]>;
  /** Called once per file: when it failed for good. Never for an attempt that will be repeated. */
  failed(slot: number, row: number, error: BackupError, attempts: number): void;
  /** The destination cannot go on: nothing more is taken from the queue. */
  fatal(error: BackupError): void;
  /** 0–1 over all processors, when known: a busy machine gets no further workers. */
  cpuBusyFraction?: () => number | undefined;
}

export interface QueueLimits {
  workersMin: number;
  workersMax: number;
  /** Workers to begin with. */
  workersStart: number;
  attemptsMax: number;
  batchFilesMax: number;
  batchBytesMax: number;
}

/** How often the number of workers is considered. */
const ADAPT_EVERY_MS = 1000;
/** Workers lost one after another without anything done in between. */
const LOST_WORKERS_MAX = 2;

export class DestinationQueue<W> {
  readonly #clock: Clock;
  readonly #work: QueueWork<W>;
  readonly #limits: QueueLimits;
  readonly #heap: FileHeap;
  readonly #monitor: ThroughputMonitor;
  /** Retries are kept apart: they run alone, so that one bad file spoils no batch. */
  readonly #retries: { slot: number; row: number; attempt: number }[] = [];
  readonly #drainWaiters: { slot: number; resolve: () => void }[] = [];
  readonly #pending = new Map<number, number>();
  /** Slots of which nothing is wanted any more. */
  readonly #dropped = new Set<number>();
  /** Files of slots that have one in hand at a time. */
  readonly #single = new Map<number, FileHeap>();
  readonly #inHand = new Map<number, number>();
  readonly #idle: (() => void)[] = [];
  readonly #abort = new AbortController();
  readonly #stopAdapting: () => void;
  #count: WorkerCountState;
  #live = 0;
  #opening = 0;
  #busy = 0;
  #lostInARow = 0;
  #isStopped = false;
  #isPaused = false;
  #intervalBytes = 0;
  #intervalFiles = 0;
  #lastProgressAtMs: number;

  constructor(clock: Clock, work: QueueWork<W>, order: QueueOrder, limits: QueueLimits) {
    this.#clock = clock;
    this.#work = work;
    this.#limits = limits;
    this.#heap = new FileHeap(order);
    const nowMs = clock.monotonicMs();
    this.#lastProgressAtMs = nowMs;
    this.#monitor = new ThroughputMonitor(nowMs);
    this.#count = startWorkerCount(nowMs, {
      min: limits.workersMin,
      max: limits.workersMax,
      start: limits.workersStart,
      intervalMs: ADAPT_EVERY_MS,
    });
    this.#stopAdapting = clock.every(ADAPT_EVERY_MS, () => this.#adapt());
  }

  /** How many workers it may have from now on; one too many ends after what it has in hand. */
  setWorkers({ workersMin, workersMax }: Pick<QueueLimits, "workersMin" | "workersMax">): void {
    this.#count = withLimits(this.#count, { min: workersMin, max: workersMax });
    this.#wake();
  }

  /** Workers of a destination that is done come here (S2-05). */
  help(helpers: number): void {
    this.#count = withHelp(this.#count, helpers);
    this.#wake();
  }

  /** Workers alive now. */
  get workers(): number {
    return this.#live;
  }

  get workersTarget(): number {
    return this.#count.count;
  }

  /** Files waiting, without those in hand. */
  get depth(): number {
    let depth = this.#heap.size + this.#retries.length;
    for (const heap of this.#single.values()) depth += heap.size;
    return depth;
  }

  get bytesPerSecond(): number {
    return this.#monitor.bytesPerSecond(this.#clock.monotonicMs());
  }

  /** How long files have been in hand or waiting without any progress. */
  get stillForMs(): number {
    return this.#busy === 0 ? 0 : this.#clock.monotonicMs() - this.#lastProgressAtMs;
  }

  /** Adds files with their keys; they may start at once. */
  addMany(slot: number, rows: ArrayLike<number>, keys: ArrayLike<number> | number): void {
    if (rows.length === 0) return;
    this.#pending.set(slot, (this.#pending.get(slot) ?? 0) + rows.length);
    if (this.#isStopped || this.#dropped.has(slot)) {
      this.#settle(slot, rows.length);
      return;
    }
    (this.#single.get(slot) ?? this.#heap).pushMany(slot, rows, keys);
    this.#wake();
  }

  /** The files of this slot, all still to be added, are handled one by one, never two at a time. */
  oneAtATime(slot: number): void {
    this.#single.set(slot, new FileHeap(this.#heap.order));
  }

  /** Lets go of a slot: what waits is forgotten, what is in hand ends without a word. Waiting `drained` calls resolve. */
  drop(slot: number): void {
    if (this.#dropped.has(slot)) return;
    this.#dropped.add(slot);
    this.#heap.removeTask(slot);
    this.#single.delete(slot);
    for (let at = this.#retries.length - 1; at >= 0; at--) {
      if (this.#retries[at]!.slot === slot) this.#retries.splice(at, 1);
    }
    this.#settle(slot, this.#pending.get(slot) ?? 0);
  }

  /** Resolves when every file of the slot succeeded or failed for good, or the queue was stopped. */
  drained(slot: number): Promise<void> {
    if ((this.#pending.get(slot) ?? 0) === 0) return Promise.resolve();
    return new Promise((resolve) => this.#drainWaiters.push({ slot, resolve }));
  }

  /** Counts progress within a batch, for the rate and the stall detector. */
  progressed(bytes: number, files: number): void {
    this.#lastProgressAtMs = this.#clock.monotonicMs();
    this.#monitor.record(bytes, files, this.#lastProgressAtMs);
    this.#intervalBytes += bytes;
    this.#intervalFiles += files;
  }

  /** Takes no further file until it goes on; what is in hand ends on its own. */
  pause(isPaused: boolean): void {
    if (this.#isPaused === isPaused) return;
    this.#isPaused = isPaused;
    if (isPaused) return;
    this.#lastProgressAtMs = this.#clock.monotonicMs();
    this.#wake();
  }

  /** Takes nothing more; what is in hand ends on its own. Waiting `drained` calls resolve. Idempotent. */
  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#stopAdapting();
    this.#abort.abort();
    this.#heap.clear();
    this.#single.clear();
    this.#retries.length = 0;
    this.#pending.clear();
    for (const { resolve } of this.#drainWaiters.splice(0)) resolve();
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#idle.splice(0)) resolve();
    const isClosed = this.#isStopped || this.#isPaused;
    const wanted = Math.min(this.#count.count, isClosed ? 0 : this.depth);
    while (this.#live + this.#opening < wanted) void this.#runWorker();
  }

  async #runWorker(): Promise<void> {
    this.#opening++;
    let worker: W;
    try {
      worker = await this.#work.openWorker();
    } catch (thrown) {
      this.#opening--;
      this.#fatal(asBackupError(thrown));
      return;
    }
    this.#opening--;
    this.#live++;
    try {
      while (!this.#isStopped && this.#live <= this.#count.count) {
        const batch = this.#next();
        if (batch === undefined) {
          // The queue may be empty while another worker holds a file that will come back.
          await new Promise<void>((resolve) => this.#idle.push(resolve));
          continue;
        }
        await this.#do(worker, batch);
        if (this.#work.isLost(worker)) break;
      }
    } finally {
      this.#live--;
      if (!this.#work.isLost(worker)) this.#work.closeWorker(worker);
    }
    this.#wake();
  }

  async #do(worker: W, batch: Batch): Promise<void> {
    if (this.#busy++ === 0) this.#lastProgressAtMs = this.#clock.monotonicMs();
    const { slot } = batch;
    this.#inHand.set(slot, (this.#inHand.get(slot) ?? 0) + 1);
    let outcomes: FileOutcome[];
    try {
      outcomes = await this.#work.execute(worker, batch).finally(() =>
        this.#inHand.set(slot, this.#inHand.get(slot)! - 1)
      );
      this.#lostInARow = 0;
    } catch (thrown) {
      const error = asBackupError(thrown);
      outcomes = batch.rows.map((row) => ({ row, error }));
      if (this.#work.isLost(worker) && ++this.#lostInARow >= LOST_WORKERS_MAX) {
        this.#busy--;
        this.#fatal(error);
        return;
      }
    }
    this.#busy--;
    if (this.#isStopped || this.#dropped.has(slot)) return;
    const again = outcomes.filter((outcome) => this.#retryOrFail(batch, outcome));
    this.#settle(batch.slot, batch.rows.length - again.length);
  }

  /** True when the file will be tried again. */
  #retryOrFail(batch: Batch, { row, error }: FileOutcome): boolean {
    if (FATAL_CODES.has(error.code)) {
      this.#fatal(error);
      return false;
    }
    if (error.retry !== "later" || batch.attempt >= this.#limits.attemptsMax) {
      this.#work.failed(batch.slot, row, error, batch.attempt);
      return false;
    }
    const attempt = batch.attempt + 1;
    this.#clock.sleep(backoffMs(batch.attempt), this.#abort.signal).then(() => {
      if (this.#dropped.has(batch.slot)) return;
      this.#retries.push({ slot: batch.slot, row, attempt });
      this.#wake();
    }, () => {});
    return true;
  }

  #next(): Batch | undefined {
    if (this.#isPaused) return undefined;
    const ready = this.#retries.findIndex(({ slot }) => this.#isFree(slot));
    if (ready >= 0) {
      const { slot, row, attempt } = this.#retries.splice(ready, 1)[0]!;
      return { slot, rows: [row], attempt };
    }
    for (const [slot, heap] of this.#single) {
      const ref = this.#isFree(slot) ? heap.pop() : undefined;
      if (ref !== undefined) return { slot, rows: [fileIndexOf(ref)], attempt: 1 };
    }
    const first = this.#heap.pop();
    if (first === undefined) return undefined;
    const slot = taskSlotOf(first);
    const rows = [fileIndexOf(first)];
    let bytes = this.#work.sizeBytes(slot, rows[0]!);
    while (rows.length < this.#limits.batchFilesMax && bytes < this.#limits.batchBytesMax) {
      const ref = this.#heap.peek();
      if (ref === undefined || taskSlotOf(ref) !== slot) break;
      const row = fileIndexOf(ref);
      const sizeBytes = this.#work.sizeBytes(slot, row);
      if (bytes + sizeBytes > this.#limits.batchBytesMax) break;
      this.#heap.pop();
      rows.push(row);
      bytes += sizeBytes;
    }
    return { slot, rows, attempt: 1 };
  }

  /** Another file of the slot may be taken in hand. */
  #isFree(slot: number): boolean {
    return !this.#single.has(slot) || (this.#inHand.get(slot) ?? 0) === 0;
  }

  #settle(slot: number, count: number): void {
    const left = (this.#pending.get(slot) ?? 0) - count;
    this.#pending.set(slot, Math.max(0, left));
    if (left > 0) return;
    for (let at = this.#drainWaiters.length - 1; at >= 0; at--) {
      if (this.#drainWaiters[at]!.slot === slot) this.#drainWaiters.splice(at, 1)[0]!.resolve();
    }
  }

  #fatal(error: BackupError): void {
    if (this.#isStopped) return;
    this.#work.fatal(error);
    this.stop();
  }

  #adapt(): void {
    if (this.#busy === 0) return;
    const before = this.#count.count;
    this.#count = nextWorkerCount(this.#count, {
      atMs: this.#clock.monotonicMs(),
      score: throughputScore(this.#intervalBytes, this.#intervalFiles),
      cpuBusyFraction: this.#work.cpuBusyFraction?.(),
    });
    this.#intervalBytes = 0;
    this.#intervalFiles = 0;
    if (this.#count.count !== before) this.#wake();
  }
}

/** With these nothing more can be written, whatever the file. */
const FATAL_CODES: ReadonlySet<string> = new Set([
  "no_space",
  "read_only",
  "destination_lost",
  "cancelled",
]);
