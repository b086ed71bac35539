/**
 * What stands in the replicas of one repository: one index over all of them, and what each lacks. Rule: a list that several have is
 * read once, from whoever answers first, so that a slow replica costs no more than the names of its files.
 */
import type { Clock } from "../../../protocol/base/clock.ts";
import { asBackupError, BackupError } from "../../../protocol/base/errors.ts";
import { Garbage } from "../../platform/garbage.ts";
import type { TakeRoom } from "../../kernels/mod.ts";
import {
  BlobIndex,
  decodeSnapshot,
  INDEX_BYTES_A_BLOB,
  IndexColumns,
  keptRoom,
  Repository,
  type StoredSnapshot,
} from "../../repository/mod.ts";
import { hedgedStore } from "./hedged_store.ts";

export interface Replica {
  destination: string;
  repository: Repository;
}

type ListType = "index" | "snapshot";

/** Names of one kind of lists, by replica. */
class Lists {
  /** Who has it, quickest first. */
  readonly holders = new Map<string, Replica[]>();
  /** Of all of them, each once. */
  storedBytes = 0;
  readonly #type: ListType;

  constructor(type: ListType) {
    this.#type = type;
  }

  async addOf(replica: Replica): Promise<void> {
    for (const { id, sizeBytes } of await replica.repository.list(this.#type)) {
      const holders = this.holders.get(id);
      if (holders === undefined) {
        this.holders.set(id, [replica]);
        this.storedBytes += sizeBytes;
      } else holders.push(replica);
    }
  }

  /** What only this one has is no list of the others. */
  leaveOut(replica: Replica): void {
    for (const [id, holders] of this.holders) {
      const left = holders.filter((holder) => holder !== replica);
      if (left.length > 0) this.holders.set(id, left);
      else this.holders.delete(id);
    }
  }

  /** The plain JSON of one, from the first that has it whole. `any`: all replicas as one. */
  async read(
    id: string,
    any: Repository,
    room?: TakeRoom,
  ): Promise<{ json: Uint8Array; path: string }> {
    let failure: BackupError | undefined;
    const holders = this.holders.get(id)!.map(({ repository }) => repository);
    for (const repository of [any, ...holders]) {
      try {
        const json = await repository.load(this.#type, id, room);
        return { json, path: repository.pathOf(this.#type, id) };
      } catch (thrown) {
        failure ??= asBackupError(thrown);
      }
    }
    throw failure!;
  }
}

export interface ReplicaLists {
  /** Those whose lists could be read. */
  replicas: Replica[];
  lost: { replica: Replica; error: BackupError }[];
  /** Over all replicas. */
  index: BlobIndex;
  snapshots: Map<string, StoredSnapshot>;
  /** Packs in the index whose blobs are not all at a replica, by destination. */
  missing: Map<string, Set<string>>;
  /** What a replica has of its own, where that is not everything. */
  own: Map<string, BlobIndex>;
  /** Snapshots that cannot be read, a sentence each. */
  warnings: string[];
}

/** Nobody waits for the content of a list that another replica can give. */
export async function readReplicaLists(
  all: readonly Replica[],
  clock: Clock,
): Promise<ReplicaLists> {
  const snapshots = new Lists("snapshot");
  const indexes = new Lists("index");
  let replicas: Replica[] = [];
  const lost: ReplicaLists["lost"] = [];
  await Promise.all(all.map(async (replica) => {
    try {
      // Snapshots first: what they need is in the lists that are read after them.
      await snapshots.addOf(replica);
      await indexes.addOf(replica);
      replicas.push(replica);
    } catch (thrown) {
      lost.push({ replica, error: asBackupError(thrown) });
    }
  }));
  let any: Repository | undefined;
  let read: ReadIndexes | UnreadIndex;
  do {
    any = oneOf(replicas.map(({ repository }) => repository), clock);
    read = await readIndexes(replicas, indexes, any);
    if (!("error" in read)) continue;
    // What they list nobody knows: the others go on without them.
    for (const replica of read.holders) {
      lost.push({ replica, error: read.error });
      snapshots.leaveOut(replica);
      indexes.leaveOut(replica);
    }
    const { holders } = read;
    replicas = replicas.filter((replica) => !holders.includes(replica));
  } while ("error" in read);
  const { index, own } = read;
  const found = new Map<string, StoredSnapshot>();
  const warnings: string[] = [];
  for (const id of snapshots.holders.keys()) {
    try {
      const { json, path } = await snapshots.read(id, any!);
      found.set(id, { id, ...decodeSnapshot(json, path) });
    } catch (thrown) {
      const { code, message } = asBackupError(thrown);
      // One that cannot be read is none to compare with; it keeps nobody from making another.
      if (code !== "damaged" && code !== "not_found") throw thrown;
      if (code === "damaged") warnings.push(message);
    }
  }
  const missing = new Map([...own].map(([key, here]) => [key, missingAt(index, here)] as const));
  return { replicas, lost, index, snapshots: found, missing, own, warnings };
}

interface ReadIndexes {
  index: BlobIndex;
  own: Map<string, BlobIndex>;
}

/** One that none of its holders has whole. */
interface UnreadIndex {
  holders: readonly Replica[];
  error: BackupError;
}

async function readIndexes(
  replicas: readonly Replica[],
  indexes: Lists,
  any: Repository | undefined,
): Promise<ReadIndexes | UnreadIndex> {
  const index = new BlobIndex();
  const own = new Map<string, BlobIndex>();
  const isWhole = (replica: Replica) =>
    [...indexes.holders.values()].every((holders) => holders.includes(replica));
  for (const replica of replicas) {
    if (!isWhole(replica)) own.set(replica.destination, new BlobIndex());
  }
  index.reserve(indexes.storedBytes / INDEX_BYTES_A_BLOB);
  const columns = new IndexColumns();
  const room = keptRoom();
  const garbage = new Garbage();
  for (const [id, holders] of indexes.holders) {
    try {
      const { json, path } = await indexes.read(id, any!, room);
      columns.read(json, path);
      // As it was stored, on its way from the thread that reads it to where it is opened.
      garbage.made(json.length);
    } catch (thrown) {
      const error = asBackupError(thrown);
      if (error.code === "cancelled") throw error;
      return { holders, error };
    }
    for (const one of [index, ...holders.flatMap((holder) => own.get(holder.destination) ?? [])]) {
      one.addColumns(columns, columns.packIds.map((packId) => one.addPack(packId)));
    }
  }
  return { index, own };
}

/** Undefined without any. */
function oneOf(repositories: readonly Repository[], clock: Clock): Repository | undefined {
  const [first] = repositories;
  if (first === undefined) return undefined;
  const { kernels, config, keyId, master } = first;
  const store = hedgedStore(repositories.map((one) => one.store), clock);
  return new Repository(store, kernels, config, { keyId, master });
}

function missingAt(all: BlobIndex, here: BlobIndex): Set<string> {
  const missing = new Set<string>();
  for (let row = 0; row < all.rowCount; row++) {
    const pack = all.packId(all.packOf(row));
    if (missing.has(pack)) continue;
    if (!here.has(all.typeOf(row), all.idOf(row))) missing.add(pack);
  }
  return missing;
}

export function withoutPacks(index: BlobIndex, packs: ReadonlySet<string>): BlobIndex {
  const kept = new BlobIndex();
  for (let row = 0; row < index.rowCount; row++) {
    const pack = index.packId(index.packOf(row));
    if (!packs.has(pack)) kept.add(kept.addPack(pack), index.blob(row));
  }
  return kept;
}
