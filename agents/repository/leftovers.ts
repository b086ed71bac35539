/**
 * Files whose writing was cut off, under the names they had meanwhile. Rule: what a process that may live still writes is left
 * alone: of others goes what a dead process of this machine has left, by its name, and under an exclusive lock everything.
 */
import { BackupError } from "../../protocol/base/errors.ts";
import { isTemporaryOf, type ObjectInfo, WRITER_DIGITS } from "../destinations/object_store.ts";
import { folderOf } from "./layout.ts";
import type { ProcessIdentity } from "./lock_file.ts";
import { idOf } from "./object_id.ts";
import type { Repository } from "./repository.ts";

const TYPES = ["pack", "index", "snapshot", "key", "lock"] as const;

/** What a process's store is opened with, so that its unfinished files are known by its lock. */
export function writerOf({ host, boot, pid, start }: ProcessIdentity): string {
  const text = JSON.stringify(["writer", host, boot, pid, start]);
  return idOf(new TextEncoder().encode(text)).slice(0, WRITER_DIGITS);
}

export async function findLeftovers({ store }: Repository): Promise<ObjectInfo[]> {
  const found: ObjectInfo[] = [];
  for (const type of TYPES) found.push(...await store.leftovers(folderOf(type)));
  return found;
}

/** What that process was writing, which is dead. As far as can be: a prune takes what is left. */
export async function removeLeftoversOf(
  repository: Repository,
  process: ProcessIdentity,
): Promise<void> {
  const writer = writerOf(process);
  try {
    for (const { name } of await findLeftovers(repository)) {
      if (isTemporaryOf(name, writer)) await repository.store.remove(name);
    }
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
  }
}
