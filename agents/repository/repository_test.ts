import assert from "node:assert/strict";
import { BackupError } from "../../protocol/base/errors.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { MemoryObjectStore } from "../destinations/memory_object_store.ts";
import { createKernels } from "../kernels/mod.ts";
import { areSane, calibrate, deriveKey } from "./kdf.ts";
import { addKey, listKeys, removeKey } from "./keys.ts";
import { addReplicas, areReplicas, initRepositories, openRepository } from "./open_repository.ts";
import { parsePolynomial } from "./polynomial.ts";

const kernels = createKernels();
const clock = new ManualClock();
/** Weaker than any real key, so that tests are fast. */
const kdf = { N: 1024, r: 8, p: 1 };
const owner = { username: "me", hostname: "here" };
const code = (wanted: string) => (error: unknown) =>
  error instanceof BackupError && error.code === wanted;

const make = async (...stores: MemoryObjectStore[]) =>
  await initRepositories(stores, kernels, clock, { ...owner, password: "secret", kdf });

Deno.test("repository: it opens with its password, and wrong passwords, missing and damaged files are told apart", async () => {
  const store = new MemoryObjectStore();
  await assert.rejects(
    openRepository(store, kernels, { password: "x" }),
    code("destination_missing"),
  );
  const [made] = await make(store);
  const opened = await openRepository(store, kernels, { password: "secret" });
  assert.deepEqual(opened.config, made!.config);
  assert.deepEqual(opened.master, made!.master);
  await assert.rejects(openRepository(store, kernels, { password: "Secret" }), code("wrong_key"));
  const [, config] = [...store.objects].find(([name]) => name === "config")!;
  config[20]! ^= 1;
  await assert.rejects(openRepository(store, kernels, { password: "secret" }), code("damaged"));
});

Deno.test("repository: nothing is written where a repository is, in any of the places", async () => {
  const [first, second] = [new MemoryObjectStore("a"), new MemoryObjectStore("b")];
  await make(second);
  const before = new Map(second.objects);
  await assert.rejects(make(first, second), code("rejected"));
  assert.equal(first.objects.size, 0);
  assert.deepEqual(second.objects, before);
  // Keys without a config: the repository has lost it, and a new one would make its data unreadable.
  second.objects.delete("config");
  await assert.rejects(make(second), code("rejected"));
});

Deno.test("repository: those made together, and those added later, are replicas", async () => {
  const stores = [new MemoryObjectStore("a"), new MemoryObjectStore("b")];
  const [a, b] = await make(...stores);
  assert.ok(areReplicas(a!, b!));
  assert.deepEqual(stores[0]!.objects, stores[1]!.objects);
  const [c] = await addReplicas(b!, [new MemoryObjectStore("c")]);
  assert.ok(areReplicas(a!, c!));
  await openRepository(c!.store, kernels, { password: "secret" });
  const [other] = await make(new MemoryObjectStore());
  assert.ok(!areReplicas(a!, other!));
});

Deno.test("repository: a file is found by what its id begins with, and damage in any byte is named", async () => {
  const store = new MemoryObjectStore();
  const [repository] = await make(store);
  const json = new TextEncoder().encode('{"some":"thing"}');
  const id = await repository!.save("snapshot", json);
  assert.deepEqual(await repository!.load("snapshot", id), json);
  assert.equal(await repository!.find("snapshot", id.slice(0, 8)), id);
  await assert.rejects(repository!.find("snapshot", "zz"), code("not_found"));
  store.objects.set("snapshots/readme", new Uint8Array(3));
  assert.deepEqual((await repository!.list("snapshot")).map((file) => file.id), [id]);
  const bytes = store.objects.get(`snapshots/${id}`)!;
  for (let i = 0; i < bytes.length; i++) {
    bytes[i]! ^= 0x10;
    await assert.rejects(
      repository!.load("snapshot", id),
      (error: unknown) => code("damaged")(error) && (error as Error).message.includes(id),
    );
    bytes[i]! ^= 0x10;
  }
});

Deno.test("repository: version 1 stores plain JSON, version 2 compresses, and each reads both", async () => {
  const store = new MemoryObjectStore();
  const [old] = await initRepositories([store], kernels, clock, {
    ...owner,
    password: "p",
    kdf,
    version: 1,
  });
  const json = new TextEncoder().encode(JSON.stringify({ text: "a".repeat(5000) }));
  const id = await old!.save("index", json);
  assert.ok(store.objects.get(`index/${id}`)!.length > 5000);
  assert.deepEqual(await old!.load("index", id), json);
});

Deno.test("keys: passwords are added, listed and removed, but not the one in use", async () => {
  const store = new MemoryObjectStore();
  const [repository] = await make(store);
  const id = await addKey(repository!, clock, { ...owner, password: "second", kdf });
  const second = await openRepository(store, kernels, {
    password: "second",
    keyHint: id.slice(0, 6),
  });
  assert.equal(second.keyId, id);
  assert.deepEqual(second.master, repository!.master);
  const keys = await listKeys(second);
  assert.equal(keys.length, 2);
  assert.deepEqual(keys.filter((key) => key.isCurrent).map((key) => key.id), [id]);
  await assert.rejects(removeKey(second, id), code("usage"));
  await removeKey(second, repository!.keyId);
  await assert.rejects(openRepository(store, kernels, { password: "secret" }), code("wrong_key"));
  await openRepository(store, kernels, { password: "second" });
});

Deno.test("keys: one damaged key file does not keep another password out", async () => {
  const store = new MemoryObjectStore();
  const [repository] = await make(store);
  await addKey(repository!, clock, { ...owner, password: "second", kdf });
  store.objects.get(`keys/${repository!.keyId}`)![5]! ^= 1;
  await openRepository(store, kernels, { password: "second" });
  await assert.rejects(openRepository(store, kernels, { password: "secret" }), code("wrong_key"));
});

Deno.test("kdf: what a file asks for has limits, and calibrating never goes below restic's least", () => {
  assert.ok(areSane({ N: 1024, r: 8, p: 1 }));
  assert.ok(areSane({ N: 65536, r: 8, p: 8 }));
  for (
    const wrong of [{ N: 1000, r: 8, p: 1 }, { N: 2 ** 30, r: 8, p: 1 }, { N: 1024, r: 0, p: 1 }, {
      N: 2,
      r: 1,
      p: 2 ** 40,
    }]
  ) {
    assert.ok(!areSane(wrong), JSON.stringify(wrong));
    assert.throws(() => deriveKey("x", new Uint8Array(64), wrong), RangeError);
  }
  // The clock stands still: as fast as can be.
  assert.deepEqual(calibrate(clock), { N: 32768, r: 8, p: 8 });
});

Deno.test("config: polynomials that restic refuses are refused", () => {
  assert.equal(parsePolynomial("25b468838dcb75"), 0x25b468838dcb75n);
  for (const wrong of ["", "25b468838dcb74", "3", "xyz", "65b468838dcb75", "-25b468838dcb75"]) {
    assert.equal(parsePolynomial(wrong), undefined, wrong);
  }
});
