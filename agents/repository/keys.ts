/** The passwords of a repository. Rule: all wrap one master key; the key in use is not removed, and so never the last. */
import type { Clock } from "../../protocol/base/clock.ts";
import { BackupError, IntegrityError } from "../../protocol/base/errors.ts";
import type { ObjectStore } from "../destinations/object_store.ts";
import type { Kernels } from "../kernels/mod.ts";
import type { KdfParameters } from "./kdf.ts";
import {
  decodeKeyFile,
  encodeKeyFile,
  type KeyFile,
  type KeyOwner,
  openKeyFile,
} from "./key_file.ts";
import { folderOf, idOfObject, objectName, REPAIR_HINT } from "./layout.ts";
import { idOf, shortId } from "./object_id.ts";
import type { OpenedKey, Repository } from "./repository.ts";

export const KEY_MAX_BYTES = 1 << 20;
/** As restic: more are not tried, each costs half a second. */
export const KEYS_TRIED_MAX = 20;

export interface ListedKey extends KeyOwner {
  id: string;
  created: string;
  /** The one that opened the repository. */
  isCurrent: boolean;
}

/**
 * The master key by the first key that the password opens; `hint` is the beginning of the id to try first.
 * @throws {BackupError} `wrong_key`; `damaged` when no password could be tried since every key file is damaged
 */
export async function openWithPassword(
  store: ObjectStore,
  kernels: Kernels,
  password: string,
  hint = "",
): Promise<OpenedKey> {
  const ids = await keyIds(store);
  if (hint !== "") ids.sort((a, b) => Number(b.startsWith(hint)) - Number(a.startsWith(hint)));
  let damage: unknown;
  let tried = 0;
  for (const id of ids.slice(0, KEYS_TRIED_MAX)) {
    try {
      const file = await loadKeyFile(store, id);
      tried++;
      const master = openKeyFile(kernels, file, password, pathOf(store, id));
      if (master !== undefined) return { keyId: id, master };
    } catch (error) {
      // Another key may be whole.
      if (!(error instanceof IntegrityError)) throw error;
      damage ??= error;
    }
  }
  if (tried === 0 && damage !== undefined) throw damage;
  if (ids.length === 0) {
    throw new IntegrityError(`${store.display} has no key at all`, {
      path: store.display,
      hint: REPAIR_HINT,
    });
  }
  const also = damage instanceof Error ? ` (and ${damage.message})` : "";
  throw new BackupError("wrong_key", `Wrong password for ${store.display}${also}`, {
    path: store.display,
  });
}

export async function listKeys(repository: Repository): Promise<ListedKey[]> {
  const keys: ListedKey[] = [];
  for (const id of await keyIds(repository.store)) {
    const { username, hostname, created } = await loadKeyFile(repository.store, id);
    keys.push({ id, username, hostname, created, isCurrent: id === repository.keyId });
  }
  return keys;
}

/** One more password; the id of its key. */
export async function addKey(
  repository: Repository,
  clock: Clock,
  key: KeyOwner & { password: string; kdf: KdfParameters },
): Promise<string> {
  const bytes = encodeKeyFile(repository.kernels, clock, { ...key, master: repository.master });
  const id = idOf(bytes);
  await repository.store.put(objectName("key", id), [bytes]);
  // A key that cannot be read back must not be the one a person relies on.
  const file = await loadKeyFile(repository.store, id);
  const path = pathOf(repository.store, id);
  if (openKeyFile(repository.kernels, file, key.password, path) === undefined) {
    throw new IntegrityError(`${path} does not open with its own password`, { path });
  }
  return id;
}

/** Whoever knows the password and once copied the key file keeps access: the master key stays. */
export async function removeKey(repository: Repository, idOrPrefix: string): Promise<string> {
  const id = await repository.find("key", idOrPrefix);
  if (id === repository.keyId) {
    throw new BackupError("usage", `Key ${shortId(id)} is the one in use and cannot be removed`, {
      hint: "Open the repository with another password first",
    });
  }
  await repository.remove("key", id);
  return id;
}

async function keyIds(store: ObjectStore): Promise<string[]> {
  const found = (await store.list(folderOf("key"))).map(({ name }) => idOfObject("key", name));
  return found.filter((id) => id !== undefined).sort();
}

async function loadKeyFile(store: ObjectStore, id: string): Promise<KeyFile> {
  const path = pathOf(store, id);
  const bytes = await store.get(objectName("key", id), KEY_MAX_BYTES);
  if (idOf(bytes) !== id) {
    throw new IntegrityError(`${path} is damaged: its SHA-256 is not its name`, {
      path,
      hint: REPAIR_HINT,
    });
  }
  return decodeKeyFile(bytes, path);
}

function pathOf(store: ObjectStore, id: string): string {
  return `${store.display}/${objectName("key", id)}`;
}
