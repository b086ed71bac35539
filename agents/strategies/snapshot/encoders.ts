/**
 * Reads and encodes files on several threads for one `BlobWriter`. Rule: which blobs are new is decided here alone, so a blob is
 * stored once although two threads meet it; results come in any order, and what they say is the same for any number of threads.
 *
 * A batch is read and hashed first; the thread keeps its bytes until it has been told which of them to encode. A large file
 * is searched for cuts in parts by all threads, its chunks are then read as ranges.
 */
import { asBackupError, BackupError } from "../../../protocol/base/errors.ts";
import {
  type BlobWriter,
  CutSelector,
  type FitRun,
  type Repository,
} from "../../repository/mod.ts";
import { Garbage } from "../../platform/garbage.ts";
import { spawnThread } from "../../threads/spawn.ts";
import { ThreadClient, type ThreadEnd } from "../../threads/thread_rpc.ts";
import type { ThreadWatch } from "../../threads/thread_watch.ts";
import {
  BATCH_BYTES,
  type BeginRequest,
  blobsOf,
  BUFFERS,
  type ChunkStart,
  type CutsReply,
  type CutsRequest,
  type EncodeReply,
  type EncodeRequest,
  type EncoderThreadStart,
  type FitReply,
  type FitRequest,
  ID_DIGITS,
  ITEM_NUMBERS,
  type ItemProblem,
  type PackMessage,
  PART_BYTES,
  type ReadFailure,
  type ReadReply,
  type ReadRequest,
  setItem,
  WHOLE_MAX_BYTES,
} from "./encoder_thread.ts";

/** What all threads together may take, whatever they read. */
export const ENCODERS_BUDGET_BYTES = 512 << 20;
/** Of one: its buffers, what it searches, the pack in hand, and one on its way to the disk. */
const THREAD_BYTES = 80 << 20;
const BATCH_ITEMS = 256;
/** What a file leaves behind on this thread: its node, its part of messages, what waits for it. */
const FILE_GARBAGE_BYTES = 1500;
/** One thread searches as fast as so many encode; with more of them it would hold them up. */
const SEARCH_ALONE_MAX = 4;
/** A range of a file begins at the earliest where a whole window lies before it. */
const FIRST_PART_OFFSET = 64;

/** Threads that encode for one repository; they serve one `Encoders` after the other. */
export interface EncoderThreads {
  /** Starts them when they are needed for the first time: where nothing has changed they never are. */
  clients(): readonly ThreadClient[];
  /** Resolves when they have closed what they had open. */
  close(): Promise<void>;
}

export interface EncoderThreadsOptions {
  /** As of `ArchiveOptions`. */
  base?: string;
  count?: number;
  budgetBytes?: number;
  spawn?: (role: string) => ThreadEnd;
  /** Gives up threads that stand still; `watchedAs` names them. */
  watch?: ThreadWatch;
  watchedAs?: string;
}

export function startEncoderThreads(
  { config, master }: Pick<Repository, "config" | "master">,
  options: EncoderThreadsOptions = {},
): EncoderThreads {
  const { base = "/", spawn = spawnThread, watch, watchedAs = "The source" } = options;
  const affordable = Math.floor((options.budgetBytes ?? ENCODERS_BUDGET_BYTES) / THREAD_BYTES);
  const count = options.count ?? Math.max(1, Math.min(navigator.hardwareConcurrency, affordable));
  const start: EncoderThreadStart = { base, polynomial: config.polynomial, master };
  const clients: ThreadClient[] = [];
  return {
    clients() {
      while (clients.length < count) {
        const client = new ThreadClient(spawn("encoder"), start);
        watch?.add(client, watchedAs);
        clients.push(client);
      }
      return clients;
    },
    async close() {
      await Promise.all(clients.map(async (client) => {
        // What it has open belongs to the process, so that ending it would not close it.
        if (!client.isClosed) await client.call("close", undefined).catch(() => {});
        watch?.remove(client);
        client.close();
      }));
    },
  };
}

/** One regular file as the walk found it. */
export interface FileToRead {
  /** Below the base, one byte a character; no slash at either end. */
  folder: string;
  name: string;
  sizeBytes: number;
  mtimeSec: number;
  mtimeNsec: number;
  inodeLow: number;
  inodeHigh: number;
}

