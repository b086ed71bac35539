/**
 * Reads each file once for all destinations that keep pace. Rule: what was read stays in its slot until the memory is
 * needed; a destination that comes too late reads again for itself and slows nobody.
 */
import { BackupError } from "../../protocol/base/errors.ts";
import type { ThreadClient } from "../threads/thread_rpc.ts";
import { EntryTable, type EntryTableShare } from "./entry_table.ts";
import type { ReadFilesResult, ReadVersion, StreamChunk } from "./reader.ts";
import { type Slot, SLOT_BYTES, type SlotPool } from "./slot_pool.ts";

/** Files larger than this are read in chunks. One byte of a slot is needed to see the end of a file. */
export const WHOLE_FILE_BYTES_MAX = SLOT_BYTES - 1;
/** Files read in one go. */
export const BATCH_FILES_MAX = 128;
/** Chunks of one file read before anybody asked for them. */
const READ_AHEAD_CHUNKS = 2;

export interface FileInSlot {
  row: number;
  offset: number;
  sizeBytes: number;
  version?: ReadVersion;
  problem?: { code: string; message: string; retry: boolean };
}

/** Bytes that stay where they are until `release`. */
export interface Held<T> {
  value: T;
  release(): void;
}

export interface Chunk {
  offset: number;
  bytes: number;
  isLast: boolean;
  /** With the last chunk, when what was read is not the table's version. */
  version?: ReadVersion | undefined;
}

interface Source {
  key: string;
  table: EntryTable;
}

interface Resident {
  slot: Slot;
  file: FileInSlot;
  ready: Promise<void>;
}

interface ResidentChunk {
  slot: Slot;
  chunk: Chunk;
  ready: Promise<void>;
}

/** One file being read in chunks by one thread, hashed from its beginning. */
interface Stream {
  id: number;
  source: Source;
  row: number;
  thread: ThreadClient;
  opened: Promise<{ sizeBytes: number }>;
  sizeBytes: number;
  next: number;
  chunkCount: number;
  ended: boolean;
}

/** A file as one destination reads it. */
export interface OpenedFile {
  sizeBytes: number;
  chunkCount: number;
  /** The bytes of chunk `k`; chunks are asked for in order. */
  chunk(k: number): Promise<Held<Chunk>>;
}

/** The threads it reads with. */
export interface Readers {
  idlest(): ThreadClient;
  addSource(source: string, path: string, table: EntryTableShare): Promise<void>;
  removeSource(source: string): Promise<void>;
}

export class FanOutReader {
  readonly #threads: Readers;
  readonly #pool: SlotPool;
  readonly #sources = new Map<string, Source>();
  readonly #files = new Map<string, Resident>();
  readonly #chunks = new Map<string, ResidentChunk>();
  readonly #streams = new Map<string, Stream>();
  readonly #pinsOf = new Map<string, number>();
  readonly #lanes: () => number;
  #nextStream = 0;
  /** Bytes read from sources, each file once while everybody keeps pace; for tests and benches. */
  bytesRead = 0;

  /** `lanes` answers how many destinations share the memory now. */
  constructor(threads: Readers, pool: SlotPool, lanes: () => number) {
    this.#threads = threads;
    this.#pool = pool;
    this.#lanes = lanes;
  }

  async addSource(key: string, path: string, share: EntryTableShare): Promise<void> {
    await this.#threads.addSource(key, path, share);
    this.#sources.set(key, { key, table: EntryTable.fromShare(share) });
  }

  async removeSource(key: string): Promise<void> {
    this.#sources.delete(key);
    await this.#threads.removeSource(key);
  }

  /** Whole small files, for one batch of a destination. Problems are per file, in its `problem`. */
  async files(
    lane: string,
    sourceKey: string,
    rows: number[],
    signal: AbortSignal,
  ): Promise<Held<FileInSlot[]>> {
    const source = this.#source(sourceKey);
    for (;;) {
      signal.throwIfAborted();
      const held = this.#tryFiles(lane, source, rows);
      if (held !== undefined) {
        await releasedOnFailure(held, Promise.all(held.ready));
        return held;
      }
      await this.#pool.freed();
    }
  }

  /** Opens a large file, joining a read that is under way when there is one. */
  async open(
    lane: string,
    sourceKey: string,
    row: number,
    attempt: number,
    signal: AbortSignal,
  ): Promise<OpenedFile> {
    const source = this.#source(sourceKey);
    const key = `${sourceKey}:${row}`;
    let stream = this.#streams.get(key);
    if (stream === undefined && source.table.isHashed(row) && attempt === 1) {
      return this.#parts(lane, source, row, signal);
    }
    if (stream === undefined) {
      stream = this.#newStream(source, row);
      this.#streams.set(key, stream);
    }
    const { sizeBytes } = await stream.opened;
    const joined = stream;
    return {
      sizeBytes,
      chunkCount: joined.chunkCount,
      chunk: (k) => this.#chunk(lane, joined, k, signal),
    };
  }

