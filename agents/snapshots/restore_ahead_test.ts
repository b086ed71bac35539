/** What a restore's writer gets from its loader, with both in one thread. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { inThreadWorker } from "../../tests/support/in_thread_worker.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { posix } from "../../tests/support/restic.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import { MemoryObjectStore } from "../destinations/memory_object_store.ts";
import {
  BlobIndex,
  BlobWriter,
  idOf,
  keptRoom,
  loadIndex,
  objectName,
  type SharedIndex,
} from "../repository/mod.ts";
import { clock, makeRepositories } from "../repository/sample_repository_suite.ts";
import { carryOut, type StoreRequest } from "../strategies/snapshot/mod.ts";
import { ThreadClient } from "../threads/thread_rpc.ts";
import { BlobsAhead } from "./restore_ahead.ts";
import { openRestoreLoader, type RestoreLoaderStart } from "./restore_loader.ts";
import { newRestoreMemory, RestoreMemory } from "./restore_memory.ts";

/** Of several sizes: small, of many rooms, and larger than any room in advance. */
const SIZES = [0, 1, 100, 5_000, 100_000, 3_000_000, 7_000_000, 9_000_000];

interface Scene {
  ids: string[];
  blobs: BlobsAhead;
  store: MemoryObjectStore;
  /** In which pack the blob lies. */
  packOf(id: string): string;
  index: BlobIndex;
}

async function inScene(run: (scene: Scene) => Promise<void>): Promise<void> {
  const store = new MemoryObjectStore("/memory/a");
  const [repository] = await makeRepositories(store);
  const { index } = await loadIndex(repository!);
  const ids: string[] = [];
  for (const [at, sizeBytes] of SIZES.entries()) {
    // Each in a pack of its own, so that it can be damaged alone.
    const writer = new BlobWriter(repository!, index, { clock });
    const { id } = await writer.save("data", new Uint8Array(sizeBytes).fill(at + 1));
    await writer.flush();
    ids.push(id);
  }
  const memory = newRestoreMemory();
  const { config, keyId, master } = repository!;
  const start: RestoreLoaderStart = {
    roots: [],
    replicas: [{ key: "0", display: store.display, config, opened: { keyId, master } }],
    memory,
  };
  const loader = new ThreadClient(
    inThreadWorker((argument, cells, ask) =>
      openRestoreLoader(posix, argument as RestoreLoaderStart, cells, ask, new ManualClock())
    ),
    start,
    (_, argument) => carryOut(store, (argument as StoreRequest).call),
  );
  const shared = await loader.call<SharedIndex>("open", undefined);
  const running = loader.call("run", undefined);
  const own = BlobIndex.of(shared);
  const blobs = new BlobsAhead(
    new RestoreMemory(memory),
    own,
    (request) => loader.call("load", request),
    new AbortController().signal,
  );
  try {
    const packOf = (id: string) => own.packId(own.packOf(own.find("data", id)));
    await run({ ids, blobs, store, packOf, index: own });
  } finally {
    await loader.callLast("close");
    await running;
    loader.close();
  }
}

Deno.test("blobs ahead: whatever is wanted, taken, left or loaded beside, each is the one that was asked for", async () => {
  await inScene(async ({ ids, blobs }) => {
    const which = fc.nat(ids.length - 1);
    const file = fc.record({
      content: fc.array(which, { maxLength: 6 }),
      taken: fc.nat(6),
      beside: fc.option(which),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(file, { maxLength: 12 }), async (files) => {
        const room = keptRoom();
        const wanted = files.map(({ content }) => blobs.want(content.map((at) => ids[at]!)));
        for (const [at, { content, taken, beside }] of files.entries()) {
          for (const blob of content.slice(0, taken)) {
            assert.equal(idOf(await wanted[at]!.next()), ids[blob]);
          }
          if (beside !== null) {
            assert.equal(idOf(await blobs.load("data", ids[beside]!, room)), ids[beside]);
          }
          wanted[at]!.drop();
        }
      }),
      { numRuns: 8 },
    );
  });
});

Deno.test("blobs ahead: one that is damaged fails with its reason, and those around it come", async () => {
  await inScene(async ({ ids, blobs, store, packOf }) => {
    const [first, second, third] = ids.slice(2) as [string, string, string];
    const name = objectName("pack", packOf(second));
    const bytes = store.objects.get(name)!;
    bytes[20]! ^= 1;
    for (const isAhead of [true, false]) {
      const wanted = isAhead ? blobs.want([first, second, third]) : undefined;
      const load = (id: string) => wanted?.next() ?? blobs.load("data", id);
      assert.equal(idOf(await load(first)), first);
      await assert.rejects(load(second), { code: "damaged", path: `/memory/a/${name}` });
      assert.equal(idOf(await load(third)), third);
      wanted?.drop();
    }
    const gone = ids[1]!;
    store.objects.delete(objectName("pack", packOf(gone)));
    await assert.rejects(blobs.want([gone]).next(), { code: "not_found" });
    await assert.rejects(blobs.load("data", "f".repeat(64)), { code: "not_found" });
  });
});

Deno.test("blobs ahead: whoever waits for a loader that does not answer is woken when it is cancelled", async () => {
  await inScene(async ({ ids, index }) => {
    const abort = new AbortController();
    const askFor = () => Promise.reject(new TypeError("not asked"));
    const memory = new RestoreMemory(newRestoreMemory());
    const blobs = new BlobsAhead(memory, index, askFor, abort.signal);
    const ended = [blobs.want(ids.slice(3)).next(), blobs.load("data", ids[3]!)]
      .map((load) => assert.rejects(load, { code: "cancelled" }));
    abort.abort(new BackupError("cancelled", "Cancelled"));
    await Promise.all(ended);
  });
});
