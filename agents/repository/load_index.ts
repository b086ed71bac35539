/** All index files as one index. Rule: what cannot be read is told, never taken for empty. */
import { IntegrityError } from "../../protocol/base/errors.ts";
import type { TakeRoom } from "../kernels/mod.ts";
import { BlobIndex } from "./blob_index.ts";
import { IndexColumns } from "./index_columns.ts";
import type { Repository } from "./repository.ts";

/** Of an index file as it is stored: an id cannot be compressed, everything else can. */
export const INDEX_BYTES_A_BLOB = 36;

/** Memory for one file after the other: what is in it is read before the next comes. What is larger is given up each time. */
export function keptRoom(maxBytes = Number.POSITIVE_INFINITY): TakeRoom {
  let room = new Uint8Array(0);
  return (bytes) => {
    if (bytes > maxBytes) return new Uint8Array(bytes);
    if (room.length < bytes) room = new Uint8Array(Math.ceil(bytes * 1.25));
    return room;
  };
}

export interface LoadedIndex {
  index: BlobIndex;
  /** Ids of the index files that are in it. */
  files: string[];
  /** Packs that more than one file lists, with the files. */
  repeated: Map<string, string[]>;
}

/**
 * Index files damaged go to `onDamage`; without it, they are thrown. One that is gone meanwhile was replaced by a prune,
 * which holds a lock that keeps out whoever holds one.
 */
export async function loadIndex(
  repository: Repository,
  onDamage?: (id: string, error: IntegrityError) => void,
  index = new BlobIndex(),
): Promise<LoadedIndex> {
  const files: string[] = [];
  const seenIn = new Map<number, string>();
  const repeated = new Map<string, string[]>();
  const columns = new IndexColumns();
  const room = keptRoom();
  const listed = await repository.list("index");
  index.reserve(listed.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) / INDEX_BYTES_A_BLOB);
  for (const { id } of listed) {
    try {
      // Read as a whole first, so that a damaged file adds nothing.
      const json = await repository.load("index", id, room);
      columns.read(json, repository.pathOf("index", id));
      const packs = columns.packIds.map((packId) => {
        const pack = index.addPack(packId);
        const first = seenIn.get(pack);
        if (first === undefined) seenIn.set(pack, id);
        else if (first !== id) repeated.set(packId, [...repeated.get(packId) ?? [first], id]);
        return pack;
      });
      index.addColumns(columns, packs);
      files.push(id);
    } catch (error) {
      if (!(error instanceof IntegrityError) || onDamage === undefined) throw error;
      onDamage(id, error);
    }
  }
  return { index, files, repeated };
}
