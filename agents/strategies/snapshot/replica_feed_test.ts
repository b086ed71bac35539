import assert from "node:assert/strict";
import fc from "fast-check";
import { BackupError } from "../../../protocol/base/errors.ts";
import { type FedLane, FeedMemory, ReplicaFeed } from "./replica_feed.ts";

const COUNTERS = { files: 0, bytes: 0, filesUnmodified: 0, bytesUnmodified: 0 };

/** A replica whose every put ends when the test says so. */
class PlayedLane implements FedLane {
  readonly key: string;
  readonly stored = new Map<string, number>();
  lent = 0;
  /** Given to it to lend into. */
  readonly rooms: SharedArrayBuffer[] = [];
  /** Why it lends nothing. */
  failure: BackupError | undefined;
  readonly waiting: { name: string; bytes: Uint8Array; end: PromiseWithResolvers<void> }[] = [];

  constructor(key: string) {
    this.key = key;
  }

  async put({ name, bytes }: { name: string; bytes: Uint8Array }): Promise<void> {
    const end = Promise.withResolvers<void>();
    this.waiting.push({ name, bytes, end });
    await end.promise;
    this.stored.set(name, bytes[0]!);
  }

  // deno-lint-ignore require-await -- a thread answers it
  async lend(name: string, room: SharedArrayBuffer): Promise<Uint8Array> {
    const first = this.stored.get(name);
    this.rooms.push(room);
    if (this.failure !== undefined) throw this.failure;
    if (first === undefined) throw new BackupError("not_found", `${this.key} has no ${name}`);
    this.lent++;
    return new Uint8Array(room, 0, 100).fill(first);
  }

  /** Ends the put in hand, if there is one. */
  step(failure?: BackupError): boolean {
    const [first] = this.waiting.splice(0, 1);
    if (failure === undefined) first?.end.resolve();
    else first?.end.reject(failure);
    return first !== undefined;
  }
}

const settle = async () => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

function scene(names: string[], budgetBytes: number) {
  const lanes = names.map((name) => new PlayedLane(name));
  const released: string[] = [];
  const failed: string[] = [];
  const feed = new ReplicaFeed(lanes, new FeedMemory(budgetBytes), {
    failed: (key) => void failed.push(key),
    released: (name) => void released.push(name),
  });
  const put = (n: number) =>
    feed.put({
      name: `data/${n}`,
      bytes: new Uint8Array(100).fill(n),
      kind: "pack",
      counters: { ...COUNTERS, files: n },
    });
  return { lanes, released, failed, feed, put };
}

Deno.test("feed: whatever the paces, each replica gets everything in order and with the right bytes, and memory is given back once", () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat({ max: 3 }), { maxLength: 60 }),
      fc.integer({ min: 0, max: 500 }),
      async (steps, budgetBytes) => {
        const { lanes, released, feed, put } = scene(["a", "b", "c"], budgetBytes);
        let made = 0;
        const puts: Promise<void>[] = [];
        const seen = lanes.map((): [string, number][] => []);
        const end = (at: number) => {
          const first = lanes[at]!.waiting[0];
          if (first === undefined) return;
          // The memory of what is being stored is nobody else's.
          const isLent = lanes.some((other) => other.stored.get(first.name) !== undefined);
          if (!isLent) assert.ok(!released.includes(first.name));
          seen[at]!.push([first.name, first.bytes[0]!]);
          lanes[at]!.step();
        };
        for (const step of steps) {
          if (step === 3) puts.push(put(++made));
          else end(step);
          await settle();
        }
        while (lanes.some(({ waiting }) => waiting.length > 0)) {
          for (const at of [0, 1, 2]) end(at);
          await settle();
        }
        await Promise.all(puts);
        const all = Array.from({ length: made }, (_, i) => [`data/${i + 1}`, i + 1]);
        for (const one of seen) assert.deepEqual(one, all);
        for (const { key } of lanes) {
          await feed.drained(key);
          assert.equal(feed.depth(key), 0);
          assert.equal(feed.counters(key)?.files, made === 0 ? undefined : made);
        }
        feed.close();
        assert.deepEqual([...released].sort(), all.map(([name]) => name).sort());
      },
    ),
    { numRuns: 200 },
  ));

