/**
 * The thread of one repository destination. Rule: it alone touches that place and holds its lock; once the lock is lost nothing
 * more is written there.
 */
import { hostname } from "node:os";
import type { Clock } from "../../../protocol/base/clock.ts";
import { BackupError } from "../../../protocol/base/errors.ts";
import { type Identity, identityOf } from "../../destinations/identity.ts";
import { inspect } from "../../destinations/local_destination.ts";
import { openLocalObjectStore } from "../../destinations/local_object_store.ts";
import { MemoryObjectStore } from "../../destinations/memory_object_store.ts";
import { isTemporary, type ObjectStore } from "../../destinations/object_store.ts";
import { createPacer, unlimited } from "../../destinations/pacer.ts";
import { createKernels } from "../../kernels/mod.ts";
import { confine } from "../../platform/confined_posix.ts";
import { EEXIST, ENOENT, posixError } from "../../platform/errno.ts";
import { Garbage } from "../../platform/garbage.ts";
import { pagedMemory } from "../../platform/paged_memory.ts";
import { cName, newStat, type Posix } from "../../platform/posix.ts";
import { isProcessAlive, thisProcess } from "../../platform/process_identity.ts";
import {
  addReplicas,
  addReplicaWithKey,
  calibrate,
  type Credentials,
  decodeIndex,
  encodeIndex,
  finishRepository,
  idOf,
  initRepositories,
  type KdfParameters,
  lockRepository,
  type OpenedKey,
  openRepository,
  PACK_MAX_BYTES,
  removeLeftoversOfDead,
  type Repository,
  type RepositoryConfig,
  type RepositoryLock,
  writerOf,
} from "../../repository/mod.ts";
import { countingPosix } from "../../threads/counting_posix.ts";
import { type Methods, Moved, type ThreadCells } from "../../threads/thread_rpc.ts";
import { carryOut, type StoreCall } from "./asked_object_store.ts";
import { lockContextOfThisProcess, userName } from "./lock_context.ts";

export interface RepositoryThreadStart {
  path: string;
  /** Where destinations may lie; empty: anywhere. */
  roots: readonly string[];
  /** 0: none. */
  limitBytesPerSecond: number;
  hostId: string;
  /** How hard new keys are to guess; absent: as hard as this machine bears. */
  kdf?: KdfParameters;
}

export interface RepositoryInspection {
  exists: boolean;
  /** It has a configuration. */
  isRepository: boolean;
  /** Nothing is there that could be anybody's. */
  isVacant: boolean;
  /** It is a destination of plain copies. */
  holdsCopies: boolean;
  ancestors: Identity[];
  freeBytes: number | undefined;
  device: string;
}

/** What other threads need to read and seal for a repository. Secret. */
export interface RepositoryFacts {
  config: RepositoryConfig;
  opened: OpenedKey;
  /** The same for all replicas of one repository, and for nothing else. */
  replicaId: string;
}

export interface OpenRepositoryRequest {
  credentials: Credentials;
  /** What the marker says elsewhere: the id in the configuration that must be found. */
  expectedId?: string;
}

export interface LockRequest {
  waitMs: number;
}

/** Files of a new repository, or of a replica to be. */
export type NewFiles = [name: string, bytes: Uint8Array][];

export interface CreateRequest {
  files: NewFiles;
  /** What opens these files. */
  credentials: Credentials;
  /** What is to open this one; with another password than that, the files' keys are left out. */
  own: Credentials;
}

export interface PutRequest {
  name: string;
  /** In shared memory, where it came that way. */
  bytes: Uint8Array;
}

export interface ReplaceRequest {
  /** Ids of packs that are wrong here, and whose content stands elsewhere by now. */
  packs: readonly string[];
  /** Id of the snapshot that was made with them, and is made anew. */
  snapshot: string;
}

export interface LendRequest {
  name: string;
  /** Where the bytes go when there is room for them. */
  room: SharedArrayBuffer;
}

