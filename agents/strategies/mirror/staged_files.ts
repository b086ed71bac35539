/**
 * Writes files under temporary names, whole ones and large ones chunk by chunk. Rule: a row is staged once all of its bytes
 * and metadata are written, and flushed where that is done file by file.
 */
import { BackupError } from "../../../protocol/base/errors.ts";
import type { OpenDestination } from "../../destinations/local_destination.ts";
import { type Pacer, unlimited } from "../../destinations/pacer.ts";
import { EEXIST, EINVAL } from "../../platform/errno.ts";
import { DIRECT_BLOCK_BYTES, type Posix } from "../../platform/posix.ts";
import { FLAG_SPARSE } from "../../source/entry_table.ts";
import type { EncodedFile } from "./encoded_file.ts";
import { STATUS_STAGED } from "./entry_status.ts";
import { CANCELLED, type ItemProblem, itemProblem } from "./item_problem.ts";
import type { LaneCall } from "./lane_call.ts";
import type { LaneTask } from "./lane_task.ts";
import type { FileVersion } from "./manifest_line.ts";
import type { MetadataSetter } from "./metadata_setter.ts";
import { runsOfData } from "./zero_blocks.ts";

export interface WriteItem {
  row: number;
  /** Where its bytes are in the shared slots. */
  offset: number;
  sizeBytes: number;
  version?: FileVersion | undefined;
}

const PIECE_BYTES = 256 << 10;
/** The device sees each write as it is, so larger ones pay. */
const DIRECT_PIECE_BYTES = 2 << 20;
/**
 * Write-back of a large file is started once in so many bytes: often enough that the last flush of a slow disk ends in
 * time, seldom enough that the file system can lay the file out in few extents.
 */
const WRITEBACK_BYTES = 256 << 20;

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

export class StagedFiles {
  readonly #posix: Posix;
  readonly #destination: OpenDestination;
  readonly #slots: Uint8Array;
  readonly #call: LaneCall;
  readonly #pacer: Pacer;
  readonly #metadata: MetadataSetter;
  readonly #open = new Map<number, OpenFile>();
  /** Whose bytes are being written. */
  #writingFor: LaneTask | undefined;

  constructor(
    posix: Posix,
    destination: OpenDestination,
    slots: SharedArrayBuffer,
    call: LaneCall,
    pacer: Pacer,
    metadata: MetadataSetter,
  ) {
    this.#posix = posix;
    this.#destination = destination;
    this.#slots = new Uint8Array(slots);
    this.#call = call;
    this.#pacer = pacer;
    this.#metadata = metadata;
  }

  /** Stages whole files. Those not reached when the call is cancelled stay WANTED and are not reported. */
  writeFiles(task: LaneTask, items: WriteItem[]): ItemProblem[] {
    const problems: ItemProblem[] = [];
    for (const item of items) {
      if (this.#call.isStopped(task)) break;
      this.#call.tick();
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
      if (result >= 0 && this.#call.isStopped(task)) break;
      if (result < 0) problems.push(itemProblem(task, item.row, result, "write"));
      else task.status[item.row] = STATUS_STAGED;
    }
    return problems;
  }

  /** A large file, chunk by chunk; `file` is a number of the caller's. */
  beginFile(task: LaneTask, file: number, row: number): ItemProblem | undefined {
    this.#call.tick();
    const fd = this.#create(task, row);
    if (fd < 0) return itemProblem(task, row, fd, "create");
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
      return itemProblem(task, open.row, result, "write");
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
    this.#call.tick();
    let result = open.encoded === undefined
      ? 0
      : this.#endEncoded(task, open.row, open.fd, open.encoded);
    if (result >= 0) result = this.#complete(task, open.row, open.fd, version);
    else this.#posix.close(open.fd);
    if (result >= 0 && this.#call.isStopped(task)) result = -CANCELLED;
    if (result < 0) return itemProblem(task, open.row, result, "write");
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

  #create(task: LaneTask, row: number): number {
    this.#writingFor = task;
    const stage = task.stage();
    if (stage < 0) return stage;
    const name = task.stagedName(row);
    const fd = this.#posix.createFile(stage, name);
    if (fd !== -EEXIST) return fd;
    // A thread that wakes after it was given up finds the file of its successor.
    if (this.#call.isStopped(task)) return -CANCELLED;
    // Left by an earlier attempt of this very run.
    this.#posix.unlink(stage, name);
    return this.#posix.createFile(stage, name);
  }

  /** Metadata, flush where it is per file, close. Always closes. */
  #complete(
    task: LaneTask,
    row: number,
    fd: number,
    version: FileVersion | undefined,
  ): number {
    let result = this.#metadata.ofFile(task, row, fd, version);
    if (result >= 0 && !this.#destination.batchFlush) result = this.#posix.flushFile(fd);
    const closed = this.#posix.close(fd);
    return result < 0 ? result : closed;
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
      if (task !== undefined && this.#call.isStopped(task)) return -CANCELLED;
      this.#call.tick();
      const piece = bytes.subarray(done, done + pieceBytes);
      this.#pacer.pay(piece.length);
      const put = this.#posix.writeAt(fd, piece, fileOffset + done);
      if (put < 0) return put;
      done += put;
      this.#call.moved(put);
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
    this.#call.moved(bytes - written);
    return this.#posix.truncate(fd, endBytes);
  }
}

function isSparseRow(task: LaneTask, row: number): boolean {
  return (task.table.columns.flags[row]! & FLAG_SPARSE) !== 0;
}
