/**
 * Takes files from the reader to a thread of the destination, which stages them. Rule: what fails on the way is the
 * source's fault or the destination's, and never ends a destination for something in the source.
 */
import { asBackupError, BackupError } from "../../../protocol/base/errors.ts";
import type { FileOutcome } from "../../queue/destination_queue.ts";
import type { EntryTable } from "../../source/entry_table.ts";
import type { FanOutReader } from "../../source/fan_out_reader.ts";
import type { ThreadClient } from "../../threads/thread_rpc.ts";
import { displayOf } from "./entry_display.ts";
import { STATUS_STAGED } from "./entry_status.ts";
import { type ItemProblem, outcomeOf, problemError } from "./item_problem.ts";
import type { LaneTaskShare } from "./lane_task.ts";
import type { FileVersion } from "./manifest_line.ts";
import type { RowVersions } from "./row_versions.ts";
import type { SourceProblems } from "./source_problems.ts";
import type { WriteItem } from "./staged_files.ts";

/** Chunks of one file on their way to a writer thread. */
const CHUNKS_IN_FLIGHT = 2;
/** What ends a whole destination must not come from a file of the source. */
const DESTINATION_CODES: ReadonlySet<string> = new Set([
  "no_space",
  "read_only",
  "destination_lost",
]);

/** What a copier is told to copy with. */
export interface CopierTools {
  /** Key of the destination, by which the reader knows how far it is. */
  destination: string;
  share: LaneTaskShare;
  table: EntryTable;
  reader: FanOutReader;
  sourceProblems: SourceProblems;
  versions: RowVersions;
  signal: AbortSignal;
}

/** What a copier tells meanwhile. */
export interface CopyProgress {
  /** Of a file that is not complete yet, … */
  wrote(bytes: number): void;
  /** … and that failed. */
  tookBack(bytes: number): void;
  /** `bytesLeft`: those that were not told of yet. */
  staged(row: number, sizeBytes: number, bytesLeft: number): void;
}

export class LaneCopier {
  readonly #tools: CopierTools;
  readonly #progress: CopyProgress;
  readonly #status: Uint8Array;
  #nextFile = 0;

  constructor(tools: CopierTools, progress: CopyProgress) {
    this.#tools = tools;
    this.#progress = progress;
    this.#status = new Uint8Array(tools.share.status);
  }

  /** Whole files that fit in a slot together; answers those that failed. */
  async copySmall(worker: ThreadClient, rows: number[]): Promise<FileOutcome[]> {
    const { destination, share: { task }, reader, versions, signal } = this.#tools;
    const outcomes: FileOutcome[] = [];
    const held = await this.#fromSource(reader.files(destination, task, rows, signal));
    const items: WriteItem[] = [];
    for (const file of held.value) {
      if (file.problem !== undefined) {
        outcomes.push({ row: file.row, error: this.#sourceError(file.row, file.problem) });
        continue;
      }
      versions.set(file.row, file.version);
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
    for (const { row, sizeBytes } of items) {
      if (failed.has(row)) continue;
      if (this.#status[row] !== STATUS_STAGED) outcomes.push(cancelledOutcome(row));
      else this.#progress.staged(row, sizeBytes, sizeBytes);
    }
    return outcomes;
  }

  /** One file, chunk by chunk. */
  async copyLarge(worker: ThreadClient, row: number, attempt: number): Promise<FileOutcome[]> {
    const { destination, share: { task }, reader, versions, signal } = this.#tools;
    const file = this.#nextFile++;
    let counted = 0;
    let begun = false;
    const inFlight: Promise<ItemProblem | undefined>[] = [];
    try {
      const opened = await this.#fromSource(
        reader.open(destination, task, row, attempt, signal),
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
            this.#progress.wrote(bytes);
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
      versions.set(row, version);
      this.#progress.staged(row, opened.sizeBytes, 0);
      return [];
    } catch (thrown) {
      await Promise.allSettled(inFlight);
      this.#progress.tookBack(counted);
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

  #sourceError(
    row: number,
    problem: { code: string; message: string; retry: boolean },
  ): BackupError {
    const { table, share: { name }, sourceProblems } = this.#tools;
    const code = DESTINATION_CODES.has(problem.code) ? "io" : problem.code;
    const error = new BackupError(code as BackupError["code"], problem.message, {
      path: displayOf(table, name, row),
      retry: problem.retry ? "later" : "no",
    });
    sourceProblems.mark(error);
    return error;
  }
}

function cancelledOutcome(row: number): FileOutcome {
  return { row, error: new BackupError("cancelled", "Cancelled") };
}
