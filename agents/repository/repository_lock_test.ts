import assert from "node:assert/strict";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { FaultyObjectStore } from "../../tests/support/faulty_object_store.ts";
import { MemoryObjectStore } from "../destinations/memory_object_store.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import { writerOf } from "./leftovers.ts";
import { decodeLock } from "./lock_file.ts";
import type { Repository } from "./repository.ts";
import {
  type LockContext,
  type LockOptions,
  lockRepository,
  LOST_AFTER_MS,
  REFRESH_EVERY_MS,
  type RepositoryLock,
  unlockRepository,
} from "./repository_lock.ts";
import { makeRepositories } from "./sample_repository_suite.ts";

function context(clock: ManualClock, pid = 10, alive = [10, 11]): LockContext {
  const process = { pid, host: "machine", boot: "boot", start: `${pid}` };
  return {
    clock,
    owner: { hostname: "here", username: "me", uid: 0, gid: 0, process },
    isAlive: (asked, start) =>
      alive.includes(asked) && (start === undefined || start === `${asked}`),
  };
}

/** Takes a lock while time goes on, as long as that takes. */
async function take(
  repository: Repository,
  by: LockContext,
  options: LockOptions = {},
): Promise<RepositoryLock> {
  const clock = by.clock as ManualClock;
  let isDone = false;
  const taking = lockRepository(repository, by, options).finally(() => (isDone = true));
  taking.catch(() => {});
  for (let i = 0; !isDone && i < 10_000; i++) {
    await turn();
    if (!isDone) await clock.advance(50);
  }
  return await taking;
}

/** Lets everything that is ready go on. */
const turn = () => new Promise<void>((resolve) => setTimeout(resolve, 0));
const isBusy = (error: unknown) =>
  error instanceof BackupError && error.code === "destination_busy";

Deno.test("locks: shared ones go together, an exclusive one with none", async () => {
  const clock = new ManualClock();
  const [repository] = await makeRepositories(new MemoryObjectStore());
  const one = await take(repository!, context(clock));
  const two = await take(repository!, context(clock, 11));
  await assert.rejects(take(repository!, context(clock), { exclusive: true }), isBusy);
  await one.release();
  await two.release();
  const alone = await take(repository!, context(clock), { exclusive: true });
  await assert.rejects(take(repository!, context(clock, 11)), isBusy);
  await assert.rejects(take(repository!, context(clock, 11), { exclusive: true }), isBusy);
  await alone.release();
  await alone.release();
  assert.equal((await repository!.list("lock")).length, 0);
});

Deno.test("locks: of two that come at the same moment at most one gets an exclusive one", async () => {
  const clock = new ManualClock();
  const [repository] = await makeRepositories(new MemoryObjectStore());
  const both = [10, 11].map((pid) =>
    lockRepository(repository!, context(clock, pid), { exclusive: true })
  );
  const settled = Promise.allSettled(both);
  for (let i = 0; i < 50; i++) {
    await turn();
    await clock.advance(50);
  }
  const won = (await settled).filter(({ status }) => status === "fulfilled");
  assert.ok(won.length <= 1);
  assert.equal((await repository!.list("lock")).length, won.length);
});

Deno.test("locks: one that waits gets it when the other ends", async () => {
  const clock = new ManualClock();
  const [repository] = await makeRepositories(new MemoryObjectStore());
  const first = await take(repository!, context(clock), { exclusive: true });
  const second = lockRepository(repository!, context(clock, 11), { waitMs: 60_000 });
  await turn();
  await first.release();
  let lock: RepositoryLock | undefined;
  second.then((got) => (lock = got));
  for (let i = 0; lock === undefined && i < 1000; i++) {
    await turn();
    await clock.advance(100);
  }
  await (await second).release();
});

Deno.test("locks: a held lock is written anew every five minutes, and the old one goes", async () => {
  const clock = new ManualClock();
  const [repository] = await makeRepositories(new MemoryObjectStore());
  const lock = await take(repository!, context(clock));
  const first = lock.id;
  await clock.advance(REFRESH_EVERY_MS);
  await turn();
  await lock.settled();
  assert.notEqual(lock.id, first);
  const [only, ...others] = await repository!.list("lock");
  assert.equal(only!.id, lock.id);
  assert.equal(others.length, 0);
  const { time } = decodeLock(await repository!.load("lock", lock.id), "lock");
  assert.equal(Date.parse(time), clock.nowMs());
  await lock.release();
});

Deno.test("locks: who cannot refresh for 22 minutes, or whose lock somebody removed, is told to stop", async () => {
  const clock = new ManualClock();
  const store = new FaultyObjectStore(new MemoryObjectStore());
  const [repository] = await makeRepositories(store);
  const lock = await take(repository!, context(clock));
  store.changesLeft = 0;
  for (let ms = 0; ms < LOST_AFTER_MS; ms += REFRESH_EVERY_MS) {
    assert.ok(!lock.signal.aborted);
    await clock.advance(REFRESH_EVERY_MS);
    await turn();
    await lock.settled();
  }
  assert.ok(isBusy(lock.signal.reason));
  store.changesLeft = Infinity;
  await lock.release();

  const removed = await take(repository!, context(clock));
  await repository!.remove("lock", removed.id);
  await clock.advance(REFRESH_EVERY_MS);
  await turn();
  await removed.settled();
  assert.ok(isBusy(removed.signal.reason));
  await removed.release();
});

