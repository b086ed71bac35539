/**
 * What a thread that serves one destination can be asked. Rule: every touch of a destination goes through such a thread,
 * so a destination that hangs can hang nothing else.
 */
import type { Clock } from "../../../protocol/base/clock.ts";
import { asBackupError, BackupError } from "../../../protocol/base/errors.ts";
import {
  type Capabilities,
  findCapabilities,
  isWholeFileSystem,
  lossesOf,
  untriedCapabilities,
} from "../../destinations/capabilities.ts";
import {
  checkStillThere,
  inspect,
  type Inspection,
  type OpenDestination,
  openDestination,
  type WantedBinding,
} from "../../destinations/local_destination.ts";
import { CHECKSUMS_FILE, CHECKSUMS_STALE_FILE, OWN_DIRECTORY } from "../../destinations/layout.ts";
import { createNameProbe } from "../../destinations/name_probe.ts";
import type { RunMembership } from "../../destinations/run_lock.ts";
import { createPacer, unlimited } from "../../destinations/pacer.ts";
import { EEXIST, EIO, ENOENT, posixError } from "../../platform/errno.ts";
import { cName, newStat, type Posix } from "../../platform/posix.ts";
import { latin1OfUtf8 } from "../../source/entry_table.ts";
import type { EntryMarks } from "../../source/moved_in_source.ts";
import type { Methods, ThreadCells } from "../../threads/thread_rpc.ts";
import { writeChecksums } from "./checksums.ts";
import { diff, type DiffResult } from "./diff.ts";
import { superseded } from "./attempt_guard.ts";
import { STATUS_ADOPTED, STATUS_FAILED } from "./entry_status.ts";
import type { Deleted, Gone } from "./deletion.ts";
import {
  completeIdentity,
  identityWarnings,
  keysAt,
  type KeyTexts,
  listKeysOf,
  makeIdentity,
  type OpenedKeys,
} from "./destination_keys.ts";
import { FileVerifier } from "./file_verifier.ts";
import { foldedClashes } from "./folded_names.ts";
import type { ItemProblem } from "./item_problem.ts";
import type { GivenUp, Standing } from "./kept_files.ts";
import { countedLines } from "./deletion_measure.ts";
import { type DeleteRequest, LaneHistory } from "./lane_history.ts";
import { LaneCall } from "./lane_call.ts";
import { LaneTask, type LaneTaskShare } from "./lane_task.ts";
import { LaneWriter } from "./lane_writer.ts";
import { type Verified, verifyOthers, verifyRows } from "./lane_verifier.ts";
import {
  type CopyDestination,
  dropShadowed,
  isSealedAlike,
  type ListKeys,
  NO_LIST_KEYS,
} from "./list_keys.ts";
import type { ManifestHeader } from "./manifest_file.ts";
import type { FileVersion } from "./manifest_line.ts";
import { updateManifest } from "./manifest_update.ts";
import { openTaskList, taskListName } from "./part_list.ts";
import { keepJournal, removeKeptJournals, settleParts, type Settling } from "./part_settling.ts";
import { writeGeneration } from "./mhl/write_generation.ts";
import { removeStrays, retireOldForms } from "./old_forms.ts";
import type { Moved } from "./publisher.ts";
import type { GivenKeys } from "./read_keys.ts";
import {
  addToJournal,
  DONE_PREFIX,
  putBackUnless,
  readJournals,
  recover,
  type Recovered,
} from "./recovery.ts";
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
import { removeTree } from "./tree_removal.ts";
import { fileBytesMax, forbiddenName, unholdableRows } from "./unholdable_rows.ts";
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

export interface KeysRequest {
  given: GivenKeys;
  /** Every list at the destination must be readable with them. */
  needsLists: boolean;
}

