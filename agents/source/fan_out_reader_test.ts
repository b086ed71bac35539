import assert from "node:assert/strict";
import fc from "fast-check";
import { type FakeCall, fakeThread, oneReader, settled } from "../../tests/support/fake_threads.ts";
import { tableOfFiles } from "../../tests/support/sample_table.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import type { EntryTable } from "./entry_table.ts";
import { FanOutReader, type FileInSlot, type Held, type OpenedFile } from "./fan_out_reader.ts";
import { newStat } from "../platform/posix.ts";
import { SLOT_BYTES, SlotPool } from "./slot_pool.ts";

const { signal } = new AbortController();

interface Scene {
  table: EntryTable;
  thread: ReturnType<typeof fakeThread>;
  pool: SlotPool;
  reader: FanOutReader;
  /** Answers the oldest call as a disk at rest would. */
  answer(): Promise<void>;
}

async function scene(sizesBytes: number[], lanes: number, slots: number): Promise<Scene> {
  const built = tableOfFiles(sizesBytes);
  const share = built.freeze();
  const thread = fakeThread();
  const pool = new SlotPool(0, slots);
  const reader = new FanOutReader(oneReader(thread.client), pool, () => lanes);
  await reader.addSource("s", "/source", share);
  const offsets = new Map<number, number>();
  const rowOf = new Map<number, number>();
  return {
    table: built,
    thread,
    pool,
    reader,
    async answer() {
      answerCall(thread.pending[0]!, built, offsets, rowOf);
      await settled();
    },
  };
}

function answerCall(
  call: FakeCall,
  table: EntryTable,
  offsets: Map<number, number>,
  rowOf: Map<number, number>,
): void {
  const { argument } = call;
  const sizeOf = (row: number) => table.columns.sizeBytes[row]!;
  if (call.method === "readFiles") {
    let end = 0;
    const ends = Uint32Array.from(argument.rows as Uint32Array, (row) => end += sizeOf(row));
    assert.ok(end < SLOT_BYTES);
    call.resolve({ ends, problems: [], versions: [] });
  } else if (call.method === "openStream") {
    offsets.set(argument.stream, 0);
    rowOf.set(argument.stream, argument.row);
    call.resolve({ sizeBytes: sizeOf(argument.row) });
  } else if (call.method === "readStream") {
    const row = rowOf.get(argument.stream)!;
    const from = offsets.get(argument.stream)!;
    const bytes = Math.min(SLOT_BYTES, sizeOf(row) - from);
    offsets.set(argument.stream, from + bytes);
    const isLast = from + bytes === sizeOf(row);
    if (isLast) {
      table.setHashed(row, { ...newStat(), sizeBytes: sizeOf(row) }, "07".repeat(32));
    }
    call.resolve(isLast ? { bytes, end: {} } : { bytes });
  } else if (call.method === "readPart") {
    call.resolve({ bytes: Math.min(SLOT_BYTES, sizeOf(argument.row) - argument.offset) });
  }
}

Deno.test("a file is read once for all destinations that keep pace", async () => {
  const { reader, thread, answer } = await scene([10, 20, 30], 3, 13);
  const held = ["a", "b", "c"].map((lane) => reader.files(lane, "s", [1, 2, 3], signal));
  await settled();
  assert.equal(thread.pending.length, 1);
  await answer();
  const files = await Promise.all(held);
  for (const { value } of files) {
    assert.deepEqual(value.map(({ row, sizeBytes }) => [row, sizeBytes]), [[1, 10], [2, 20], [
      3,
      30,
    ]]);
    assert.deepEqual(value.map(({ offset }) => offset), [0, 10, 30]);
  }
  for (const one of files) one.release();
  assert.equal((await reader.files("d", "s", [2], signal)).value[0]!.sizeBytes, 20);
  assert.equal(thread.made.length, 1);
  assert.equal(reader.bytesRead, 60);
});

Deno.test("a batch that overlaps another reads only what is missing", async () => {
  const { reader, thread, answer } = await scene([10, 20, 30], 2, 10);
  const first = reader.files("a", "s", [1, 2], signal);
  const second = reader.files("b", "s", [2, 3], signal);
  await settled();
  assert.deepEqual(thread.pending.map(({ argument }) => [...argument.rows]), [[1, 2], [3]]);
  await answer();
  await answer();
  await first;
  assert.deepEqual((await second).value.map(({ sizeBytes }) => sizeBytes), [20, 30]);
});

