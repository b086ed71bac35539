/** The part of `verify DEST` that reads earlier versions back. */
import { asBackupError } from "../../../protocol/base/errors.ts";
import type { FileFailure } from "../../../protocol/mesh/job.ts";
import type { ThreadClient } from "../../threads/thread_rpc.ts";
import type { StoredResult } from "./stored_copy.ts";
import type { VersionCheck, VersionTotals } from "./version_check.ts";

/** How much there is to read of these copies' versions. What cannot be looked at is named by the check. */
export async function countAllVersions(
  control: ThreadClient,
  bindings: readonly { key: string }[],
): Promise<VersionTotals> {
  const total: VersionTotals = { files: 0, bytes: 0 };
  for (const { key } of bindings) {
    const counted = await control.call<VersionTotals>("countVersions", { key })
      .catch(() => ({ files: 0, bytes: 0 }));
    total.files += counted.files;
    total.bytes += counted.bytes;
  }
  return total;
}

/** Reads the versions of one copy back with all threads. */
export async function checkVersionsOf(
  threads: readonly ThreadClient[],
  bindingKey: string,
  progress: readonly SharedArrayBuffer[],
): Promise<StoredResult[]> {
  const checks = threads.map((thread, part) => {
    const check: VersionCheck = {
      bindingKey,
      part,
      parts: threads.length,
      progress: progress[part]!,
    };
    return thread.call<StoredResult>("checkVersions", check);
  });
  await Promise.allSettled(checks);
  try {
    return await Promise.all(checks);
  } catch (thrown) {
    const { code, message } = asBackupError(thrown);
    if (code !== "io" && code !== "permission" && code !== "not_a_directory") throw thrown;
    const path = `.backup-agent/versions/${bindingKey}`;
    const failure: FileFailure = { path, code, message, attempts: 1 };
    return [{
      files: 0,
      bytes: 0,
      fromDisk: 0,
      fromCache: 0,
      damaged: [],
      missing: [],
      unreadable: [failure],
      extra: [],
      recordedOnly: 0,
    }];
  }
}
