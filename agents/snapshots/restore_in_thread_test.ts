/** A restore's threads as their owner sees them when a disk does not answer. */
import assert from "node:assert/strict";
import { inThreadWorker } from "../../tests/support/in_thread_worker.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { posix } from "../../tests/support/restic.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import { thisProcess } from "../platform/process_identity.ts";
import { MemoryObjectStore } from "../destinations/memory_object_store.ts";
import { backup, makeRepositories } from "../repository/sample_repository_suite.ts";
import { restoreInThread } from "./restore_in_thread.ts";
import { openRestoreLoader, type RestoreLoaderStart } from "./restore_loader.ts";
import {
  openRestoreThread,
  RESTORE_PROGRESS_BYTES,
  type RestoreEvent,
  type RestoreThreadStart,
} from "./restore_thread.ts";

const TARGET = "/hangs";
const REPOSITORY = "/memory/repository";

/** A restore of which one side hangs for ever, in the method that is named. */
async function hangingRestore(
  hangs: string,
  { clock, signal = new AbortController().signal, heard = [] }: {
    clock: ManualClock;
    signal?: AbortSignal;
    heard?: RestoreEvent[];
  },
) {
  const [repository] = await makeRepositories(new MemoryObjectStore(REPOSITORY));
  const { tree } = await backup(repository!, { file: "its content" });
  // One that hangs does not tick, whatever time it is.
  const clockOf = (methods: readonly string[]) =>
    methods.includes(hangs) ? new ManualClock() : clock;
  const loaderClock = clockOf(["open", "run"]);
  const writerClock = clockOf(["restore"]);
  return restoreInThread({
    replicas: [{
      address: { key: REPOSITORY, path: REPOSITORY },
      repository: repository!,
    }],
    roots: [],
    repositoryRoots: [],
    target: TARGET,
    process: thisProcess("machine"),
    timeoutMs: 30_000,
    clock,
    spawn: (role) =>
      role === "repositoryLoad"
        ? inThreadWorker(
          (argument, cells, ask) =>
            openRestoreLoader(posix, argument as RestoreLoaderStart, cells, ask, loaderClock),
          (method) => method === hangs,
        )
        : inThreadWorker(
          (argument, cells, ask) =>
            openRestoreThread(posix, argument as RestoreThreadStart, cells, ask, writerClock),
          (method) => method === hangs,
        ),
    listen: (event) => void heard.push(event),
    signal,
  }, [{
    tree,
    folder: "",
    counts: false,
    target: TARGET,
    selection: { paths: [], includes: [], excludes: [] },
    overwrite: "refuse",
    delete: false,
    sparse: false,
    verify: false,
    dryRun: true,
    progress: new SharedArrayBuffer(RESTORE_PROGRESS_BYTES),
  }]);
}

/** Time goes on in steps, between which threads answer. */
async function pass(clock: ManualClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 250) await clock.advance(250);
}

Deno.test("restore: whichever side does not answer is waited for, named, and given up at its deadline", async () => {
  for (
    const [hangs, place] of [["restore", TARGET], ["run", REPOSITORY], [
      "open",
      REPOSITORY,
    ]] as const
  ) {
    const clock = new ManualClock();
    const heard: RestoreEvent[] = [];
    const restored = hangingRestore(hangs, { clock, heard });
    const ended = assert.rejects(restored, { code: "deadline", path: place }, hangs);
    await pass(clock, 20_000);
    const waiting = heard.filter((event) => event.kind === "waiting");
    assert.ok(waiting.length > 10 && waiting.every((event) => event.place === place), hangs);
    assert.ok(waiting.at(-1)!.forMs > 18_000);
    await pass(clock, 20_000);
    await ended;
  }
});

Deno.test("restore: cancelling ends it soon, also while a side does not answer", async () => {
  for (const hangs of ["restore", "run"]) {
    const clock = new ManualClock();
    const abort = new AbortController();
    const restored = hangingRestore(hangs, { clock, signal: abort.signal });
    const ended = assert.rejects(restored, { code: "cancelled" });
    await pass(clock, 1_000);
    abort.abort(new BackupError("cancelled", "Cancelled"));
    await pass(clock, 6_000);
    await ended;
  }
});
