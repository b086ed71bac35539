/**
 * Reads restored files again and compares them with the hashes of their blobs. Rule: from the disk where the system can be made to,
 * and no link is followed on the way.
 */
import { BackupError, IntegrityError } from "../../protocol/base/errors.ts";
import { ENOENT, posixError } from "../platform/errno.ts";
import {
  cName,
  cNameOfLatin1,
  type DirectoryHandle,
  newStat,
  type Posix,
} from "../platform/posix.ts";
import {
  type BlobSource,
  type ByteString,
  idOf,
  parseTime,
  showBytes,
  type TreeNode,
} from "../repository/mod.ts";
import type { Overwrite } from "../strategies/snapshot/mod.ts";
import type { Selection } from "./selection.ts";
import { walkSnapshot } from "./walk_snapshot.ts";

export interface VerifyRestoredOptions {
  posix: Posix;
  reader: BlobSource;
  tree: string;
  /** Absolute. */
  target: string;
  selection: Selection;
  overwrite: Overwrite;
  onFailure(path: string, error: BackupError): void;
  signal: AbortSignal;
}

/** The number of files that are right. */
export async function verifyRestored(options: VerifyRestoredOptions): Promise<number> {
  const { posix, reader, tree, selection, signal } = options;
  const folders = new OpenFolders(posix, options.target);
  let files = 0;
  try {
    const walk = walkSnapshot(reader, tree, {
      enters: (path) => selection.looksAt(path, true),
      // Told by the restore itself.
      onFailure() {},
      skipsBadNames: true,
      signal,
    });
    for await (const { path, node } of walk) {
      if (node.type !== "file" || !selection.asksFor(path, false)) continue;
      try {
        if (compare(options, folders, path, node)) files++;
      } catch (error) {
        if (!(error instanceof BackupError)) throw error;
        options.onFailure(showBytes(path), error);
      }
    }
    return files;
  } finally {
    folders.close();
  }
}

/** False for a file that was left as it stood. */
function compare(
  { posix, reader, target, overwrite }: VerifyRestoredOptions,
  folders: OpenFolders,
  path: ByteString,
  node: TreeNode,
): boolean {
  const shown = `${target}${showBytes(path)}`;
  const folder = folders.of(path.slice(0, path.lastIndexOf("/")));
  const fd = posix.openRead(folder, cNameOfLatin1(node.name));
  if (fd < 0) throw posixError(fd, "open", shown);
  try {
    const stat = newStat();
    const got = posix.stat(fd, stat);
    if (got < 0) throw posixError(got, "look at", shown);
    const mtime = parseTime(node.mtime);
    const isOurs = mtime?.sec === stat.mtimeSec && mtime?.nsec === stat.mtimeNsec;
    if (!isOurs && (overwrite === "never" || overwrite === "if-newer")) return false;
    const differs = () =>
      new IntegrityError(`${shown} is not what the snapshot has`, { path: shown });
    if (stat.sizeBytes !== (node.sizeBytes ?? 0)) throw differs();
    posix.dropCache(fd);
    let offset = 0;
    for (const id of node.content ?? []) {
      const bytes = new Uint8Array(reader.sizeOf("data", id) ?? 0);
      for (let at = 0; at < bytes.length;) {
        const read = posix.readAt(fd, bytes.subarray(at), offset + at);
        if (read < 0) throw posixError(read, "read", shown);
        if (read === 0) throw differs();
        at += read;
      }
      if (idOf(bytes) !== id) throw differs();
      offset += bytes.length;
    }
    return true;
  } finally {
    posix.close(fd);
  }
}

/** The folders on the way to where a walk is. */
class OpenFolders {
  readonly #posix: Posix;
  readonly #target: string;
  readonly #open: { path: ByteString; handle: DirectoryHandle }[] = [];

  constructor(posix: Posix, target: string) {
    this.#posix = posix;
    this.#target = target;
    const root = posix.openRoot(cName(target));
    if (root < 0) throw posixError(root, "open", target);
    this.#open.push({ path: "", handle: root });
  }

  of(path: ByteString): DirectoryHandle {
    while (!isAbove(this.#open.at(-1)!.path, path)) {
      this.#posix.closeDirectory(this.#open.pop()!.handle);
    }
    for (;;) {
      const last = this.#open.at(-1)!;
      if (last.path === path) return last.handle;
      const end = path.indexOf("/", last.path.length + 1);
      const next = end < 0 ? path : path.slice(0, end);
      const name = next.slice(last.path.length + 1);
      const handle = this.#posix.openDirectory(last.handle, cNameOfLatin1(name));
      if (handle < 0) {
        throw posixError(handle || -ENOENT, "open", `${this.#target}${showBytes(next)}`);
      }
      this.#open.push({ path: next, handle });
    }
  }

  close(): void {
    for (const { handle } of this.#open) this.#posix.closeDirectory(handle);
    this.#open.length = 0;
  }
}

function isAbove(folder: ByteString, path: ByteString): boolean {
  return folder === "" || path === folder || path.startsWith(`${folder}/`);
}
