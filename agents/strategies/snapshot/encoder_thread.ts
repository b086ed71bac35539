/**
 * A thread that reads files, cuts and hashes them, and encodes of their blobs what it is told to. Rule: it knows no index and
 * stores nothing; what was read waits in a buffer until its owner has said which blobs are new.
 */
import { BackupError } from "../../../protocol/base/errors.ts";
import { createKernels } from "../../kernels/mod.ts";
import { Garbage, HASH_GARBAGE_BYTES } from "../../platform/garbage.ts";
import { ENOENT, posixError } from "../../platform/errno.ts";
import { cName, cNameOfLatin1, KIND_FILE, newStat, type Posix } from "../../platform/posix.ts";
import {
  BlobEncoder,
  CHUNK_MAX_BYTES,
  CHUNK_MIN_BYTES,
  cutsOf,
  findFitRuns,
  type FinishedPack,
  idOf,
  type KeyMaterial,
  type LooseBlobs,
  newPackRoom,
  type PackedBlob,
  SealingKey,
} from "../../repository/mod.ts";
import type { Methods, ThreadCells } from "../../threads/thread_rpc.ts";
import { PathChain } from "../mirror/restore/path_chain.ts";

export interface EncoderThreadStart {
  /** Folder that all paths are below. */
  base: string;
  polynomial: bigint;
  /** Secret. */
  master: KeyMaterial;
}

export interface BeginRequest {
  level: number;
  packTargetBytes: number;
}

/** Files, or ranges of them; what is said of each stands in columns, since there may be many. */
export interface ReadRequest {
  /** Which buffer to read into: what was there is forgotten. */
  buffer: number;
  /** Folders below the base, one byte a character. */
  folders: readonly string[];
  /** Of every item, joined by slashes. */
  names: string;
  /** `ITEM_NUMBERS` for every item, in this order: see `Item`. */
  numbers: Float64Array;
}

export interface Item {
  /** Place in `folders`. */
  folder: number;
  /** As the walk found the file. */
  sizeBytes: number;
  mtimeSec: number;
  mtimeNsec: number;
  inodeLow: number;
  inodeHigh: number;
  /** The range that is one chunk; a length of -1 is the whole file, which is cut here. */
  offset: number;
  lengthBytes: number;
}

export const ITEM_NUMBERS = 8;

export interface ReadReply {
  /** How many chunks each item has. */
  chunkCounts: Uint32Array;
  /** Of all chunks, one item's after the other's. */
  chunkBytes: Uint32Array;
  /** 64 digits a chunk. */
  ids: string;
  problems: ItemProblem[];
}

export interface ItemProblem {
  item: number;
  /** `changed`: it was read, and is not what the walk found. `long`: the buffer has no room for it; it was not read. */
  kind: "failed" | "changed" | "long";
  action: string;
  /** -errno. */
  result: number;
}

export interface EncodeRequest {
  buffer: number;
  /** Numbers of chunks in the buffer. */
  wanted: Uint32Array;
  /** Memory that packs may be made in. */
  rooms: SharedArrayBuffer[];
}

export interface EncodeReply {
  storedBytes: number;
  /** It has memory for the next pack. */
  hasRoom: boolean;
  packs: PackMessage[];
}

/** A pack on its way between threads. */
export interface PackMessage {
  id: string;
  ids: string;
  lengths: Uint32Array;
  plains: Uint32Array;
  bytes: Uint8Array;
}

/** Where a chunk of a large file begins, and up to where no end of it was found. */
export interface ChunkStart {
  start: number;
  searchedTo: number;
  /** What the file had when its search began, so that one that grows has an end; 0: not known, or it says that it is empty. */
  fileBytes: number;
}

export interface CutsRequest extends ChunkStart {
  folder: string;
  name: string;
}

export interface CutsReply {
  /** Ends of chunks, in order; the last one may lie behind the end of the file. */
  cuts: number[];
  /** Where to go on; undefined at the end of the file. */
  next: ChunkStart | undefined;
  problem?: ReadFailure;
}

export interface FitRequest {
  folder: string;
  name: string;
  /** At least 64. */
  offset: number;
  lengthBytes: number;
}

export interface FitReply {
  /** First and last place of each run that is fit for a cut. */
  places: Float64Array;
  /** Fewer than were asked for at the end of the file. */
  bytes: number;
  /** As the file says. */
  fileBytes: number;
  problem?: ReadFailure;
}

/** `result` is -errno. */
export interface ReadFailure {
  action: string;
  result: number;
}

