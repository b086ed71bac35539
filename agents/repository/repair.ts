/**
 * A replica made whole from others. Rule: no key is needed, since files are named by their hash; a file is replaced only by bytes
 * that have its name, and the others are only read.
 */
import { BackupError, IntegrityError } from "../../protocol/base/errors.ts";
import type { ObjectStore } from "../destinations/object_store.ts";
import { KEY_MAX_BYTES } from "./keys.ts";
import { CONFIG_NAME, type FileType, folderOf, idOfObject, objectName } from "./layout.ts";
import { idOf } from "./object_id.ts";
import { UNPACKED_MAX_BYTES } from "./repository.ts";
import { PACK_MAX_BYTES } from "./verify_pack.ts";

export interface RepairOptions {
  /** Ids of packs that must be there; others that are missing may have been forgotten.  */
  packs?: Iterable<string>;
  /** Only these are read and compared; all by default. */
  only?: { type: FileType; id: string }[];
  onFile?(name: string, outcome: RepairOutcome): void;
  signal?: AbortSignal;
}

/** `lost`: damaged or missing, and no replica has it whole. */
export type RepairOutcome = "whole" | "repaired" | "lost";

export interface RepairCounts {
  whole: number;
  repaired: string[];
  lost: string[];
}

const TYPES: readonly FileType[] = ["key", "snapshot", "index", "pack"];

/** Reads every file of `target` and puts right what does not hash to its name. */
export async function repairReplica(
  target: ObjectStore,
  sources: readonly ObjectStore[],
  options: RepairOptions = {},
): Promise<RepairCounts> {
  const counts: RepairCounts = { whole: 0, repaired: [], lost: [] };
  const tell = (name: string, outcome: RepairOutcome) => {
    if (outcome === "whole") counts.whole++;
    else counts[outcome].push(name);
    options.onFile?.(name, outcome);
  };
  if (options.only === undefined && await target.stat(CONFIG_NAME) === undefined) {
    tell(CONFIG_NAME, await copyConfig(target, sources) ? "repaired" : "lost");
  }
  for await (const { type, id } of filesToRead(target, options)) {
    options.signal?.throwIfAborted();
    const name = objectName(type, id);
    if (await readWhole(target, type, id) !== undefined) tell(name, "whole");
    else tell(name, await repairFile(target, sources, type, id) ? "repaired" : "lost");
  }
  return counts;
}

async function* filesToRead(target: ObjectStore, options: RepairOptions) {
  if (options.only !== undefined) {
    yield* options.only;
    return;
  }
  const missing = new Set(options.packs ?? []);
  for (const type of TYPES) {
    for (const { name } of await target.list(folderOf(type))) {
      const id = idOfObject(type, name);
      if (id === undefined) continue;
      if (type === "pack") missing.delete(id);
      yield { type, id };
    }
  }
  for (const id of missing) yield { type: "pack" as const, id };
}

/** True when a replica had it. */
async function repairFile(
  target: ObjectStore,
  sources: readonly ObjectStore[],
  type: FileType,
  id: string,
): Promise<boolean> {
  for (const source of sources) {
    const bytes = await readWhole(source, type, id);
    if (bytes === undefined) continue;
    await target.put(objectName(type, id), [bytes]);
    if (await readWhole(target, type, id) !== undefined) return true;
    const path = `${target.display}/${objectName(type, id)}`;
    throw new IntegrityError(`${path} is damaged again as soon as it is written`, { path });
  }
  return false;
}

/** The bytes when they are whole, read past caches; undefined when they are not, or not there. */
async function readWhole(
  store: ObjectStore,
  type: FileType,
  id: string,
): Promise<Uint8Array | undefined> {
  const maxBytes = type === "pack"
    ? PACK_MAX_BYTES
    : type === "key"
    ? KEY_MAX_BYTES
    : UNPACKED_MAX_BYTES;
  try {
    const { bytes } = await store.readBack(objectName(type, id), maxBytes);
    return idOf(bytes) === id ? bytes : undefined;
  } catch (error) {
    if (error instanceof BackupError && isOfTheFile(error)) return undefined;
    throw error;
  }
}

/** A disk that cannot read one file may well read another. */
function isOfTheFile({ code }: BackupError): boolean {
  return code === "damaged" || code === "not_found" || code === "io";
}

/** The config has no hash for a name: it is copied only where there is none and a key is the same. */
async function copyConfig(target: ObjectStore, sources: readonly ObjectStore[]): Promise<boolean> {
  const keys = new Set((await target.list(folderOf("key"))).map(({ name }) => name));
  for (const source of sources) {
    const isReplica = (await source.list(folderOf("key"))).some(({ name }) => keys.has(name));
    if (!isReplica || await source.stat(CONFIG_NAME) === undefined) continue;
    await target.put(CONFIG_NAME, [await source.get(CONFIG_NAME, 1 << 20)], { mustBeNew: true });
    return true;
  }
  return false;
}