export type FileOutcome =
  | { content: string[]; bytes: number; isChanged: boolean }
  | { failed: ReadFailure };

interface Wanted {
  file: FileToRead;
  /** -1 for a whole file. */
  offset: number;
  lengthBytes: number;
  done(outcome: FileOutcome | "long"): void | Promise<void>;
}

interface Slot {
  client: ThreadClient;
  buffer: number;
}

export class Encoders {
  readonly #pool: EncoderThreads;
  readonly #writer: BlobWriter;
  #threads: readonly ThreadClient[] = [];
  readonly #free: Slot[] = [];
  readonly #underway = new Set<Promise<void>>();
  /** Memory of stored packs, for whichever thread makes the next. What was dropped would be freed much later. */
  readonly #rooms: SharedArrayBuffer[] = [];
  readonly #roomless = new Set<ThreadClient>();
  readonly #garbage = new Garbage();
  #batch: Wanted[] = [];
  #batchBytes = 0;
  #failure: { error: unknown } | undefined;
  /** Packs that the writer has no room for yet. */
  #packsWaiting = 0;
  readonly #wakeFree: (() => void)[] = [];
  readonly #wakeStored: (() => void)[] = [];

  constructor(pool: EncoderThreads, writer: BlobWriter) {
    this.#pool = pool;
    this.#writer = writer;
  }