export interface OpenRequest {
  wanted: WantedBinding[];
  /** Of encrypted lists; none: they can be neither read nor written. */
  keys?: KeyTexts;
  /** For the person who finds the destination locked. */
  holder: string;
  createdAt: string;
  /** For a further thread or agent: the destination that must be found there. */
  expectedId?: string;
  /** The run that shares the lock; absent for what wants to be alone. */
  run?: RunMembership;
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

export interface Diffed extends DiffResult {
  /** Entries that cannot be copied here, whatever is tried. */
  problems: ItemProblem[];
  isFresh: boolean;
  warnings: string[];
  /** Type of the destination's file system. */
  fileSystem: string;
  /** Whether modes and owners can be kept here at all; where not, that was said when the destination was opened. */
  keeps: { modes: boolean; owners: boolean };
  /** With `deletesGone`: files recorded before the first of those gone now went missing. */
  filesBeforeGone?: number;
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
  return {
    inspect: (names: string[]): Inspection => lane.inspect(names),
    keysAt: (request: KeysRequest): OpenedKeys => lane.keysAt(request),
    open: (request: OpenRequest): Opened => lane.open(request),
    makeIdentity: (passphrase: string) => lane.makeIdentity(passphrase),
    completeIdentity: (): void => lane.completeIdentity(),
    useKeys: (keys: KeyTexts): void => lane.useKeys(keys),
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
        lane.capabilities,
      ),
    readyForParts: (share: LaneTaskShare): void => lane.readyForParts(share),
    stillThere: (): void => lane.stillThere(),
    setLimit: (bytesPerSecond: number): void => lane.setLimit(bytesPerSecond),
    flush: (): void => lane.flush(),
    verify: (
      request: { task: string; rows: Uint32Array; versions: [number, FileVersion][] },
    ): Verified => lane.verify(request.task, request.rows, new Map(request.versions)),
    verifyOthers: (request: { task: string; rows: Uint32Array }): Verified =>
      verifyOthers(posix, cells, lane.task(request.task), request.rows),
    giveUpCopy: (request: { task: string; row: number; mayRemove: boolean }): GivenUp =>
      lane.giveUpCopy(request.task, request.row, request.mayRemove),
    finishTask: (request: FinishRequest) => lane.finishTask(request),
    listGone: (task: string): Gone => lane.history(task).listGone(),
    movedLines: ({ task, marks }: { task: string; marks: EntryMarks[] }): string[] =>
      lane.history(task).movedLines(marks),
    deleteGone: (request: DeleteRequest): Deleted => lane.history(request.task).deleteGone(request),
    forgetMeasure: (task: string): void => lane.history(task).forgetMeasure(),
    pruneVersions: (request: { task: string; keepVersions: number }): Pruned =>
      lane.history(request.task).prune(request.keepVersions),
    countVersions: ({ key }: { key: string }): VersionTotals =>
      countVersions(posix, lane.destination, key, () => Atomics.add(cells.operations, 0, 1)),
    checkVersions: (check: VersionCheck): StoredResult => lane.checkVersions(check),
    findVersions: (request: FindVersions): FoundVersions =>
      findVersions(posix, lane.destination, request, () => Atomics.add(cells.operations, 0, 1)),
    restoreVersion: (request: RestoreVersion) =>
      restoreVersion(posix, lane.destination, request, cells, identity),
    removeTask: (request: { task: string; clearStage: boolean }): void =>
      lane.removeTask(request.task, request.clearStage),
    bindings: () => lane.destination.marker.bindings.map(({ name, key }) => ({ name, key })),
    countStored: ({ name, key }: { name: string; key: string }): StoredTotals =>
      countStored(posix, lane.destination, key, name, () => Atomics.add(cells.operations, 0, 1)),
    checkStored: (check: StoredCheck): StoredResult => lane.checkStored(check),
    countSums: (name: string): SumsTotals => countSums(posix, lane.destination, name),
    checkSums: (check: SumsCheck): StoredResult =>
      checkSums(posix, lane.destination, lane.verifier, cells, check),
    identityWarnings: (): string[] => lane.identityWarnings(),
    stampVerified: (request: Parameters<typeof stampVerified>[2]): void =>
      stampVerified(posix, lane.destination, request, () => Atomics.add(cells.operations, 0, 1)),
    ...repairMethods(posix, () => lane.destination, lane.verifier, cells, identity.uid),
    finish: (): void => lane.finish(),
    close: (): void => lane.close(),
  };
}

export interface CompareRequest {
  task: string;
  dryRun: boolean;
  /** Unchanged files are verified as well. */
  readsAllBack: boolean;
  /** Files that are recorded are counted, for the guard of `--delete`. */
  deletesGone?: boolean;
}

export interface FinishRequest {
  task: string;
  versions: [number, FileVersion][];
  /** Further names that are files of their own here. */
  ownFiles: number[];
  verifiedAtMs: number;
  createdAt: string;
  /** Copies lie under names that their entries have no more. */
  hasOldForms: boolean;
  /** False when the manifest would come out as it is. */
  writeManifest: boolean;
  /** A generation of ASC MHL is written, dated now. */
  mhlAtMs?: number;
  /** Replaced files are kept as versions. */
  keepsVersions?: boolean;
  filesBeforeGone?: number | undefined;
}