export const BUFFERS = 2;
/** Files up to this are read as a whole. */
export const WHOLE_MAX_BYTES = 2 << 20;
/** What a batch has when it is sent. */
export const BATCH_BYTES = 2 << 20;
/** Of a file, when its parts are searched at once. */
export const PART_BYTES = 4 << 20;
/** A search for cuts ends after so much. */
const SEARCH_BYTES = 16 << 20;
const SEARCH_PIECE_BYTES = 512 << 10;
/** A batch that is nearly full and the largest item that may come on top. */
const BUFFER_BYTES = BATCH_BYTES + CHUNK_MAX_BYTES + (256 << 10);
const READ_MIN_BYTES = 64 << 10;
const WINDOW_BYTES = 64;
/** Opened and announced together, so that a cold disk can order its work. */
const ANNOUNCED = 16;

const LONG = { kind: "long", action: "", result: 0 } as const;

interface Buffer {
  bytes: Uint8Array;
  starts: number[];
  ends: number[];
  ids: string[];
}

export function openEncoderThread(
  posix: Posix,
  start: EncoderThreadStart,
  cells: ThreadCells,
): Methods {
  const thread = new EncoderThread(posix, start, cells);
  return {
    begin: (request: BeginRequest) => thread.begin(request),
    read: (request: ReadRequest) => thread.read(request),
    encode: (request: EncodeRequest) => thread.encode(request),
    findCuts: (request: CutsRequest) => thread.findCuts(request),
    findFit: (request: FitRequest) => thread.findFit(request),
    takeLoose: () => thread.takeLoose(),
    close: () => thread.close(),
  };
}

class EncoderThread {
  readonly #posix: Posix;
  readonly #cells: ThreadCells;
  readonly #root: number;
  readonly #folders: PathChain;
  readonly #kernels = createKernels();
  readonly #key: SealingKey;
  readonly #scanner;
  readonly #stat = newStat();
  readonly #buffers: Buffer[] = [];
  readonly #rooms: SharedArrayBuffer[] = [];
  readonly #garbage = new Garbage();
  #searched = new Uint8Array(0);
  #encoder: BlobEncoder | undefined;