export interface CheckedObject {
  /** Its SHA-256 is its name. */
  isGood: boolean;
  /** False: it may have come from the page cache. */
  fromDisk: boolean;
}

/** On the disk of a whole file system; and what is made before a configuration, without which it holds nothing. */
const NOBODYS: ReadonlySet<string> = new Set(["lost+found", "keys"]);
const TICK_MS = 200;
/** What is read back lies in memory that is kept, up to the size of most packs. */
const ROOM_MAX_BYTES = 32 << 20;
const ROOM_LEAST_BYTES = 18 << 20;
const ROOM_MORE_BYTES = 2 << 20;
const KEY_AND_CONFIG_MAX_BYTES = 1 << 20;

export function openRepositoryThread(
  raw: Posix,
  start: RepositoryThreadStart,
  cells: ThreadCells,
  clock: Clock,
): Methods {
  const posix = countingPosix(confine(raw, start.roots), cells);
  const { path } = start;
  const kernels = createKernels();
  const cancel = new AbortController();
  let owedMs = 0;
  const pacer = start.limitBytesPerSecond === 0
    ? unlimited
    : createPacer(start.limitBytesPerSecond, clock, (ms) => owedMs = ms);
  /** Waits as the limit wants, while the lock is still refreshed. */
  const pay = async (bytes: number): Promise<void> => {
    owedMs = 0;
    pacer.pay(bytes);
    if (owedMs > 0) await clock.sleep(owedMs, cancel.signal);
  };
  const garbage = new Garbage();
  let room: Uint8Array = new Uint8Array(0);
  let store: ObjectStore | undefined;
  /** The one that is open. */
  let folder: Identity | undefined;
  let repository: Repository | undefined;
  let lock: RepositoryLock | undefined;
  // Waiting for something else than the disk is no standing still.
  const stopTicking = clock.every(TICK_MS, () => {
    Atomics.add(cells.operations, 0, 1);
    if (Atomics.load(cells.cancelled, 0) !== 0) cancel.abort(cancelled());
  });

  const opened = (): Repository => {
    if (repository === undefined) throw new BackupError("internal", `${path} is not open`);
    return repository;
  };
  const keyOf = ({ password }: Credentials) => ({
    username: userName(),
    hostname: hostname(),
    password,
    kdf: start.kdf ?? calibrate(clock),
  });
  const storeHere = (): ObjectStore => {
    if (store === undefined) {
      store = openLocalObjectStore(posix, path, writerOf(thisProcess(start.hostId)));
      folder = identityAt(posix, path);
    }
    return store;
  };
  const mayWrite = (): Repository => {
    lock?.signal.throwIfAborted();
    if (Atomics.load(cells.fenced, 0) !== 0 || Atomics.load(cells.cancelled, 0) !== 0) {
      throw cancelled();
    }
    return opened();
  };

  return {
    inspect: (): RepositoryInspection => inspectRepository(posix, path),

    /** Files of a new repository, made in memory. */
    async newFiles(
      { credentials }: { credentials: Credentials },
    ): Promise<NewFiles> {
      const memory = new MemoryObjectStore();
      await initRepositories([memory], kernels, clock, {
        ...keyOf(credentials),
      });
      return await filesOf(memory);
    },

    /** Files of one whose making was cut off here. */
    async begunFiles({ credentials }: { credentials: Credentials }): Promise<NewFiles> {
      if (!exists(posix, path)) return [];
      return [...await finishRepository(storeHere(), kernels, credentials) ?? []];
    },

    /** Files that make a replica of the repository that is open. */
    keyFiles: (): Promise<NewFiles> => filesOf(opened().store),

    /** Makes the folder, when it is missing, and the repository in it. */
    async create({ files, credentials, own }: CreateRequest): Promise<RepositoryFacts> {
      const memory = new MemoryObjectStore();
      for (const [name, bytes] of files) await memory.put(name, [bytes]);
      const like = await openRepository(memory, kernels, credentials);
      makeLeaf(posix, path);
      await removeLeftoversOfDead(storeHere(), thisProcess(start.hostId), isProcessAlive);
      [repository] = own.password === credentials.password
        ? await addReplicas(like, [storeHere()])
        : [await addReplicaWithKey(like, storeHere(), clock, keyOf(own))];
      return factsOf(opened());
    },

    async open({ credentials, expectedId }: OpenRepositoryRequest): Promise<RepositoryFacts> {
      repository = await openRepository(storeHere(), kernels, credentials);
      if (expectedId !== undefined && repository.config.id !== expectedId) {
        throw new BackupError("destination_lost", `Another repository is at ${path} now`, { path });
      }
      return factsOf(repository);
    },

    /** Shared, as restic's of a backup. */
    async lock({ waitMs }: LockRequest): Promise<void> {
      lock = await lockRepository(
        opened(),
        lockContextOfThisProcess(clock, start.hostId),
        { waitMs, signal: cancel.signal },
      );
    },

    async put({ name, bytes }: PutRequest): Promise<void> {
      const { store } = mayWrite();
      await pay(bytes.length);
      await store.put(name, [bytes]);
      cells.bytes[0]! += bytes.length;
    },

    async check({ name }: { name: string }): Promise<CheckedObject> {
      const { bytes, fromDisk } = await opened().store.readBack(name, PACK_MAX_BYTES, room);
      // One pack's memory for all of them, which is a gigabyte of garbage less.
      if (bytes.length > room.length && bytes.length <= ROOM_MAX_BYTES) {
        const roomBytes = Math.max(bytes.length, ROOM_LEAST_BYTES) + ROOM_MORE_BYTES;
        room = new Uint8Array(pagedMemory(roomBytes), 0, roomBytes);
      }
      await pay(bytes.length);
      cells.bytes[0]! += bytes.length;
      return { isGood: name.endsWith(`/${idOf(bytes)}`), fromDisk };
    },

    /** As `check`, and it may come from the page cache. */
    async isWhole({ name }: { name: string }): Promise<boolean> {
      const { store } = opened();
      try {
        return name.endsWith(`/${idOf(await store.get(name, PACK_MAX_BYTES, room))}`);
      } catch (thrown) {
        const isGone = thrown instanceof BackupError &&
          (thrown.code === "io" || thrown.code === "not_found" || thrown.code === "damaged");
        if (isGone) return false;
        throw thrown;
      }
    },

    async replace({ packs, snapshot }: ReplaceRequest): Promise<void> {
      const here = mayWrite();
      const wrong = new Set(packs);
      await here.remove("snapshot", snapshot);
      // The lists before the packs: what is listed is there.
      for (const { id } of await here.list("index")) {
        const listed = [...decodeIndex(await here.load("index", id), here.pathOf("index", id))];
        const right = listed.filter((pack) => !wrong.has(pack.id));
        if (right.length === listed.length) continue;
        if (right.length > 0) await here.save("index", encodeIndex(right));
        await here.remove("index", id);
      }
      for (const id of packs) await here.remove("pack", id);
    },

    /** What was stored where the path leads no more is no backup there. @throws {BackupError} `destination_lost` */
    stillThere(): void {
      const now = identityAt(posix, path);
      if (now !== undefined && now === folder && holdsConfig(posix, path)) return;
      throw new BackupError("destination_lost", `${path} is not there any more`, {
        path,
        hint: "Connect it again and run the same command: what is safe there is not stored again",
      });
    },

    /** For another replica, in shared memory. @throws {BackupError} also when its bytes are not what its name says */
    async lend({ name, room }: LendRequest): Promise<Uint8Array> {
      const into = new Uint8Array(room, 0, room.byteLength);
      const { bytes } = await opened().store.readBack(name, PACK_MAX_BYTES, into);
      if (!name.endsWith(`/${idOf(bytes)}`)) {
        throw new BackupError("damaged", `${path}/${name} is damaged: its SHA-256 is not its name`);
      }
      if (bytes.buffer === room) return bytes;
      const shared = new Uint8Array(pagedMemory(bytes.length), 0, bytes.length);
      shared.set(bytes);
      return shared;
    },

    async store(call: StoreCall): Promise<unknown> {
      const result = await carryOut(opened().store, call);
      if (!(result instanceof Uint8Array)) return result;
      // A part of its memory is copied, and the rest waits for a collection.
      garbage.made(result.length);
      return new Moved(result);
    },

    async unlock(): Promise<void> {
      const held = lock;
      lock = undefined;
      await held?.release();
    },

    async close(): Promise<void> {
      try {
        await lock?.release();
      } finally {
        lock = undefined;
        stopTicking();
        store?.close();
        store = undefined;
      }
    },
  };
}

