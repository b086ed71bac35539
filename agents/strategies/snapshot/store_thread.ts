/** The thread of one repository that a command looks at. Rule: it alone touches that place, so that a disk that hangs is found out. */
import { dirname } from "node:path";
import { BackupError } from "../../../protocol/base/errors.ts";
import type { Clock } from "../../../protocol/base/clock.ts";
import { openLocalObjectStore } from "../../destinations/local_object_store.ts";
import type { ObjectStore } from "../../destinations/object_store.ts";
import { EEXIST, posixError } from "../../platform/errno.ts";
import { Garbage } from "../../platform/garbage.ts";
import { copiesInstead, holdsCopies, refuseOtherKind } from "../../destinations/other_kind.ts";
import { cName, newStat, type Posix } from "../../platform/posix.ts";
import { countingPosix } from "../../threads/counting_posix.ts";
import { type Methods, Moved, type ThreadCells, ThreadClient } from "../../threads/thread_rpc.ts";
import { ThreadWatch } from "../../threads/thread_watch.ts";
import {
  askedObjectStore,
  carryOut,
  type StoreCall,
  type StoreRequest,
} from "./asked_object_store.ts";

export interface StoreThreadStart {
  path: string;
  /** All it may touch; absent or empty: anything. */
  roots?: readonly string[];
  /** As of `openLocalObjectStore`. */
  writer?: string | undefined;
}

export function openStoreThread(
  raw: Posix,
  { path, writer }: StoreThreadStart,
  cells: ThreadCells,
): Methods {
  const posix = countingPosix(raw, cells);
  let store: ObjectStore | undefined;
  const garbage = new Garbage();
  return {
    open({ make }: { make: boolean }): void {
      if (make) makeFolder(posix, path);
      checkKind(posix, path, make);
      store = openLocalObjectStore(posix, path, writer);
    },
    async store(call: StoreCall): Promise<unknown> {
      const result = await carryOut(store!, call);
      if (call.call === "getRange") return new Moved(result as Uint8Array);
      garbage.made(bytesOf(result));
      return result;
    },
    close(): void {
      store?.close();
    },
  };
}

/** @throws {BackupError} where plain copies are and no repository */
function checkKind(posix: Posix, path: string, make: boolean): void {
  const root = posix.openRoot(cName(path));
  if (root < 0) return;
  const isOther = holdsCopies(posix, root) && posix.statAt(root, cName("config"), newStat()) < 0;
  posix.closeDirectory(root);
  if (isOther) throw make ? refuseOtherKind(`restic:${path}`, path, "copies") : copiesInstead(path);
}

/** What a result takes outside the heap, where nobody but a collection frees it. */
function bytesOf(result: unknown): number {
  const bytes = result instanceof Uint8Array
    ? result
    : (result as { bytes?: Uint8Array } | undefined)?.bytes;
  return bytes?.length ?? 0;
}

const FOLDER_MODE = 0o700;

/** One part below a folder that stands: a path that was mistyped makes nothing. */
export function makeFolder(posix: Posix, path: string): void {
  const there = posix.openRoot(cName(path));
  if (there >= 0) return posix.closeDirectory(there);
  const parent = dirname(path);
  const handle = posix.openRoot(cName(parent));
  if (handle < 0) {
    throw new BackupError("destination_missing", `${parent} does not exist`, {
      path: parent,
      hint: "Make the folder that is to hold the repository first, or mount its disk",
    });
  }
  const name = cName(path.slice(path.lastIndexOf("/") + 1));
  const made = posix.makeDirectory(handle, name, FOLDER_MODE);
  posix.closeDirectory(handle);
  if (made < 0 && made !== -EEXIST) throw posixError(made, "make", path);
}

export interface StoreInThreadOptions {
  path: string;
  /** Makes the folder when it is not there. */
  make: boolean;
  /** How long one disk operation may take. */
  timeoutMs: number;
  /** All it may touch; absent or empty: anything. */
  roots?: readonly string[];
  /** Of whoever may write: `writerOf` its process. */
  writer?: string | undefined;
  clock: Clock;
  spawn(role: string): Worker;
}

/** A folder as a store, served by a thread of its own. @throws {BackupError} `destination_missing`, `deadline` */
export async function openStoreInThread(options: StoreInThreadOptions): Promise<ObjectStore> {
  const { path, make, timeoutMs, writer, clock, spawn } = options;
  const watch = new ThreadWatch(clock, timeoutMs);
  const start: StoreThreadStart = { path, roots: options.roots ?? [], writer };
  const thread = new ThreadClient(spawn("store"), start);
  watch.add(thread, path);
  const end = () => {
    watch.close();
    thread.close();
  };
  try {
    await thread.call("open", { make });
  } catch (error) {
    end();
    throw error;
  }
  const garbage = new Garbage();
  const ask = async <R>(_method: string, argument: unknown): Promise<R> => {
    const { call } = argument as StoreRequest;
    const isFlush = call.call === "put" || call.call === "remove";
    const result =
      await (isFlush ? thread.callFlush<R>("store", call) : thread.call<R>("store", call));
    garbage.made(bytesOf(result));
    return result;
  };
  return { ...askedObjectStore(ask, path, path), folder: path, close: end };
}
