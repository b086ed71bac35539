/**
 * What a thread that serves one destination can be asked. Rule: every touch of a destination goes through such a thread,
 * so a destination that hangs can hang nothing else.
 */
import type { Clock } from "../../../protocol/base/clock.ts";
import { asBackupError } from "../../../protocol/base/errors.ts";
import { lossesOf } from "../../destinations/capabilities.ts";
import type { Inspection } from "../../destinations/local_destination.ts";
import { createPacer, unlimited } from "../../destinations/pacer.ts";
import type { Posix } from "../../platform/posix.ts";
import type { EntryMarks } from "../../source/moved_in_source.ts";
import type { Methods, ThreadCells } from "../../threads/thread_rpc.ts";
import { markChecksumsStale, renewChecksums } from "./checksums.ts";
import type { Deleted, Gone } from "./deletion.ts";
import type { KeyTexts, OpenedKeys } from "./destination_keys.ts";
import { FileVerifier } from "./file_verifier.ts";
import { HeldDestination, type KeysRequest, type OpenRequest } from "./held_destination.ts";
import type { ItemProblem } from "./item_problem.ts";
import type { GivenUp, Standing } from "./kept_files.ts";
import { LaneCall } from "./lane_call.ts";
import { type CompareRequest, compareTask, type Diffed } from "./lane_comparison.ts";
import { type DeleteRequest, LaneHistory } from "./lane_history.ts";
import { LaneTask, type LaneTaskShare } from "./lane_task.ts";
import { LaneWriter } from "./lane_writer.ts";
import { type Verified, verifyOthers, verifyRows } from "./lane_verifier.ts";
import type { CopyDestination } from "./list_keys.ts";
import type { FileVersion } from "./manifest_line.ts";
import { openTaskList } from "./part_list.ts";
import { keepJournal, removeKeptJournals, settleParts, type Settling } from "./part_settling.ts";
import type { Moved } from "./publisher.ts";
import { recover } from "./recovery.ts";
import { repairMethods } from "./repair_thread.ts";
import type { WriteItem } from "./staged_files.ts";
import {
  checkStored,
  countStored,
  stampVerified,
  type StoredCheck,
  type StoredResult,
  type StoredTotals,
} from "./stored_copy.ts";
import { checkSums, countSums, type SumsCheck, type SumsTotals } from "./stored_sums.ts";
import { type Finished, type FinishRequest, finishTask, removeStage } from "./task_ending.ts";
import { TriedTimes } from "./time_trust.ts";
import {
  checkVersions,
  countVersions,
  type VersionCheck,
  type VersionTotals,
} from "./version_check.ts";
import type { Pruned } from "./version_pruning.ts";
import { type FindVersions, findVersions, type FoundVersions } from "./version_search.ts";
import { type RestoreVersion, restoreVersion } from "./version_restore.ts";

export interface LaneThreadStart {
  path: string;
  slots: SharedArrayBuffer;
  /** 0 = no limit. */
  limitBytesPerSecond: number;
  /** Where destinations may lie; absent or empty: anywhere. */
  roots?: readonly string[];
}

export interface Opened {
  destinationId: string;
  freeBytes: number;
  fileSystem: string;
  /** Marker key of each wanted name. */
  keys: Record<string, string>;
  /** Names that differ in case only are one name here. */
  foldsCase: boolean;
  warnings: string[];
}