Deno.test("a problem is told to everybody in the batch and never remembered", async () => {
  const { reader, thread, answer } = await scene([10, 20], 2, 10);
  const both = [
    reader.files("a", "s", [1, 2], signal),
    reader.files("b", "s", [1, 2], signal),
  ];
  await settled();
  thread.pending[0]!.resolve({
    ends: Uint32Array.of(0, 20),
    problems: [{ item: 0, code: "io", message: "bad sector", retry: true }],
    versions: [],
  });
  for (const { value, release } of await Promise.all(both)) {
    assert.equal(value[0]!.problem?.message, "bad sector");
    assert.equal(value[1]!.problem, undefined);
    release();
  }
  const again = reader.files("a", "s", [1, 2], signal);
  await settled();
  assert.deepEqual([...thread.pending[0]!.argument.rows], [1]);
  await answer();
  assert.equal((await again).value[0]!.problem, undefined);
});

Deno.test("a reader thread that is lost leaves no memory in use and the files are read again", async () => {
  const { reader, thread, pool, answer } = await scene([10], 1, 3);
  for (let k = 0; k < 10; k++) {
    const lost = reader.files("a", "s", [1], signal);
    await settled();
    thread.pending[0]!.reject(new BackupError("deadline", "gave up"));
    await assert.rejects(lost, { code: "deadline" });
  }
  const all = Array.from({ length: 3 }, () => pool.take(() => {}));
  assert.ok(all.every((slot) => slot !== undefined));
  for (const slot of all) pool.unpin(slot!);
  const again = reader.files("a", "s", [1], signal);
  await settled();
  await answer();
  assert.equal((await again).value[0]!.sizeBytes, 10);
});

Deno.test("files scattered over more memory than one destination may hold are read again into one place", async () => {
  const sizes = Array.from({ length: 8 }, (_, k) => k + 1);
  // 10 slots, 2 of them for reading, 2 destinations: 4 each.
  const { reader, thread, pool, answer } = await scene(sizes, 2, 10);
  for (let row = 1; row <= 8; row++) {
    const one = reader.files("a", "s", [row], signal);
    await settled();
    await answer();
    (await one).release();
  }
  const all = reader.files("b", "s", [1, 2, 3, 4, 5, 6, 7, 8], signal);
  await settled();
  await answer();
  const held = await all;
  assert.deepEqual(held.value.map(({ sizeBytes }) => sizeBytes), sizes);
  assert.equal(thread.made.length, 9);
  const left = Array.from({ length: 10 }, () => pool.take(() => {}));
  assert.equal(left.filter((slot) => slot === undefined).length, 1);
});

/** Reads a whole opened file as a lane does: in order, giving back each chunk before it asks for the next. */
async function readAll(opened: OpenedFile): Promise<number[]> {
  const bytes: number[] = [];
  for (let k = 0; k < opened.chunkCount; k++) {
    const held = await opened.chunk(k);
    bytes.push(held.value.bytes);
    assert.equal(held.value.isLast, k === opened.chunkCount - 1);
    held.release();
  }
  return bytes;
}

/** Answers whatever is asked until `work` is done. */
async function served<T>(at: Scene, work: Promise<T>): Promise<T> {
  let isOver = false;
  const over = () => isOver = true;
  work.then(over, over);
  for (let turns = 0; !isOver; turns++) {
    await settled();
    if (isOver) break;
    assert.ok(at.thread.pending.length > 0 || turns < 1000, "somebody waits for ever");
    if (at.thread.pending.length > 0) await at.answer();
    assert.ok(turns < 10_000, "no end");
  }
  return await work;
}

const LARGE = 2 * SLOT_BYTES + 100;
const CHUNKS = [SLOT_BYTES, SLOT_BYTES, 100];

Deno.test("destinations that open a large file together share one read of it", async () => {
  const at = await scene([LARGE], 2, 10);
  const lanes = ["a", "b"].map(async (lane) =>
    await readAll(await at.reader.open(lane, "s", 1, 1, signal))
  );
  assert.deepEqual(await served(at, Promise.all(lanes)), [CHUNKS, CHUNKS]);
  assert.equal(at.reader.bytesRead, LARGE);
  assert.equal(at.thread.made.filter(({ method }) => method === "openStream").length, 1);
});

Deno.test("a destination that comes after the file was read reads it by parts for itself", async () => {
  const at = await scene([LARGE], 2, 10);
  const first = at.reader.open("a", "s", 1, 1, signal).then(readAll);
  await served(at, first);
  const second = at.reader.open("b", "s", 1, 1, signal).then(readAll);
  assert.deepEqual(await served(at, second), CHUNKS);
  const parts = at.thread.made.filter(({ method }) => method === "readPart");
  assert.deepEqual(parts.map(({ argument }) => argument.offset), [0, SLOT_BYTES, 2 * SLOT_BYTES]);
});