function inspectRepository(posix: Posix, path: string): RepositoryInspection {
  const { exists, ancestors, freeBytes, device, destinationId } = inspect(posix, path, []);
  const holdsCopies = destinationId !== undefined;
  const found = { exists, ancestors, freeBytes, device: device ?? "", holdsCopies };
  if (!exists) return { ...found, isRepository: false, isVacant: true };
  const root = posix.openRoot(cName(path));
  if (root < 0) throw posixError(root, "open destination", path);
  try {
    const isRepository = posix.statAt(root, cName("config"), newStat()) >= 0;
    const names = posix.list(root);
    if (typeof names === "number") throw posixError(names, "list", path);
    return {
      ...found,
      isRepository,
      isVacant: names.every((name) => NOBODYS.has(name) || isTemporary(name)),
    };
  } finally {
    posix.closeDirectory(root);
  }
}

function identityAt(posix: Posix, path: string): Identity | undefined {
  const root = posix.openRoot(cName(path));
  if (root < 0) return undefined;
  const identity = identityOf(posix, root);
  posix.closeDirectory(root);
  return identity;
}

function holdsConfig(posix: Posix, path: string): boolean {
  const root = posix.openRoot(cName(path));
  if (root < 0) return false;
  const result = posix.statAt(root, cName("config"), newStat());
  posix.closeDirectory(root);
  return result >= 0;
}

