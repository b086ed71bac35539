/** Packs read on threads, as a check sees them: the same is found, in the same order, and nobody is waited for too long. */
import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { inThreadWorker } from "../../tests/support/in_thread_worker.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { kernels, localStore, makeRepository, posix } from "../../tests/support/restic.ts";
import { systemClock } from "../../protocol/base/clock.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import { checkRepository, type PackReaders, readPack, Repository } from "../repository/mod.ts";
import { backup } from "../repository/sample_repository_suite.ts";
import { spawnThread } from "../threads/spawn.ts";
import { openPackThread, type PackThreadStart } from "./pack_thread.ts";
import { startPackThreads, THREADS_FROM_BYTES } from "./pack_threads.ts";

/** A repository of many small packs. */
async function manyPacks(folder: string): Promise<Repository> {
  const { store, config, keyId, master } = await makeRepository(join(folder, "repository"));
  const opened = { keyId, master };
  const repository = new Repository(
    { ...bound(store), folder: store.display },
    kernels,
    config,
    opened,
  );
  for (let i = 0; i < 12; i++) await backup(repository, { [`file ${i}`]: `text ${i}`.repeat(9) });
  return repository;
}

function bound(store: ReturnType<typeof localStore>): ReturnType<typeof localStore> {
  return {
    display: store.display,
    put: (...words) => store.put(...words),
    get: (...words) => store.get(...words),
    getRange: (...words) => store.getRange(...words),
    readBack: (...words) => store.readBack(...words),
    stat: (...words) => store.stat(...words),
    list: (...words) => store.list(...words),
    leftovers: (...words) => store.leftovers(...words),
    remove: (...words) => store.remove(...words),
    close: () => store.close(),
  };
}

/** As a check tells them. */
async function problemsWith(
  repository: Repository,
  startReaders: (packSizes: readonly number[]) => PackReaders | undefined = () => undefined,
): Promise<string[]> {
  const said: string[] = [];
  const { errors, packsRead } = await checkRepository(repository, {
    readData: { kind: "all" },
    onProblem: ({ isError, message, packId }) => said.push(`${isError} ${packId} ${message}`),
    onPack: (done, total) => said.push(`${done} of ${total}`),
    startReaders,
  });
  return [...said, `${errors} errors, ${packsRead} packs`];
}

/** So that there is enough to read. */
const asIfLarge = (sizes: readonly number[]) => sizes.map(() => THREADS_FROM_BYTES);

async function damageSome(repository: Repository): Promise<void> {
  const packs = await repository.list("pack");
  const pathOf = (at: number) => repository.pathOf("pack", packs[at]!.id);
  const change = (at: number, make: (bytes: Uint8Array) => Uint8Array) => {
    Deno.chmodSync(pathOf(at), 0o600);
    Deno.writeFileSync(pathOf(at), make(Deno.readFileSync(pathOf(at))));
  };
  change(1, (bytes) => bytes.with(20, bytes[20]! ^ 1));
  change(4, (bytes) => bytes.with(-1, bytes.at(-1)! ^ 1));
  change(7, (bytes) => bytes.subarray(0, -9));
  change(9, () => new Uint8Array(0));
  Deno.removeSync(pathOf(11));
}

Deno.test("check: threads find what one reader finds, and tell it in the same order", async () => {
  const folder = Deno.makeTempDirSync();
  try {
    const repository = await manyPacks(folder);
    const start = (sizes: readonly number[]) =>
      startPackThreads(repository, asIfLarge(sizes), {
        clock: systemClock,
        timeoutMs: 30_000,
        spawn: spawnThread,
        signal: new AbortController().signal,
        count: 2,
      });
    await damageSome(repository);
    const alone = await problemsWith(repository);
    assert.deepEqual(await problemsWith(repository, start), alone);
    assert.match(alone.at(-1)!, /^(9|1\d) errors, 23 packs$/);
    repository.store.close();
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("check: the order in which readers are done changes nothing", async () => {
  const folder = Deno.makeTempDirSync();
  try {
    const repository = await manyPacks(folder);
    await damageSome(repository);
    const alone = await problemsWith(repository);
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.integer({ min: 1, max: 30 }), async (s, atOnce) => {
        const told = problemsWith(repository, () => ({
          atOnce,
          verify: (pack) => s.schedule(Promise.resolve()).then(() => read(pack)),
          close: () => Promise.resolve(),
        }));
        const read = (pack: Parameters<PackReaders["verify"]>[0]) =>
          readPack(repository.store, repository.key, pack);
        assert.deepEqual(await s.waitFor(told), alone);
      }),
      { numRuns: 20 },
    );
    repository.store.close();
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

/** A check whose threads hang by now. */
async function withHangingThreads(
  signal: AbortSignal,
  use: (checked: Promise<string[]>, clock: ManualClock) => Promise<void>,
): Promise<void> {
  const folder = Deno.makeTempDirSync();
  const clock = new ManualClock();
  try {
    const repository = await manyPacks(folder);
    const hang = Promise.withResolvers<void>();
    const checked = problemsWith(
      repository,
      (sizes) =>
        startPackThreads(repository, asIfLarge(sizes), {
          clock,
          timeoutMs: 30_000,
          spawn: () =>
            inThreadWorker(
              (argument, cells) => openPackThread(posix, argument as PackThreadStart, cells),
              (method) => {
                if (method === "verify") hang.resolve();
                return method === "verify";
              },
            ),
          signal,
          count: 2,
        }),
    );
    await hang.promise;
    await use(checked, clock);
    repository.store.close();
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test("check: a disk that does not answer ends it, and is not told as damage of every pack", async () => {
  await withHangingThreads(new AbortController().signal, async (checked, clock) => {
    const ended = assert.rejects(checked, { code: "deadline" });
    await clock.advance(31_000);
    await ended;
  });
});

Deno.test("check: cancelling it ends it soon, also while a disk does not answer", async () => {
  const abort = new AbortController();
  await withHangingThreads(abort.signal, async (checked, clock) => {
    const ended = assert.rejects(checked, { code: "cancelled" });
    abort.abort(new BackupError("cancelled", "Cancelled"));
    await clock.advance(6_000);
    await ended;
  });
});

Deno.test("check: little is read without threads, huge packs by one, and no more threads are started than there are packs", async () => {
  const folder = Deno.makeTempDirSync();
  try {
    const repository = await manyPacks(folder);
    const startedFor = async (sizes: number[]): Promise<number> => {
      let started = 0;
      const readers = startPackThreads(repository, sizes, {
        clock: new ManualClock(),
        timeoutMs: 30_000,
        spawn: () => {
          started++;
          return inThreadWorker((argument, cells) =>
            openPackThread(posix, argument as PackThreadStart, cells)
          );
        },
        signal: new AbortController().signal,
        count: 8,
      });
      await readers?.close();
      return started;
    };
    assert.equal(await startedFor([]), 0);
    assert.equal(await startedFor([1 << 20, 2 << 20]), 0);
    assert.equal(await startedFor([16 << 20, 16 << 20]), 2);
    assert.equal(await startedFor(new Array(200_000).fill(16 << 20)), 8);
    assert.equal(await startedFor([900 << 20, 16 << 20, 16 << 20]), 1);
    repository.store.close();
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
