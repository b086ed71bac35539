/** All index files as one index. Rule: what cannot be read is told, never taken for empty. */
import { IntegrityError } from "../../protocol/base/errors.ts";
import { BlobIndex } from "./blob_index.ts";
import { decodeIndex } from "./index_file.ts";
import type { Repository } from "./repository.ts";

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
): Promise<LoadedIndex> {
  const index = new BlobIndex();
  const files: string[] = [];
  const seenIn = new Map<number, string>();
  const repeated = new Map<string, string[]>();
  for (const { id } of await repository.list("index")) {
    try {
      const json = await repository.load("index", id);
      // Decoded as a whole first, so that a damaged file adds nothing.
      for (const { id: packId, blobs } of [...decodeIndex(json, repository.pathOf("index", id))]) {
        const pack = index.addPack(packId);
        const first = seenIn.get(pack);
        if (first === undefined) seenIn.set(pack, id);
        else repeated.set(packId, [...repeated.get(packId) ?? [first], id]);
        for (const blob of blobs) index.add(pack, blob);
      }
      files.push(id);
    } catch (error) {
      if (!(error instanceof IntegrityError) || onDamage === undefined) throw error;
      onDamage(id, error);
    }
  }
  return { index, files, repeated };
}
