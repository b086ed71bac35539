/**
 * Files of a snapshot beside their sources on this machine. Rule: a disk that gives no answer is given up, since that is no fault of
 * the repository.
 */
import { BackupError } from "../../protocol/base/errors.ts";
import type { Clock } from "../../protocol/base/clock.ts";
import type { Comparison, RecordedFile } from "../places/compare_file.ts";
import type { PlaceThreadStart } from "../places/place_thread.ts";
import {
  type BlobReader,
  type ByteString,
  parseTime,
  showBytes,
  type StoredSnapshot,
  type TreeNode,
} from "../repository/mod.ts";
import { ThreadClient } from "../threads/thread_rpc.ts";
import { ThreadWatch } from "../threads/thread_watch.ts";
import type { Selection } from "./selection.ts";
import { below, treePathsOf } from "./source_roots.ts";
import { walkSnapshot } from "./walk_snapshot.ts";

export interface CompareSourceOptions {
  reader: BlobReader;
  snapshot: StoredSnapshot;
  /** The folder of it that is looked at, and its tree. */
  folder: ByteString;
  tree: string;
  selection: Selection;
  onCompared(): void;
  onFailure(path: string, error: BackupError): void;
  timeoutMs: number;
  clock: Clock;
  spawn(role: string): Worker;
  signal: AbortSignal;
}

/** `onCompared` hears of each source that was here, unchanged, and read. @throws {BackupError} `deadline`, `cancelled` */
export async function compareWithSource(options: CompareSourceOptions): Promise<void> {
  const { reader, snapshot, folder, tree, selection, signal } = options;
  const roots = await treePathsOf(reader).sourceRoots(snapshot);
  const onDisk = (path: ByteString): ByteString | undefined => {
    for (const { source, inTree } of roots) {
      const after = below(inTree, `${folder}${path}`);
      if (after !== undefined) return source + after;
    }
    return undefined;
  };
  const watch = new ThreadWatch(options.clock, options.timeoutMs);
  const start: PlaceThreadStart = { roots: [] };
  const thread = new ThreadClient(options.spawn("place"), start);
  watch.add(thread, "the source");
  const cancel = () => thread.abandon(new BackupError("cancelled", "Cancelled"));
  signal.addEventListener("abort", cancel, { once: true });
  try {
    const walk = walkSnapshot(reader, tree, {
      // Told before.
      onFailure() {},
      skipsBadNames: true,
      signal,
    });
    for await (const { path, node } of walk) {
      if (node.type !== "file" || !selection.asksFor(path, false)) continue;
      const place = onDisk(path);
      const file = place === undefined ? undefined : recordedFile(reader, place, node);
      if (file === undefined) continue;
      const found = await thread.call<Comparison>("compareFile", file);
      if (found === "changed") continue;
      options.onCompared();
      if (found === "same") continue;
      options.onFailure(showBytes(path), new BackupError("damaged", found.wrong));
    }
  } finally {
    signal.removeEventListener("abort", cancel);
    watch.close();
    thread.close();
  }
}

/** Undefined when too little of it is known. */
function recordedFile(
  reader: BlobReader,
  path: ByteString,
  { sizeBytes = 0, mtime, ctime, inode, content = [] }: TreeNode,
): RecordedFile | undefined {
  const [modified, changed] = [parseTime(mtime), parseTime(ctime)];
  if (modified === undefined || changed === undefined || inode === undefined) return undefined;
  const pieces: RecordedFile["pieces"] = [];
  for (const id of content) {
    const size = reader.sizeOf("data", id);
    if (size === undefined) return undefined;
    pieces.push([id, size]);
  }
  return { path, sizeBytes, mtime: modified, ctime: changed, inode: String(inode), pieces };
}