function exists(posix: Posix, path: string): boolean {
  const root = posix.openRoot(cName(path));
  if (root >= 0) posix.closeDirectory(root);
  return root >= 0;
}

function makeLeaf(posix: Posix, path: string): void {
  const root = posix.openRoot(cName(path));
  if (root >= 0) return posix.closeDirectory(root);
  if (root !== -ENOENT) throw posixError(root, "open destination", path);
  const above = posix.openRoot(cName(path.replace(/\/+[^/]*$/, "") || "/"));
  if (above < 0) throw posixError(above, "open the folder above", path);
  try {
    const made = posix.makeDirectory(above, cName(path.slice(path.lastIndexOf("/") + 1)), 0o700);
    if (made < 0 && made !== -EEXIST) throw posixError(made, "create", path);
    posix.flushDirectory(above);
  } finally {
    posix.closeDirectory(above);
  }
}

async function filesOf(store: ObjectStore): Promise<NewFiles> {
  const files: NewFiles = [];
  for (const { name } of await store.list("keys")) {
    files.push([name, await store.get(name, KEY_AND_CONFIG_MAX_BYTES)]);
  }
  files.push(["config", await store.get("config", KEY_AND_CONFIG_MAX_BYTES)]);
  return files;
}

function factsOf({ config, keyId, master }: Repository): RepositoryFacts {
  const { encrypt, macK, macR } = master;
  const secrets = idOf(new Uint8Array([...encrypt, ...macK, ...macR]));
  return {
    config,
    opened: { keyId, master },
    replicaId: `${config.id} ${config.polynomial.toString(16)} ${secrets}`,
  };
}

function cancelled(): BackupError {
  return new BackupError("cancelled", "Cancelled");
}
