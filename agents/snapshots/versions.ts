/**
 * `versions` on a repository: what a file was in each snapshot. Rule: versions are told apart by content alone, so that one which
 * came back is one; trees that two snapshots share are read once.
 */
import type { CommandCall } from "../../protocol/cli/command.ts";
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import { parseRepositoryAddress } from "../../protocol/cli/repository_address.ts";
import type { FindInSnapshots, FoundVersions, KeptVersion } from "../cli/versions_port.ts";
import {
  type BlobReader,
  type ByteString,
  decodeTree,
  loadSnapshots,
  shortId,
  showBytes,
  type StoredSnapshot,
  type TreeNode,
  utf8ByteString,
} from "../repository/mod.ts";
import { openBlobGroup } from "./blob_group.ts";
import { listedLine } from "./entry_forms.ts";
import type { RepositoryWorld } from "./repository_world.ts";
import { cleanPath } from "./selection.ts";
import { filterOf, passes } from "./snapshot_choice.ts";
import { lockOfReader, tellProblem } from "./telling.ts";
import { below, TreePaths } from "./source_roots.ts";
import { useRepositories } from "./use_repositories.ts";

const BELOW_MAX = 10_000;

/** One thing in one snapshot. */
interface Seen {
  snapshot: StoredSnapshot;
  node: TreeNode;
  /** In its tree. */
  path: ByteString;
}

/** A folder as it was: each tree with the newest snapshot that has it, newest first. */
type SeenTrees = ReadonlyMap<string, StoredSnapshot>;

export async function findSnapshotVersions(
  world: RepositoryWorld,
  call: CommandCall,
  { repository, asked, absolute }: Parameters<FindInSnapshots>[1],
): ReturnType<FindInSnapshots> {
  const address = parseRepositoryAddress(repository, call.surroundings.folder);
  return await useRepositories(world, call, [address], lockOfReader(call), async (opened) => {
    let isWhole = true;
    const tell = (message: string) => {
      isWhole = false;
      tellProblem(call, message);
    };
    const [first] = opened.repositories;
    const filter = filterOf(call);
    const snapshots = (await loadSnapshots(first!.repository, (_, error) => tell(error.message)))
      .filter((snapshot) => passes(filter, snapshot)).reverse();
    const { reader } = await openBlobGroup(opened.repositories, call.clock, tell);
    const search = new VersionSearch(reader, snapshots, tell, opened.signal);
    const found = await search.find(asked, utf8ByteString(cleanPath(absolute)));
    if (found !== undefined) return { found, isWhole };
    throw new BackupError("usage", `No snapshot in ${address.key} has ${asked}`, {
      path: asked,
      hint:
        `Write it as it was when it was backed up; find ${address.key} PATTERN looks everywhere`,
    });
  });
}

class VersionSearch {
  readonly #reader: BlobReader;
  /** Newest first. */
  readonly #snapshots: readonly StoredSnapshot[];
  readonly #tell: (message: string) => void;
  readonly #signal: AbortSignal;
  readonly #trees: TreePaths;

  constructor(
    reader: BlobReader,
    snapshots: readonly StoredSnapshot[],
    tell: (message: string) => void,
    signal: AbortSignal,
  ) {
    this.#reader = reader;
    this.#snapshots = snapshots;
    this.#tell = tell;
    this.#signal = signal;
    this.#trees = new TreePaths((tree) => this.#nodesOf(tree));
  }

  /** Undefined when no snapshot has it. */
  async find(asked: string, absolute: ByteString): Promise<FoundVersions | undefined> {
    if (absolute === "") return await this.#versionsOfAll();
    const own = await this.#lookUp(absolute, (source) => below(source, absolute));
    if (own.length > 0) return await this.#versionsOf(absolute, own);
    // NAME/path, as reports write it.
    const [name = "", ...rest] = cleanPath(asked).slice(1).split("/");
    const after = utf8ByteString(rest.map((part) => `/${part}`).join(""));
    const sources = new Set(
      this.#snapshots.flatMap(({ paths }) => paths)
        .filter((path) => path.slice(path.lastIndexOf("/") + 1) === name)
        .map((path) => utf8ByteString(cleanPath(path))),
    );
    const places: [ByteString, Seen[]][] = [];
    for (const wanted of sources) {
      const path = wanted + after;
      const seen = await this.#lookUp(undefined, (source) => source === wanted ? after : undefined);
      if (seen.length > 0) places.push([path, seen]);
    }
    const [place, other] = places;
    if (place !== undefined && other === undefined) return await this.#versionsOf(...place);
    if (place === undefined) {
      const shown = await this.#lookUp(utf8ByteString(cleanPath(asked)), () => undefined);
      return shown.length === 0 ? undefined : await this.#versionsOf(shown[0]!.path, shown);
    }
    throw new BackupError(
      "usage",
      `${asked} may be ${showBytes(place[0])} or ${showBytes(other![0])}`,
      { hint: "Give the whole path, or choose with --host, --tag or --path" },
    );
  }