  /**
   * Resolves when there is room for the next file; `done` is called when this one was read, which may be much later. What it
   * throws is thrown by the next call.
   */
  async file(file: FileToRead, done: (outcome: FileOutcome) => void): Promise<void> {
    this.#requireHealthy();
    if (this.#threads.length === 0) this.#begin();
    if (file.sizeBytes > WHOLE_MAX_BYTES) return await this.#large(file, done);
    await this.#want({
      file,
      offset: 0,
      lengthBytes: -1,
      done: (outcome) => outcome === "long" ? this.#large(file, done) : done(outcome),
    });
  }

  /** Everything is read, told, and handed to the writer when this resolves. */
  async settle(): Promise<void> {
    for (;;) {
      if (this.#batch.length > 0) await this.#send();
      if (this.#underway.size === 0 && this.#batch.length === 0) break;
      await Promise.race(this.#underway);
      this.#requireHealthy();
    }
    this.#requireHealthy();
    for (const client of this.#threads) {
      const loose = await client.call<PackMessage | undefined>("takeLoose", undefined);
      if (loose === undefined) continue;
      await this.#writer.addLoose({ blobs: blobsOf(loose), bytes: loose.bytes });
      this.#keepRoom(loose);
    }
  }

  #begin(): void {
    this.#threads = this.#pool.clients();
    const { dataLevel, packTargetBytes } = this.#writer;
    const request: BeginRequest = { level: dataLevel, packTargetBytes };
    for (const client of this.#threads) {
      client.call("begin", request).catch((error) => this.#fail(error));
    }
    for (let buffer = 0; buffer < BUFFERS; buffer++) {
      for (const client of this.#threads) this.#free.push({ client, buffer });
    }
  }

  async #want(wanted: Wanted): Promise<void> {
    this.#batch.push(wanted);
    this.#batchBytes += wanted.lengthBytes < 0 ? wanted.file.sizeBytes : wanted.lengthBytes;
    if (this.#batchBytes >= BATCH_BYTES || this.#batch.length >= BATCH_ITEMS) await this.#send();
  }

  /** Sends the batch in hand as soon as there is a buffer for it. */
  async #send(): Promise<void> {
    const batch = this.#batch;
    this.#batch = [];
    this.#batchBytes = 0;
    this.#track(this.#run(await this.#takeSlot(), batch));
  }

  /** Keeps what is under way until it has ended; a failure ends everything. */
  #track(work: Promise<void>): void {
    const tracked = work.catch((error) => this.#fail(error))
      .finally(() => this.#underway.delete(tracked));
    this.#underway.add(tracked);
  }

  async #run(slot: Slot, batch: readonly Wanted[]): Promise<void> {
    const { client, buffer } = slot;
    const reply = await client.call<ReadReply>("read", requestOf(buffer, batch));
    const wanted: number[] = [];
    let plainBytes = 0;
    const content = Array.from(reply.chunkBytes, (bytes, i) => {
      const id = reply.ids.slice(i * ID_DIGITS, (i + 1) * ID_DIGITS);
      if (this.#writer.claim("data", id)) {
        wanted.push(i);
        plainBytes += bytes;
      }
      return id;
    });
    const tell = this.#tell(batch, reply, content);
    this.#garbage.made(batch.length * FILE_GARBAGE_BYTES);
    if (wanted.length > 0) {
      // A slow disk would have every buffer make a pack that waits for it.
      while (this.#packsWaiting > 0) await this.#woken(this.#wakeStored);
      const encoded = await client.call<EncodeReply>(
        "encode",
        {
          buffer,
          wanted: Uint32Array.from(wanted),
          rooms: this.#roomless.has(client) ? this.#rooms.splice(0, 1) : [],
        } satisfies EncodeRequest,
      );
      if (encoded.hasRoom) this.#roomless.delete(client);
      else this.#roomless.add(client);
      this.#writer.countSealed("data", wanted.length, plainBytes, encoded.storedBytes);
      for (const pack of encoded.packs) await this.#store(pack);
    }
    this.#free.push(slot);
    this.#wakeFree.shift()?.();
    await tell;
  }

  async #store(pack: PackMessage): Promise<void> {
    this.#packsWaiting++;
    try {
      await this.#writer.storePack({
        id: pack.id,
        blobs: blobsOf(pack),
        parts: [pack.bytes],
        sizeBytes: pack.bytes.length,
        release: () => this.#keepRoom(pack),
      });
    } finally {
      this.#packsWaiting--;
      for (const wake of this.#wakeStored.splice(0)) wake();
    }
  }

  async #woken(list: (() => void)[]): Promise<void> {
    await new Promise<void>((resolve) => list.push(resolve));
    this.#requireHealthy();
  }

  async #tell(
    batch: readonly Wanted[],
    { chunkCounts, chunkBytes, problems }: ReadReply,
    content: readonly string[],
  ): Promise<void> {
    const problemOf = new Map<number, ItemProblem>(problems.map((one) => [one.item, one]));
    let at = 0;
    for (const [item, { done }] of batch.entries()) {
      const end = at + chunkCounts[item]!;
      const problem = problemOf.get(item);
      if (problem?.kind === "long") {
        if (batch.length === 1) await done("long");
        // It was the others that left no room for it.
        else this.#track(this.#alone(batch[item]!));
      } else if (problem?.kind === "failed") await done({ failed: problem });
      else {
        let bytes = 0;
        for (let i = at; i < end; i++) bytes += chunkBytes[i]!;
        const isChanged = problem !== undefined;
        await done({ content: content.slice(at, end), bytes, isChanged });
      }
      at = end;
    }
  }

  async #alone(wanted: Wanted): Promise<void> {
    await this.#run(await this.#takeSlot(), [wanted]);
  }

  async #takeSlot(): Promise<Slot> {
    while (this.#free.length === 0) await this.#woken(this.#wakeFree);
    return this.#free.shift()!;
  }

  /** Looks for cuts a little ahead of what is read, on all threads. */
  async #large(file: FileToRead, done: (outcome: FileOutcome) => void): Promise<void> {
    const content: string[][] = [];
    let bytes = 0;
    let isChanged = false;
    let failed: ReadFailure | undefined;
    // The search itself, and every range that is not read yet.
    let open = 1;
    const ended = () => {
      if (--open === 0) {
        done(failed !== undefined ? { failed } : { content: content.flat(), bytes, isChanged });
      }
    };
    let start = 0;
    const chunkTo = async (end: number): Promise<void> => {
      const place = content.push([]) - 1;
      const offset = start;
      start = end;
      open++;
      await this.#want({
        file,
        offset,
        lengthBytes: end - offset,
        done: (outcome) => {
          if (outcome === "long") throw new BackupError("internal", "A range fits no buffer");
          if ("failed" in outcome) failed ??= outcome.failed;
          else {
            content[place] = outcome.content;
            bytes += outcome.bytes;
            isChanged ||= outcome.isChanged;
          }
          ended();
        },
      });
    };
    const search = this.#threads.length <= SEARCH_ALONE_MAX ? this.#cutsInTurn : this.#cutsAtOnce;
    for await (const found of search.call(this, file)) {
      if (typeof found === "number") await chunkTo(found);
      else failed = found;
    }
    ended();
  }

  /** One search after the other from where a chunk begins, so that a third need not be searched at all. */
  async *#cutsInTurn({ folder, name }: FileToRead): AsyncGenerator<number | ReadFailure, void> {
    let next: ChunkStart | undefined = { start: 0, searchedTo: 0, fileBytes: 0 };
    let reply = this.#ask<CutsReply>("findCuts", { folder, name, ...next } satisfies CutsRequest);
    do {
      const { cuts, problem, next: after }: CutsReply = await reply;
      if (problem !== undefined) return yield problem;
      next = after;
      // The next search goes on while the chunks of this one are read.
      if (next !== undefined) reply = this.#ask("findCuts", { folder, name, ...next });
      yield* cuts;
    } while (next !== undefined);
  }

  /** Parts on all threads at once; what is fit for a cut is found everywhere, and the cuts are selected from it. */
  async *#cutsAtOnce(file: FileToRead): AsyncGenerator<number | ReadFailure, void> {
    const { folder, name } = file;
    const selector = new CutSelector();
    const ahead: { at: number; reply: Promise<FitReply> }[] = [];
    let next = FIRST_PART_OFFSET;
    let end = 0;
    for (;;) {
      // The end is where nothing more is read, whatever the size is said to be.
      while (
        ahead.length === 0 || (next <= file.sizeBytes && ahead.length <= this.#threads.length)
      ) {
        const request: FitRequest = {
          folder,
          name,
          offset: next,
          lengthBytes: partEnd(next) - next,
        };
        ahead.push({ at: next, reply: this.#ask<FitReply>("findFit", request) });
        next = partEnd(next);
      }
      const { at, reply } = ahead.shift()!;
      const { places, bytes: known, fileBytes, problem } = await reply;
      if (problem !== undefined) return yield problem;
      // As long as it was when the search began, so that one that grows has an end.
      end ||= fileBytes;
      const to = Math.min(at + known, end || Infinity);
      yield* selector.push(runsOf(places, to), to);
      if (to < partEnd(at)) return yield* selector.end(to);
    }
  }

  #ask<R>(method: string, request: CutsRequest | FitRequest): Promise<R> {
    const idlest = this.#threads.reduce((a, b) => b.pendingCount < a.pendingCount ? b : a);
    const reply = idlest.call<R>(method, request);
    // It may be that nobody waits for it any more.
    reply.catch(() => {});
    return reply;
  }

  #keepRoom({ bytes: { buffer } }: PackMessage): void {
    if (buffer instanceof SharedArrayBuffer) this.#rooms.push(buffer);
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    for (const list of [this.#wakeFree, this.#wakeStored]) {
      for (const wake of list.splice(0)) wake();
    }
  }

  #requireHealthy(): void {
    if (this.#failure !== undefined) throw asBackupError(this.#failure.error);
  }
}

/** Where the part of a file ends that is searched from `offset` on. */
function partEnd(offset: number): number {
  return (Math.floor(offset / PART_BYTES) + 1) * PART_BYTES;
}

function runsOf(places: Float64Array, to: number): FitRun[] {
  return Array.from(
    { length: places.length / 2 },
    (_, i) => ({ first: places[2 * i]!, last: Math.min(places[2 * i + 1]!, to) }),
  ).filter(({ first }) => first <= to);
}

function requestOf(buffer: number, batch: readonly Wanted[]): ReadRequest {
  const folders: string[] = [];
  const numbers = new Float64Array(batch.length * ITEM_NUMBERS);
  batch.forEach(({ file, offset, lengthBytes }, i) => {
    // Files come folder by folder, mostly.
    if (folders.at(-1) !== file.folder) folders.push(file.folder);
    setItem(numbers, i, { ...file, folder: folders.length - 1, offset, lengthBytes });
  });
  return { buffer, folders, names: batch.map(({ file }) => file.name).join("/"), numbers };
}
