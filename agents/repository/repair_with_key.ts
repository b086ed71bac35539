/**
 * What only a key can tell is damaged: the config, which has no hash for a name, and packs that no index lists any more. Rule: a
 * config is taken only from where the same master key opens it, and a key only if it opens the config.
 */
import { BackupError, IntegrityError } from "../../protocol/base/errors.ts";
import type { ObjectStore } from "../destinations/object_store.ts";
import type { Kernels } from "../kernels/mod.ts";
import { encodeIndex, INDEX_BLOBS_MAX, type IndexedPack } from "./index_file.ts";
import { KEY_MAX_BYTES, openWithPassword } from "./keys.ts";
import { CONFIG_NAME, idOfObject, objectName } from "./layout.ts";
import { type LoadedIndex, loadIndex } from "./load_index.ts";
import { type Credentials, openWithKey } from "./open_repository.ts";
import type { Repository } from "./repository.ts";

const CONFIG_MAX_BYTES = 1 << 20;
/** Why a replica has no key for a repository. */
const NO_HELP: ReadonlySet<string> = new Set(["damaged", "destination_missing", "wrong_key"]);

/**
 * Where no key is left: the one of a replica that the password opens, and with it the config here; its name. Undefined where there
 * are keys, or no replica has such a one.
 */
export async function restoreKey(
  target: ObjectStore,
  sources: readonly ObjectStore[],
  kernels: Kernels,
  { password, keyHint }: Credentials,
): Promise<string | undefined> {
  const keys = await target.list("keys");
  if (keys.some(({ name }) => idOfObject("key", name) !== undefined)) return undefined;
  for (const source of sources) {
    try {
      const opened = await openWithPassword(source, kernels, password, keyHint);
      await openWithKey(target, kernels, opened);
      const name = objectName("key", opened.keyId);
      await target.put(name, [await source.get(name, KEY_MAX_BYTES)]);
      return name;
    } catch (error) {
      // Of another repository, damaged too, or with another password.
      if (!(error instanceof BackupError) || !NO_HELP.has(error.code)) throw error;
    }
  }
  return undefined;
}

/** True when a config that was damaged or missing was replaced. @throws {BackupError} when no replica has a whole one */
export async function repairConfig(
  target: ObjectStore,
  sources: readonly ObjectStore[],
  kernels: Kernels,
  { password, keyHint }: Credentials,
): Promise<boolean> {
  const opened = await openWithPassword(target, kernels, password, keyHint);
  try {
    await openWithKey(target, kernels, opened);
    return false;
  } catch (error) {
    const isMissing = error instanceof BackupError && error.code === "destination_missing";
    if (!(error instanceof IntegrityError) && !isMissing) throw error;
    for (const source of sources) {
      try {
        await openWithKey(source, kernels, opened);
      } catch {
        // Of another repository, damaged too, or away.
        continue;
      }
      const config = await source.get(CONFIG_NAME, CONFIG_MAX_BYTES);
      await target.put(CONFIG_NAME, [config], { mustBeNew: isMissing });
      await openWithKey(target, kernels, opened);
      return true;
    }
    throw error;
  }
}

/** Lists packs again that stand in the repository, that a replica's index knows and its own does not. */
export async function restoreIndex(
  repository: Repository,
  sources: readonly ObjectStore[],
  signal?: AbortSignal,
): Promise<{ packs: number; names: string[] }> {
  const { keyId, master, kernels } = repository;
  const known = (await loadIndex(repository, () => {})).index;
  const unlisted = new Set(
    (await repository.list("pack")).map(({ id }) => id)
      .filter((id) => known.packNumber(id) === undefined),
  );
  const restored = { packs: 0, names: [] as string[] };
  const save = async (packs: IndexedPack[]) => {
    if (packs.length === 0) return;
    const id = await repository.save("index", encodeIndex(packs));
    restored.names.push(objectName("index", id));
    restored.packs += packs.length;
  };
  for (const source of sources) {
    if (unlisted.size === 0) break;
    signal?.throwIfAborted();
    let loaded: LoadedIndex;
    try {
      const replica = await openWithKey(source, kernels, { keyId, master });
      if (replica.config.id !== repository.config.id) continue;
      loaded = await loadIndex(replica, () => {});
    } catch {
      // What is no replica, or cannot be read, lists nothing.
      continue;
    }
    const { index } = loaded;
    const { rows, starts } = index.rowsByPack();
    let some: IndexedPack[] = [];
    let blobs = 0;
    for (let pack = 0; pack < index.packCount; pack++) {
      const id = index.packId(pack);
      if (!unlisted.delete(id)) continue;
      const own = rows.subarray(starts[pack], starts[pack + 1]);
      some.push({ id, blobs: Array.from(own, (row) => index.blob(row)) });
      blobs += own.length;
      if (blobs < INDEX_BLOBS_MAX) continue;
      await save(some);
      some = [];
      blobs = 0;
    }
    await save(some);
  }
  return restored;
}