export interface Finished {
  problems: ItemProblem[];
  warnings: string[];
  versionsKept: number;
  /** The dated folder that has them, when there are any. */
  versionsAt?: string;
}

const NOTHING_RETIRED = { problems: [], warnings: [] };

class LaneThread {
  readonly #posix: Posix;
  readonly #path: string;
  readonly #cells: ThreadCells;
  readonly #verifier: FileVerifier;
  readonly #slots: SharedArrayBuffer;
  readonly #pacer: ReturnType<typeof createPacer>;
  readonly #identity: { uid: number; gid: number };
  readonly #tasks = new Map<string, LaneTask>();
  #destination: (CopyDestination & { keys: ListKeys; close(): void }) | undefined;
  #writer: LaneWriter | undefined;
  #capabilities: Capabilities | undefined;

  constructor(
    posix: Posix,
    start: LaneThreadStart,
    cells: ThreadCells,
    clock: Clock,
    identity: { uid: number; gid: number },
  ) {
    this.#posix = posix;
    this.#path = start.path;
    this.#cells = cells;
    this.#slots = start.slots;
    this.#identity = identity;
    // A limited destination has time: on few processors its neighbours would pay for it.
    if (start.limitBytesPerSecond > 0) posix.stepBack();
    this.#pacer = start.limitBytesPerSecond > 0
      ? createPacer(start.limitBytesPerSecond, clock, (ms) => {
        // Waking up now and then keeps a slow lane from looking like a stuck one.
        for (let left = ms; left > 0; left -= PACER_STEP_MS) {
          Atomics.add(cells.operations, 0, 1);
          if (Atomics.wait(cells.cancelled, 0, 0, Math.min(left, PACER_STEP_MS)) !== "timed-out") {
            return;
          }
        }
      })
      : unlimited;
    this.#verifier = new FileVerifier(posix, cells, this.#pacer);
  }

  setLimit(bytesPerSecond: number): void {
    this.#pacer.setRate(bytesPerSecond);
  }

