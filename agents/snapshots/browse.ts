/**
 * A repository for somebody who looks around in it: its snapshots as folders, what is in them, one file's content. Rule:
 * nothing is written there, not even a lock; every blob is checked by its id before anybody sees it.
 */
import type * as v from "valibot";
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import type { Clock } from "../../protocol/base/clock.ts";
import type { StoredEntry } from "../../protocol/mesh/place_methods.ts";
import type { ObjectStore } from "../destinations/object_store.ts";
import type { Kernels } from "../kernels/mod.ts";
import {
  type BlobReader,
  type Credentials,
  decodeTree,
  type Instant,
  loadSnapshots,
  openRepository,
  parseTime,
  type Repository,
  shortId,
  showBytes,
  timeOf,
  type TreeNode,
  utf8ByteString,
} from "../repository/mod.ts";
import { globMatcher } from "../strategies/mirror/restore/glob.ts";
import { openBlobGroup } from "./blob_group.ts";
import { listedLine } from "./entry_forms.ts";
import { chooseSnapshot, treeOfFolder } from "./snapshot_choice.ts";
import { walkSnapshot } from "./walk_snapshot.ts";

type Entry = v.InferOutput<typeof StoredEntry>;

export interface RepositoryBrowser {
  /** What cannot be read, a sentence each. */
  readonly problems: string[];
  /** `at`: nothing, or a snapshot's id and a path in it: `1a2b3c4d/home/me`. */
  list(at: string): Promise<Entry[]>;
  /** In the newest snapshots first; ends when `wants` says so. */
  search(pattern: string, ignoreCase: boolean, wants: (entry: Entry) => boolean): Promise<void>;
  /** @throws {BackupError} `not_found` for what is no file */
  open(entry: string): Promise<{ sizeBytes: number; pieces: AsyncGenerator<Uint8Array> }>;
  close(): void;
}

const NO_FILTER = { hosts: [], tags: [], paths: [] };

/** Closes the store, whatever happens. @throws {BackupError} `destination_missing`, `wrong_key`, `damaged` */
export async function openRepositoryBrowser(deps: {
  store: ObjectStore;
  kernels: Kernels;
  credentials: Credentials;
  clock: Clock;
  signal: AbortSignal;
}): Promise<RepositoryBrowser> {
  const { store, kernels, credentials, clock, signal } = deps;
  const problems: string[] = [];
  const tell = (error: unknown): void => void problems.push(asBackupError(error).message);
  try {
    const repository = await openRepository(store, kernels, credentials);
    let reader: BlobReader | undefined;
    // The list of snapshots needs no index, which is the larger part.
    const blobs = async () =>
      reader ??= (await openBlobGroup(
        [{ address: { key: store.display, path: store.display }, repository }],
        clock,
        (message) => void problems.push(message),
      )).reader;
    return {
      problems,
      list: (at) => list(repository, blobs, at, tell),
      search: (pattern, ignoreCase, wants) =>
        search(repository, blobs, { pattern, ignoreCase, wants, tell, signal }),
      async open(entry) {
        const node = await findNode(repository, await blobs(), entry);
        if (node?.type !== "file") {
          throw new BackupError("not_found", `${entry} is no file that is stored there`);
        }
        return { sizeBytes: node.sizeBytes ?? 0, pieces: piecesOf(await blobs(), node) };
      },
      close: () => store.close(),
    };
  } catch (thrown) {
    store.close();
    throw thrown;
  }
}

async function list(
  repository: Repository,
  blobs: () => Promise<BlobReader>,
  at: string,
  tell: (error: unknown) => void,
): Promise<Entry[]> {
  const { id, folder } = split(at);
  if (id === "") {
    const all = await loadSnapshots(repository, (_, error) => tell(error));
    return all.reverse().map((snapshot) => ({
      path: shortId(snapshot.id),
      type: "directory",
      sizeBytes: null,
      mtimeMs: millisOf(timeOf(snapshot)),
      verifiedAtMs: null,
      sha256: null,
      isGone: false,
    }));
  }
  const snapshot = await chooseSnapshot(repository, id, NO_FILTER, tell);
  const reader = await blobs();
  const tree = await treeOfFolder(reader, snapshot.tree, folder);
  const above = [id, ...folder.split("/")].filter(Boolean).join("/");
  return decodeTree(await reader.load("tree", tree), `The tree of ${at}`).map((node) =>
    entryOf(`${above}/${showBytes(node.name)}`, node)
  );
}

async function search(
  repository: Repository,
  blobs: () => Promise<BlobReader>,
  { pattern, ignoreCase, wants, tell, signal }: {
    pattern: string;
    ignoreCase: boolean;
    wants: (entry: Entry) => boolean;
    tell: (error: unknown) => void;
    signal: AbortSignal;
  },
): Promise<void> {
  const matches = globMatcher(pattern, ignoreCase);
  const reader = await blobs();
  for (const snapshot of (await loadSnapshots(repository, (_, error) => tell(error))).reverse()) {
    const walk = walkSnapshot(reader, snapshot.tree, {
      onFailure: (_, error) => tell(error),
      signal,
    });
    for await (const { path, node } of walk) {
      const below = showBytes(path.slice(1));
      if (!matches(below)) continue;
      if (!wants(entryOf(`${shortId(snapshot.id)}/${below}`, node))) return;
    }
  }
}

async function findNode(
  repository: Repository,
  reader: BlobReader,
  entry: string,
): Promise<TreeNode | undefined> {
  const { id, folder } = split(entry);
  const at = folder.lastIndexOf("/");
  const name = utf8ByteString(folder.slice(at + 1));
  const snapshot = await chooseSnapshot(repository, id, NO_FILTER, () => {});
  const tree = await treeOfFolder(reader, snapshot.tree, folder.slice(0, Math.max(0, at)));
  return decodeTree(await reader.load("tree", tree), `The tree of ${entry}`)
    .find((node) => node.name === name);
}

async function* piecesOf(reader: BlobReader, node: TreeNode): AsyncGenerator<Uint8Array> {
  for (const id of node.content ?? []) yield await reader.load("data", id);
}

function entryOf(path: string, node: TreeNode): Entry {
  const { type, sizeBytes } = listedLine({ path: "", node });
  return {
    path,
    type,
    sizeBytes: sizeBytes ?? null,
    mtimeMs: millisOf(parseTime(node.mtime)),
    verifiedAtMs: null,
    sha256: null,
    isGone: false,
  };
}

function millisOf(instant: Instant | undefined): number | null {
  return instant === undefined ? null : instant.sec * 1_000 + Math.floor(instant.nsec / 1e6);
}

function split(at: string): { id: string; folder: string } {
  const [id = "", ...rest] = at.split("/").filter(Boolean);
  return { id, folder: rest.join("/") };
}
