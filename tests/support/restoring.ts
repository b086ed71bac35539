/**
 * One restore by the whole engine, in this thread, from destinations that a backup has made, with platform ports of the
 * test's choosing; and manifests written by hand, as nobody honest would.
 */
import { createHash } from "node:crypto";
import fs from "node:fs";
import { join } from "node:path";
import type { Posix } from "../../agents/platform/posix.ts";
import {
  restoreFrom,
  type RestoreOptions,
  type RestoreOutcome,
} from "../../agents/strategies/mirror/restore/restore_run.ts";
import { THREAD_ROLES } from "./thread_roles.ts";
import { inThreadWorker } from "./in_thread_worker.ts";
import { ManualClock } from "./manual_clock.ts";

export type Restoring = Partial<RestoreOptions> & Pick<RestoreOptions, "sources" | "target">;

/** Restores on one thread over `posix`. @throws as `restoreFrom` does */
export function restore(posix: Posix, options: Restoring): Promise<RestoreOutcome> {
  return restoreFrom(
    {
      paths: [],
      overwrite: false,
      withGone: false,
      dryRun: false,
      id: "test",
      timeoutMs: 3_600_000,
      waitMs: 0,
      threads: 1,
      onProgress: () => {},
      signal: new AbortController().signal,
      clock: new ManualClock(),
      ...options,
    },
    (role) =>
      inThreadWorker((argument, cells, ask) => THREAD_ROLES[role]!(posix, argument, cells, ask)),
  );
}

/** A destination with one copy `copy`, whose list has these lines and a right checksum. */
export function forgeDestination(
  folder: string,
  lines: readonly Record<string, unknown>[],
  facts: { name?: string; version?: number; cut?: boolean } = {},
): void {
  const own = join(folder, ".backup-agent");
  const name = facts.name ?? "copy";
  fs.mkdirSync(join(own, "manifests"), { recursive: true });
  const binding = { name, hostId: "h", hostName: "h", sourcePath: "/src", key: "s1" };
  fs.writeFileSync(
    join(own, "marker.json"),
    JSON.stringify({
      format: "backup-agent destination",
      version: 1,
      destinationId: "dest-forged",
      createdAt: "2026-01-01T00:00:00.000Z",
      bindings: [binding],
    }),
  );
  const header = { format: "backup-agent manifest", version: facts.version ?? 1, name };
  const text = [header, ...lines].map((line) => JSON.stringify(line) + "\n").join("");
  const sha256 = createHash("sha256").update(text).digest("hex");
  const footer = JSON.stringify({ end: true, entries: lines.length, sha256 }) + "\n";
  fs.writeFileSync(join(own, "manifests/s1.jsonl"), facts.cut ? text : text + footer);
}

const COMMON = { mtimeNs: "1000000000000000000", mode: 0o644, uid: 0, gid: 0 };

/** Lines of a forged list. */
export const line = {
  folder: (path: string, more = {}) => ({
    path,
    type: "directory",
    ...COMMON,
    mode: 0o755,
    ...more,
  }),
  file: (path: string, text: string, more = {}) => ({
    path,
    type: "file",
    sizeBytes: new TextEncoder().encode(text).length,
    ...COMMON,
    sha256: createHash("sha256").update(text).digest("hex"),
    ...more,
  }),
  symlink: (path: string, target: string, more = {}) => ({
    path,
    type: "symlink",
    target,
    ...COMMON,
    mode: 0o777,
    ...more,
  }),
  fifo: (path: string, more = {}) => ({ path, type: "fifo", ...COMMON, ...more }),
};
