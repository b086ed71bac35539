/** Which snapshots a person means. Rule: restic's words: `latest`, the beginning of an id, `ID:/folder`, host, tag and path. */
import { BackupError } from "../../protocol/base/errors.ts";
import type { CommandCall } from "../../protocol/cli/command.ts";
import type { OptionKey } from "../../protocol/cli/options.ts";
import {
  type BlobSource,
  decodeTree,
  loadSnapshot,
  loadSnapshots,
  type Repository,
  showBytes,
  type StoredSnapshot,
  utf8ByteString,
} from "../repository/mod.ts";

export const LATEST = "latest";

/** Options of commands that look at some snapshots only; what a backup notes by its configuration filters nothing. */
export const FILTER_OPTIONS = [
  "snapshotHost",
  "tag",
  "path",
] as const satisfies readonly OptionKey[];

export interface SnapshotFilter {
  hosts: readonly string[];
  /** Any of the lists, all tags of it. */
  tags: readonly (readonly string[])[];
  /** All of them. */
  paths: readonly string[];
}

export function filterOf({ settings }: Pick<CommandCall, "settings">): SnapshotFilter {
  return {
    hosts: settings.get("snapshotHost").value,
    tags: tagLists(settings.get("tag").value),
    paths: settings.get("path").value,
  };
}

/** Commas join tags that a snapshot must have all of. */
export function tagLists(texts: readonly string[]): string[][] {
  return texts.map((text) => text.split(",").filter((tag) => tag !== ""));
}

export function isEmptyFilter({ hosts, tags, paths }: SnapshotFilter): boolean {
  return hosts.length + tags.length + paths.length === 0;
}

export function passes(filter: SnapshotFilter, snapshot: StoredSnapshot): boolean {
  const { hosts, tags, paths } = filter;
  return (hosts.length === 0 || hosts.includes(snapshot.hostname ?? "")) &&
    (tags.length === 0 ||
      tags.some((list) => list.every((tag) => snapshot.tags?.includes(tag) === true))) &&
    paths.every((path) => snapshot.paths.includes(path));
}

/** `ID`, `latest`, each with `:/folder` or without. */
export function parseSnapshotWord(text: string): { id: string; folder: string } {
  const at = text.indexOf(":");
  return at < 0 ? { id: text, folder: "" } : { id: text.slice(0, at), folder: text.slice(at + 1) };
}

export interface FindEvents {
  tell(message: string): void;
  failed?(error: BackupError): void;
  /** A snapshot that no replica has whole: it may have been the one that is meant. */
  unread?(id: string): void;
}

/**
 * A replica that came late may lack it: the newest of all is the latest. `failed` hears what each replica without it says,
 * and may throw. @throws {BackupError} the first of those, when none has it
 */
export async function findInReplicas(
  replicas: readonly { repository: Repository }[],
  id: string,
  filter: SnapshotFilter,
  { tell, failed, unread }: FindEvents,
): Promise<StoredSnapshot> {
  let failure: unknown;
  const found: StoredSnapshot[] = [];
  const damaged = new Set<string>();
  for (const { repository } of replicas) {
    try {
      found.push(
        await chooseSnapshot(repository, id, filter, (error, id) => {
          tell(error.message);
          damaged.add(id);
        }),
      );
    } catch (error) {
      if (!(error instanceof BackupError)) throw error;
      failure ??= error;
      failed?.(error);
    }
  }
  if (found.length === 0) throw failure;
  for (const id of damaged) if (!await canBeRead(replicas, id)) unread?.(id);
  return found.reduce((best, one) => Date.parse(one.time) > Date.parse(best.time) ? one : best);
}

async function canBeRead(
  replicas: readonly { repository: Repository }[],
  id: string,
): Promise<boolean> {
  for (const { repository } of replicas) {
    try {
      await loadSnapshot(repository, id);
      return true;
    } catch (error) {
      if (!(error instanceof BackupError)) throw error;
    }
  }
  return false;
}

/**
 * The one snapshot that is meant. Damaged ones go to `onDamage`, and count for nothing unless one of them is meant.
 * @throws {BackupError} `not_found`, `damaged`; `usage` when the id's beginning is that of several
 */
export async function chooseSnapshot(
  repository: Repository,
  id: string,
  filter: SnapshotFilter,
  onDamage: (error: BackupError, id: string) => void,
): Promise<StoredSnapshot> {
  if (id !== LATEST) {
    if (!/^[0-9a-f]{1,64}$/.test(id)) {
      throw new BackupError("usage", `${id} is neither the beginning of an id nor latest`);
    }
    return await loadSnapshot(repository, await repository.find("snapshot", id));
  }
  const all = await loadSnapshots(repository, (id, error) => onDamage(error, id));
  const found = all.findLast((snapshot) => passes(filter, snapshot));
  if (found !== undefined) return found;
  throw new BackupError(
    "not_found",
    isEmptyFilter(filter)
      ? `There is no snapshot in ${repository.store.display}`
      : `No snapshot in ${repository.store.display} is of that host, tag and path`,
    { path: repository.store.display },
  );
}

/** The tree of a folder within a tree. @throws {BackupError} `not_found` */
export async function treeOfFolder(
  reader: BlobSource,
  tree: string,
  folder: string,
): Promise<string> {
  let at = tree;
  for (const name of folder.split("/").map(utf8ByteString)) {
    if (name === "") continue;
    const nodes = decodeTree(await reader.load("tree", at), `The tree of ${folder}`);
    const node = nodes.find((entry) => entry.name === name);
    if (node?.type !== "dir" || node.subtree === undefined) {
      throw new BackupError("not_found", `The snapshot has no folder ${showBytes(folder)}`);
    }
    at = node.subtree;
  }
  return at;
}
