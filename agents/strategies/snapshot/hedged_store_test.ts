import assert from "node:assert/strict";
import { ManualClock } from "../../../tests/support/manual_clock.ts";
import { BackupError } from "../../../protocol/base/errors.ts";
import { MemoryObjectStore } from "../../destinations/memory_object_store.ts";
import { hedgedStore, PATIENCE_MS } from "./hedged_store.ts";

const NAME = "data/00/pack";

/** Counts what it is asked, and answers never, with an error, or as a store does. */
class PlayedStore extends MemoryObjectStore {
  asked = 0;
  mood: "answers" | "hangs" | "fails" = "answers";

  override async getRange(name: string, offset: number, lengthBytes: number): Promise<Uint8Array> {
    this.asked++;
    if (this.mood === "hangs") return await new Promise(() => {});
    if (this.mood === "fails") throw new BackupError("io", `${this.display} is broken`);
    return await super.getRange(name, offset, lengthBytes);
  }
}

async function scene() {
  const stores = [new PlayedStore("a"), new PlayedStore("b")] as const;
  for (const store of stores) await store.put(NAME, [new Uint8Array([1, 2, 3])]);
  const clock = new ManualClock();
  const hedged = hedgedStore(stores, clock);
  return { a: stores[0], b: stores[1], clock, read: () => hedged.getRange(NAME, 1, 2) };
}

const EXPECTED = new Uint8Array([2, 3]);

Deno.test("hedged: while the first answers nobody else is asked", async () => {
  const { a, b, read } = await scene();
  for (let n = 0; n < 3; n++) assert.deepEqual(await read(), EXPECTED);
  assert.deepEqual([a.asked, b.asked], [3, 0]);
});

Deno.test("hedged: one that hangs is passed over once, and the others are asked first from then on", async () => {
  const { a, b, clock, read } = await scene();
  a.mood = "hangs";
  const reading = read();
  await clock.advance(PATIENCE_MS - 1);
  assert.equal(b.asked, 0);
  await clock.advance(1);
  assert.deepEqual(await reading, EXPECTED);
  assert.deepEqual(await read(), EXPECTED);
  assert.deepEqual([a.asked, b.asked], [1, 2]);
});

Deno.test("hedged: one that fails is passed over at once; when all fail the first error is told", async () => {
  const { a, b, read } = await scene();
  a.mood = "fails";
  assert.deepEqual(await read(), EXPECTED);
  b.mood = "fails";
  await assert.rejects(read(), /b is broken/);
});
