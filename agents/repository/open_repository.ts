/**
 * Making and opening repositories. Rule: nothing is written where a repository is; those made together are replicas, with one
 * master key, one configuration and so the same bytes everywhere.
 */
import type { Clock } from "../../protocol/base/clock.ts";
import { BackupError, IntegrityError } from "../../protocol/base/errors.ts";
import type { ObjectStore } from "../destinations/object_store.ts";
import type { Kernels } from "../kernels/mod.ts";
import type { KdfParameters } from "./kdf.ts";
import { encodeKeyFile, type KeyOwner, newMasterKey } from "./key_file.ts";
import { KEY_MAX_BYTES, openWithPassword } from "./keys.ts";
import { CONFIG_NAME, folderOf, idOfObject, objectName, REPAIR_HINT } from "./layout.ts";
import { idOf } from "./object_id.ts";
import { type OpenedKey, Repository } from "./repository.ts";
import {
  decodeConfig,
  encodeConfig,
  newConfig,
  type RepositoryVersion,
} from "./repository_config.ts";
import { type KeyMaterial, SealingKey } from "./sealing_key.ts";

const CONFIG_MAX_BYTES = 1 << 20;

export interface Credentials {
  password: string;
  /** The beginning of the id of the key to try first. */
  keyHint?: string;
}

/** @throws {BackupError} `destination_missing` (no repository there), `wrong_key`, `damaged`, `newer_version` */
export async function openRepository(
  store: ObjectStore,
  kernels: Kernels,
  { password, keyHint }: Credentials,
): Promise<Repository> {
  await requireConfig(store);
  const opened = await openWithPassword(store, kernels, password, keyHint);
  return openWithKey(store, kernels, opened);
}

/** For a replica, whose master key is known from another. */
export async function openWithKey(
  store: ObjectStore,
  kernels: Kernels,
  opened: OpenedKey,
): Promise<Repository> {
  await requireConfig(store);
  const path = `${store.display}/${CONFIG_NAME}`;
  const sealed = await store.get(CONFIG_NAME, CONFIG_MAX_BYTES);
  const plain = new SealingKey(kernels, opened.master).open(sealed);
  if (plain === undefined) {
    throw new IntegrityError(`${path} is damaged, or of another repository than its keys`, {
      path,
      hint: REPAIR_HINT,
    });
  }
  return new Repository(store, kernels, decodeConfig(plain, path), opened);
}

export async function isRepository(store: ObjectStore): Promise<boolean> {
  return await store.stat(CONFIG_NAME) !== undefined;
}

export interface NewRepository extends KeyOwner {
  password: string;
  kdf: KdfParameters;
  version?: RepositoryVersion;
}

/**
 * Makes a repository in each of the stores, as replicas. The configuration comes last: before it there is no repository.
 * @throws {BackupError} `rejected` when one of them has a repository; nothing is written then
 */
export async function initRepositories(
  stores: readonly ObjectStore[],
  kernels: Kernels,
  clock: Clock,
  options: NewRepository,
): Promise<Repository[]> {
  const master = newMasterKey();
  const config = newConfig(options.version);
  const keyBytes = encodeKeyFile(kernels, clock, { ...options, master });
  const keyId = idOf(keyBytes);
  const sealed = new SealingKey(kernels, master).seal(encodeConfig(config));
  await writeRepositories(stores, new Map([[keyId, keyBytes]]), sealed);
  return stores.map((store) => new Repository(store, kernels, config, { keyId, master }));
}

/**
 * The files of a repository whose making was cut off between its key and its configuration, with a new one of these. Nothing
 * that is there is changed. Undefined unless there are keys and the password opens one.
 */
export async function finishRepository(
  store: ObjectStore,
  kernels: Kernels,
  { password }: Credentials,
  version?: RepositoryVersion,
): Promise<Map<string, Uint8Array> | undefined> {
  if (await isRepository(store)) return undefined;
  const files = new Map<string, Uint8Array>();
  for (const { name } of await store.list("keys")) {
    if (idOfObject("key", name) !== undefined) {
      files.set(name, await store.get(name, KEY_MAX_BYTES));
    }
  }
  if (files.size === 0) return undefined;
  await refuseContent(store);
  try {
    const { master } = await openWithPassword(store, kernels, password, undefined);
    const config = encodeConfig(newConfig(version));
    return files.set(CONFIG_NAME, new SealingKey(kernels, master).seal(config));
  } catch (error) {
    // Somebody else's, or damaged: whoever makes a repository there says so.
    if (error instanceof BackupError) return undefined;
    throw error;
  }
}

