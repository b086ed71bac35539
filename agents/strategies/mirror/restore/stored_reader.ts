/** A destination opened for reading, on a thread of its own. Rule: whoever asks gives it back; a disk that hangs holds nobody. */
import type { Clock } from "../../../../protocol/base/clock.ts";
import { ThreadClient } from "../../../threads/thread_rpc.ts";
import { ThreadWatch } from "../../../threads/thread_watch.ts";
import type { OpenedKeys } from "../destination_keys.ts";
import { type KeySources, readKeys } from "../read_keys.ts";
import type { ComparedPage, CompareRequest } from "./compare_lists.ts";
import type { RestoreThreadStart } from "./restore_thread.ts";

export interface StoredReader {
  compare(request: CompareRequest): Promise<ComparedPage>;
  /** Its size; what follows is its content. */
  openFile(path: string): Promise<number>;
  /** Undefined at the end, when all of it was what is recorded. */
  readFile(): Promise<Uint8Array<ArrayBuffer> | undefined>;
  close(): void;
}

/** @throws {BackupError} `destination_missing`, `rejected` outside the roots, `wrong_key`, … */
export async function openStoredReader(
  options: {
    /** Absolute. */
    destinations: readonly string[];
    roots: readonly string[];
    keys: KeySources;
    timeoutMs: number;
    clock: Clock;
  },
  spawn: (role: string) => Worker,
): Promise<StoredReader> {
  const { keys } = await readKeys(options.keys);
  const watch = new ThreadWatch(options.clock, options.timeoutMs);
  const start: RestoreThreadStart = {
    ...{ sources: [...options.destinations], target: "", id: "", overwrite: false },
    // No part of a restore: it takes no lock, as lists are replaced whole.
    ...{ part: 1, parts: 2 },
    roots: options.roots,
    skipsMissing: options.destinations.length > 1,
    identities: keys.identities,
  };
  const thread = new ThreadClient(spawn("restore"), start);
  watch.add(thread, options.destinations.join(" or "));
  const close = (): void => {
    watch.close();
    thread.close();
  };
  try {
    await thread.call("openSources", undefined);
    await thread.callFlush<OpenedKeys>("openKeys", keys.passphrase);
  } catch (thrown) {
    close();
    throw thrown;
  }
  return {
    compare: (request) => thread.call("compareLists", request),
    openFile: (path) => thread.call("openFile", path),
    readFile: () => thread.call("readFile", undefined),
    close,
  };
}
