/**
 * The tasks of a run: planned once from its scans, loaded from the store after a restart. Rule: what the store says has
 * ended is in the ledger and is not done again.
 */
import { BackupError } from "../../protocol/base/errors.ts";
import { newId } from "../../protocol/base/ids.ts";
import {
  type LaneProgress,
  type ScanCounters,
  type Unreadable,
  ZERO_GAUGES,
} from "../../protocol/mesh/progress.ts";
import type { LaneReport, MirrorResult, PartSpec } from "../../protocol/mesh/task.ts";
import { createLaneLedger, type LaneLedger } from "../runs/lane_ledger.ts";
import { laneReport } from "../runs/report.ts";
import type { SourceState } from "../runs/run_context.ts";
import { NOTHING_UNREADABLE, resultOf } from "../runs/unreadable.ts";
import { wireError } from "../runs/wire_error.ts";
import type { StoreChanges } from "../store/job_store.ts";
import type { StoredTask } from "../store/records.ts";
import type { RunScope } from "./run_scope.ts";

export interface PlannedTask {
  readonly stored: StoredTask;
  readonly source: SourceState;
  readonly scan: ScanCounters;
  faults: number;
  /** What attempts could not read by the time when one of their lanes was verified. */
  unreadable?: Unreadable | undefined;
}

type TasksScope = Pick<
  RunScope,
  "runId" | "job" | "sources" | "destinations" | "store" | "progress" | "taskChanged"
>;

export class RunTasks {
  readonly #scope: TasksScope;
  #tasks: readonly PlannedTask[] = [];
  #ledger: LaneLedger | undefined;
  #openCount = 0;

  constructor(scope: TasksScope) {
    this.#scope = scope;
  }

  get arePlanned(): boolean {
    return this.#tasks.length > 0;
  }

  /** Undefined until they are planned. */
  get ledger(): LaneLedger | undefined {
    return this.#ledger;
  }

  /** Of each task, in the order of the ledger. */
  get sources(): SourceState[] {
    return this.#tasks.map((t) => t.source);
  }

  /** Those that have not ended, with their places in the ledger. */
  open(): { task: PlannedTask; index: number }[] {
    const { store } = this.#scope;
    return this.#tasks.map((task, index) => ({ task, index }))
      .filter(({ task }) => !isFinal(store.task(task.stored.taskId)!.state));
  }

  /** As counted last, less those that have ended since. */
  get openCount(): number {
    return this.#openCount;
  }

  countOpen(): void {
    this.#openCount = this.open().length;
  }

  oneHasEnded(): void {
    this.#openCount--;
  }

  keepScans(): void {
    const { store, runId, sources } = this.#scope;
    store.transact((tx) => {
      for (const { source, scan, error } of sources) {
        if (scan !== undefined) tx.putScan(runId, source.name, { kind: "scanned", scan });
        else if (error !== undefined) tx.putScan(runId, source.name, { kind: "failed", error });
      }
    });
  }