  constructor(posix: Posix, { base, polynomial, master }: EncoderThreadStart, cells: ThreadCells) {
    this.#posix = posix;
    this.#cells = cells;
    this.#root = posix.openRoot(cName(base));
    if (this.#root < 0) throw posixError(this.#root, "open", base);
    this.#folders = new PathChain(posix, this.#root);
    this.#key = new SealingKey(this.#kernels, master);
    this.#scanner = this.#kernels.createScanner(polynomial);
  }

  begin({ level, packTargetBytes }: BeginRequest): void {
    this.#encoder = new BlobEncoder(this.#key, {
      level,
      packTargetBytes,
      takeRoom: () => this.#rooms.pop() ?? newPackRoom(),
    });
  }

  read({ buffer: number, folders, names, numbers }: ReadRequest): ReadReply {
    const buffer = this.#buffer(number);
    const nameList = names.split("/");
    const chunkCounts = new Uint32Array(nameList.length);
    const problems: ItemProblem[] = [];
    for (let from = 0; from < nameList.length; from += ANNOUNCED) {
      const items = nameList.slice(from, from + ANNOUNCED).map((name, i) => {
        const item = itemAt(numbers, from + i);
        return { item, fd: this.#open(folders[item.folder]!, name, item) };
      });
      items.forEach(({ item, fd }, i) => {
        const at = buffer.ids.length;
        const problem = fd < 0 ? failed("open", fd) : this.#readItem(buffer, fd, item);
        if (problem !== undefined) problems.push({ item: from + i, ...problem });
        chunkCounts[from + i] = buffer.ids.length - at;
      });
    }
    this.#garbage.made(buffer.ids.length * HASH_GARBAGE_BYTES);
    return {
      chunkCounts,
      chunkBytes: Uint32Array.from(buffer.starts, (start, i) => buffer.ends[i]! - start),
      ids: buffer.ids.join(""),
      problems,
    };
  }

  encode({ buffer: number, wanted, rooms }: EncodeRequest): EncodeReply {
    this.#rooms.push(...rooms);
    const { bytes, starts, ends, ids } = this.#buffers[number]!;
    const packs: PackMessage[] = [];
    let storedBytes = 0;
    for (const chunk of wanted) {
      const added = this.#begun().add(ids[chunk]!, bytes.subarray(starts[chunk], ends[chunk]));
      storedBytes += added.storedBytes;
      if (added.pack !== undefined) packs.push(packMessage(added.pack));
    }
    return { storedBytes, hasRoom: this.#rooms.length > 0, packs };
  }

  /** The next cuts of a large file. What no chunk can end in is not even read. */
  findCuts({ folder, name, ...from }: CutsRequest): CutsReply {
    const fd = this.#openFile(folder, name);
    if (fd < 0) return { cuts: [], next: undefined, problem: { action: "open", result: fd } };
    try {
      return this.#findCuts(fd, from);
    } finally {
      this.#posix.close(fd);
    }
  }

  #findCuts(fd: number, { start, searchedTo, fileBytes }: ChunkStart): CutsReply {
    const cuts: number[] = [];
    const giveUpAt = start + SEARCH_BYTES;
    const end = fileBytes || this.#bytesOf(fd);
    while (start < giveUpAt) {
      const limit = start + CHUNK_MAX_BYTES;
      const to = end > 0 ? Math.min(limit, end) : limit;
      const at = Math.max(searchedTo, start + CHUNK_MIN_BYTES - 1);
      if (at >= to) return { cuts: start < to ? [...cuts, to] : cuts, next: undefined };
      const into = this.#room(WINDOW_BYTES + Math.min(SEARCH_PIECE_BYTES, to - at));
      const got = this.#fill(fd, into, at - WINDOW_BYTES);
      if (got < 0) return { cuts, next: undefined, problem: { action: "read", result: got } };
      const found = got > WINDOW_BYTES ? this.#scanner.findFirst(into, WINDOW_BYTES, got) : -1;
      searchedTo = at - WINDOW_BYTES + (found > 0 ? found : got);
      if (found > 0 || searchedTo === limit) cuts.push(start = searchedTo);
      // What is left is a chunk, whatever its length.
      else if (got < into.length) return { cuts: [...cuts, limit], next: undefined };
    }
    return { cuts, next: { start, searchedTo, fileBytes: end } };
  }

  /** Where a part of a large file may be cut. */
  findFit({ folder, name, offset, lengthBytes }: FitRequest): FitReply {
    const nothing = { places: new Float64Array(0), bytes: 0, fileBytes: 0 };
    const fd = this.#openFile(folder, name);
    if (fd < 0) return { ...nothing, problem: { action: "open", result: fd } };
    try {
      const fileBytes = this.#bytesOf(fd);
      const into = this.#room(WINDOW_BYTES + lengthBytes);
      const got = this.#fill(fd, into, offset - WINDOW_BYTES);
      if (got < 0) return { ...nothing, problem: { action: "read", result: got } };
      const runs = findFitRuns(this.#scanner, into.subarray(0, got), offset);
      const places = Float64Array.from(runs.flatMap(({ first, last }) => [first, last]));
      return { places, bytes: Math.max(0, got - WINDOW_BYTES), fileBytes };
    } finally {
      this.#posix.close(fd);
    }
  }

  /** What fills no pack; undefined when there is nothing. */
  takeLoose(): PackMessage | undefined {
    const loose = this.#begun().takeLoose();
    return loose && packMessage({ id: "", ...loose });
  }

  close(): void {
    this.#folders.close();
    this.#posix.closeDirectory(this.#root);
  }

  #bytesOf(fd: number): number {
    return this.#posix.stat(fd, this.#stat) < 0 ? 0 : this.#stat.sizeBytes;
  }

  #room(bytes: number): Uint8Array {
    if (this.#searched.length < bytes) this.#searched = new Uint8Array(bytes);
    return this.#searched.subarray(0, bytes);
  }

  #begun(): BlobEncoder {
    if (this.#encoder === undefined) throw new BackupError("internal", "Nothing was begun");
    return this.#encoder;
  }

  #buffer(number: number): Buffer {
    const { bytes } = this.#buffers[number] ?? { bytes: new Uint8Array(BUFFER_BYTES) };
    return this.#buffers[number] = { bytes, starts: [], ends: [], ids: [] };
  }

  #openFile(folder: string, name: string): number {
    Atomics.add(this.#cells.operations, 0, 1);
    const handle = this.#folders.folder(folder);
    return handle < 0 ? handle : this.#posix.openRead(handle, cNameOfLatin1(name));
  }

  #open(folder: string, name: string, { offset, lengthBytes }: Item): number {
    const fd = this.#openFile(folder, name);
    if (fd >= 0) this.#posix.willNeed(fd, offset, Math.max(0, lengthBytes));
    return fd;
  }

  /** Closes the file. What was read of one that failed or is too long is forgotten. */
  #readItem(buffer: Buffer, fd: number, item: Item): Omit<ItemProblem, "item"> | undefined {
    try {
      Atomics.add(this.#cells.operations, 0, 1);
      const start = buffer.ends.at(-1) ?? 0;
      const isWhole = item.lengthBytes < 0;
      const room = buffer.bytes.subarray(start, isWhole ? undefined : start + item.lengthBytes);
      if (room.length < item.lengthBytes) return LONG;
      const got = isWhole ? this.#readWhole(fd, room, item) : this.#fill(fd, room, item.offset);
      if (got < 0) return failed("read", got);
      // After the reading: what is now as the walk saw it was so all the time between.
      const result = this.#posix.stat(fd, this.#stat);
      if (result < 0) return failed("look at", result);
      if (this.#stat.kind !== KIND_FILE) return failed("open", -ENOENT);
      if (isWhole && got === room.length) return LONG;
      const bytes = room.subarray(0, got);
      const cuts = isWhole ? cutsOf(this.#scanner, bytes) : got > 0 ? [got] : [];
      let from = 0;
      for (const cut of cuts) {
        buffer.starts.push(start + from);
        buffer.ends.push(start + cut);
        buffer.ids.push(idOf(bytes.subarray(from, cut)));
        from = cut;
      }
      const isSame = this.#stat.sizeBytes === item.sizeBytes &&
        this.#stat.mtimeSec === item.mtimeSec && this.#stat.mtimeNsec === item.mtimeNsec &&
        this.#stat.inodeLow === item.inodeLow && this.#stat.inodeHigh === item.inodeHigh;
      return isSame ? undefined : { kind: "changed", action: "", result: 0 };
    } finally {
      this.#posix.close(fd);
    }
  }

  /** Up to its end, whatever its size is said to be; as many bytes as there is room when it is longer. Or -errno. */
  #readWhole(fd: number, room: Uint8Array, { sizeBytes }: Item): number {
    let at = 0;
    while (at < room.length) {
      const wanted = Math.min(room.length - at, Math.max(sizeBytes + 1 - at, READ_MIN_BYTES));
      const got = this.#posix.readAt(fd, room.subarray(at, at + wanted), at);
      if (got < 0) return got;
      at += got;
      if (got === 0) break;
      // Files that say they are empty are the kernel's own and may give less than they have.
      if (got < wanted && sizeBytes > 0 && at >= sizeBytes) break;
    }
    return at;
  }

  /** As many bytes as there are, or -errno. */
  #fill(fd: number, into: Uint8Array, offset: number): number {
    let at = 0;
    while (at < into.length) {
      Atomics.add(this.#cells.operations, 0, 1);
      const got = this.#posix.readAt(fd, into.subarray(at), offset + at);
      if (got < 0) return got;
      if (got === 0) break;
      at += got;
    }
    return at;
  }
}

