/**
 * The thread that loads blobs for a restore. Rule: it alone touches the repository, and never the target, so that it can be told
 * which of them hangs. One repository it reads itself; of several it asks its owner, so that one that hangs is passed over.
 */
import { BackupError } from "../../protocol/base/errors.ts";
import type { Clock } from "../../protocol/base/clock.ts";
import { openLocalObjectStore } from "../destinations/local_object_store.ts";
import type { ObjectStore } from "../destinations/object_store.ts";
import { createKernels } from "../kernels/mod.ts";
import { confine } from "../platform/confined_posix.ts";
import { Garbage } from "../platform/garbage.ts";
import type { Posix } from "../platform/posix.ts";
import {
  type OpenedKey,
  Repository,
  type RepositoryConfig,
  type SharedIndex,
} from "../repository/mod.ts";
import { askedObjectStore } from "../strategies/snapshot/mod.ts";
import { countingPosix } from "../threads/counting_posix.ts";
import { type Ask, type Methods, Moved, type ThreadCells } from "../threads/thread_rpc.ts";
import { type BlobGroup, openBlobGroup } from "./blob_group.ts";
import type { BlobRequest } from "./restore_ahead.ts";
import {
  BESIDE,
  FAILED,
  FIRST_TREE,
  READY,
  RestoreMemory,
  type SharedRestoreMemory,
  SLOTS,
  TREE_SLOTS,
} from "./restore_memory.ts";
import type { RestoreEvent } from "./restore_thread.ts";

export interface RestoreLoaderStart {
  /** Where repositories may lie that it opens itself; empty: anywhere. */
  roots: readonly string[];
  replicas: RestoreReplica[];
  memory: SharedRestoreMemory;
}

/** One repository, with what opens it. Secret. */
export interface RestoreReplica {
  /** What the owner is asked by. */
  key: string;
  display: string;
  /** Where it opens the repository for itself. */
  folder?: string;
  config: RepositoryConfig;
  opened: OpenedKey;
}

const TICK_MS = 200;
/** Of failures that nobody has asked about yet; of what is forgotten the reason is found once more. */
const FAILURES_MAX = 1_000;
/** Of what is read into memory that is used again: for the hashes of the blobs in it. */
const GARBAGE_SHARE = 8;

export function openRestoreLoader(
  raw: Posix,
  start: RestoreLoaderStart,
  cells: ThreadCells,
  ask: Ask,
  clock: Clock,
): Methods {
  const posix = countingPosix(confine(raw, start.roots), cells, () => {
    if (Atomics.load(cells.fenced, 0) !== 0) throw new BackupError("cancelled", "Given up");
  });
  // Waiting for the writer, or for an owner's disk, is no standing still.
  const stopTicking = clock.every(TICK_MS, () => Atomics.add(cells.operations, 0, 1));
  const tell = (event: RestoreEvent): void => void ask("tell", event).catch(() => {});
  const stores: ObjectStore[] = [];
  const storeOf = ({ key, display, folder }: RestoreReplica): ObjectStore => {
    if (folder === undefined) return frugal(askedObjectStore(ask, key, display));
    const store = openLocalObjectStore(posix, folder);
    stores.push(store);
    return frugal(store);
  };
  const memory = new RestoreMemory(start.memory);
  let loader: Loader | undefined;
  return {
    async open(): Promise<SharedIndex> {
      const kernels = createKernels();
      const repositories = start.replicas.map((replica) => ({
        address: { key: replica.display, path: replica.display },
        repository: new Repository(storeOf(replica), kernels, replica.config, replica.opened),
      }));
      const warn = (message: string) => tell({ kind: "warning", message });
      const group = await openBlobGroup(repositories, clock, warn, { isShared: true });
      loader = new Loader(memory, group, cells);
      return group.index.share();
    },
    run: () => loader!.run(),
    load: (request: BlobRequest) => loader!.load(request),
    close(): void {
      loader?.end();
      stopTicking();
      for (const store of stores) store.close();
    },
  };
}

class Loader {
  readonly #memory: RestoreMemory;
  readonly #group: BlobGroup;
  readonly #cells: ThreadCells;
  readonly #failures = new Map<string, BackupError>();
  /** Slots that were looked at, each time anew. */
  #taken = 0;
  /** The same of what is beside them. */
  #beside = 0;
  #isEnded = false;

  constructor(memory: RestoreMemory, group: BlobGroup, cells: ThreadCells) {
    this.#memory = memory;
    this.#group = group;
    this.#cells = cells;
  }

  /** Loads what is asked for, in its order and what is needed at once before it, until the end. */
  async run(): Promise<void> {
    while (!this.#isEnded && Atomics.load(this.#cells.cancelled, 0) === 0) {
      const seen = this.#memory.askedBell;
      if (await this.#serveBeside()) continue;
      if (this.#taken === this.#memory.askedCount) await this.#memory.untilAsked(seen);
      else await this.#serve(this.#taken++ % SLOTS);
    }
  }

  end(): void {
    this.#isEnded = true;
    this.#memory.wake();
  }

  /** @throws {BackupError} the reason, for one that could not be loaded */
  async load({ type, id }: BlobRequest): Promise<Moved> {
    const key = `${type}/${id}`;
    const failure = this.#failures.get(key);
    this.#failures.delete(key);
    if (failure !== undefined) throw failure;
    return new Moved(await this.#group.reader.load(type, id));
  }

  /** What does not wait for its turn; false where nothing was asked for. */
  async #serveBeside(): Promise<boolean> {
    const count = this.#memory.besideCount;
    if (count === this.#beside) return false;
    this.#beside = count;
    for (let slot = BESIDE; slot < FIRST_TREE + TREE_SLOTS; slot++) await this.#serve(slot);
    return true;
  }

  async #serve(slot: number): Promise<void> {
    const asked = this.#memory.take(slot);
    if (asked === undefined) return;
    const { row, room } = asked;
    const type = this.#group.index.typeOf(row);
    const id = this.#group.index.idOf(row);
    try {
      const takeRoom = (bytes: number) => bytes <= room.length ? room : new Uint8Array(bytes);
      const plain = await this.#group.reader.load(type, id, takeRoom);
      // Where copies are listed with different sizes the room may be too small: it is asked for the slow way then.
      const fits = plain.length <= room.length;
      if (fits && plain.buffer !== room.buffer) room.set(plain);
      this.#memory.settle(slot, fits ? READY : FAILED, fits ? plain.length : 0);
    } catch (error) {
      if (!(error instanceof BackupError)) throw error;
      if (this.#failures.size < FAILURES_MAX) this.#failures.set(`${type}/${id}`, error);
      this.#memory.settle(slot, FAILED, 0);
    }
  }
}

/** What is read lies outside the heap, where nobody but a collection frees it. */
function frugal(store: ObjectStore): ObjectStore {
  const garbage = new Garbage();
  const { display } = store;
  return {
    display,
    put: (name, parts, options) => store.put(name, parts, options),
    get: (name, maxBytes) => store.get(name, maxBytes),
    async getRange(name, offset, lengthBytes, room) {
      const bytes = await store.getRange(name, offset, lengthBytes, room);
      const isRoom = bytes.buffer === room?.buffer;
      garbage.made(isRoom ? lengthBytes / GARBAGE_SHARE : lengthBytes);
      return bytes;
    },
    readBack: (name, maxBytes, room) => store.readBack(name, maxBytes, room),
    stat: (name) => store.stat(name),
    list: (folder) => store.list(folder),
    leftovers: (folder) => store.leftovers(folder),
    remove: (name) => store.remove(name),
    close: () => store.close(),
  };
}
