/**
 * Writes files under temporary names and publishes them. Rule: temporary name → whole, with all metadata → flush → rename;
 * the file that stood there before is kept until its successor was read back.
 */
import { Buffer } from "node:buffer";
import { BackupError, type RetryHint } from "../../../protocol/base/errors.ts";
import type { Capabilities } from "../../destinations/capabilities.ts";
import type { OpenDestination } from "../../destinations/local_destination.ts";
import { DISPLACED_DIRECTORY } from "../../destinations/layout.ts";
import { type Pacer, unlimited } from "../../destinations/pacer.ts";
import {
  EEXIST,
  EINVAL,
  EMLINK,
  ENOENT,
  ENOSYS,
  EOPNOTSUPP,
  EPERM,
  errnoText,
  EXDEV,
  posixError,
} from "../../platform/errno.ts";
import {
  cName,
  DIRECT_BLOCK_BYTES,
  KIND_DIRECTORY,
  KIND_FILE,
  KIND_SYMLINK,
  newStat,
  type Posix,
} from "../../platform/posix.ts";
import { writeAll } from "../../platform/small_file.ts";
import {
  FLAG_ABOVE,
  FLAG_DIVIDED,
  FLAG_SPARSE,
  FLAG_XATTRS_UNKNOWN,
  NONE,
} from "../../source/entry_table.ts";
import type { ThreadCells } from "../../threads/thread_rpc.ts";
import {
  STATUS_FAILED,
  STATUS_PUBLISHED,
  STATUS_RECORDED,
  STATUS_STAGED,
  STATUS_UNFINISHED,
  STATUS_WANTED,
} from "./entry_status.ts";
import type { EncodedFile } from "./encoded_file.ts";
import { FoldedFolders } from "./folded_folders.ts";
import {
  type Kept,
  setXattrsAt,
  setXattrsOfDirectory,
  setXattrsOfFile,
  SOME_REFUSED,
} from "./keep_xattrs.ts";
import {
  type LaneTask,
  NOT_KEPT_MODES,
  NOT_KEPT_OWNERS,
  NOT_KEPT_TIMES,
  NOT_KEPT_XATTRS,
} from "./lane_task.ts";
import { type FileVersion, lineOfRow } from "./manifest_line.ts";
import { isRefusedNode } from "./recorded_only.ts";
import { JOURNAL_FILE, KEPT_DIRECTORY } from "./recovery.ts";
import { openPath } from "./tree_removal.ts";
import { runsOfData } from "./zero_blocks.ts";

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
  /** The path of an earlier version that can only be kept by leaving the whole stage to the next run. */
  stageMustStay?: string;
}

/** What is known about what stands under the names of a batch. */
export interface Standing {
  /** Something may stand there already. */
  keepOld: boolean;
  /** Rows whose name holds what a person made or altered: it is moved away and named, never deleted. */
  strangers: ReadonlySet<number>;
  /** Rows whose name holds what this very run published: not worth keeping. */
  ours: ReadonlySet<number>;
}

/** What became of a copy that is wrong or was not to be had. */
export interface GivenUp {
  /** "stays": what stands under the name was not touched. */
  outcome: "back" | "removed" | "stays";
  warnings: string[];
  stageMustStay?: string;
}

/** The name was made free, or a negative `result`; `undo` puts what stood there back, when it does not stand any more. */
interface Room {
  result: number;
  undo?: () => void;
}

