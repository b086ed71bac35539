/** `versions`: looks at a destination with a thread of its own, without a lock and without changing anything there. */
import type { Clock } from "../../../protocol/base/clock.ts";
import { BackupError } from "../../../protocol/base/errors.ts";
import { ThreadClient } from "../../threads/thread_rpc.ts";
import { ThreadWatch } from "../../threads/thread_watch.ts";
import type { OpenedKeys } from "./destination_keys.ts";
import type { KeysRequest, OpenRequest } from "./held_destination.ts";
import type { LaneThreadStart } from "./lane_thread.ts";
import { type KeySources, readKeys } from "./read_keys.ts";
import type { RestoredVersion, RestoreVersion } from "./version_restore.ts";
import type { FindVersions, FoundVersions } from "./version_search.ts";

export interface VersionsWhere extends FindVersions {
  /** Absolute path of the destination. */
  destination: string;
  /** How long one disk operation may take. */
  timeoutMs: number;
  /** Where the secrets are for what is encrypted. */
  keys?: KeySources;
  signal: AbortSignal;
  clock: Clock;
}

/** @throws {BackupError} `destination_missing` without a marker, `usage` when the path is in no copy there */
export function findKeptVersions(
  where: VersionsWhere,
  spawn: (role: string) => Worker,
): Promise<FoundVersions> {
  const { asked, absolute } = where;
  return atDestination(where, spawn, "findVersions", { asked, absolute } satisfies FindVersions);
}

/** @throws {BackupError} `not_found`, `damaged`, `wrong_key`, `rejected` when the target is there already */
export async function restoreKeptVersion(
  where: VersionsWhere & { time: string; target: string },
  spawn: (role: string) => Worker,
): Promise<RestoredVersion & { warnings: string[] }> {
  const { asked, absolute, time, target } = where;
  const request: RestoreVersion = { asked, absolute, time, target };
  const warnings: string[] = [];
  const onWarning = (text: string) => warnings.push(text);
  const restored = await atDestination<RestoredVersion>(
    where,
    spawn,
    "restoreVersion",
    request,
    onWarning,
  );
  return { ...restored, warnings };
}

async function atDestination<R>(
  { destination, timeoutMs, keys, signal, clock }: VersionsWhere,
  spawn: (role: string) => Worker,
  method: string,
  request: unknown,
  onWarning: (text: string) => void = () => {},
): Promise<R> {
  const { keys: given, warnings } = await readKeys(keys ?? {});
  warnings.forEach(onWarning);
  const watch = new ThreadWatch(clock, timeoutMs);
  const start: LaneThreadStart = {
    path: destination,
    slots: new SharedArrayBuffer(8),
    limitBytesPerSecond: 0,
  };
  const thread = new ThreadClient(spawn("lane"), start);
  watch.add(thread, destination);
  const cancel = () => thread.cancel();
  signal.addEventListener("abort", cancel, { once: true });
  try {
    const opened = await thread.callFlush<OpenedKeys>(
      "keysAt",
      { given, needsLists: false } satisfies KeysRequest,
    );
    opened.warnings.forEach(onWarning);
    const open: OpenRequest = {
      keys: { identities: opened.identities, recipients: [] },
      wanted: [],
      holder: "",
      createdAt: new Date(clock.nowMs()).toISOString(),
    };
    await thread.call("attach", open);
    const result = await thread.callFlush<R>(method, request);
    await thread.call("close", undefined);
    return result;
  } catch (thrown) {
    if (signal.aborted) throw new BackupError("cancelled", "Cancelled");
    throw thrown;
  } finally {
    signal.removeEventListener("abort", cancel);
    watch.close();
    thread.close();
  }
}