Deno.test("locks: a store that hangs while the lock is written anew stops its holder too", async () => {
  const clock = new ManualClock();
  const store = new MemoryObjectStore();
  const [repository] = await makeRepositories(store);
  const lock = await take(repository!, context(clock));
  store.list = () => new Promise(() => {});
  for (let ms = 0; ms < LOST_AFTER_MS; ms += REFRESH_EVERY_MS) {
    await clock.advance(REFRESH_EVERY_MS);
  }
  assert.ok(isBusy(lock.signal.reason));
});

Deno.test("locks: what a dead process of ours left on this machine is removed, nobody else's is", async () => {
  const clock = new ManualClock();
  const [repository] = await makeRepositories(new MemoryObjectStore());
  const dead = context(clock, 99);
  const next = context(clock, 10);
  await take(repository!, dead, { exclusive: true });
  await (await take(repository!, next, { exclusive: true })).release();
  // The same number, another process; the same process before a reboot.
  const reused = context(clock, 11);
  reused.owner.process = { ...reused.owner.process, start: "before" };
  const rebooted = context(clock, 11);
  rebooted.owner.process = { ...rebooted.owner.process, boot: "before" };
  for (const left of [reused, rebooted]) {
    await take(repository!, left, { exclusive: true });
    await (await take(repository!, next, { exclusive: true })).release();
  }
  // Another machine, though with the same name and number.
  const other = context(clock, 99);
  other.owner.process = { ...other.owner.process, host: "other" };
  const held = await take(repository!, other, { exclusive: true });
  await assert.rejects(take(repository!, next), isBusy);
  assert.deepEqual(await unlockRepository(repository!, next), []);
  await held.release();
});

Deno.test("locks: unlock removes what is stale by restic's rules, and with all everything", async () => {
  const clock = new ManualClock();
  const store = new MemoryObjectStore();
  const [repository] = await makeRepositories(store);
  const json = (more: object) =>
    new TextEncoder().encode(JSON.stringify({
      time: new Date(clock.nowMs()).toISOString(),
      exclusive: true,
      hostname: "here",
      username: "u",
      pid: 10,
      ...more,
    }));
  const old = new Date(clock.nowMs() - 31 * 60_000).toISOString();
  const stale = [
    await repository!.save("lock", json({ time: old, hostname: "elsewhere" })),
    await repository!.save("lock", json({ pid: 4 })),
  ];
  const held = [
    await repository!.save("lock", json({})),
    await repository!.save("lock", json({ hostname: "elsewhere", pid: 4 })),
  ];
  // One that restic left empty, and one that is damaged.
  store.objects.set(`locks/${"0".repeat(64)}`, new Uint8Array(0));
  store.objects.set(`locks/${"1".repeat(64)}`, new Uint8Array(40));
  const removed = await unlockRepository(repository!, context(clock));
  assert.deepEqual(removed.map(({ id }) => id).sort(), stale.sort());
  await repository!.remove("lock", held[0]!);
  await repository!.remove("lock", held[1]!);
  await assert.rejects(take(repository!, context(clock)), /cannot be read/);
  await unlockRepository(repository!, context(clock), { all: true });
  await (await take(repository!, context(clock), { exclusive: true })).release();
});

Deno.test("locks: what a dead process of ours was writing goes with its lock, and nobody else's", async () => {
  const clock = new ManualClock();
  const store = new MemoryObjectStore();
  const [repository] = await makeRepositories(store);
  const dead = context(clock, 12);
  const living = context(clock, 11);
  await take(repository!, living);
  await take(repository!, dead);
  const pack = `data/ab/${"ab".repeat(32)}`;
  const left = [pack, `index/${"cd".repeat(32)}`, `locks/${"ef".repeat(32)}`]
    .map((name) => `${name}-tmp-${writerOf(dead.owner.process)}01234567`);
  const others = [
    `${pack}-tmp-${writerOf(living.owner.process)}01234567`,
    // restic's, and of ours from before writers had names.
    `${pack}-tmp-1234567890`,
    `${pack}-tmp-0a1b2c3d`,
  ];
  for (const name of [...left, ...others]) await store.put(name, [new Uint8Array(3)]);
  await take(repository!, context(clock));
  assert.deepEqual(left.filter((name) => store.objects.has(name)), []);
  assert.deepEqual(others.filter((name) => store.objects.has(name)), others);
});

Deno.test("locks: a crash while a dead process's files are removed leaves its lock, which names the rest", async () => {
  const clock = new ManualClock();
  const memory = new MemoryObjectStore();
  const store = new FaultyObjectStore(memory);
  const [repository] = await makeRepositories(store);
  const dead = context(clock, 12);
  await take(repository!, dead);
  const left = ["ab", "cd"].map((two) =>
    `data/${two}/${two.repeat(32)}-tmp-${writerOf(dead.owner.process)}01234567`
  );
  for (const name of left) await memory.put(name, [new Uint8Array(3)]);
  store.changesLeft = 1;
  await assert.rejects(take(repository!, context(clock)), BackupError);
  assert.equal(left.filter((name) => memory.objects.has(name)).length, 1);
  store.changesLeft = Infinity;
  assert.equal((await unlockRepository(repository!, context(clock))).length, 1);
  assert.deepEqual(left.filter((name) => memory.objects.has(name)), []);
});