/** One per thread. `path` is the destination folder. */
export function openLaneThread(
  posix: Posix,
  start: LaneThreadStart,
  cells: ThreadCells,
  clock: Clock,
  identity: { uid: number; gid: number },
): Methods {
  const lane = new LaneThread(posix, start, cells, clock, identity);
  const { held, verifier, call: { tick } } = lane;
  return {
    inspect: (names: string[]): Inspection => held.inspect(names),
    keysAt: (request: KeysRequest): OpenedKeys => held.keysAt(request),
    open: (request: OpenRequest): Opened => lane.open(request),
    makeIdentity: (passphrase: string) => held.makeIdentity(passphrase),
    completeIdentity: (): void => held.completeIdentity(),
    useKeys: (keys: KeyTexts): void => held.useKeys(keys),
    attach: (request: OpenRequest): void => lane.attach(request),
    addTask: (share: LaneTaskShare): void => lane.addTask(share),
    compare: (request: CompareRequest): Diffed => lane.compare(request),
    makeDirectories: (task: string) => lane.writer.folders.make(lane.task(task)),
    writeFiles: (request: { task: string; items: WriteItem[] }): ItemProblem[] =>
      lane.writer.files.writeFiles(lane.task(request.task), request.items),
    beginFile: (request: { task: string; file: number; row: number }) =>
      lane.writer.files.beginFile(lane.task(request.task), request.file, request.row),
    writeChunk: (request: { task: string; file: number; slotOffset: number; bytes: number }) =>
      lane.writer.files.writeChunk(
        lane.task(request.task),
        request.file,
        request.slotOffset,
        request.bytes,
      ),
    endFile: (request: { task: string; file: number; version?: FileVersion }) =>
      lane.writer.files.endFile(lane.task(request.task), request.file, request.version),
    abortFile: (request: { task: string; file: number }) =>
      lane.writer.files.abortFile(lane.task(request.task), request.file),
    publish: (
      request: {
        task: string;
        rows: Uint32Array;
        versions: [number, FileVersion][];
        standing: Standing;
      },
    ): Moved =>
      lane.writer.publisher.publish(
        lane.task(request.task),
        request.rows,
        new Map(request.versions),
        request.standing,
      ),
    makeOthers: (request: { task: string; rows: Uint32Array; standing: Standing }) =>
      lane.writer.others.make(
        lane.task(request.task),
        request.rows,
        request.standing,
        held.capabilities,
      ),
    readyForParts: (share: LaneTaskShare): void => lane.readyForParts(share),
    stillThere: (): void => held.stillThere(),
    setLimit: (bytesPerSecond: number): void => lane.setLimit(bytesPerSecond),
    flush: (): void => held.flush(),
    verify: (
      request: { task: string; rows: Uint32Array; versions: [number, FileVersion][] },
    ): Verified =>
      verifyRows(
        posix,
        verifier,
        cells,
        lane.task(request.task),
        request.rows,
        new Map(request.versions),
      ),
    verifyOthers: (request: { task: string; rows: Uint32Array }): Verified =>
      verifyOthers(posix, cells, lane.task(request.task), request.rows),
    giveUpCopy: (request: { task: string; row: number; mayRemove: boolean }): GivenUp =>
      lane.writer.kept.giveUp(lane.task(request.task), request.row, request.mayRemove),
    finishTask: (request: FinishRequest) => lane.finishTask(request),
    listGone: (task: string): Gone => lane.history(task).listGone(),
    movedLines: ({ task, marks }: { task: string; marks: EntryMarks[] }): string[] =>
      lane.history(task).movedLines(marks),
    deleteGone: (request: DeleteRequest): Deleted => lane.history(request.task).deleteGone(request),
    forgetMeasure: (task: string): void => lane.history(task).forgetMeasure(),
    pruneVersions: (request: { task: string; keepVersions: number }): Pruned =>
      lane.history(request.task).prune(request.keepVersions),
    countVersions: ({ key }: { key: string }): VersionTotals =>
      countVersions(posix, held.destination, key, tick),
    checkVersions: (check: VersionCheck): StoredResult =>
      checkVersions(posix, held.destination, verifier, cells, check),
    findVersions: (request: FindVersions): FoundVersions =>
      findVersions(posix, held.destination, request, tick),
    restoreVersion: (request: RestoreVersion) =>
      restoreVersion(posix, held.destination, request, cells, identity),
    removeTask: (request: { task: string; clearStage: boolean }): void =>
      lane.removeTask(request.task, request.clearStage),
    bindings: () => held.destination.marker.bindings.map(({ name, key }) => ({ name, key })),
    countStored: ({ name, key }: { name: string; key: string }): StoredTotals =>
      countStored(posix, held.destination, key, name, tick),
    checkStored: (check: StoredCheck): StoredResult =>
      checkStored(posix, held.destination, verifier, cells, check),
    countSums: (name: string): SumsTotals => countSums(posix, held.destination, name),
    checkSums: (check: SumsCheck): StoredResult =>
      checkSums(posix, held.destination, verifier, cells, check),
    identityWarnings: (): string[] => held.identityWarnings(),
    stampVerified: (request: Parameters<typeof stampVerified>[2]): void =>
      stampVerified(posix, held.destination, request, tick),
    ...repairMethods(posix, () => held.destination, verifier, cells, identity.uid),
    finish: (): void => lane.finish(),
    close: (): void => lane.close(),
  };
}

