/** What every object store must do. Rule: a new kind of store adds a test file that calls this, and nothing else. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { BackupError } from "../../protocol/base/errors.ts";
import type { ObjectStore } from "./object_store.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytes = (value: string) => new TextEncoder().encode(value);
const hasCode = (code: string) => (error: unknown) =>
  error instanceof BackupError && error.code === code;

/** `make` gives a new empty store; `dispose` is called with it at the end. */
export function objectStoreSuite(
  kind: string,
  make: () => { store: ObjectStore; dispose(): void },
): void {
  const test = (name: string, fn: (store: ObjectStore) => Promise<void>) =>
    Deno.test(`object store (${kind}): ${name}`, async () => {
      const { store, dispose } = make();
      try {
        await fn(store);
      } finally {
        store.close();
        dispose();
      }
    });

  test("what was put comes back whole, in ranges and in its size", async (store) => {
    await store.put("data/ab/abc", [bytes("hello "), bytes(""), bytes("world")]);
    assert.equal(text(await store.get("data/ab/abc", 100)), "hello world");
    assert.equal(text(await store.getRange("data/ab/abc", 6, 5)), "world");
    for (const room of [new Uint8Array(3), new Uint8Array(5), new Uint8Array(9)]) {
      assert.equal(text(await store.getRange("data/ab/abc", 6, 5, room)), "world");
    }
    assert.equal((await store.getRange("data/ab/abc", 11, 0)).length, 0);
    assert.equal(text((await store.readBack("data/ab/abc", 11)).bytes), "hello world");
    assert.deepEqual(await store.stat("data/ab/abc"), { name: "data/ab/abc", sizeBytes: 11 });
    await store.put("empty", []);
    assert.equal((await store.get("empty", 0)).length, 0);
  });

  test("megabytes of any length come back whole, from shared memory at a page and from anywhere", async (store) => {
    for (const length of [3 << 20, (5 << 20) + 4097, (1 << 20) + 1]) {
      const shared = new SharedArrayBuffer(length, { maxByteLength: length + 1 });
      for (
        const part of [new Uint8Array(shared, 0, length), new Uint8Array(length + 1).subarray(1)]
      ) {
        for (let i = 0; i < length; i += 1000) part[i] = i / 1000;
        await store.put("data/ab/large", [part, bytes("end")]);
        for (const more of [0, 8192]) {
          const room = new SharedArrayBuffer(length + 3 + more, { maxByteLength: length + 9000 });
          const into = new Uint8Array(room, 0, length + 3 + more);
          const { bytes: back } = await store.readBack("data/ab/large", length + 3, into);
          assert.equal(Buffer.compare(back.subarray(0, length), part), 0);
          assert.equal(text(new Uint8Array(back.subarray(length))), "end");
        }
        const read = await store.get("data/ab/large", length + 3);
        assert.equal(Buffer.compare(read.subarray(0, length), part), 0);
        assert.equal(text(read.subarray(length)), "end");
      }
    }
  });

  test("what is missing is not found, and removing it is no failure", async (store) => {
    for (const name of ["config", "keys/a", "data/aa/a"]) {
      await assert.rejects(store.get(name, 10), hasCode("not_found"));
      await assert.rejects(store.getRange(name, 0, 1), hasCode("not_found"));
      await assert.rejects(store.readBack(name, 10), hasCode("not_found"));
      assert.equal(await store.stat(name), undefined);
      await store.remove(name);
    }
    assert.deepEqual(await store.list("keys"), []);
  });

  test("a range past the end and an object that is too long are damage", async (store) => {
    await store.put("keys/a", [bytes("12345")]);
    await assert.rejects(store.getRange("keys/a", 3, 3), hasCode("damaged"));
    await assert.rejects(store.getRange("keys/a", 9, 1), hasCode("damaged"));
    await assert.rejects(store.get("keys/a", 4), hasCode("damaged"));
    await assert.rejects(store.readBack("keys/a", 4), hasCode("damaged"));
  });

  test("a list holds every object below its folder and no other", async (store) => {
    for (const name of ["config", "data/ab/1", "data/ab/2", "data/cd/3", "keys/4"]) {
      await store.put(name, [bytes(name)]);
    }
    const sorted = (await store.list("data")).sort((a, b) => a.name < b.name ? -1 : 1);
    assert.deepEqual(sorted, [
      { name: "data/ab/1", sizeBytes: 9 },
      { name: "data/ab/2", sizeBytes: 9 },
      { name: "data/cd/3", sizeBytes: 9 },
    ]);
    await store.remove("data/ab/1");
    assert.equal((await store.list("data")).length, 2);
  });

  test("what was not put to its end is no object, and is found by itself", async (store) => {
    await store.put("data/ab/1", [bytes("1")]);
    await store.put("data/ab/1-tmp-0123456789abcdef89abcdef", [bytes("half")]);
    await store.put("keys/2-tmp-7", [bytes("")]);
    assert.deepEqual(await store.list("data"), [{ name: "data/ab/1", sizeBytes: 1 }]);
    assert.deepEqual(await store.list("keys"), []);
    assert.deepEqual(await store.leftovers("data"), [
      { name: "data/ab/1-tmp-0123456789abcdef89abcdef", sizeBytes: 4 },
    ]);
    assert.deepEqual(await store.leftovers("keys"), [{ name: "keys/2-tmp-7", sizeBytes: 0 }]);
    assert.deepEqual(await store.leftovers("index"), []);
    await store.put("config", [bytes("whole")]);
    await store.put("config-tmp-0a", [bytes("cut")]);
    assert.deepEqual(await store.leftovers(""), [{ name: "config-tmp-0a", sizeBytes: 3 }]);
  });

  test("putting again replaces, unless the name must be new", async (store) => {
    await store.put("config", [bytes("one")], { mustBeNew: true });
    await assert.rejects(
      store.put("config", [bytes("two")], { mustBeNew: true }),
      hasCode("rejected"),
    );
    assert.equal(text(await store.get("config", 10)), "one");
    await store.put("config", [bytes("three")]);
    assert.equal(text(await store.get("config", 10)), "three");
    const both = await Promise.allSettled(
      ["a", "b"].map((value) => store.put("keys/x", [bytes(value)], { mustBeNew: true })),
    );
    assert.equal(both.filter(({ status }) => status === "fulfilled").length, 1);
  });

  test("names that lead elsewhere are refused", async (store) => {
    for (const name of ["", "/etc/x", "../x", "data/../x", "a//b", ".hidden", "a/b/c/d", "a\0b"]) {
      await assert.rejects(store.put(name, [bytes("x")]), RangeError);
      await assert.rejects(store.get(name, 1), RangeError);
      await assert.rejects(store.remove(name), RangeError);
    }
  });
}
