/**
 * Reads a lane's files back and puts right what is wrong. Rule: what differs is copied again and read again, as often as
 * attempts are allowed; then it is given up, and the earlier version comes back.
 */
import type { BackupError } from "../../../protocol/base/errors.ts";
import type { Batch, FileOutcome } from "../../queue/destination_queue.ts";
import type { ThreadClient } from "../../threads/thread_rpc.ts";
import { isPublished, STATUS_WANTED } from "./entry_status.ts";
import type { FinalNames } from "./final_names.ts";
import { outcomeOf } from "./item_problem.ts";
import type { LaneCounts } from "./lane_counts.ts";
import type { LaneFailures } from "./lane_failures.ts";
import type { LaneTools } from "./lane_tools.ts";
import type { Verified } from "./lane_verifier.ts";
import type { RecentRows } from "./recent_rows.ts";
import type { RowAttempts } from "./row_attempts.ts";
import type { RowVersions } from "./row_versions.ts";

const VERIFY_KEY = -1e12;

export interface ReadBackTools {
  lane: Pick<LaneTools, "queue" | "verifySlot" | "signal" | "fatalError">;
  task: string;
  status: Uint8Array;
  attemptsMax: number;
  attempts: RowAttempts;
  versions: RowVersions;
  names: FinalNames;
  counts: LaneCounts;
  failures: LaneFailures;
  recent: RecentRows;
  /** Copies and publishes rows that are WANTED again, and flushes them. */
  copyAgain(rows: number[]): Promise<void>;
}

export class ReadBack {
  readonly #tools: ReadBackTools;
  /** What the last read-back of a row said against it. */
  readonly #wrong = new Map<number, BackupError>();
  readonly #toCopyAgain = new Set<number>();
  readonly #copiedAgain = new Set<number>();
  /** Copied again and not yet read back. */
  readonly #rewriting = new Set<number>();
  readonly #rewritten: number[] = [];
  readonly #givingUp: Promise<void>[] = [];
  readonly #inHand = new Map<ThreadClient, { startBytes: number; maxBytes: number }>();

  constructor(tools: ReadBackTools) {
    this.#tools = tools;
  }

  /** Takes the rows to their end: verified, or failed by name. */
  async untilRight(rows: ArrayLike<number>): Promise<void> {
    const { lane: { queue, verifySlot, signal, fatalError }, status, counts } = this.#tools;
    let toRead = rows;
    while (toRead.length > 0 && !signal.aborted) {
      this.#toCopyAgain.clear();
      queue.addMany(verifySlot, toRead, VERIFY_KEY);
      await queue.drained(verifySlot);
      await Promise.all(this.#givingUp.splice(0));
      if (this.#toCopyAgain.size === 0 || fatalError() !== undefined) return;
      const left = [...this.#toCopyAgain];
      for (const row of left) {
        this.#copiedAgain.add(row);
        this.#rewriting.add(row);
        status[row] = STATUS_WANTED;
        counts.copiesAgain(this.#tools.versions.sizeBytes(row));
      }
      await this.#tools.copyAgain(left);
      for (const row of left) await this.#giveUpUnlessCopied(row);
      toRead = left.filter((row) => isPublished(status[row]));
    }
  }

  async #giveUpUnlessCopied(row: number): Promise<void> {
    const { status, failures, attempts, names } = this.#tools;
    if (isPublished(status[row]) || !failures.has(row)) return;
    // It could not be copied again. Whoever's fault that is, what is here was read back and is not right.
    const error = this.#wrong.get(row)!;
    failures.add(row, error, attempts.of(row));
    await names.giveUp(row, error);
  }

  /** Verifies one batch; called by the queue. */
  async verify(worker: ThreadClient, { rows }: Batch): Promise<FileOutcome[]> {
    const { lane: { queue }, task, versions, counts, recent } = this.#tools;
    let maxBytes = 0;
    for (const row of rows) maxBytes += versions.sizeBytes(row);
    this.#inHand.set(worker, { startBytes: worker.bytes, maxBytes });
    try {
      const done = await worker.call<Verified>("verify", {
        task,
        rows: Uint32Array.from(rows),
        versions: versions.of(rows),
      });
      counts.verified(done);
      queue.progressed(done.bytes, done.files);
      const failed = new Set(done.problems.map(({ row }) => row));
      for (const row of rows) {
        if (failed.has(row)) continue;
        recent.add(row, "verified");
        if (this.#rewriting.delete(row)) this.#rewritten.push(row);
      }
      return done.problems.map(outcomeOf);
    } finally {
      this.#inHand.delete(worker);
    }
  }

  /** The queue gave a file up: it is copied again unless that was its last attempt. */
  failed(row: number, error: BackupError): void {
    const { attempts, attemptsMax, failures, names } = this.#tools;
    const next = attempts.of(row) + 1;
    this.#wrong.set(row, error);
    if (next <= attemptsMax) {
      attempts.atLeast(row, next);
      this.#toCopyAgain.add(row);
      return;
    }
    failures.add(row, error, next - 1);
    this.#givingUp.push(names.giveUp(row, error));
  }

  /** Of files that are being read. */
  get bytesInHand(): number {
    let bytes = 0;
    for (const [thread, { startBytes, maxBytes }] of this.#inHand) {
      bytes += Math.min(maxBytes, thread.bytes - startBytes);
    }
    return bytes;
  }

  /** Every file was right when it was read first. */
  get isClean(): boolean {
    return this.#wrong.size === 0;
  }

  errorOf(row: number): BackupError | undefined {
    return this.#wrong.get(row);
  }

  wasCopiedAgain(row: number): boolean {
    return this.#copiedAgain.has(row);
  }

  isRewriting(row: number): boolean {
    return this.#rewriting.has(row);
  }

  /** Wrong when they were read first, and right in the end. */
  get rewritten(): readonly number[] {
    return this.#rewritten;
  }
}