/** Makes replicas of an existing repository, with its keys and without its content. */
export async function addReplicas(
  repository: Repository,
  stores: readonly ObjectStore[],
): Promise<Repository[]> {
  const keys = new Map<string, Uint8Array>();
  for (const { id } of await repository.list("key")) {
    keys.set(id, await repository.store.get(objectName("key", id), KEY_MAX_BYTES));
  }
  const sealed = await repository.store.get(CONFIG_NAME, CONFIG_MAX_BYTES);
  await writeRepositories(stores, keys, sealed);
  const { kernels, keyId, master } = repository;
  return await Promise.all(stores.map((store) => openWithKey(store, kernels, { keyId, master })));
}

/**
 * Makes a replica that has a password of its own and no other. What a making of it that was cut off has left there is taken up.
 * @throws {BackupError} `rejected` when it has a configuration, or keys that the password does not open
 */
export async function addReplicaWithKey(
  repository: Repository,
  store: ObjectStore,
  clock: Clock,
  key: KeyOwner & { password: string; kdf: KdfParameters },
): Promise<Repository> {
  const { kernels, master } = repository;
  const keys = await begunKeys(repository, store, key.password);
  if (keys.size === 0) {
    const bytes = encodeKeyFile(kernels, clock, { ...key, master });
    keys.set(idOf(bytes), bytes);
  }
  const sealed = await repository.store.get(CONFIG_NAME, CONFIG_MAX_BYTES);
  await writeRepositories([store], keys, sealed);
  return await openRepository(store, kernels, { password: key.password });
}

/** Keys of this very repository, in a place that has no configuration yet. */
async function begunKeys(
  { kernels, master }: Repository,
  store: ObjectStore,
  password: string,
): Promise<Map<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>();
  for (const { name } of await store.list("keys")) {
    const id = idOfObject("key", name);
    if (id !== undefined) found.set(id, await store.get(name, KEY_MAX_BYTES));
  }
  if (found.size === 0) return found;
  try {
    const opened = await openWithPassword(store, kernels, password);
    return isSameMaster(opened.master, master) ? found : new Map();
  } catch (error) {
    if (error instanceof BackupError) return new Map();
    throw error;
  }
}

/** True when packs of one are packs of the other. */
export function areReplicas(a: Repository, b: Repository): boolean {
  return a.config.id === b.config.id && a.config.polynomial === b.config.polynomial &&
    isSameMaster(a.master, b.master);
}

/** Whether another place is known to hold a replica of a repository that is open; false also where that cannot be seen. */
export async function holdsReplica(
  { kernels, keyId, master, config }: Repository,
  store: ObjectStore,
): Promise<boolean> {
  try {
    return (await openWithKey(store, kernels, { keyId, master })).config.id === config.id;
  } catch (error) {
    if (error instanceof BackupError && error.code !== "cancelled") return false;
    throw error;
  }
}

function isSameMaster(a: KeyMaterial, b: KeyMaterial): boolean {
  return (["encrypt", "macK", "macR"] as const).every((part) => idOf(a[part]) === idOf(b[part]));
}

async function writeRepositories(
  stores: readonly ObjectStore[],
  keys: ReadonlyMap<string, Uint8Array>,
  config: Uint8Array,
): Promise<void> {
  for (const store of stores) {
    if (await isRepository(store)) throw exists(store);
    // Keys without a configuration: something was lost, or another is making a repository at this moment.
    const foreign = (await store.list("keys")).some(({ name }) => {
      const id = idOfObject("key", name);
      return id !== undefined && !keys.has(id);
    });
    if (foreign) throw lostConfig(store, "keys");
    await refuseContent(store);
  }
  for (const store of stores) {
    for (const [id, bytes] of keys) await store.put(objectName("key", id), [bytes]);
    await store.put(CONFIG_NAME, [config], { mustBeNew: true });
  }
}

/**
 * The config is written before anything else is, so what has content had one; another would cut it off from its replicas, or make
 * all of it unreadable.
 */
async function refuseContent(store: ObjectStore): Promise<void> {
  for (const type of ["snapshot", "index", "pack"] as const) {
    const files = await store.list(folderOf(type));
    if (files.some(({ name }) => idOfObject(type, name) !== undefined)) {
      throw lostConfig(store, type === "index" ? "an index" : `${type}s`);
    }
  }
}

function lostConfig(store: ObjectStore, what: string): BackupError {
  const path = store.display;
  return new BackupError(
    "rejected",
    `${path} has ${what} and no config: a repository that lost it`,
    {
      path,
      hint:
        "From a replica repair restic:PATH --from restic:OTHER puts it back; otherwise take an empty folder",
    },
  );
}

async function requireConfig(store: ObjectStore): Promise<void> {
  if (await isRepository(store)) return;
  throw new BackupError("destination_missing", `${store.display} is no repository: no config`, {
    path: store.display,
    hint: "Check the path, or make one with init",
  });
}

function exists(store: ObjectStore): BackupError {
  return new BackupError("rejected", `${store.display} is a repository already`, {
    path: store.display,
  });
}