class LaneThread {
  readonly call: LaneCall;
  readonly held: HeldDestination;
  readonly verifier: FileVerifier;
  readonly #posix: Posix;
  readonly #slots: SharedArrayBuffer;
  readonly #pacer: ReturnType<typeof createPacer>;
  readonly #identity: { uid: number; gid: number };
  readonly #tasks = new Map<string, LaneTask>();
  #writer: LaneWriter | undefined;

  constructor(
    posix: Posix,
    start: LaneThreadStart,
    cells: ThreadCells,
    clock: Clock,
    identity: { uid: number; gid: number },
  ) {
    this.#posix = posix;
    this.call = new LaneCall(cells);
    this.held = new HeldDestination(posix, start.path, this.call, identity.uid === 0);
    this.#slots = start.slots;
    this.#identity = identity;
    // A limited destination has time: on few processors its neighbours would pay for it.
    if (start.limitBytesPerSecond > 0) posix.stepBack();
    this.#pacer = start.limitBytesPerSecond > 0
      ? createPacer(start.limitBytesPerSecond, clock, (ms) => {
        // Waking up now and then keeps a slow lane from looking like a stuck one.
        for (let left = ms; left > 0; left -= PACER_STEP_MS) {
          this.call.tick();
          if (Atomics.wait(cells.cancelled, 0, 0, Math.min(left, PACER_STEP_MS)) !== "timed-out") {
            return;
          }
        }
      })
      : unlimited;
    this.verifier = new FileVerifier(posix, cells, this.#pacer);
  }

  setLimit(bytesPerSecond: number): void {
    this.#pacer.setRate(bytesPerSecond);
  }

  get writer(): LaneWriter {
    if (this.#writer === undefined) throw new TypeError("The destination is not open");
    return this.#writer;
  }

  task(key: string): LaneTask {
    const task = this.#tasks.get(key);
    if (task === undefined) throw new TypeError(`Unknown task: ${key}`);
    return task;
  }

  open(request: OpenRequest): Opened {
    const { marker, fileSystem, foldsCase, warnings: found } = this.#open(request, false);
    const warnings = [...found, ...this.#settleOthers(request)];
    // Only a backup asks for names, and only a backup needs to know what can be kept.
    const losses = request.wanted.length > 0
      ? lossesOf(this.held.capabilities, fileSystem.type)
      : undefined;
    const keys: Record<string, string> = {};
    for (const binding of marker.bindings) keys[binding.name] = binding.key;
    return {
      destinationId: marker.destinationId,
      freeBytes: fileSystem.freeBytes,
      fileSystem: fileSystem.type,
      keys,
      foldsCase,
      warnings: losses === undefined ? warnings : [...warnings, losses],
    };
  }

  /** A further thread of a destination that another thread holds open and locked. */
  attach(request: OpenRequest): void {
    this.#open(request, true);
  }

  #open(request: OpenRequest, isFurther: boolean): CopyDestination {
    const destination = this.held.open(request, isFurther);
    this.#writer = new LaneWriter(
      this.#posix,
      destination,
      this.#slots,
      this.call,
      this.#pacer,
      this.#identity,
    );
    return destination;
  }

  /** What runs that were cut off have left of parts. Whoever joins leaves that to the agent that prepared the run. */
  #settleOthers({ run }: OpenRequest): string[] {
    if (run?.joins === true) return [];
    const warnings: string[] = [];
    for (const binding of this.held.destination.marker.bindings) {
      try {
        settleParts(
          this.#settling(),
          binding,
          run === undefined ? { all: true } : { butRun: run.id },
        );
      } catch (thrown) {
        const { message } = asBackupError(thrown);
        warnings.push(`What an interrupted run left of ${binding.name} waits: ${message}`);
      }
    }
    return warnings;
  }