export function itemAt(numbers: Float64Array, item: number): Item {
  const at = item * ITEM_NUMBERS;
  return {
    folder: numbers[at]!,
    sizeBytes: numbers[at + 1]!,
    mtimeSec: numbers[at + 2]!,
    mtimeNsec: numbers[at + 3]!,
    inodeLow: numbers[at + 4]!,
    inodeHigh: numbers[at + 5]!,
    offset: numbers[at + 6]!,
    lengthBytes: numbers[at + 7]!,
  };
}

export function setItem(numbers: Float64Array, at: number, item: Item): void {
  numbers.set([
    item.folder,
    item.sizeBytes,
    item.mtimeSec,
    item.mtimeNsec,
    item.inodeLow,
    item.inodeHigh,
    item.offset,
    item.lengthBytes,
  ], at * ITEM_NUMBERS);
}

function packMessage(
  pack: Pick<FinishedPack, "id" | "blobs"> & (Pick<FinishedPack, "parts"> | LooseBlobs),
): PackMessage {
  return {
    id: pack.id,
    ids: pack.blobs.map(({ id }) => id).join(""),
    lengths: Uint32Array.from(pack.blobs, ({ lengthBytes }) => lengthBytes),
    plains: Uint32Array.from(pack.blobs, ({ plainBytes }) => plainBytes),
    bytes: "parts" in pack ? pack.parts[0]! : pack.bytes,
  };
}

/** The blobs of a pack as they were before they travelled. */
export function blobsOf({ ids, lengths, plains }: PackMessage): PackedBlob[] {
  let offset = 0;
  return Array.from(lengths, (lengthBytes, i) => {
    const blob: PackedBlob = {
      type: "data",
      id: ids.slice(i * ID_DIGITS, (i + 1) * ID_DIGITS),
      offset,
      lengthBytes,
      plainBytes: plains[i]!,
    };
    offset += lengthBytes;
    return blob;
  });
}

export const ID_DIGITS = 64;

function failed(action: string, result: number): Omit<ItemProblem, "item"> {
  return { kind: "failed", action, result };
}
