/**
 * What one run puts under the final names of a task, and takes from there, by way of the destination's control thread.
 * Rule: only what this very run put there is ever taken away.
 */
import { asBackupError, BackupError } from "../../../protocol/base/errors.ts";
import type { EntryTable } from "../../source/entry_table.ts";
import type { ThreadClient } from "../../threads/thread_rpc.ts";
import { STATUS_PUBLISHED, STATUS_STAGED } from "./entry_status.ts";
import type { GivenUp, KeptNotes, Standing } from "./kept_files.ts";
import type { Diffed } from "./lane_comparison.ts";
import type { MovedOthers } from "./lane_others.ts";
import type { LaneTaskShare } from "./lane_task.ts";
import type { LaneTools } from "./lane_tools.ts";
import type { LaneWarnings } from "./lane_warnings.ts";
import type { Moved } from "./publisher.ts";
import type { RowVersions } from "./row_versions.ts";

/** How long a control thread that was given up may take to be replaced, looked at so often. */
const REPLACED_WITHIN_MS = 10_000;
const REPLACED_LOOK_MS = 250;

export class FinalNames {
  readonly #tools: Pick<LaneTools, "clock" | "control" | "signal" | "fatalError">;
  readonly #share: LaneTaskShare;
  readonly #status: Uint8Array;
  readonly #versions: RowVersions;
  readonly #warnings: LaneWarnings;
  /** 1 for every row that this run put under its final name. */
  readonly #published: Uint8Array;
  #keepOld = true;
  #strangers: ReadonlySet<number> = new Set();
  #unfinishable: BackupError | undefined;

  constructor(
    tools: Pick<LaneTools, "clock" | "control" | "signal" | "fatalError">,
    share: LaneTaskShare,
    table: EntryTable,
    versions: RowVersions,
    warnings: LaneWarnings,
  ) {
    this.#tools = tools;
    this.#share = share;
    this.#status = new Uint8Array(share.status);
    this.#versions = versions;
    this.#warnings = warnings;
    this.#published = new Uint8Array(table.count);
  }

  /** What stands there before anything is put there. */
  found({ isFresh, strangers }: Pick<Diffed, "isFresh" | "strangers">): void {
    this.#keepOld = !isFresh;
    this.#strangers = new Set(strangers);
  }

  /** Why the task may not be finished: its stage holds the only earlier version of a file. */
  get unfinishable(): BackupError | undefined {
    return this.#unfinishable;
  }

  /** Staged files. A control thread that is given up in the middle is replaced; what it did not publish its successor does, once. */
  async publish(rows: number[]): Promise<Moved> {
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
        task: this.#share.task,
        // Staged in the order of their size: side by side, the files of a folder need it opened once.
        rows: Uint32Array.from(rows).sort(),
        versions: this.#versions.of(rows),
        standing: this.#standing(rows),
      });
      this.#note(moved);
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

  /** Links, nodes and further names. */
  async makeOthers(rows: number[]): Promise<MovedOthers> {
    try {
      const moved = await this.#tools.control().call<MovedOthers>("makeOthers", {
        task: this.#share.task,
        rows: Uint32Array.from(rows),
        standing: this.#standing(rows),
      });
      this.#note(moved);
      return moved;
    } finally {
      this.#notePublished(rows);
    }
  }

  /**
   * The earlier version comes back. Without one, what stands there is taken away only when this run put it there and it
   * was read and is wrong: what merely could not be read may be right, and what was there before is not ours to delete.
   */
  async giveUp(row: number, readBack: BackupError | undefined): Promise<void> {
    const mayRemove = this.#published[row] === 1 && readBack?.code === "damaged";
    try {
      this.#note(
        await this.#tools.control().call<GivenUp>("giveUpCopy", {
          task: this.#share.task,
          row,
          mayRemove,
        }),
      );
    } catch (thrown) {
      // Nobody knows whether it was put back: without a manifest the next run puts the whole stage right.
      this.#unfinishable ??= asBackupError(thrown);
    }
  }

  #standing(rows: number[]): Standing {
    return {
      keepOld: this.#keepOld,
      strangers: new Set(rows.filter((row) => this.#strangers.has(row))),
      ours: new Set(rows.filter((row) => this.#published[row] === 1)),
    };
  }

  #notePublished(rows: number[]): void {
    for (const row of rows) {
      if (this.#status[row] === STATUS_PUBLISHED) this.#published[row] = 1;
    }
  }

  #note({ warnings, stageMustStay }: KeptNotes): void {
    this.#warnings.add(warnings);
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
}