  #settling(): Settling {
    const { destination } = this.held;
    return {
      posix: this.#posix,
      destination,
      markStale: () => markChecksumsStale(this.#posix, destination),
      tick: this.call.tick,
    };
  }

  /**
   * Before a source is divided: what earlier runs left of it is put right, since its parts must not do that at the same
   * time, and what they have published stays known.
   * @throws {BackupError} when that cannot be done; then it must not be divided
   */
  readyForParts(share: LaneTaskShare): void {
    this.call.tick();
    const { destination } = this.held;
    const { root, stage } = destination;
    const task = new LaneTask(this.#posix, root, stage, share);
    const { name, bindingKey: key, runId } = share;
    try {
      const history = this.#historyOf(task, false);
      history.endInterruptedDeletion();
      settleParts(this.#settling(), { name, key }, { butRun: runId });
      const list = openTaskList(this.#posix, destination, share);
      const completedStage = list?.header.stage;
      list?.close();
      recover(this.#posix, root, stage, {
        name,
        stageKey: key,
        completedStage,
        settle: (at) => history.settleStage(at),
        keep: (journal) => keepJournal(this.#settling(), { name, key }, journal, runId),
        tick: this.call.tick,
      });
    } finally {
      task.close();
    }
  }

  addTask(share: LaneTaskShare): void {
    this.#tasks.get(share.task)?.close();
    const { root, stage } = this.held.destination;
    this.#tasks.set(share.task, new LaneTask(this.#posix, root, stage, share));
  }

  compare(request: CompareRequest): Diffed {
    const task = this.task(request.task);
    return compareTask({
      posix: this.#posix,
      destination: this.held.destination,
      task,
      history: this.#historyOf(task, request.dryRun),
      settling: this.#settling(),
      isRoot: this.#identity.uid === 0,
      capabilities: () => this.held.capabilities,
      tick: this.call.tick,
    }, request);
  }

  /** What is done to the past of a task's copy. */
  history(key: string): LaneHistory {
    return this.#historyOf(this.task(key), false);
  }

  #historyOf(task: LaneTask, isDryRun: boolean): LaneHistory {
    const { destination } = this.held;
    const trust = new TriedTimes(this.#posix, destination, task, isDryRun);
    const markStale = () => markChecksumsStale(this.#posix, destination);
    return new LaneHistory(this.#posix, destination, task, this.call, trust, markStale);
  }

  finishTask(request: FinishRequest): Finished {
    const task = this.task(request.task);
    this.held.stillThere();
    return finishTask({
      posix: this.#posix,
      destination: this.held.destination,
      task,
      history: this.#historyOf(task, false),
      writer: this.writer,
      tick: this.call.tick,
    }, request);
  }

  removeTask(key: string, clearStage: boolean): void {
    const task = this.#tasks.get(key);
    if (task === undefined) return;
    this.#tasks.delete(key);
    task.close();
    if (clearStage) removeStage(this.#posix, task, this.call.tick);
  }

  /** After all tasks. */
  finish(): void {
    this.held.stillThere();
    const { destination } = this.held;
    for (const binding of destination.marker.bindings) {
      settleParts(this.#settling(), binding, { all: true });
      removeKeptJournals(this.#settling(), binding);
    }
    renewChecksums(this.#posix, destination, this.call.tick);
  }

  close(): void {
    for (const task of this.#tasks.values()) task.close();
    this.#tasks.clear();
    this.held.close();
  }
}

const PACER_STEP_MS = 100;
