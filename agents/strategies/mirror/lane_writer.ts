/**
 * Writes files under temporary names and publishes them. Rule: temporary name → whole, with all metadata → flush → rename;
 * the file that stood there before is kept until its successor was read back.
 */
import { Buffer } from "node:buffer";
import { BackupError, type RetryHint } from "../../../protocol/base/errors.ts";
import type { OpenDestination } from "../../destinations/local_destination.ts";
import { DISPLACED_DIRECTORY } from "../../destinations/layout.ts";
import type { Pacer } from "../../destinations/pacer.ts";
import {
  EEXIST,
  EINVAL,
  EMLINK,
  ENOENT,
  EOPNOTSUPP,
  EPERM,
  errnoText,
  EXDEV,
  posixError,
} from "../../platform/errno.ts";
import {
  cName,
  KIND_DIRECTORY,
  KIND_FILE,
  KIND_SYMLINK,
  newStat,
  type Posix,
} from "../../platform/posix.ts";
import { writeAll } from "../../platform/small_file.ts";
import { NONE } from "../../source/entry_table.ts";
import type { ThreadCells } from "../../threads/thread_rpc.ts";
import {
  STATUS_FAILED,
  STATUS_PUBLISHED,
  STATUS_STAGED,
  STATUS_UNFINISHED,
} from "./entry_status.ts";
import type { LaneTask } from "./lane_task.ts";
import { type FileVersion, lineOfRow } from "./manifest_line.ts";
import { JOURNAL_FILE, KEPT_DIRECTORY } from "./recovery.ts";
import { openPath } from "./tree_removal.ts";

export interface ItemProblem {
  row: number;
  code: string;
  message: string;
  retry: RetryHint;
}

export interface WriteItem {
  row: number;
  /** Where its bytes are in the shared slots. */
  offset: number;
  sizeBytes: number;
  version?: FileVersion | undefined;
}

export interface Moved {
  /** Rows now under their final name. */
  published: number;
  problems: ItemProblem[];
  warnings: string[];
}

const PIECE_BYTES = 256 << 10;
/**
 * Write-back of a large file is started once in so many bytes: often enough that the last flush of a slow disk ends in
 * time, seldom enough that the file system can lay the file out in few extents.
 */
const WRITEBACK_BYTES = 256 << 20;
/** The journal is written in pieces of about this size. */
const JOURNAL_CHARACTERS = 64 << 10;

interface OpenFile {
  row: number;
  fd: number;
  offset: number;
}

export class LaneWriter {
  readonly #posix: Posix;
  readonly #destination: OpenDestination;
  readonly #slots: Uint8Array;
  readonly #cells: ThreadCells;
  readonly #pacer: Pacer;
  readonly #uid: number;
  readonly #gid: number;
  readonly #open = new Map<number, OpenFile>();
  readonly #stat = newStat();
  /** Owners that could not be set, for one warning. */
  ownersNotKept = 0;

  constructor(
    posix: Posix,
    destination: OpenDestination,
    slots: SharedArrayBuffer,
    cells: ThreadCells,
    pacer: Pacer,
    identity: { uid: number; gid: number },
  ) {
    this.#posix = posix;
    this.#destination = destination;
    this.#slots = new Uint8Array(slots);
    this.#cells = cells;
    this.#pacer = pacer;
    this.#uid = identity.uid;
    this.#gid = identity.gid;
  }

