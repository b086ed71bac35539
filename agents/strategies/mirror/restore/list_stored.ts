/** `ls` and `find`: what a destination's lists say, read on a thread, since its disk may hang. */
import type { Clock } from "../../../../protocol/base/clock.ts";
import { BackupError } from "../../../../protocol/base/errors.ts";
import { ThreadClient } from "../../../threads/thread_rpc.ts";
import { ThreadWatch } from "../../../threads/thread_watch.ts";
import type { ListedEntry, ListingPart, ListingProblem, ListingRequest } from "./listing.ts";
import type { OpenedKeys } from "../destination_keys.ts";
import { type KeySources, readKeys } from "../read_keys.ts";
import type { RestoreThreadStart } from "./restore_thread.ts";

export interface ListOptions {
  /** Absolute. */
  path: string;
  request: ListingRequest;
  /** Where the secrets are for lists that are encrypted. */
  keys?: KeySources;
  /** All it may touch; absent or empty: anything. */
  roots?: readonly string[];
  timeoutMs: number;
  /** Told every entry in the order of the lists; false ends the listing. */
  onEntry(entry: ListedEntry): boolean;
  signal: AbortSignal;
  clock: Clock;
}

/**
 * Reads without a lock: a list is replaced whole, so what is read is one of them. Gives what could not be read.
 * @throws {BackupError} `destination_missing`, `damaged`, `newer_version`, `cancelled`
 */
export async function listStored(
  options: ListOptions,
  spawn: (role: string) => Worker,
): Promise<{ problems: ListingProblem[]; isThere: boolean; warnings: string[] }> {
  const { path, signal } = options;
  const { keys, warnings } = await readKeys(options.keys ?? {});
  const watch = new ThreadWatch(options.clock, options.timeoutMs);
  const start: RestoreThreadStart = {
    ...{ sources: [path], target: "", id: "", overwrite: false },
    ...{ part: 1, parts: 2 },
    identities: keys.identities,
    roots: options.roots ?? [],
  };
  const thread = new ThreadClient(spawn("restore"), start);
  watch.add(thread, path);
  const cancelled = new BackupError("cancelled", "Cancelled");
  const cancel = () => thread.abandon(cancelled);
  signal.addEventListener("abort", cancel, { once: true });
  try {
    if (signal.aborted) throw cancelled;
    await thread.call("openSources", undefined);
    const opened = await thread.callFlush<OpenedKeys>("openKeys", keys.passphrase);
    warnings.push(...opened.warnings);
    await thread.call("startListing", options.request);
    let next = thread.call<ListingPart>("nextListed", undefined);
    for (;;) {
      const part = await next;
      // The thread reads on while these are printed.
      if (!part.ended) next = thread.call<ListingPart>("nextListed", undefined);
      const goOn = part.entries.every((entry) => options.onEntry(entry));
      if (part.ended || !goOn) {
        next.catch(() => {});
        return { problems: part.problems, isThere: part.isThere, warnings };
      }
    }
  } finally {
    signal.removeEventListener("abort", cancel);
    watch.close();
    thread.close();
  }
}