  get destination(): CopyDestination {
    if (this.#destination === undefined) throw new TypeError("The destination is not open");
    return this.#destination;
  }

  get verifier(): FileVerifier {
    return this.#verifier;
  }

  get writer(): LaneWriter {
    if (this.#writer === undefined) throw new TypeError("The destination is not open");
    return this.#writer;
  }

  /** Found when first asked for: only by the control thread, so that no two threads try at once. */
  get capabilities(): Capabilities {
    const { stage, fileSystem } = this.destination;
    const isRoot = this.#identity.uid === 0;
    return this.#capabilities ??= findCapabilities(this.#posix, stage, fileSystem.type, isRoot);
  }

  task(key: string): LaneTask {
    const task = this.#tasks.get(key);
    if (task === undefined) throw new TypeError(`Unknown task: ${key}`);
    return task;
  }

  inspect(names: string[]): Inspection {
    this.#tick();
    return inspect(this.#posix, this.#path, names);
  }

  /** Before the destination is open. */
  keysAt({ given, needsLists }: KeysRequest): OpenedKeys {
    this.#tick();
    return keysAt(this.#posix, this.#path, given, needsLists);
  }

  makeIdentity(passphrase: string): { secret: string; recipient: string } {
    this.#tick();
    const { own, display } = this.destination;
    return makeIdentity(this.#posix, own, `${display}/${OWN_DIRECTORY}`, passphrase);
  }

  identityWarnings(): string[] {
    this.#tick();
    const { own, display } = this.destination;
    return identityWarnings(this.#posix, own, `${display}/${OWN_DIRECTORY}`);
  }

  completeIdentity(): void {
    this.#tick();
    const { own, display } = this.destination;
    completeIdentity(this.#posix, own, `${display}/${OWN_DIRECTORY}`);
  }

  useKeys(keys: KeyTexts): void {
    if (this.#destination !== undefined) this.#destination.keys = listKeysOf(keys);
  }

  open(request: OpenRequest): Opened {
    this.#tick();
    this.#use(
      openDestination(
        this.#posix,
        this.#path,
        request.wanted,
        request.holder,
        request.createdAt,
        false,
        request.expectedId,
        request.run,
      ),
      request.keys,
    );
    const { marker, fileSystem, foldsCase } = this.destination;
    const warnings = [...this.destination.warnings, ...this.#settleOthers(request)];
    // Only a backup asks for names, and only a backup needs to know what can be kept.
    const losses = request.wanted.length > 0
      ? lossesOf(this.capabilities, fileSystem.type)
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

  /** What runs that were cut off have left of parts. Whoever joins leaves that to the agent that prepared the run. */
  #settleOthers({ run }: OpenRequest): string[] {
    if (run?.joins === true) return [];
    const warnings: string[] = [];
    for (const binding of this.destination.marker.bindings) {
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
    return {
      posix: this.#posix,
      destination: this.destination,
      markStale: () => this.#markChecksumsStale(),
      tick: () => this.#tick(),
    };
  }

  /**
   * Before a source is divided: what earlier runs left of it is put right, since its parts must not do that at the same
   * time, and what they have published stays known.
   * @throws {BackupError} when that cannot be done; then it must not be divided
   */
  readyForParts(share: LaneTaskShare): void {
    this.#tick();
    const { root, stage } = this.destination;
    const task = new LaneTask(this.#posix, root, stage, share);
    const { name, bindingKey: key, runId } = share;
    try {
      const history = this.#historyOf(task);
      history.endInterruptedDeletion();
      settleParts(this.#settling(), { name, key }, { butRun: runId });
      const list = openTaskList(this.#posix, this.destination, share);
      const completedStage = list?.header.stage;
      list?.close();
      recover(this.#posix, root, stage, {
        name,
        stageKey: key,
        completedStage,
        settle: (at) => history.settleStage(at),
        keep: (journal) => keepJournal(this.#settling(), { name, key }, journal, runId),
        tick: () => this.#tick(),
      });
    } finally {
      task.close();
    }
  }

  /** A further thread of a destination that another thread holds open and locked. */
  attach(request: OpenRequest): void {
    this.#tick();
    this.#use(
      openDestination(
        this.#posix,
        this.#path,
        request.wanted,
        "",
        request.createdAt,
        true,
        request.expectedId,
      ),
      request.keys,
    );
  }

  addTask(share: LaneTaskShare): void {
    this.#tasks.get(share.task)?.close();
    const { root, stage } = this.destination;
    this.#tasks.set(share.task, new LaneTask(this.#posix, root, stage, share));
  }

  compare(request: CompareRequest): Diffed {
    const task = this.task(request.task);
    if (task.isOver) throw superseded();
    const { destination } = this;
    const { part, bindingKey: key, runId, isShared } = task.share;
    const history = this.history(request.task, request.dryRun);
    if (!request.dryRun) {
      dropShadowed(this.#posix, destination.manifests, taskListName(task.share));
      if (part === undefined) {
        // It may take lines out of the manifest.
        history.endInterruptedDeletion();
        settleParts(this.#settling(), { name: task.share.name, key }, { butRun: runId });
      }
    }
    const old = openTaskList(this.#posix, destination, task.share);
    const isAlike = old === undefined || isSealedAlike(old, destination.keys);
    const recorded = request.deletesGone === true ? countedLines(old) : undefined;
    try {
      const recovered = request.dryRun
        ? { journal: new Map(), hasTakenOver: false }
        : this.#recover(task, old?.header, history);
      if (!request.dryRun && isShared === true) {
        const made = task.makeStage();
        if (made < 0) throw posixError(made, "write to", `${destination.display}/.backup-agent`);
      }
      const stat = newStat();
      const top = this.#posix.statAt(destination.root, cName(task.share.name), stat);
      const isFresh = top === -ENOENT;
      // Names that this file system cannot tell apart: the first of them is copied, the others fail by name.
      const folded = destination.foldsCase ? foldedClashes(task.table) : [];
      const problems = [
        ...folded.map(foldedProblem),
        ...this.#unholdable(task, request.dryRun, new Set(folded)),
      ];
      for (const { row } of problems) task.status[row] = STATUS_FAILED;
      const { type } = destination.fileSystem;
      const capabilities = request.dryRun ? untriedCapabilities(type) : this.capabilities;
      let keepsTimes: boolean | undefined;
      const result = diff({
        posix: this.#posix,
        task,
        oldLines: recorded?.lines ?? old?.lines,
        journal: recovered.journal,
        isFresh,
        mtimeToleranceMs: this.#mtimeToleranceMs(),
        capabilities,
        keepsOwners: this.#identity.uid === 0 && capabilities.owners,
        foldsCase: destination.foldsCase,
        readsAllBack: request.readsAllBack,
        keepsTimes: () => keepsTimes ??= request.dryRun || this.#keepsTimes(task),
        tick: () => this.#tick(),
      });
      if (!request.dryRun) removeStrays(this.#posix, task, result.strays, () => this.#tick());
      if (recovered.hasTakenOver) {
        putBackUnless(this.#posix, destination.root, task.stage(), task.share.name, (path) => {
          const row = task.rowStoredAt(path);
          return row !== undefined && task.status[row] === STATUS_ADOPTED;
        }, () => this.#tick());
      }
      const warnings = keepsTimes === false ? [TIMES_NOT_KEPT] : [];
      if (result.filesForOthers > 0) {
        warnings.push(stillForOthers(task.share.name, result.filesForOthers));
      }
      warnings.push(...history.warnings);
      const keeps = { modes: capabilities.modes, owners: capabilities.owners };
      const filesBeforeGone = recorded === undefined
        ? undefined
        : history.measure(recorded.files());
      return {
        ...result,
        manifestStands: result.manifestStands && isAlike,
        isFresh,
        warnings,
        problems,
        fileSystem: type,
        keeps,
        ...(filesBeforeGone === undefined ? {} : { filesBeforeGone }),
      };
    } finally {
      old?.close();
    }
  }

  /** What earlier attempts left. Of those of this run it is taken over; of others it is put right. */
  #recover(
    task: LaneTask,
    header: ManifestHeader | undefined,
    history: LaneHistory,
  ): Recovered {
    const { root, stage } = this.destination;
    const { name, stageName, bindingKey, part } = task.share;
    const recovered = recover(this.#posix, root, stage, {
      name,
      stageKey: task.stageKey,
      stageName,
      completedStage: header?.stage,
      settle: (at) => history.settleStage(at),
      ownStage: () => task.makeStage(),
      keep: (journal) => {
        if (journal.size === 0) return;
        // Should this attempt be cut off too, the next one knows as much; a journal that cannot be written costs a copy.
        const own = task.makeStage();
        if (own >= 0) addToJournal(this.#posix, own, journal.values());
      },
      tick: () => this.#tick(),
    });
    if (part !== undefined) {
      readJournals(this.#posix, stage, bindingKey, recovered.journal);
    }
    return recovered;
  }

  /** What cannot stand here under its name or in its size. A dry run tries no names. */
  #unholdable(
    task: LaneTask,
    isDryRun: boolean,
    known: ReadonlySet<number>,
  ): ItemProblem[] {
    const { stage, display, fileSystem: { type } } = this.destination;
    if (isWholeFileSystem(type)) return [];
    const whyNot = isDryRun ? () => undefined : createNameProbe(this.#posix, stage);
    const { name } = task.share;
    const why = whyNot(latin1OfUtf8(name));
    if (why !== undefined) {
      throw new BackupError("unsupported", `${name}: ${forbiddenName(why, type)}`, {
        path: `${display}/${name}`,
        hint: "Choose another name with --as NAME",
      });
    }
    const limits = { fileSystem: type, whyNot, fileBytesMax: fileBytesMax(type) };
    return unholdableRows(task.table, limits).filter(({ row }) => !known.has(row));
  }

  #mtimeToleranceMs(): number {
    // What a try finds is finer than what a disk keeps after it was unmounted, so only the known ones are exact.
    return isWholeFileSystem(this.destination.fileSystem.type) && this.#posix.name === "libc"
      ? 0
      : COARSE_TIME_MS;
  }

  /** What is done to the past of a task's copy. */
  history(key: string, dryRun = false): LaneHistory {
    return this.#historyOf(this.task(key), dryRun);
  }

  #historyOf(task: LaneTask, dryRun = false): LaneHistory {
    let keepsTimes: boolean | undefined;
    return new LaneHistory(this.#posix, this.destination, task, new LaneCall(this.#cells), {
      mtimeToleranceMs: this.#mtimeToleranceMs(),
      keepsTimes: () => keepsTimes ??= dryRun || this.#keepsTimes(task),
    }, () => this.#markChecksumsStale());
  }

  checkVersions(check: VersionCheck): StoredResult {
    return checkVersions(this.#posix, this.destination, this.#verifier, this.#cells, check);
  }

  /** Tries it: a file system may refuse times, or take them and forget. What cannot be tried is believed. */
  #keepsTimes(task: LaneTask): boolean {
    const stage = task.stage();
    const name = cName(PROBE_FILE);
    const fd = stage < 0 ? stage : this.#posix.createFile(stage, name);
    if (fd < 0) return true;
    const stat = newStat();
    const set = this.#posix.setFileTimes(fd, PROBE_TIME_SEC, 0);
    const found = this.#posix.stat(fd, stat);
    this.#posix.close(fd);
    this.#posix.unlink(stage, name);
    if (found < 0) return true;
    const apartMs = Math.abs(stat.mtimeSec - PROBE_TIME_SEC) * 1000;
    return set === -EIO || (set >= 0 && apartMs <= COARSE_TIME_MS);
  }

  stillThere(): void {
    this.#tick();
    checkStillThere(this.#posix, this.#path, this.destination);
  }

  flush(): void {
    this.#tick();
    const { root, batchFlush, display } = this.destination;
    const result = batchFlush
      ? this.#posix.flushFileSystem(root)
      : this.#posix.flushDirectory(root);
    if (result < 0) throw posixError(result, "flush", display);
  }

  verify(
    key: string,
    rows: Uint32Array,
    versions: ReadonlyMap<number, FileVersion>,
  ): Verified {
    return verifyRows(this.#posix, this.#verifier, this.#cells, this.task(key), rows, versions);
  }

  checkStored(check: StoredCheck): StoredResult {
    return checkStored(this.#posix, this.destination, this.#verifier, this.#cells, check);
  }

  giveUpCopy(key: string, row: number, mayRemove: boolean): GivenUp {
    this.#tick();
    return this.writer.kept.giveUp(this.task(key), row, mayRemove);
  }

  finishTask(request: FinishRequest): Finished {
    const task = this.task(request.task);
    this.stillThere();
    task.assertMayChange();
    const retired = request.hasOldForms && request.writeManifest
      ? this.#retireOldForms(task)
      : NOTHING_RETIRED;
    const mhl = this.#writeMhl(task, request);
    const problems = [
      ...retired.problems,
      ...mhl.problems,
      ...this.writer.folders.finish(task),
    ];
    const history = this.history(request.task);
    const keep = request.writeManifest && request.keepsVersions === true
      ? history.replaced(request.createdAt)
      : undefined;
    if (request.writeManifest) {
      this.#markChecksumsStale();
      this.flush();
      if (request.filesBeforeGone !== undefined) history.writeMeasure(request.filesBeforeGone);
      updateManifest({
        posix: this.#posix,
        destination: this.destination,
        task,
        versions: new Map(request.versions),
        ownFiles: new Set(request.ownFiles),
        verifiedAtMs: request.verifiedAtMs,
        createdAt: request.createdAt,
        replaced: keep?.lines,
        beforeCommit: () => task.assertMayChange(),
        tick: () => this.#tick(),
      });
    }
    this.#markDone(task);
    // Should this fail the stage stays, and the next run moves them.
    const warnings = [...retired.warnings, ...mhl.warnings];
    if (keep === undefined || keep.lines.isEmpty) return { problems, warnings, versionsKept: 0 };
    const versionsKept = history.keepReplaced();
    return {
      problems,
      warnings,
      versionsKept,
      ...(versionsKept > 0 && { versionsAt: keep.folder }),
    };
  }

  #retireOldForms(task: LaneTask): { problems: ItemProblem[]; warnings: string[] } {
    const old = openTaskList(this.#posix, this.destination, task.share);
    if (old === undefined) return NOTHING_RETIRED;
    try {
      return retireOldForms(this.#posix, this.writer.kept, task, old.lines, () => this.#tick());
    } finally {
      old.close();
    }
  }

  /** That there is none is a failure by name, but the copy is verified and its manifest is written all the same. */
  #writeMhl(
    task: LaneTask,
    { mhlAtMs, versions, verifiedAtMs }: FinishRequest,
  ): { problems: ItemProblem[]; warnings: string[] } {
    if (mhlAtMs === undefined) {
      task.xxh64 = undefined;
      return { problems: [], warnings: [] };
    }
    try {
      const warnings = writeGeneration({
        posix: this.#posix,
        destination: this.destination,
        task,
        versions: new Map(versions),
        verifiedAtMs,
        createdAtMs: mhlAtMs,
        tick: () => this.#tick(),
      });
      return { problems: [], warnings };
    } catch (thrown) {
      task.xxh64 = undefined;
      const error = asBackupError(thrown);
      const hint = error.hint === undefined ? "" : `. ${error.hint}`;
      const message =
        `The ASC MHL of ${task.share.name} could not be written: ${error.message}${hint}`;
      return { problems: [{ row: 0, code: error.code, message, retry: "no" }], warnings: [] };
    }
  }

  /**
   * From here on what the stage keeps is older than what stands, whatever later manifests say. Should the new name not
   * take, the manifest still names the stage, until the next run has put that right.
   */
  #markDone(task: LaneTask): void {
    const above = task.openStages();
    if (above < 0) return;
    const { stageName } = task.share;
    this.#posix.rename(above, cName(stageName), above, cName(DONE_PREFIX + stageName));
    this.#posix.closeDirectory(above);
  }

  removeTask(key: string, clearStage: boolean): void {
    const task = this.#tasks.get(key);
    if (task === undefined) return;
    this.#tasks.delete(key);
    task.close();
    if (!clearStage) return;
    const above = task.openStages();
    if (above < 0) return;
    const { stageName } = task.share;
    for (const name of [DONE_PREFIX + stageName, stageName]) {
      removeTree(this.#posix, above, cName(name), () => this.#tick());
    }
    this.#posix.closeDirectory(above);
  }

  /** The checksums are made anew unless no manifest changed since they were written, in this run or one that was cut off. */
  finish(): void {
    this.stillThere();
    const { own, marker } = this.destination;
    for (const binding of marker.bindings) {
      settleParts(this.#settling(), binding, { all: true });
      removeKeptJournals(this.#settling(), binding);
    }
    const stat = newStat();
    const stale = cName(CHECKSUMS_STALE_FILE);
    const isThere = this.#posix.statAt(own, cName(CHECKSUMS_FILE), stat) === 0;
    if (isThere && this.#posix.statAt(own, stale, stat) === -ENOENT) return;
    writeChecksums(this.#posix, this.destination, () => this.#tick());
    this.#posix.unlink(own, stale);
    this.flush();
  }

  #markChecksumsStale(): void {
    const { own, display } = this.destination;
    const fd = this.#posix.createFile(own, cName(CHECKSUMS_STALE_FILE));
    if (fd >= 0) this.#posix.close(fd);
    else if (fd !== -EEXIST) throw posixError(fd, "create", `${display}/${CHECKSUMS_STALE_FILE}`);
  }

  close(): void {
    for (const task of this.#tasks.values()) task.close();
    this.#tasks.clear();
    this.#destination?.close();
    this.#destination = undefined;
  }

  #use(destination: OpenDestination & { close(): void }, keys: KeyTexts | undefined): void {
    if (Atomics.load(this.#cells.fenced, 0) !== 0) {
      destination.close();
      throw new BackupError("deadline", "The thread was given up");
    }
    this.#destination = {
      ...destination,
      keys: keys === undefined ? NO_LIST_KEYS : listKeysOf(keys),
    };
    this.#writer = new LaneWriter(
      this.#posix,
      destination,
      this.#slots,
      this.#cells,
      this.#pacer,
      this.#identity,
    );
  }

  #tick(): void {
    Atomics.add(this.#cells.operations, 0, 1);
  }
}

const PACER_STEP_MS = 100;
function stillForOthers(name: string, count: number): string {
  const files = count === 1 ? "1 file" : `${count} files`;
  return `${files} of ${name} stay encrypted for the recipients of an earlier backup, not for those of now: ` +
    "--reencrypt stores them again, as far as the source has them";
}

function foldedProblem(row: number): ItemProblem {
  return {
    row,
    code: "unsupported",
    message: "This destination cannot tell its name, or that of a folder above it, from another's",
    retry: "no",
  };
}

/** vfat rounds to two seconds. */
const COARSE_TIME_MS = 2000;
/** In the stage, for a moment. */
const PROBE_FILE = "probe";
const PROBE_TIME_SEC = 1_000_000_000;
const TIMES_NOT_KEPT =
  "This file system keeps no modification times: what is altered here by hand is only noticed by its size";