  /** Stages whole files. Those not reached when the call is cancelled stay WANTED and are not reported. */
  writeFiles(task: LaneTask, items: WriteItem[]): ItemProblem[] {
    const problems: ItemProblem[] = [];
    for (const item of items) {
      if (this.#stopped()) break;
      this.#tick();
      let fd = this.#create(task, item.row);
      let result = fd;
      if (fd >= 0) {
        result = this.#write(fd, item.offset, item.sizeBytes, 0);
        if (result >= 0) result = this.#complete(task, item.row, fd, item.version);
        else this.#posix.close(fd);
        fd = -1;
      }
      if (result < 0) problems.push(this.#problem(task, item.row, result, "write"));
      else task.status[item.row] = STATUS_STAGED;
    }
    return problems;
  }

  /** A large file, chunk by chunk; `file` is a number of the caller's. */
  beginFile(task: LaneTask, file: number, row: number): ItemProblem | undefined {
    this.#tick();
    const fd = this.#create(task, row);
    if (fd < 0) return this.#problem(task, row, fd, "create");
    this.#open.set(file, { row, fd, offset: 0 });
    return undefined;
  }

  writeChunk(
    task: LaneTask,
    file: number,
    slotOffset: number,
    bytes: number,
  ): ItemProblem | undefined {
    const open = this.#open.get(file);
    if (open === undefined) throw new BackupError("cancelled", "The file was given up");
    const result = this.#write(open.fd, slotOffset, bytes, open.offset);
    if (result < 0) {
      this.abortFile(task, file);
      return this.#problem(task, open.row, result, "write");
    }
    const before = open.offset;
    open.offset += bytes;
    if (
      this.#destination.batchFlush &&
      Math.floor(open.offset / WRITEBACK_BYTES) > Math.floor(before / WRITEBACK_BYTES)
    ) {
      this.#posix.startWriteback(open.fd, open.offset - WRITEBACK_BYTES, WRITEBACK_BYTES);
    }
    return undefined;
  }

  endFile(
    task: LaneTask,
    file: number,
    version: FileVersion | undefined,
  ): ItemProblem | undefined {
    const open = this.#open.get(file);
    if (open === undefined) throw new BackupError("cancelled", "The file was given up");
    this.#open.delete(file);
    this.#tick();
    const result = this.#complete(task, open.row, open.fd, version);
    if (result < 0) return this.#problem(task, open.row, result, "write");
    task.status[open.row] = STATUS_STAGED;
    return undefined;
  }

  abortFile(task: LaneTask, file: number): void {
    const open = this.#open.get(file);
    if (open === undefined) return;
    this.#open.delete(file);
    this.#posix.close(open.fd);
    const stage = task.stage();
    if (stage >= 0) this.#posix.unlink(stage, task.stagedName(open.row));
  }

  /**
   * Flushes what is staged and gives each file its name. `keepOld`: something may stand there already.
   * @throws {BackupError} when the flush itself fails: then nothing of the batch was published
   */
  publish(
    task: LaneTask,
    rows: Uint32Array,
    versions: ReadonlyMap<number, FileVersion>,
    keepOld: boolean,
  ): Moved {
    const moved: Moved = { published: 0, problems: [], warnings: [] };
    this.#tick();
    if (this.#destination.batchFlush) {
      const result = this.#posix.flushFileSystem(this.#destination.root);
      if (result < 0) throw posixError(result, "flush", this.#destination.display);
    }
    const stage = task.stage();
    let journal = "";
    for (const row of rows) {
      const version = versions.get(row);
      if (this.#stopped()) break;
      this.#tick();
      const parent = task.parentHandle(row);
      let result = parent;
      const name = task.table.cName(row);
      if (parent >= 0 && keepOld) result = this.#keep(task, row, parent, name, moved.warnings);
      if (result >= 0) result = this.#posix.rename(stage, task.stagedName(row), parent, name);
      if (result < 0) {
        moved.problems.push(this.#problem(task, row, result, "rename into place"));
        continue;
      }
      moved.published++;
      task.status[row] = STATUS_PUBLISHED;
      task.status[task.table.columns.parent[row]!] = STATUS_UNFINISHED;
      const sha256 = task.expectedHex(row, false, version);
      journal += lineOfRow(task.table, row, task.path(row), { sha256, version }) + "\n";
      if (journal.length >= JOURNAL_CHARACTERS) {
        this.#journal(stage, journal);
        journal = "";
      }
    }
    this.#journal(stage, journal);
    return moved;
  }

  /** Puts the earlier version back under its name after its successor failed verification; true when there was one. */
  putBack(task: LaneTask, row: number): boolean {
    const stage = task.stage();
    const parentRow = task.table.columns.parent[row]!;
    const kept = this.#openKept(stage, task.table.pathLatin1(parentRow), false);
    if (kept < 0) return false;
    const parent = task.parentHandle(row);
    const name = task.table.cName(row);
    const result = parent < 0 ? parent : this.#posix.rename(kept, name, parent, name);
    this.#posix.closeDirectory(kept);
    return result >= 0;
  }

  /** Takes a copy that failed verification away, so that nothing wrong stays under the name. */
  removeWrong(task: LaneTask, row: number): void {
    const parent = task.parentHandle(row);
    if (parent >= 0) this.#posix.unlink(parent, task.table.cName(row));
  }

  /** All directories of the task, top down, writable for us; final modes come at the end. */
  makeDirectories(task: LaneTask): { problems: ItemProblem[]; warnings: string[] } {
    const problems: ItemProblem[] = [];
    const warnings: string[] = [];
    const { table, status } = task;
    const made = this.#posix.makeDirectory(
      this.#destination.root,
      cName(task.share.name),
      0o700,
    );
    if (made < 0 && made !== -EEXIST) {
      throw posixError(made, "create", `${this.#destination.display}/${task.share.name}`);
    }
    for (let i = 1; i < table.count; i++) {
      if (table.columns.kind[i] !== KIND_DIRECTORY || status[i] !== STATUS_UNFINISHED) continue;
      if (this.#stopped()) break;
      this.#tick();
      const parent = task.parentHandle(i);
      const name = table.cName(i);
      let result = parent < 0 ? parent : this.#posix.makeDirectory(parent, name, 0o700);
      if (result !== -EEXIST) status[table.columns.parent[i]!] = STATUS_UNFINISHED;
      else {
        result = this.#posix.statAt(parent, name, this.#stat);
        if (result === 0 && this.#stat.kind !== KIND_DIRECTORY) {
          status[table.columns.parent[i]!] = STATUS_UNFINISHED;
          result = this.#displace(task, i, parent, name, warnings);
          if (result >= 0) result = this.#posix.makeDirectory(parent, name, 0o700);
        } else if (result === 0 && (this.#stat.mode & 0o700) !== 0o700) {
          this.#posix.setModeAt(parent, name, this.#stat.mode | 0o700);
        }
      }
      if (result < 0) problems.push(this.#problem(task, i, result, "create the folder"));
    }
    return { problems, warnings };
  }

  /** Symbolic links, FIFOs, device nodes and further names of hard-linked files. */
  makeOthers(task: LaneTask, rows: Uint32Array, keepOld: boolean): Moved & { asFiles: number[] } {
    const moved = {
      published: 0,
      problems: [] as ItemProblem[],
      warnings: [] as string[],
      asFiles: [] as number[],
    };
    const { table } = task;
    const c = table.columns;
    const stage = task.stage();
    for (const row of rows) {
      if (this.#stopped()) break;
      this.#tick();
      const parent = task.parentHandle(row);
      const name = table.cName(row);
      const staged = task.stagedName(row);
      let result = parent < 0 ? parent : stage < 0 ? stage : 0;
      const isLink = c.linkTo[row] !== NONE;
      if (result >= 0) {
        this.#posix.unlink(stage, staged);
        if (isLink) {
          const first = c.linkTo[row]!;
          const firstParent = task.parentHandle(first);
          // The cache may have reused a handle: fetch the row's own parent again after the first's.
          result = firstParent < 0
            ? firstParent
            : this.#posix.link(firstParent, table.cName(first), stage, staged);
          if (
            result === -EPERM || result === -EOPNOTSUPP || result === -EMLINK || result === -EXDEV
          ) {
            // No hard links here: a file of its own keeps the content.
            moved.asFiles.push(row);
            continue;
          }
        } else if (c.kind[row] === KIND_SYMLINK) {
          result = this.#posix.symlink(table.cLinkTarget(row), stage, staged);
        } else {
          result = this.#posix.makeNode(
            stage,
            staged,
            c.kind[row]!,
            c.mode[row]!,
            c.sizeBytes[row]!,
          );
        }
        if (result >= 0 && !isLink) {
          if (c.kind[row] !== KIND_SYMLINK) this.#posix.setModeAt(stage, staged, c.mode[row]!);
          this.#owner(
            () => this.#posix.setOwnerAt(stage, staged, c.uid[row]!, c.gid[row]!),
            row,
            task,
          );
          const timed = this.#posix.setTimesAt(stage, staged, c.mtimeSec[row]!, c.mtimeNsec[row]!);
          if (!isUnsupported(timed)) result = timed;
        }
      }
      if (result >= 0) {
        const again = task.parentHandle(row);
        result = again < 0 ? again : 0;
        if (result >= 0 && keepOld) result = this.#keep(task, row, again, name, moved.warnings);
        if (result >= 0) result = this.#posix.rename(stage, staged, again, name);
        // Renaming one name of a file over another name of the same file does nothing and leaves both.
        if (result >= 0 && isLink) this.#posix.unlink(stage, staged);
      }
      if (result < 0) {
        moved.problems.push(this.#problem(task, row, result, "create"));
        task.status[row] = STATUS_FAILED;
        continue;
      }
      moved.published++;
      task.status[row] = STATUS_PUBLISHED;
      task.status[c.parent[row]!] = STATUS_UNFINISHED;
    }
    return moved;
  }

  /** Modes, owners and times of directories, deepest first, since every change inside moves the time. */
  finishDirectories(task: LaneTask): ItemProblem[] {
    const problems: ItemProblem[] = [];
    const { table, status } = task;
    const c = table.columns;
    const finals = task.finals();
    if (finals === undefined) return problems;
    for (let i = table.count - 1; i >= 0; i--) {
      if (c.kind[i] !== KIND_DIRECTORY || status[i] !== STATUS_UNFINISHED) continue;
      this.#tick();
      const handle = finals.handle(i);
      let result: number = handle;
      if (handle >= 0) {
        this.#owner(() => this.#posix.setFileOwner(handle, c.uid[i]!, c.gid[i]!), i, task);
        result = this.#posix.setFileMode(handle, c.mode[i]!);
        const timed = this.#posix.setFileTimes(handle, c.mtimeSec[i]!, c.mtimeNsec[i]!);
        if (result >= 0) result = timed;
        // With a batch the flush of the whole file system comes next.
        if (result >= 0 && !this.#destination.batchFlush) {
          const flushed = this.#posix.flushDirectory(handle);
          if (!isUnsupported(flushed)) result = flushed;
        }
      }
      if (result < 0 && !isUnsupported(result)) {
        problems.push(this.#problem(task, i, result, "finish the folder"));
      } else status[i] = STATUS_PUBLISHED;
    }
    return problems;
  }

  #create(task: LaneTask, row: number): number {
    const stage = task.stage();
    if (stage < 0) return stage;
    const name = task.stagedName(row);
    const fd = this.#posix.createFile(stage, name);
    if (fd !== -EEXIST) return fd;
    // Left by an earlier attempt of this very run.
    this.#posix.unlink(stage, name);
    return this.#posix.createFile(stage, name);
  }

  #write(fd: number, slotOffset: number, bytes: number, fileOffset: number): number {
    for (let done = 0; done < bytes;) {
      if (this.#stopped()) return -CANCELLED;
      this.#tick();
      const at = slotOffset + done;
      const piece = this.#slots.subarray(at, at + Math.min(PIECE_BYTES, bytes - done));
      this.#pacer.pay(piece.length);
      const put = this.#posix.writeAt(fd, piece, fileOffset + done);
      if (put < 0) return put;
      done += put;
      this.#cells.bytes[0]! += put;
    }
    return 0;
  }

  /** Metadata, flush where it is per file, close. Always closes. */
  #complete(
    task: LaneTask,
    row: number,
    fd: number,
    version: FileVersion | undefined,
  ): number {
    const c = task.table.columns;
    const v = version;
    const posix = this.#posix;
    this.#owner(
      () => posix.setFileOwner(fd, v?.uid ?? c.uid[row]!, v?.gid ?? c.gid[row]!),
      row,
      task,
      v,
    );
    let result = posix.setFileMode(fd, v?.mode ?? c.mode[row]!);
    if (isUnsupported(result)) result = 0;
    if (result >= 0) {
      result = posix.setFileTimes(
        fd,
        v?.mtimeSec ?? c.mtimeSec[row]!,
        v?.mtimeNsec ?? c.mtimeNsec[row]!,
      );
      if (isUnsupported(result)) result = 0;
    }
    if (result >= 0) {
      if (!this.#destination.batchFlush) result = posix.flushFile(fd);
    }
    const closed = posix.close(fd);
    return result < 0 ? result : closed;
  }

  /** Owners are kept when that is allowed; where it is not, the copy belongs to whoever runs this. */
  #owner(
    set: () => number,
    row: number,
    task: LaneTask,
    version?: FileVersion,
  ): void {
    const uid = version?.uid ?? task.table.columns.uid[row]!;
    const gid = version?.gid ?? task.table.columns.gid[row]!;
    if (uid === this.#uid && gid === this.#gid) return;
    if (set() < 0) this.ownersNotKept++;
  }

  /** Links (or moves) what stands under the name into the stage. */
  #keep(
    task: LaneTask,
    row: number,
    parent: number,
    name: Uint8Array,
    warnings: string[],
  ): number {
    const found = this.#posix.statAt(parent, name, this.#stat);
    if (found === -ENOENT) return 0;
    if (found < 0) return found;
    if (this.#stat.kind === KIND_DIRECTORY) {
      return this.#displace(task, row, parent, name, warnings);
    }
    if (this.#stat.kind !== KIND_FILE) return 0;
    const kept = this.#openKept(
      task.stage(),
      task.table.pathLatin1(task.table.columns.parent[row]!),
      true,
    );
    if (kept < 0) return kept;
    let result = this.#posix.link(parent, name, kept, name);
    // A second attempt in one run: what is kept already is the older, verified one.
    if (result === -EEXIST) result = 0;
    else if (result < 0) {
      // No hard links: moved instead, so the name is free for a moment; the stage puts it back after a crash.
      result = this.#posix.rename(parent, name, kept, name);
    }
    this.#posix.closeDirectory(kept);
    return result;
  }

  #openKept(stage: number, path: string, create: boolean): number {
    if (stage < 0) return stage;
    if (create) this.#posix.makeDirectory(stage, cName(KEPT_DIRECTORY), 0o700);
    const kept = this.#posix.openDirectory(stage, cName(KEPT_DIRECTORY));
    if (kept < 0) return kept;
    const handle = openPath(this.#posix, kept, path);
    this.#posix.closeDirectory(kept);
    return handle;
  }

  /** Moves something of another kind out of the way, to where a person can find it. */
  #displace(
    task: LaneTask,
    row: number,
    parent: number,
    name: Uint8Array,
    warnings: string[],
  ): number {
    const own = this.#destination.own;
    this.#posix.makeDirectory(own, cName(DISPLACED_DIRECTORY), 0o700);
    const displaced = this.#posix.openDirectory(own, cName(DISPLACED_DIRECTORY));
    if (displaced < 0) return displaced;
    const asName = `${task.share.runId}-${row}`;
    const result = this.#posix.rename(parent, name, displaced, cName(asName));
    this.#posix.closeDirectory(displaced);
    if (result >= 0) {
      warnings.push(
        `${task.display(row)} changed its kind; what stood there is now ` +
          `.backup-agent/${DISPLACED_DIRECTORY}/${asName}`,
      );
    }
    return result;
  }

  #journal(stage: number, text: string): void {
    if (text === "" || stage < 0) return;
    const fd = this.#posix.openAppend(stage, cName(JOURNAL_FILE));
    if (fd < 0) return;
    // A journal that cannot be written costs a copy after a crash, nothing else.
    writeAll(this.#posix, fd, Buffer.from(text, "utf8"));
    this.#posix.close(fd);
  }

  #problem(task: LaneTask, row: number, result: number, action: string): ItemProblem {
    if (result === -CANCELLED) {
      return { row, code: "cancelled", message: "Cancelled", retry: "no" };
    }
    const error = posixError(result, action, task.display(row));
    return {
      row,
      code: error.code,
      message: `Cannot ${action}: ${errnoText(-result)}`,
      retry: error.retry,
    };
  }

  #tick(): void {
    Atomics.add(this.#cells.operations, 0, 1);
  }

  #stopped(): boolean {
    return Atomics.load(this.#cells.cancelled, 0) !== 0 ||
      Atomics.load(this.#cells.fenced, 0) !== 0;
  }
}

/** Not an errno: the call was cancelled between two operations. */
const CANCELLED = 100_000;

/** Modes and times that this file system cannot hold are no reason to lose the content. */
function isUnsupported(result: number): boolean {
  return result === -EPERM || result === -EOPNOTSUPP || result === -EINVAL;
}
