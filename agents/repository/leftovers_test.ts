import assert from "node:assert/strict";
import fc from "fast-check";
import { MemoryObjectStore } from "../destinations/memory_object_store.ts";
import { isTemporaryOf, WRITER_DIGITS } from "../destinations/object_store.ts";
import { removeLeftoversOfDead, writerOf } from "./leftovers.ts";
import type { ProcessIdentity } from "./lock_file.ts";

const BOOTS = ["0b1c2d3e-0123-4567-89ab-0123456789ab", "ffffffff-0123-4567-89ab-0123456789ab"];
const ME: ProcessIdentity = { host: "here", boot: BOOTS[0]!, pid: 100, start: "5000" };

const identity: fc.Arbitrary<ProcessIdentity> = fc.record({
  host: fc.constantFrom("here", "elsewhere"),
  boot: fc.constantFrom(...BOOTS, "unknown"),
  pid: fc.integer({ min: 1, max: 2 ** 31 }),
  start: fc.oneof(fc.bigInt({ min: 0n, max: 10n ** 15n }).map(String), fc.constant("unknown")),
});

Deno.test("what a process was writing goes without its lock only when it has certainly ended", async () => {
  await fc.assert(fc.asyncProperty(identity, fc.boolean(), async (one, lives) => {
    const store = new MemoryObjectStore();
    const writer = writerOf(one);
    assert.equal(writer.length, WRITER_DIGITS);
    const names = [`data/ab/${"ab".repeat(32)}`, "config"].map((n) => `${n}-tmp-${writer}01234567`);
    for (const name of names) {
      assert.ok(isTemporaryOf(name, writer));
      await store.put(name, [new Uint8Array(3)]);
    }
    const asked: unknown[] = [];
    await removeLeftoversOfDead(store, ME, (pid, start) => {
      asked.push([pid, start]);
      return lives;
    });
    const isKnown = one.boot !== "unknown" && one.start !== "unknown";
    const isEnded = one.boot !== ME.boot || !lives;
    const goes = one.host === ME.host && isKnown && isEnded;
    assert.equal(store.objects.size, goes ? 0 : 2);
    for (const each of asked) assert.deepEqual(each, [one.pid, one.start]);
  }));
});

Deno.test("what restic is writing, and what has no writer in its name, is nobody's to remove", async () => {
  const store = new MemoryObjectStore();
  const names = ["1234567890", "0a1b2c3d", "0123456789abcdef01234567"]
    .map((end) => `data/ab/${"ab".repeat(32)}-tmp-${end}`);
  for (const name of names) await store.put(name, [new Uint8Array(1)]);
  await removeLeftoversOfDead(store, ME, () => false);
  assert.equal(store.objects.size, names.length);
});