  /** By what follows one of the snapshot's sources in it, else by the path in its tree. */
  async #lookUp(
    inTree: ByteString | undefined,
    afterSource: (source: ByteString) => ByteString | undefined,
  ): Promise<Seen[]> {
    const seen: Seen[] = [];
    for (const snapshot of this.#snapshots) {
      const paths = (await this.#trees.sourceRoots(snapshot)).flatMap((root) => {
        const after = afterSource(root.source);
        return after === undefined ? [] : [root.inTree + after];
      });
      for (const path of inTree === undefined ? paths : [...paths, inTree]) {
        // All of the tree is no entry of it.
        const node = path === "" ? rootOf(snapshot) : await this.#trees.nodeAt(snapshot.tree, path);
        if (node === undefined) continue;
        seen.push({ snapshot, node, path });
        break;
      }
    }
    return seen;
  }

  /** Nothing of a tree that cannot be read, which is told. */
  async #nodesOf(tree: string): Promise<TreeNode[]> {
    this.#signal.throwIfAborted();
    try {
      return decodeTree(await this.#reader.load("tree", tree), `The tree ${shortId(tree)}`);
    } catch (error) {
      this.#signal.throwIfAborted();
      this.#tell(asBackupError(error).message);
      return [];
    }
  }

  async #versionsOfAll(): Promise<FoundVersions> {
    const found: FoundVersions = { path: "/", versions: [], below: [], belowCount: 0 };
    const trees = new Map<string, StoredSnapshot>();
    for (const one of this.#snapshots) if (!trees.has(one.tree)) trees.set(one.tree, one);
    await this.#findBelow("", trees, this.#snapshots[0], found);
    return found;
  }

  async #versionsOf(path: ByteString, seen: readonly Seen[]): Promise<FoundVersions> {
    const found: FoundVersions = {
      path: showBytes(path),
      versions: versionsIn(seen.filter(({ node }) => node.type !== "dir")),
      below: [],
      belowCount: 0,
    };
    const trees = treesIn(seen);
    const newest = seen[0]?.snapshot;
    if (trees.size > 0) await this.#findBelow(path, trees, newest, found);
    return found;
  }

  /** Files that were more than one thing, or are gone from the newest. */
  async #findBelow(
    path: ByteString,
    trees: SeenTrees,
    newest: StoredSnapshot | undefined,
    found: FoundVersions,
  ): Promise<void> {
    const byName = new Map<ByteString, Seen[]>();
    for (const [tree, snapshot] of trees) {
      for (const node of await this.#nodesOf(tree)) {
        const seen = byName.get(node.name);
        const one = { snapshot, node, path: `${path}/${node.name}` };
        if (seen === undefined) byName.set(node.name, [one]);
        else seen.push(one);
      }
    }
    for (const [name, seen] of [...byName].sort(([a], [b]) => a < b ? -1 : 1)) {
      const at = `${path}/${name}`;
      const files = seen.filter(({ node }) => node.type !== "dir");
      const contents = new Set(files.map(({ node }) => contentOf(node)));
      const isGone = files.length > 0 && files[0]!.snapshot !== newest;
      if (contents.size > 1 || isGone) {
        found.belowCount++;
        if (found.below.length < BELOW_MAX) {
          const { snapshot } = files[0]!;
          const versions = contents.size;
          found.below.push({ path: showBytes(at), versions, newest: timeName(snapshot) });
        }
      }
      const folders = treesIn(seen);
      // What was the same all the time has nothing earlier in it.
      const isSame = folders.size === 1 && seen[0]!.snapshot === newest;
      if (folders.size > 0 && !isSame) await this.#findBelow(at, folders, newest, found);
    }
  }
}

/** The folder that all of a snapshot is. */
function rootOf({ tree: subtree, time }: StoredSnapshot): TreeNode {
  const times = { mtime: time, atime: time, ctime: time };
  return { name: "", type: "dir", mode: 0, ...times, uid: 0, gid: 0, subtree };
}

/** Of the folders among them, each tree with the newest snapshot that has it. */
function treesIn(seen: readonly Seen[]): SeenTrees {
  const trees = new Map<string, StoredSnapshot>();
  for (const { node: { subtree }, snapshot } of seen) {
    if (subtree !== undefined && !trees.has(subtree)) trees.set(subtree, snapshot);
  }
  return trees;
}

/** `seen` and the result are newest first. */
function versionsIn(seen: readonly Seen[]): KeptVersion[] {
  const byContent = new Map<string, [Seen, ...Seen[]]>();
  for (const one of seen) {
    const key = contentOf(one.node);
    const same = byContent.get(key);
    if (same === undefined) byContent.set(key, [one]);
    else same.push(one);
  }
  return [...byContent.values()].map((same) => {
    const [{ snapshot, node, path }] = same;
    const { type, sizeBytes = 0, mtimeNs } = listedLine({ path, node });
    const sha256 = sha256Of(node);
    return {
      time: timeName(snapshot),
      type,
      sizeBytes,
      ...(mtimeNs === undefined ? {} : { mtimeNs }),
      ...(sha256 === undefined ? {} : { sha256 }),
      storedAt: `${shortId(snapshot.id)}:${showBytes(path)}`,
      snapshots: { count: same.length, firstTime: timeName(same.at(-1)!.snapshot) },
    };
  });
}

function contentOf({ type, content = [], linkTarget = "", device }: TreeNode): string {
  return [type, linkTarget, device ?? "", ...content].join("/");
}

/** A blob is named by its SHA-256: of a file in one piece that is the file's. */
function sha256Of({ type, content = [] }: TreeNode): string | undefined {
  return type === "file" && content.length === 1 ? content[0] : undefined;
}

/** As the folders of kept versions are named. */
function timeName({ time }: StoredSnapshot): string {
  const at = new Date(time);
  return `${at.toISOString().slice(0, 19).replaceAll(":", "-")}Z`;
}