  /** What open tasks have verified so far; with their ends comes all they report. */
  keepVerified(tx: Pick<StoreChanges, "task" | "putResult">): void {
    const ledger = this.#ledger;
    if (ledger === undefined) return;
    this.#tasks.forEach(({ stored: { taskId }, unreadable = NOTHING_UNREADABLE }, index) => {
      if (isFinal(tx.task(taskId)!.state)) return;
      const lanes = ledger.destinations.flatMap((key) => {
        const account = ledger.accounts(key)[index]!;
        return account.settled && account.state === "verified" ? [laneReport(key, account)] : [];
      });
      if (lanes.length === 0) return;
      tx.putResult(taskId, { ...resultOf(unreadable), lanes });
    });
  }

  plan(): void {
    const { store, runId, job: { requiredCapabilities }, sources } = this.#scope;
    store.transact((tx) => {
      for (const { source, scan } of sources) {
        if (scan === undefined) continue;
        const parts: { part?: PartSpec; counters: ScanCounters }[] =
          scan.parts !== undefined && scan.parts.length > 1
            ? scan.parts
            : [{ counters: scan.counters }];
        for (const { part, counters } of parts) {
          tx.insertTask({
            taskId: newId("task"),
            runId,
            source,
            part,
            requires: [...new Set(["mirror", ...requiredCapabilities, ...source.requires ?? []])],
            files: counters.files,
            sizeBytes: counters.bytes,
          });
        }
      }
    });
    this.load();
  }

  /** Tasks and what is known of them, from the store. */
  load(): void {
    const { store, progress, runId, sources, destinations, taskChanged } = this.#scope;
    const stored = store.tasks(runId);
    if (stored.length === 0) return;
    const byName = new Map(sources.map((s) => [s.source.name, s]));
    this.#tasks = stored.map((task): PlannedTask => {
      const source = byName.get(task.source.name)!;
      const part = source.scan?.parts?.find((p) => p.part.key === task.part?.key);
      const whole = source.scan?.counters;
      const scan = part?.counters ?? whole;
      if (scan === undefined) throw new BackupError("internal", `Task ${task.taskId} has no scan`);
      return { stored: task, source, scan, faults: 0 };
    });
    const keys = destinations.filter(({ end }) => end === undefined || end.state === "verified")
      .map((d) => d.key);
    const ledger = createLaneLedger(keys, this.#tasks.length);
    for (const { key, end } of destinations) if (end !== undefined) ledger.close(key);
    this.#ledger = ledger;
    progress.apply({
      kind: "planned",
      tasks: this.#tasks.map(({ stored: { taskId }, scan }) => ({ taskId, scan })),
    });
    const results = store.results(runId);
    this.#tasks.forEach(({ stored: task, source }, index) => {
      taskChanged(task.taskId);
      const result = results.get(task.taskId);
      if (result !== undefined) this.#restore(task, index, result, ledger);
      if (task.state !== "succeeded" && task.state !== "failed") {
        if (result !== undefined && result.unreadableCount > 0) {
          const { unreadable: named, unreadableCount: count } = result;
          this.#tasks[index]!.unreadable = { named, count };
        }
        return;
      }
      // Nothing is owed any more, whatever other destinations were prepared since.
      ledger.begin(index);
      if (result === undefined) {
        ledger.broke(index, wireError("io", task.reason ?? "It failed"), false);
        return;
      }
      ledger.reported(index, result);
      addUnreadable(source, result);
      this.#tell(task, result.lanes, Number.MAX_SAFE_INTEGER);
    });
  }

  /** Only where the destination is at its end: elsewhere an attempt looks again. */
  #restore(task: StoredTask, index: number, { lanes }: MirrorResult, ledger: LaneLedger): void {
    const { destinations } = this.#scope;
    const ended = new Set(destinations.filter((d) => d.end !== undefined).map((d) => d.key));
    const known = lanes.filter(({ destination }) => ended.has(destination));
    ledger.restore(index, known);
    this.#tell(task, known, 0);
  }

  #tell(task: StoredTask, lanes: readonly LaneReport[], seq: number): void {
    if (lanes.length === 0) return;
    this.#scope.progress.apply({
      kind: "lanes",
      taskId: task.taskId,
      agentId: task.agentId ?? "",
      epoch: Math.max(1, task.epoch),
      seq,
      lanes: lanes.map(progressOf),
    });
  }

  cancelOpen(): void {
    const { store, runId, taskChanged } = this.#scope;
    store.transact((tx) => {
      for (const task of tx.tasks(runId)) {
        if (!isFinal(task.state)) tx.moveTask(task.taskId, task.epoch, "cancelled");
      }
    });
    for (const { stored: { taskId }, source, unreadable } of this.#tasks) {
      if (unreadable === undefined || store.task(taskId)!.state !== "cancelled") continue;
      addUnreadable(source, resultOf(unreadable));
    }
    for (const { stored } of this.#tasks) taskChanged(stored.taskId);
  }
}

function isFinal(state: StoredTask["state"]): boolean {
  return state === "succeeded" || state === "failed" || state === "cancelled";
}

/** What the parts of a source could not read, together. */
export function addUnreadable(
  source: SourceState,
  { unreadable, unreadableCount, walked }: MirrorResult,
): void {
  const before = source.mirrored;
  // What the agent itself could not list; the report counts what the scan has named too only once.
  const unlisted = walked?.unreadable ?? [];
  source.mirrored = {
    op: "mirror",
    lanes: [],
    unreadable: [...before?.unreadable ?? [], ...unreadable, ...unlisted],
    unreadableCount: (before?.unreadableCount ?? 0) + unreadableCount + unlisted.length,
  };
}

function progressOf(report: LaneReport): LaneProgress {
  return {
    destination: report.destination,
    state: report.state === "planned" ? "verified" : report.state,
    counters: {
      filesTotal: report.filesTotal,
      bytesTotal: report.bytesCopied,
      filesDone: report.filesCopied + report.filesUnchanged,
      bytesDone: report.bytesCopied,
      filesUnchanged: report.filesUnchanged,
      bytesUnchanged: 0,
      filesFailed: report.failureCount,
      verifyFilesTotal: report.filesVerified,
      verifyBytesTotal: report.bytesVerified,
      verifyFilesDone: report.filesVerified,
      verifyBytesDone: report.bytesVerified,
    },
    gauges: ZERO_GAUGES,
  };
}