const PIECE_BYTES = 256 << 10;
/** The device sees each write as it is, so larger ones pay. */
const DIRECT_PIECE_BYTES = 2 << 20;
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
  /** Written past the page cache, as far as its bytes come in whole blocks. */
  isDirect: boolean;
  encoded: EncodedFile | undefined;
  /** Whole blocks of zeros are left out. */
  isSparse: boolean;
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
  /** Whose bytes are being written. */
  #writingFor: LaneTask | undefined;

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
      if (this.#stopped(task)) break;
      this.#tick();
      let fd = this.#create(task, item.row);
      let result = fd;
      if (fd >= 0) {
        result = task.encoded !== undefined
          ? this.#writeWholeEncoded(task, item, fd)
          : isSparseRow(task, item.row)
          ? this.#writeSparse(fd, item.offset, item.sizeBytes, 0, item.sizeBytes)
          : this.#write(fd, item.offset, item.sizeBytes, 0);
        if (result >= 0) result = this.#complete(task, item.row, fd, item.version);
        else this.#posix.close(fd);
        fd = -1;
      }
      // Whoever was given up may be overtaken by its successor: it says nothing any more.
      if (result >= 0 && this.#stopped(task)) break;
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
    // A limited lane has time, and its small pieces are better gathered by the kernel.
    const encoded = task.encoded?.beginFile();
    const isSparse = encoded === undefined && isSparseRow(task, row);
    const isDirect = encoded === undefined && !isSparse && this.#destination.directWrites &&
      this.#pacer === unlimited && this.#posix.setDirect(fd, true) >= 0;
    this.#open.set(file, { row, fd, offset: 0, isDirect, isSparse, encoded });
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
    this.#writingFor = task;
    const { encoded } = open;
    const result = encoded !== undefined
      ? this.#writeEncoded(open.fd, encoded, encoded.push(this.#slice(slotOffset, bytes)))
      : open.isSparse
      ? this.#writeSparse(open.fd, slotOffset, bytes, open.offset, open.offset + bytes)
      : this.#writeOpen(open, slotOffset, bytes);
    if (result < 0) {
      this.abortFile(task, file);
      return this.#problem(task, open.row, result, "write");
    }
    const before = open.offset;
    open.offset = encoded?.sizeBytes ?? open.offset + bytes;
    if (
      this.#destination.batchFlush && !open.isDirect &&
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
    this.#writingFor = task;
    this.#open.delete(file);
    this.#tick();
    let result = open.encoded === undefined
      ? 0
      : this.#endEncoded(task, open.row, open.fd, open.encoded);
    if (result >= 0) result = this.#complete(task, open.row, open.fd, version);
    else this.#posix.close(open.fd);
    if (result >= 0 && this.#stopped(task)) result = -CANCELLED;
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
   * Flushes what is staged and gives each file its name. The journal is written and flushed first: what a crash leaves
   * under a name must be known as ours.
   * @throws {BackupError} when the flush itself fails: then nothing of the batch was published
   */
  publish(
    task: LaneTask,
    rows: Uint32Array,
    versions: ReadonlyMap<number, FileVersion>,
    standing: Standing,
  ): Moved {
    const moved: Moved = { published: 0, problems: [], warnings: [] };
    this.#tick();
    task.assertMayChange();
    this.#writeJournal(task, rows, versions);
    if (this.#destination.batchFlush) {
      const result = this.#posix.flushFileSystem(this.#destination.root);
      if (result < 0) throw posixError(result, "flush", this.#destination.display);
    }
    const stage = task.stage();
    for (const row of rows) {
      if (this.#stopped(task)) break;
      this.#tick();
      const parent = task.parentHandle(row);
      const name = task.storedName(row);
      const room = parent < 0
        ? { result: parent }
        : this.#makeRoom(task, row, parent, name, standing, moved);
      let { result } = room;
      if (this.#stopped(task)) {
        this.#undoUnlessFenced(room);
        break;
      }
      if (result >= 0) result = this.#posix.rename(stage, task.stagedName(row), parent, name);
      if (result < 0) {
        room.undo?.();
        moved.problems.push(this.#problem(task, row, result, "rename into place"));
        continue;
      }
      moved.published++;
      task.status[row] = STATUS_PUBLISHED;
      task.status[task.table.columns.parent[row]!] = STATUS_UNFINISHED;
    }
    return moved;
  }

  /**
   * After the last attempt: the earlier version comes back when there was one. When there was none, what stands under the
   * name is taken away if `mayRemove`: this run put it there, and its bytes are wrong.
   */
  giveUp(task: LaneTask, row: number, mayRemove: boolean): GivenUp {
    const given: GivenUp = { outcome: "stays", warnings: [] };
    task.assertMayChange();
    const back = this.#putBack(task, row);
    if (back === "back") given.outcome = "back";
    else if (back !== "none") this.#setAside(task, row, back, given);
    else if (mayRemove) {
      const parent = task.parentHandle(row);
      const result = parent < 0 ? parent : this.#posix.unlink(parent, task.storedName(row));
      if (result >= 0 || result === -ENOENT) given.outcome = "removed";
      else {
        given.warnings.push(
          `${task.display(row)} is wrong and could not be removed: ${errnoText(-result)}`,
        );
      }
    }
    // The manifest keeps the line of a failed row and has none for a row that was only published.
    task.status[row] = given.outcome === "removed" ? STATUS_PUBLISHED : STATUS_FAILED;
    return given;
  }

  /** Puts the kept version back under its name; -errno when there is one and it cannot be put there. */
  #putBack(task: LaneTask, row: number): "back" | "none" | number {
    const stage = task.stage();
    const parentRow = task.table.columns.parent[row]!;
    const kept = this.#openKept(stage, task.table.pathLatin1(parentRow), false);
    if (kept === -ENOENT) return "none";
    if (kept < 0) return kept;
    const name = task.storedName(row);
    let result = this.#posix.statAt(kept, name, this.#stat);
    if (result === -ENOENT) {
      this.#posix.closeDirectory(kept);
      return "none";
    }
    const parent = task.parentHandle(row);
    if (result >= 0) {
      result = parent < 0 ? parent : this.#posix.rename(kept, name, parent, name);
    }
    this.#posix.closeDirectory(kept);
    return result < 0 ? result : "back";
  }

  /**
   * The stage is removed in the end, so an earlier version that cannot be put back moves to a stage of its own, which the
   * next run recovers. When that fails too the whole stage must stay.
   */
  #setAside(
    task: LaneTask,
    row: number,
    error: number,
    said: { warnings: string[]; stageMustStay?: string },
  ): void {
    const path = task.table.pathLatin1(task.table.columns.parent[row]!);
    const from = this.#openKept(task.stage(), path, false);
    const aside = task.openAside();
    const to = this.#openKept(aside, path, true);
    const name = task.storedName(row);
    const result = from < 0 || to < 0
      ? Math.min(from, to)
      : this.#posix.rename(from, name, to, name);
    if (result >= 0 && !this.#destination.batchFlush) this.#posix.flushDirectory(to);
    for (const handle of [from, to, aside]) if (handle >= 0) this.#posix.closeDirectory(handle);
    if (result < 0) said.stageMustStay = task.display(row);
    said.warnings.push(
      `The earlier version of ${task.display(row)} could not be put back ` +
        `(${errnoText(-error)}): it is kept in .backup-agent/stage/${task.stageKey}, ` +
        "and the next run puts it back",
    );
  }

  /**
   * All directories of the task that something is written in, top down, writable for us; final modes come at the end.
   * Safe to call again when rows have become WANTED.
   */
  makeDirectories(task: LaneTask): { problems: ItemProblem[]; warnings: string[] } {
    const problems: ItemProblem[] = [];
    const warnings: string[] = [];
    const { table, status } = task;
    task.assertMayChange();
    const made = this.#posix.makeDirectory(
      this.#destination.root,
      cName(task.share.name),
      0o700,
    );
    if (made < 0 && made !== -EEXIST) {
      throw posixError(made, "create", `${this.#destination.display}/${task.share.name}`);
    }
    const written = parentsOfChanges(task);
    if (made === -EEXIST && (written[0] === 1 || status[0] === STATUS_UNFINISHED)) {
      this.#makeWritable(task, 0, this.#destination.root, cName(task.share.name));
    }
    const folders = this.#destination.foldsCase ? new FoldedFolders(this.#posix) : undefined;
    for (let i = 1; i < table.count; i++) {
      if (table.columns.kind[i] !== KIND_DIRECTORY) continue;
      if (status[i] !== STATUS_UNFINISHED && written[i] === 0) continue;
      if (this.#stopped(task)) break;
      this.#tick();
      const parent = task.parentHandle(i);
      const name = table.cName(i);
      let result = parent < 0 ? parent : this.#posix.makeDirectory(parent, name, 0o700);
      if (result !== -EEXIST) status[table.columns.parent[i]!] = STATUS_UNFINISHED;
      else {
        result = this.#posix.statAt(parent, name, this.#stat);
        if (result === 0 && this.#stat.kind !== KIND_DIRECTORY) {
          status[table.columns.parent[i]!] = STATUS_UNFINISHED;
          result = this.#displace(task, i, parent, name, warnings, false).result;
          if (result >= 0) result = this.#posix.makeDirectory(parent, name, 0o700);
        } else if (result === 0) {
          this.#makeWritable(task, i, parent, name);
          const parentRow = table.columns.parent[i]!;
          if (folders?.rename(parentRow, parent, table.nameLatin1(i)) === true) {
            task.reopenFinals();
          }
        }
      }
      if (result < 0) problems.push(this.#problem(task, i, result, "create the folder"));
    }
    return { problems, warnings };
  }

  /** What cannot be made writable fails by name when something is written there. */
  #makeWritable(task: LaneTask, row: number, parent: number, name: Uint8Array): void {
    if (this.#posix.statAt(parent, name, this.#stat) < 0) return;
    if (this.#stat.kind !== KIND_DIRECTORY || (this.#stat.mode & 0o700) === 0o700) return;
    this.#posix.setModeAt(parent, name, this.#stat.mode | 0o700);
    task.status[row] = STATUS_UNFINISHED;
  }

  /**
   * Symbolic links, FIFOs, device nodes and further names of hard-linked files. What the destination cannot hold becomes
   * RECORDED, with its name free.
   */
  makeOthers(
    task: LaneTask,
    rows: Uint32Array,
    standing: Standing,
    capabilities: Capabilities,
  ): Moved & { asFiles: number[] } {
    const moved: Moved & { asFiles: number[] } = {
      published: 0,
      problems: [],
      warnings: [],
      asFiles: [],
    };
    const { table } = task;
    const c = table.columns;
    task.assertMayChange();
    const stage = task.stage();
    for (const row of rows) {
      if (this.#stopped(task)) break;
      this.#tick();
      const parent = task.parentHandle(row);
      const name = task.storedName(row);
      const staged = task.stagedName(row);
      let result = parent < 0 ? parent : stage < 0 ? stage : 0;
      const isFurtherName = c.linkTo[row] !== NONE;
      const isLink = isFurtherName && c.kind[row] === KIND_FILE;
      let isRecorded = !isLink && !capabilities.holds(c.kind[row]!);
      if (result >= 0 && !isRecorded) {
        this.#posix.unlink(stage, staged);
        if (isLink) {
          const first = c.linkTo[row]!;
          const firstParent = task.parentHandle(first);
          // The cache may have reused a handle: fetch the row's own parent again after the first's.
          result = firstParent < 0
            ? firstParent
            : !capabilities.hardLinks
            ? -EOPNOTSUPP
            : this.#posix.link(firstParent, task.storedName(first), stage, staged);
          if (
            result === -EPERM || result === -EOPNOTSUPP || result === -EMLINK ||
            result === -EXDEV || result === -ENOSYS
          ) {
            // No hard links here: a file of its own keeps the content.
            moved.asFiles.push(row);
            continue;
          }
        } else if (
          isFurtherName && capabilities.hardLinks && this.#linkOther(task, row, stage, staged)
        ) {
          result = 0;
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
          isRecorded = isRefusedNode(result);
          if (isRecorded) result = 0;
        }
        if (result >= 0 && !isLink && !isRecorded) {
          this.#owner(
            () => this.#posix.setOwnerAt(stage, staged, c.uid[row]!, c.gid[row]!),
            row,
            task,
          );
          result = this.#xattrs(task, setXattrsAt(this.#posix, stage, staged, table.xattrs(row)));
          // After the owner: a new owner takes the setuid bit away.
          if (result >= 0 && c.kind[row] !== KIND_SYMLINK) {
            const mode = this.#posix.setModeAt(stage, staged, c.mode[row]!);
            result = this.#orCounted(task, NOT_KEPT_MODES, mode);
          }
          if (result >= 0) {
            result = this.#orCounted(
              task,
              NOT_KEPT_TIMES,
              this.#posix.setTimesAt(stage, staged, c.mtimeSec[row]!, c.mtimeNsec[row]!),
            );
          }
        }
      }
      if (result >= 0) {
        const again = task.parentHandle(row);
        const room = again < 0
          ? { result: again }
          : this.#makeRoom(task, row, again, name, standing, moved);
        result = room.result;
        if (this.#stopped(task)) {
          this.#undoUnlessFenced(room);
          break;
        }
        if (result >= 0) {
          result = isRecorded
            ? this.#makeFree(again, name, standing)
            : this.#posix.rename(stage, staged, again, name);
        }
        if (result < 0) room.undo?.();
        // Renaming one name of a file over another name of the same file does nothing and leaves both.
        if (result >= 0 && isFurtherName) this.#posix.unlink(stage, staged);
      }
      if (result < 0) {
        moved.problems.push(this.#problem(task, row, result, "create"));
        task.status[row] = STATUS_FAILED;
        continue;
      }
      if (!isRecorded) moved.published++;
      task.status[row] = isRecorded ? STATUS_RECORDED : STATUS_PUBLISHED;
      task.status[c.parent[row]!] = STATUS_UNFINISHED;
    }
    return moved;
  }

  /** After `#makeRoom`, which may have left a link to what it kept. */
  #makeFree(parent: number, name: Uint8Array, standing: Standing): number {
    if (!standing.keepOld) return 0;
    const result = this.#posix.unlink(parent, name);
    return result === -ENOENT ? 0 : result;
  }

  /** A further name of a symbolic link or node; false where there are no such links, and one of its own will do. */
  #linkOther(task: LaneTask, row: number, stage: number, staged: Uint8Array): boolean {
    const first = task.table.columns.linkTo[row]!;
    if (task.status[first] === STATUS_FAILED) return false;
    const parent = task.parentHandle(first);
    return parent >= 0 &&
      this.#posix.link(parent, task.table.cName(first), stage, staged) >= 0;
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
      // Other parts of the source are still writing there: whoever puts the lists together finishes it.
      if ((c.flags[i]! & OF_OTHERS) !== 0) continue;
      this.#tick();
      const handle = finals.handle(i);
      let result: number = handle;
      if (handle >= 0) {
        this.#owner(() => this.#posix.setFileOwner(handle, c.uid[i]!, c.gid[i]!), i, task);
        const attributed = (c.flags[i]! & FLAG_XATTRS_UNKNOWN) !== 0
          ? 0
          : this.#xattrs(task, setXattrsOfDirectory(this.#posix, handle, table.xattrs(i)));
        const mode = this.#posix.setFileMode(handle, c.mode[i]!);
        // By the right time the next run would take the folder for finished.
        const timed = attributed < 0
          ? attributed
          : this.#posix.setFileTimes(handle, c.mtimeSec[i]!, c.mtimeNsec[i]!);
        result = this.#orCounted(task, NOT_KEPT_MODES, mode);
        const timeResult = this.#orCounted(task, NOT_KEPT_TIMES, timed);
        if (result >= 0) result = timeResult;
        // With a batch the flush of the whole file system comes next.
        if (result >= 0 && !this.#destination.batchFlush) {
          const flushed = this.#posix.flushDirectory(handle);
          if (!isUnsupported(flushed)) result = flushed;
        }
      }
      if (result < 0) {
        problems.push(this.#problem(task, i, result, "finish the folder"));
      } else status[i] = STATUS_PUBLISHED;
    }
    return problems;
  }

  #create(task: LaneTask, row: number): number {
    this.#writingFor = task;
    const stage = task.stage();
    if (stage < 0) return stage;
    const name = task.stagedName(row);
    const fd = this.#posix.createFile(stage, name);
    if (fd !== -EEXIST) return fd;
    // A thread that wakes after it was given up finds the file of its successor.
    if (this.#stopped(task)) return -CANCELLED;
    // Left by an earlier attempt of this very run.
    this.#posix.unlink(stage, name);
    return this.#posix.createFile(stage, name);
  }

  /** Past the page cache while that goes, for what is left of the file through it. */
  #writeOpen(open: OpenFile, slotOffset: number, bytes: number): number {
    let done = 0;
    if (open.isDirect) {
      const whole = bytes - bytes % DIRECT_BLOCK_BYTES;
      const result = this.#write(open.fd, slotOffset, whole, open.offset, DIRECT_PIECE_BYTES);
      if (result >= 0) done = whole;
      else if (result !== -EINVAL) return result;
      if (done === bytes) return 0;
      open.isDirect = false;
      const off = this.#posix.setDirect(open.fd, false);
      if (off < 0) return off;
    }
    return this.#write(open.fd, slotOffset + done, bytes - done, open.offset + done);
  }

  #write(
    fd: number,
    slotOffset: number,
    bytes: number,
    fileOffset: number,
    pieceBytes: number = PIECE_BYTES,
  ): number {
    return this.#put(fd, this.#slice(slotOffset, bytes), fileOffset, pieceBytes);
  }

  #put(fd: number, bytes: Uint8Array, fileOffset: number, pieceBytes: number): number {
    const task = this.#writingFor;
    for (let done = 0; done < bytes.length;) {
      if (task !== undefined && this.#stopped(task)) return -CANCELLED;
      this.#tick();
      const piece = bytes.subarray(done, done + pieceBytes);
      this.#pacer.pay(piece.length);
      const put = this.#posix.writeAt(fd, piece, fileOffset + done);
      if (put < 0) return put;
      done += put;
      this.#cells.bytes[0]! += put;
    }
    return 0;
  }

  #writeWholeEncoded(task: LaneTask, item: WriteItem, fd: number): number {
    const encoded = task.encoded!.beginFile();
    const content = this.#slice(item.offset, item.sizeBytes);
    const result = this.#writeEncoded(fd, encoded, encoded.push(content));
    return result < 0 ? result : this.#endEncoded(task, item.row, fd, encoded);
  }

  #endEncoded(task: LaneTask, row: number, fd: number, encoded: EncodedFile): number {
    const result = this.#writeEncoded(fd, encoded, encoded.end());
    if (result >= 0) task.encoded!.set(row, encoded.sizeBytes, encoded.sha256());
    return result;
  }

  #writeEncoded(fd: number, encoded: EncodedFile, pieces: Iterable<Uint8Array>): number {
    for (const bytes of pieces) {
      const result = this.#put(fd, bytes, encoded.sizeBytes, PIECE_BYTES);
      if (result < 0) return result;
    }
    return 0;
  }

  #slice(slotOffset: number, bytes: number): Uint8Array {
    return this.#slots.subarray(slotOffset, slotOffset + bytes);
  }

  /**
   * Moves what stands under another name than `row` gets now to where replaced files are kept: until the manifest says
   * that its successor is verified it can come back. `toPeople`: to where a person finds it, since it is no version of what
   * `row` is now.
   */
  retireForm(
    task: LaneTask,
    row: number,
    name: Uint8Array,
    toPeople: boolean,
    warnings: string[],
  ): number {
    const parent = task.parentHandle(row);
    if (parent < 0) return parent;
    task.status[task.table.columns.parent[row]!] = STATUS_UNFINISHED;
    if (toPeople) return this.#displace(task, row, parent, name, warnings, false).result;
    const path = task.table.pathLatin1(task.table.columns.parent[row]!);
    const kept = this.#openKept(task.stage(), path, true);
    if (kept < 0) return kept;
    const result = this.#posix.rename(parent, name, kept, name);
    this.#posix.closeDirectory(kept);
    return result;
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
    let result = 0;
    // After the owner, which takes capabilities away, and before the mode, which may forbid to write.
    if (v?.xattrs !== undefined || task.table.hasXattrs(row)) {
      const list = v?.xattrs ?? task.table.xattrs(row);
      result = this.#xattrs(task, setXattrsOfFile(posix, fd, list));
    }
    if (result >= 0) {
      const mode = posix.setFileMode(fd, v?.mode ?? c.mode[row]!);
      result = this.#orCounted(task, NOT_KEPT_MODES, mode);
    }
    if (result >= 0) {
      const timed = posix.setFileTimes(
        fd,
        v?.mtimeSec ?? c.mtimeSec[row]!,
        v?.mtimeNsec ?? c.mtimeNsec[row]!,
      );
      result = this.#orCounted(task, NOT_KEPT_TIMES, timed);
    }
    if (result >= 0) {
      if (!this.#destination.batchFlush) result = posix.flushFile(fd);
    }
    const closed = posix.close(fd);
    return result < 0 ? result : closed;
  }

  /** Leaves whole blocks of zeros out; `endBytes` becomes the length of the file, which may end in a hole. */
  #writeSparse(
    fd: number,
    slotOffset: number,
    bytes: number,
    fileOffset: number,
    endBytes: number,
  ): number {
    const all = this.#slots.subarray(slotOffset, slotOffset + bytes);
    let written = 0;
    for (const { start, end } of runsOfData(all, fileOffset)) {
      const result = this.#write(fd, slotOffset + start, end - start, fileOffset + start);
      if (result < 0) return result;
      written += end - start;
    }
    this.#cells.bytes[0]! += bytes - written;
    return this.#posix.truncate(fd, endBytes);
  }

  /** Attributes that are not taken are counted, for one warning; the manifest has them. */
  #xattrs(task: LaneTask, kept: Kept): number {
    if (kept !== SOME_REFUSED) return kept;
    Atomics.add(task.notKept, NOT_KEPT_XATTRS, 1);
    return 0;
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
    if (set() < 0) Atomics.add(task.notKept, NOT_KEPT_OWNERS, 1);
  }

  /** Modes and times that this file system does not take are counted, for one warning: the content matters more. */
  #orCounted(task: LaneTask, what: number, result: number): number {
    if (!isUnsupported(result)) return result;
    Atomics.add(task.notKept, what, 1);
    return 0;
  }

  /** Links (or moves) what stands under the name into the stage, or to `displaced/` when it is not of our making. */
  #makeRoom(
    task: LaneTask,
    row: number,
    parent: number,
    name: Uint8Array,
    standing: Standing,
    moved: Moved,
  ): Room {
    if (!standing.keepOld || standing.ours.has(row)) return { result: 0 };
    const found = this.#posix.statAt(parent, name, this.#stat);
    if (found === -ENOENT) return { result: 0 };
    if (found < 0) return { result: found };
    const isStranger = standing.strangers.has(row);
    if (this.#stat.kind === KIND_DIRECTORY || isStranger) {
      return this.#displace(task, row, parent, name, moved.warnings, isStranger);
    }
    if (this.#stat.kind !== KIND_FILE) return { result: 0 };
    const path = task.table.pathLatin1(task.table.columns.parent[row]!);
    const kept = this.#openKept(task.stage(), path, true);
    if (kept < 0) return { result: kept };
    // Renamed over `Name`, a file called `name` would be `Name` still where names fold: there the name is made free.
    let result = this.#destination.foldsCase ? -EPERM : this.#posix.link(parent, name, kept, name);
    let isMoved = false;
    // A second attempt in one run: what is kept already is the older, verified one.
    if (result === -EEXIST) result = 0;
    else if (result < 0) {
      const isKept = this.#posix.statAt(kept, name, this.#stat) === 0;
      // No hard links: moved instead, so the name is free for a moment; the stage puts it back after a crash.
      result = isKept ? 0 : this.#posix.rename(parent, name, kept, name);
      isMoved = !isKept && result >= 0;
    }
    this.#posix.closeDirectory(kept);
    if (!isMoved) return { result };
    return {
      result,
      undo: () => {
        const back = this.#putBack(task, row);
        if (typeof back === "number") this.#setAside(task, row, back, moved);
      },
    };
  }

  /** `kept/` of a stage and the folder `path` in it; -errno, -ENOENT when nothing was kept there. */
  #openKept(stage: number, path: string, create: boolean): number {
    if (stage < 0) return stage;
    if (create) this.#posix.makeDirectory(stage, cName(KEPT_DIRECTORY), 0o700);
    const kept = this.#posix.openDirectory(stage, cName(KEPT_DIRECTORY));
    if (kept < 0) return kept;
    const handle = openPath(this.#posix, kept, path, create);
    this.#posix.closeDirectory(kept);
    return handle;
  }

  /** A thread that was given up leaves the name to its successor, who finds in the stage what was moved there. */
  #undoUnlessFenced(room: Room): void {
    if (Atomics.load(this.#cells.fenced, 0) === 0) room.undo?.();
  }

  /** Moves something out of the way, to where a person can find it. */
  #displace(
    task: LaneTask,
    row: number,
    parent: number,
    name: Uint8Array,
    warnings: string[],
    isStranger: boolean,
  ): Room {
    const posix = this.#posix;
    const { own } = this.#destination;
    posix.makeDirectory(own, cName(DISPLACED_DIRECTORY), 0o700);
    const displaced = posix.openDirectory(own, cName(DISPLACED_DIRECTORY));
    if (displaced < 0) return { result: displaced };
    // One row can be displaced more than once in a run, and nothing here is ever written over.
    const base = `${task.stageKey}-${task.share.runId}-${row}`;
    let asName = base;
    let found = posix.statAt(displaced, cName(asName), this.#stat);
    for (let n = 2; found === 0; n++) {
      asName = `${base}-${n}`;
      found = posix.statAt(displaced, cName(asName), this.#stat);
    }
    const to = cName(asName);
    let result = found === -ENOENT ? 0 : found;
    let isMoved = false;
    if (result >= 0) {
      // A link first: then something stands under the name at every moment.
      const mayLink = isStranger && !this.#destination.foldsCase;
      result = mayLink ? posix.link(parent, name, displaced, to) : -EPERM;
      if (result < 0) {
        result = posix.rename(parent, name, displaced, to);
        isMoved = result >= 0;
      }
    }
    posix.closeDirectory(displaced);
    if (result < 0) return { result };
    const why = isStranger ? "was made or altered by hand" : "changed its kind";
    const warning = `${task.display(row)} ${why}; what stood there is now ` +
      `.backup-agent/${DISPLACED_DIRECTORY}/${asName}`;
    warnings.push(warning);
    const undo = () => {
      const from = posix.openDirectory(own, cName(DISPLACED_DIRECTORY));
      if (from < 0) return;
      const back = isMoved ? posix.rename(from, to, parent, name) : posix.unlink(from, to);
      posix.closeDirectory(from);
      if (back >= 0) warnings.splice(warnings.lastIndexOf(warning), 1);
    };
    return { result, undo };
  }

  /** A journal that cannot be written costs a copy after a crash, nothing else. */
  #writeJournal(
    task: LaneTask,
    rows: Uint32Array,
    versions: ReadonlyMap<number, FileVersion>,
  ): void {
    const stage = task.stage();
    if (stage < 0 || rows.length === 0) return;
    const fd = this.#posix.openAppend(stage, cName(JOURNAL_FILE));
    if (fd < 0) return;
    let text = "";
    for (const row of rows) {
      const version = versions.get(row);
      const sha256 = task.expectedHex(row, false, version);
      const stored = task.encoded?.form(row);
      text += lineOfRow(task.table, row, task.path(row), { sha256, version, stored }) + "\n";
      if (text.length < JOURNAL_CHARACTERS) continue;
      this.#tick();
      writeAll(this.#posix, fd, Buffer.from(text, "utf8"));
      text = "";
    }
    writeAll(this.#posix, fd, Buffer.from(text, "utf8"));
    // With a batch the flush of the whole file system comes next.
    if (!this.#destination.batchFlush) this.#posix.flushFile(fd);
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

  /** The call is to end: its thread was told so, or the attempt it is for is over. */
  #stopped(task: LaneTask): boolean {
    return Atomics.load(this.#cells.cancelled, 0) !== 0 ||
      Atomics.load(this.#cells.fenced, 0) !== 0 || task.isOver;
  }
}

/** 1 for every directory row in which an entry is to be made or replaced. */
function parentsOfChanges(task: LaneTask): Uint8Array {
  const { table, status } = task;
  const { parent } = table.columns;
  const found = new Uint8Array(table.count);
  for (let i = 1; i < table.count; i++) {
    if (status[i] === STATUS_WANTED || status[i] === STATUS_UNFINISHED) found[parent[i]!] = 1;
  }
  return found;
}

function isSparseRow(task: LaneTask, row: number): boolean {
  return (task.table.columns.flags[row]! & FLAG_SPARSE) !== 0;
}

const OF_OTHERS = FLAG_ABOVE | FLAG_DIVIDED;

/** Not an errno: the call was cancelled between two operations. */
const CANCELLED = 100_000;

/** Modes and times that this file system cannot hold are no reason to lose the content. */
function isUnsupported(result: number): boolean {
  return result === -EPERM || result === -EOPNOTSUPP || result === -EINVAL;
}