  #source(key: string): Source {
    const source = this.#sources.get(key);
    if (source === undefined) throw new TypeError(`Unknown source: ${key}`);
    return source;
  }

  #tryFiles(
    lane: string,
    source: Source,
    rows: number[],
  ): Held<FileInSlot[]> & { ready: Promise<void>[] } | undefined {
    let found: (Resident | undefined)[] = rows.map((row) =>
      this.#files.get(`${source.key}:${row}`)
    );
    const slots = new Set<Slot>();
    for (const resident of found) if (resident !== undefined) slots.add(resident.slot);
    if (slots.size >= this.#share() && slots.size > 1) {
      // Scattered over more slots than one destination may hold: read again, into one.
      slots.clear();
      found = rows.map(() => undefined);
    }
    const missing = rows.filter((_, k) => found[k] === undefined);
    const pins = this.#pinsOf.get(lane) ?? 0;
    if (pins > 0 && pins + slots.size + (missing.length > 0 ? 1 : 0) > this.#share()) {
      return undefined;
    }
    for (const slot of slots) this.#pool.pin(slot);
    if (missing.length > 0) {
      const read = this.#read(source, missing);
      if (read === undefined) {
        for (const slot of slots) this.#pool.unpin(slot);
        return undefined;
      }
      slots.add(read);
    }
    const residents = rows.map((row, k) => found[k] ?? this.#files.get(`${source.key}:${row}`)!);
    this.#pinsOf.set(lane, pins + slots.size);
    return {
      value: residents.map((resident) => resident.file),
      ready: [...new Set(residents.map((resident) => resident.ready))],
      release: () => this.#release(lane, slots),
    };
  }

  /** Starts reading files into a free slot, which the caller then holds one pin of. */
  #read(source: Source, rows: number[]): Slot | undefined {
    const keys = rows.map((row) => `${source.key}:${row}`);
    const slot = this.#pool.take(() => {
      for (const key of keys) if (this.#files.get(key)?.slot === slot) this.#files.delete(key);
    });
    if (slot === undefined) return undefined;
    const files = rows.map((row): FileInSlot => ({ row, offset: slot.offset, sizeBytes: 0 }));
    this.#pool.pin(slot);
    const thread = this.#threads.idlest();
    const ready = thread.call<ReadFilesResult>("readFiles", {
      source: source.key,
      rows: Uint32Array.from(rows),
      slotOffset: slot.offset,
      slotBytes: SLOT_BYTES,
    }).then((result) => {
      let start = 0;
      for (let k = 0; k < files.length; k++) {
        files[k]!.offset = slot.offset + start;
        files[k]!.sizeBytes = result.ends[k]! - start;
        start = result.ends[k]!;
      }
      this.bytesRead += start;
      for (const { item, version } of result.versions) files[item]!.version = version;
      for (const { item, code, message, retry } of result.problems) {
        files[item]!.problem = { code, message, retry };
        // The next attempt must look at the disk again.
        this.#files.delete(keys[item]!);
      }
    }).finally(() => this.#readEnded(thread, slot));
    ready.catch(() => {
      for (const key of keys) this.#files.delete(key);
    });
    files.forEach((file, k) => this.#files.set(keys[k]!, { slot, file, ready }));
    return slot;
  }

  #newStream(source: Source, row: number): Stream {
    const id = this.#nextStream++;
    const thread = this.#threads.idlest();
    const stream: Stream = {
      id,
      source,
      row,
      thread,
      opened: thread.call<{ sizeBytes: number }>("openStream", {
        source: source.key,
        stream: id,
        row,
      }),
      sizeBytes: 0,
      next: 0,
      chunkCount: 1,
      ended: false,
    };
    stream.opened = stream.opened.then((opened) => {
      stream.sizeBytes = opened.sizeBytes;
      stream.chunkCount = Math.max(1, Math.ceil(opened.sizeBytes / SLOT_BYTES));
      return opened;
    });
    stream.opened.catch(() => this.#endStream(stream));
    return stream;
  }

  #endStream(stream: Stream): void {
    stream.ended = true;
    const key = `${stream.source.key}:${stream.row}`;
    if (this.#streams.get(key) === stream) this.#streams.delete(key);
  }

  async #chunk(
    lane: string,
    stream: Stream,
    k: number,
    signal: AbortSignal,
  ): Promise<Held<Chunk>> {
    for (;;) {
      signal.throwIfAborted();
      const resident = this.#chunks.get(`${stream.id}#${k}`);
      if (resident !== undefined) {
        const held = this.#hold(lane, resident);
        if (held !== undefined) {
          // What comes next is read while this one is written, as long as memory is free.
          while (stream.next < stream.chunkCount && stream.next <= k + READ_AHEAD_CHUNKS) {
            if (!this.#readNext(stream)) break;
          }
          await releasedOnFailure(held, resident.ready);
          return held;
        }
      } else if (k >= stream.next) {
        if (stream.ended) throw new BackupError("changed_while_read", GAVE_UP, { retry: "later" });
        if (this.#mayPin(lane) && this.#readNext(stream)) continue;
      } else if (this.#mayPin(lane)) {
        const c = stream.source.table.columns;
        if (!stream.source.table.isHashed(stream.row) && stream.ended) {
          throw new BackupError("changed_while_read", GAVE_UP, { retry: "later" });
        }
        const part = this.#part(lane, stream.source, stream.row, k, {
          sizeBytes: stream.sizeBytes,
          mtimeSec: c.mtimeSec[stream.row]!,
          mtimeNsec: c.mtimeNsec[stream.row]!,
          chunkCount: stream.chunkCount,
        });
        if (part !== undefined) return await part;
      }
      await this.#pool.freed();
    }
  }

  #hold(lane: string, resident: ResidentChunk): Held<Chunk> | undefined {
    if (!this.#mayPin(lane)) return undefined;
    this.#pool.pin(resident.slot);
    this.#pinsOf.set(lane, (this.#pinsOf.get(lane) ?? 0) + 1);
    return {
      value: resident.chunk,
      release: () => this.#release(lane, [resident.slot]),
    };
  }

  /** Reads the next chunk of a stream into a free slot; false when there is none. */
  #readNext(stream: Stream): boolean {
    const k = stream.next;
    const key = `${stream.id}#${k}`;
    const slot = this.#pool.take(() => this.#chunks.delete(key));
    if (slot === undefined) return false;
    stream.next++;
    const chunk: Chunk = { offset: slot.offset, bytes: 0, isLast: false };
    const ready = stream.thread.call<StreamChunk>("readStream", {
      stream: stream.id,
      slotOffset: slot.offset,
      slotBytes: SLOT_BYTES,
    }).then((read) => {
      chunk.bytes = read.bytes;
      this.bytesRead += read.bytes;
      if (read.end !== undefined) {
        chunk.isLast = true;
        chunk.version = read.end.version;
        this.#endStream(stream);
      }
    }).finally(() => this.#readEnded(stream.thread, slot));
    ready.catch(() => {
      this.#chunks.delete(key);
      this.#endStream(stream);
      this.#pool.wake();
    });
    this.#chunks.set(key, { slot, chunk, ready });
    return true;
  }

  /** Chunk by chunk, without the others: the file was read and hashed before. */
  #parts(lane: string, source: Source, row: number, signal: AbortSignal): OpenedFile {
    const c = source.table.columns;
    const sizeBytes = c.sizeBytes[row]!;
    const version = {
      sizeBytes,
      mtimeSec: c.mtimeSec[row]!,
      mtimeNsec: c.mtimeNsec[row]!,
      chunkCount: Math.max(1, Math.ceil(sizeBytes / SLOT_BYTES)),
    };
    return {
      sizeBytes,
      chunkCount: version.chunkCount,
      chunk: async (k) => {
        for (;;) {
          signal.throwIfAborted();
          const part = this.#mayPin(lane) ? this.#part(lane, source, row, k, version) : undefined;
          if (part !== undefined) return await part;
          await this.#pool.freed();
        }
      },
    };
  }

  #part(
    lane: string,
    source: Source,
    row: number,
    k: number,
    file: { sizeBytes: number; mtimeSec: number; mtimeNsec: number; chunkCount: number },
  ): Promise<Held<Chunk>> | undefined {
    const slot = this.#pool.take(() => {});
    if (slot === undefined) return undefined;
    this.#pinsOf.set(lane, (this.#pinsOf.get(lane) ?? 0) + 1);
    const release = () => this.#release(lane, [slot]);
    return this.#threads.idlest().call<StreamChunk>("readPart", {
      source: source.key,
      row,
      offset: k * SLOT_BYTES,
      slotOffset: slot.offset,
      slotBytes: SLOT_BYTES,
      sizeBytes: file.sizeBytes,
      mtimeSec: file.mtimeSec,
      mtimeNsec: file.mtimeNsec,
    }).then(({ bytes }) => {
      this.bytesRead += bytes;
      const isLast = k === file.chunkCount - 1;
      return { value: { offset: slot.offset, bytes, isLast }, release };
    }, (thrown) => {
      release();
      throw thrown;
    });
  }

  #release(lane: string, slots: Iterable<Slot>): void {
    let count = 0;
    for (const slot of slots) {
      this.#pool.unpin(slot);
      count++;
    }
    this.#pinsOf.set(lane, (this.#pinsOf.get(lane) ?? 0) - count);
    this.#pool.wake();
  }

  /** A thread that was given up may still be filling its slot: that slot is never used again. */
  #readEnded(thread: ThreadClient, slot: Slot): void {
    if (!thread.isClosed) this.#pool.unpin(slot);
  }

  #mayPin(lane: string): boolean {
    const pins = this.#pinsOf.get(lane) ?? 0;
    return pins === 0 || pins < this.#share();
  }

  /** Slots one destination may hold: what is left when two are kept for reading, divided evenly. */
  #share(): number {
    return Math.max(1, Math.floor((this.#pool.size - 2) / Math.max(1, this.#lanes())));
  }
}

/** Nobody gets what could not be read, so nobody would give it back. */
async function releasedOnFailure(held: Held<unknown>, ready: Promise<unknown>): Promise<void> {
  try {
    await ready;
  } catch (thrown) {
    held.release();
    throw thrown;
  }
}

const GAVE_UP = "The file changed while it was read";
