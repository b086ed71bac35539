import assert from "node:assert/strict";
import { join } from "node:path";
import { inThreadWorker } from "../../../tests/support/in_thread_worker.ts";
import { ManualClock } from "../../../tests/support/manual_clock.ts";
import { posix } from "../../../tests/support/restic.ts";
import { BackupError } from "../../../protocol/base/errors.ts";
import { openStoreInThread, openStoreThread, type StoreThreadStart } from "./store_thread.ts";

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync();
  try {
    await run(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

const code = (wanted: string) => (error: unknown) =>
  error instanceof BackupError && error.code === wanted;

Deno.test("store thread: what is put is there, and failures come over as they are", async () => {
  await inFolder(async (folder) => {
    const options = {
      path: join(folder, "repo"),
      timeoutMs: 1000,
      clock: new ManualClock(),
      spawn: () =>
        inThreadWorker((start, cells) => openStoreThread(posix, start as StoreThreadStart, cells)),
    };
    await assert.rejects(
      openStoreInThread({ ...options, make: false }),
      code("destination_missing"),
    );
    const deep = { ...options, path: join(folder, "no/repo"), make: true };
    await assert.rejects(openStoreInThread(deep), code("destination_missing"));
    const store = await openStoreInThread({ ...options, make: true });
    await store.put("keys/a", [new Uint8Array([1, 2]), new Uint8Array([3])], { mustBeNew: true });
    await assert.rejects(
      store.put("keys/a", [], { mustBeNew: true }),
      code("rejected"),
    );
    assert.deepEqual(await store.get("keys/a", 10), new Uint8Array([1, 2, 3]));
    assert.deepEqual(await store.list("keys"), [{ name: "keys/a", sizeBytes: 3 }]);
    await assert.rejects(store.getRange("keys/a", 2, 5), code("damaged"));
    await store.remove("keys/a");
    assert.equal(await store.stat("keys/a"), undefined);
    await assert.rejects(store.get("keys/a", 10), code("not_found"));
    store.close();
    await assert.rejects(store.list("keys"), code("cancelled"));
  });
});

Deno.test("store thread: a disk that does not answer is given up by its deadline, and at once from then on", async () => {
  await inFolder(async (folder) => {
    const clock = new ManualClock();
    const store = await openStoreInThread({
      path: folder,
      make: false,
      timeoutMs: 5000,
      clock,
      spawn: () =>
        inThreadWorker(
          (start, cells) => openStoreThread(posix, start as StoreThreadStart, cells),
          (method) => method === "store",
        ),
    });
    const call = assert.rejects(store.list("keys"), code("deadline"));
    await clock.advance(6000);
    await call;
    await assert.rejects(store.get("config", 10), code("deadline"));
    store.close();
  });
});
