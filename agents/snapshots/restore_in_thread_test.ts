/** A restore's thread as its owner sees it when the target's disk does not answer. */
import assert from "node:assert/strict";
import { inThreadWorker } from "../../tests/support/in_thread_worker.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { posix } from "../../tests/support/restic.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import { thisProcess } from "../platform/process_identity.ts";
import { restoreInThread } from "./restore_in_thread.ts";
import {
  openRestoreThread,
  RESTORE_PROGRESS_BYTES,
  type RestoreThreadStart,
} from "./restore_thread.ts";

/** A restore into a target that hangs, for ever. */
function hangingRestore(clock: ManualClock, signal: AbortSignal) {
  return restoreInThread({
    replicas: [],
    roots: [],
    repositoryRoots: [],
    target: "/hangs",
    process: thisProcess("machine"),
    timeoutMs: 30_000,
    clock,
    spawn: () =>
      inThreadWorker(
        (argument, cells, ask) =>
          openRestoreThread(posix, argument as RestoreThreadStart, cells, ask, new ManualClock()),
        (method) => method === "restore",
      ),
    listen: () => assert.fail("nothing happens"),
    signal,
  }, [{
    tree: "00",
    folder: "",
    counts: false,
    target: "/hangs",
    selection: { paths: [], includes: [], excludes: [] },
    overwrite: "refuse",
    delete: false,
    sparse: false,
    verify: false,
    dryRun: false,
    progress: new SharedArrayBuffer(RESTORE_PROGRESS_BYTES),
  }]);
}

Deno.test("restore: a target that does not answer is given up at its deadline", async () => {
  const clock = new ManualClock();
  const restored = hangingRestore(clock, new AbortController().signal);
  const ended = assert.rejects(restored, { code: "deadline", path: "/hangs" });
  await clock.advance(31_000);
  await ended;
});

Deno.test("restore: cancelling ends it soon, also while the target does not answer", async () => {
  const clock = new ManualClock();
  const abort = new AbortController();
  const ended = assert.rejects(hangingRestore(clock, abort.signal), { code: "cancelled" });
  abort.abort(new BackupError("cancelled", "Cancelled"));
  await clock.advance(6_000);
  await ended;
});