Deno.test("a destination that falls behind reads the lost chunks again and the last ones with the others", async () => {
  const at = await scene([6 * SLOT_BYTES], 2, 5);
  const slow = await served(at, at.reader.open("slow", "s", 1, 1, signal));
  const fast = await served(at, at.reader.open("fast", "s", 1, 1, signal));
  for (let k = 0; k < 5; k++) (await served(at, fast.chunk(k))).release();
  assert.deepEqual(await served(at, readAll(slow)), Array(6).fill(SLOT_BYTES));
  assert.ok(at.thread.made.some(({ method }) => method === "readPart"));
  assert.equal((await served(at, fast.chunk(5))).value.bytes, SLOT_BYTES);
});

Deno.test("a file that changes while it is read fails for every destination that joined, and holds no memory", async () => {
  const at = await scene([LARGE], 2, 10);
  for (let round = 0; round < 8; round++) {
    const opened = await served(
      at,
      Promise.all(["a", "b"].map((lane) => at.reader.open(lane, "s", 1, round + 1, signal))),
    );
    const chunks = opened.map((one) => one.chunk(0));
    await settled();
    const failure = new BackupError("changed_while_read", "changed", { retry: "later" });
    while (at.thread.pending.length > 0) at.thread.pending[0]!.reject(failure);
    for (const chunk of chunks) await assert.rejects(chunk, { code: "changed_while_read" });
  }
  const free = Array.from({ length: 10 }, () => at.pool.take(() => {}));
  assert.ok(free.every((slot) => slot !== undefined));
});

Deno.test("whoever waits for memory stops waiting when the run is cancelled and somebody wakes it", async () => {
  const at = await scene([10], 1, 3);
  const slots = Array.from({ length: 3 }, () => at.pool.take(() => {})!);
  const cancel = new AbortController();
  const waiting = at.reader.files("a", "s", [1], cancel.signal);
  await settled();
  cancel.abort(new BackupError("cancelled", "Cancelled"));
  at.pool.unpin(slots[0]!);
  await assert.rejects(waiting, { code: "cancelled" });
});

Deno.test("a destination that never gives anything back starves no other, in any order of events", async () => {
  const step = fc.record({ lane: fc.nat(3), what: fc.constantFrom("ask", "answer", "release") });
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 2, max: 4 }),
      fc.array(fc.array(fc.integer({ min: 1, max: 24 }), { minLength: 1, maxLength: 5 }), {
        minLength: 4,
        maxLength: 12,
      }),
      fc.array(step, { maxLength: 60 }),
      async (laneCount, batches, steps) => {
        const at = await scene(Array(24).fill(1000), laneCount, 4 + 3 * laneCount);
        const lanes = Array.from({ length: laneCount }, (_, n) => ({
          name: `lane ${n}`,
          isStuck: n === 0,
          left: batches.map((rows) => [...new Set(rows)]),
          asked: 0,
          held: [] as Held<FileInSlot[]>[],
          waiting: 0,
        }));
        const ask = (lane: typeof lanes[number]) => {
          // As many requests at once as a destination has workers.
          const rows = lane.waiting < 3 ? lane.left.shift() : undefined;
          if (rows === undefined) return;
          lane.waiting++;
          at.reader.files(lane.name, "s", rows, signal).then((held) => {
            lane.waiting--;
            lane.asked++;
            assert.deepEqual(held.value.map(({ row }) => row), rows);
            lane.held.push(held);
          });
        };
        for (const { lane: n, what } of steps) {
          const lane = lanes[n % laneCount]!;
          if (what === "ask") ask(lane);
          else if (what === "answer" && at.thread.pending.length > 0) await at.answer();
          else if (what === "release" && !lane.isStuck) lane.held.shift()?.release();
          await settled();
        }
        // From here on everybody but the stuck one goes on as it would.
        for (let turns = 0; turns < 500; turns++) {
          if (lanes.every((lane) => lane.isStuck || lane.asked === batches.length)) return;
          for (const lane of lanes) {
            ask(lane);
            if (!lane.isStuck) { for (const held of lane.held.splice(0)) held.release(); }
          }
          if (at.thread.pending.length > 0) await at.answer();
          await settled();
        }
        assert.fail(`starved: ${lanes.map((lane) => lane.asked)} of ${batches.length}`);
      },
    ),
    { numRuns: 60 },
  );
});