Deno.test("feed: a late replica borrows what memory does not hold, and holds up nobody", async () => {
  const { lanes: [fast, slow], feed, put } = scene(["fast", "slow"], 100);
  for (let n = 1; n <= 5; n++) {
    const done = put(n);
    await settle();
    fast!.step();
    await done;
  }
  await feed.drained("fast");
  assert.equal(slow!.waiting.length, 1);
  while (slow!.step()) await settle();
  await feed.drained("slow");
  assert.deepEqual([...slow!.stored.keys()], [1, 2, 3, 4, 5].map((n) => `data/${n}`));
  assert.deepEqual([...slow!.stored.values()], [1, 2, 3, 4, 5]);
  assert.ok(fast!.lent >= 3);
});

Deno.test("feed: one that fails is out, and when none is left nothing more can be put", async () => {
  const { lanes: [a, b], failed, feed, put } = scene(["a", "b"], 1000);
  const first = put(1);
  await settle();
  a!.step(new BackupError("no_space", "full"));
  b!.step();
  await first;
  assert.deepEqual(failed, ["a"]);
  await assert.rejects(feed.drained("a"), { code: "no_space" });
  assert.equal(feed.isOpen("a"), false);
  const second = put(2);
  await settle();
  assert.equal(a!.waiting.length, 0);
  b!.step(new BackupError("io", "gone"));
  await assert.rejects(second, { code: "io" });
  await assert.rejects(put(3), { code: "no_space" });
});

Deno.test("feed: memory that a stuck thread may still read is not given back", async () => {
  const { released, feed, put } = scene(["a", "b"], 1000);
  put(1).catch(() => {});
  await settle();
  feed.fail("a", new BackupError("deadline", "stuck"));
  feed.fail("b", new BackupError("deadline", "stuck"));
  feed.close();
  assert.deepEqual(released, []);
});

Deno.test("feed: what one replica writes again is not used for anything else meanwhile", async () => {
  const { lanes: [lane], released, feed, put } = scene(["a"], 0);
  const first = put(1);
  const second = put(2);
  const evicting = put(3);
  // Found wrong when it is read back, while others are being stored and memory is short.
  const { bytes, done } = await feed.borrow("data/1", "a");
  lane!.step();
  await settle();
  lane!.step();
  await settle();
  assert.deepEqual(released, ["data/2"]);
  assert.equal(bytes[0], 1);
  done();
  lane!.step();
  await Promise.all([first, second, evicting]);
  await settle();
  assert.deepEqual(released, ["data/2", "data/1", "data/3"]);
});

Deno.test("feed: what two replicas lack is held once, and until both have read it back", async () => {
  const { lanes: [a, b], released, feed } = scene(["a", "b", "c"], 1000);
  const lacked = { name: "index/1", sizeBytes: 100, bytes: new Uint8Array(100).fill(7) };
  for (const destination of ["a", "b"]) {
    feed.catchUp({ destination, objects: [{ ...lacked, bytes: lacked.bytes.slice() }] });
  }
  await settle();
  a!.step();
  b!.step();
  await settle();
  assert.deepEqual([a!.stored.get("index/1"), b!.stored.get("index/1")], [7, 7]);
  feed.seen("index/1", "a");
  assert.deepEqual(released, []);
  feed.seen("index/1", "b");
  assert.deepEqual(released, ["index/1"]);
});

Deno.test("feed: what is borrowed at the same time lies apart, and where a lender failed nothing is read to later", async () => {
  const { lanes: [late, failing, lender], feed } = scene(["late", "failing", "lender"], 0);
  lender!.stored.set("data/1", 1).set("data/2", 2).set("data/3", 3);
  failing!.failure = new BackupError("deadline", "stuck");
  const first = await feed.borrow("data/1", "late");
  const second = await feed.borrow("data/2", "late");
  assert.deepEqual([first.bytes[0], second.bytes[0]], [1, 2]);
  first.done();
  const third = await feed.borrow("data/3", "late");
  assert.deepEqual([second.bytes[0], third.bytes[0]], [2, 3]);
  assert.deepEqual(late!.rooms, []);
  // It may have been reading into them still.
  const given = new Set(failing!.rooms.slice(-1));
  assert.equal(given.has(third.bytes.buffer as SharedArrayBuffer), false);
  third.done();
  await feed.borrow("data/1", "late");
  assert.equal(given.has(lender!.rooms.at(-1)!), false);
});

Deno.test("feed: who has to ask several lenders needs no more memory for it", async () => {
  const { lanes: [, without, lender], feed } = scene(["late", "without", "lender"], 0);
  for (let n = 1; n <= 5; n++) {
    lender!.stored.set(`data/${n}`, n);
    const { bytes, done } = await feed.borrow(`data/${n}`, "late");
    assert.equal(bytes[0], n);
    done();
  }
  assert.equal(new Set([...without!.rooms, ...lender!.rooms]).size, 1);
});
