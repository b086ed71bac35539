import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { FaultyObjectStore } from "../../tests/support/faulty_object_store.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import { MemoryObjectStore } from "../destinations/memory_object_store.ts";
import { BlobWriter, INDEX_EVERY_MS } from "./blob_writer.ts";
import { findParent } from "./find_parent.ts";
import { loadIndex } from "./load_index.ts";
import { openWithKey } from "./open_repository.ts";
import { replicateSnapshots } from "./replicate.ts";
import {
  backup,
  clock,
  makeRepositories,
  makeSample,
  node,
  problemsOf,
} from "./sample_repository_suite.ts";
import { isUnchanged } from "./snapshot_builder.ts";
import {
  decodeSnapshot,
  encodeSnapshot,
  loadSnapshots,
  type StoredSnapshot,
} from "./snapshot_file.ts";

const some = (bytes: number) => new Uint8Array(randomBytes(bytes));

Deno.test("backup: the same files again store nothing, changed ones only what is new", async () => {
  const { store, repository } = await makeSample();
  const files = { "a": some(2_000_000), "folder/b": "text", "folder/c": "text" };
  const first = await backup(repository, files);
  const objects = store.objects.size;
  const second = await backup(repository, files, { parent: first });
  assert.equal(second.tree, first.tree);
  assert.equal(store.objects.size, objects + 1, "the snapshot alone");
  assert.deepEqual(
    [second.summary!.files_unmodified, second.summary!.data_added, second.summary!.dirs_unmodified],
    [3, 0, 1],
  );
  const third = await backup(repository, { ...files, "folder/b": "other" }, { parent: second });
  assert.deepEqual(
    [third.summary!.files_changed, third.summary!.files_unmodified, third.summary!.data_blobs],
    [1, 2, 1],
  );
  assert.deepEqual(await problemsOf(repository), []);
});

Deno.test("backup: an unchanged file whose blobs are gone is read again", async () => {
  const { store, repository } = await makeSample();
  const files = { "a": some(1000) };
  const first = await backup(repository, files);
  const { index } = await loadIndex(repository);
  const row = index.rowsByPack().rows.find((row) => index.typeOf(row) === "data")!;
  const pack = index.packId(index.packOf(row));
  for (const name of store.objects.keys()) {
    if (name.startsWith("index/") || name.endsWith(pack)) store.objects.delete(name);
  }
  const second = await backup(repository, files, { parent: first });
  assert.equal(second.summary!.data_blobs, 1);
  assert.equal(second.tree, first.tree);
});

Deno.test("backup: a crash at any change leaves a whole repository, since packs come before index and snapshot", async () => {
  const files = { "a": some(40_000), "b/c": some(40_000), "b/d": some(40_000) };
  for (let step = 0;; step++) {
    const memory = new MemoryObjectStore();
    const store = new FaultyObjectStore(memory);
    const [repository] = await makeRepositories(store);
    store.changesLeft = step;
    const result = await backup(repository!, files, { packTargetBytes: 30_000 })
      .catch((error: BackupError) => error);
    store.changesLeft = Infinity;
    const errors = (await problemsOf(repository!)).filter((line) => line.startsWith("E"));
    assert.deepEqual(errors, []);
    assert.equal((await loadSnapshots(repository!)).length, result instanceof BackupError ? 0 : 1);
    await backup(repository!, files, { packTargetBytes: 30_000 });
    assert.deepEqual((await problemsOf(repository!)).filter((line) => line.startsWith("E")), []);
    if (result instanceof BackupError) continue;
    assert.ok(step > 4);
    // The order in which everything became durable.
    const kinds = store.changes.map((change) => /put (\w+)/.exec(change)![1]);
    const first = kinds.slice(0, kinds.indexOf("snapshots") + 1);
    assert.deepEqual([...new Set(first)], ["keys", "config", "data", "index", "snapshots"]);
    return;
  }
});

Deno.test("backup: an index file is written every five minutes, so that a killed backup goes on from there", async () => {
  const time = new ManualClock();
  const { store, repository } = await makeSample();
  const { index } = await loadIndex(repository);
  const writer = new BlobWriter(repository, index, { clock: time, packTargetBytes: 1000 });
  const indexes = () =>
    [...store.objects.keys()].filter((name) => name.startsWith("index/")).length;
  for (let i = 0; i < 10; i++) await writer.save("data", some(2000));
  assert.equal(indexes(), 0);
  await time.advance(INDEX_EVERY_MS);
  for (let i = 0; i < 5; i++) await writer.save("data", some(2000));
  assert.equal(indexes(), 1);
  // Killed here: another run finds what was listed.
  const after = await loadIndex(repository);
  assert.ok(after.index.rowCount >= 8, `${after.index.rowCount}`);
});

Deno.test("backup: after a pack could not be stored nothing more is, and no snapshot comes of it", async () => {
  const store = new FaultyObjectStore(new MemoryObjectStore());
  const [repository] = await makeRepositories(store);
  store.changesLeft = 0;
  const { index } = await loadIndex(repository!);
  const writer = new BlobWriter(repository!, index, { clock, packTargetBytes: 100 });
  await assert.rejects(async () => {
    for (let i = 0; i < 10; i++) await writer.save("data", some(200));
    await writer.flush();
  }, BackupError);
  store.changesLeft = Infinity;
  await assert.rejects(writer.save("data", some(10)), BackupError);
  await assert.rejects(writer.flush(), BackupError);
  assert.equal((await repository!.list("index")).length, 0);
});

Deno.test("backup: a file is unchanged by restic's rules", () => {
  const before = node("f", "file", { sizeBytes: 5, content: [] });
  const same = (more: object, rules = {}, size = 5) =>
    isUnchanged(before, { ...node("f", "file"), ...more }, size, rules);
  assert.ok(same({}));
  assert.ok(same({ mtime: "2026-01-02T05:04:05.678+02:00" }), "the same instant elsewhere");
  assert.ok(same({ inode: 7n, deviceId: 99 }));
  assert.ok(!same({}, {}, 6));
  assert.ok(!same({ mtime: "2026-01-02T03:04:05.679Z" }));
  assert.ok(!same({ ctime: "2026-01-02T03:04:05.679Z" }));
  assert.ok(same({ ctime: "2026-01-02T03:04:05.679Z" }, { ignoreCtime: true }));
  assert.ok(!same({ inode: 8 }));
  assert.ok(!same({ inode: 8 }, { ignoreCtime: true }));
  assert.ok(same({ inode: 8, ctime: "2026-01-02T03:04:05.679Z" }, { ignoreInode: true }));
  assert.ok(!same({ type: "fifo" }));
});

Deno.test("backup: the parent is the newest of the same host that has all the paths and is not of later", () => {
  const make = (id: string, time: string, more: Partial<StoredSnapshot> = {}): StoredSnapshot => ({
    id,
    time,
    tree: "t",
    paths: ["/a", "/b"],
    hostname: "here",
    ...more,
  });
  const snapshots = [
    make("old", "2026-01-01T00:00:00Z"),
    make("new", "2026-01-02T00:00:00Z"),
    make("other", "2026-01-03T00:00:00Z", { hostname: "there" }),
    make("less", "2026-01-04T00:00:00Z", { paths: ["/a"] }),
    make("later", "2027-01-01T00:00:00Z"),
  ];
  const at = { sec: Date.parse("2026-06-01T00:00:00Z") / 1000, nsec: 0 };
  assert.equal(findParent(snapshots, "here", ["/b"], at)?.id, "new");
  assert.equal(findParent(snapshots, "here", ["/a"], at)?.id, "less");
  assert.equal(findParent(snapshots, "here", ["/c"], at), undefined);
});

Deno.test("snapshots: fields are written in restic's order, empty ones left out, and read back", () => {
  const snapshot = {
    time: "2026-11-22T01:55:14.208427741+01:00",
    tree: "4".repeat(64),
    paths: ["/srv/a<b"],
    hostname: "vm",
    username: "root",
    excludes: ["sock*"],
    tags: ["t1"],
  };
  const json = encodeSnapshot({ ...snapshot, uid: 0 });
  assert.equal(
    new TextDecoder().decode(json),
    `{"time":"2026-11-22T01:55:14.208427741+01:00","tree":"${
      "4".repeat(64)
    }","paths":["/srv/a\\u003cb"],"hostname":"vm","username":"root","excludes":["sock*"],"tags":["t1"]}`,
  );
  assert.deepEqual(decodeSnapshot(json, "x"), snapshot);
});

Deno.test("replicas: a replica that missed runs gets exactly the snapshots asked for, and no pack twice", async () => {
  const stores = [new MemoryObjectStore("a"), new MemoryObjectStore("b")];
  const [a, b] = await makeRepositories(...stores);
  const files = { "x": some(20_000), "y": some(20_000) };
  const first = await backup(a!, files);
  const forgotten = await backup(a!, { ...files, "z": some(20_000) });
  const third = await backup(a!, { ...files, "w": some(20_000) }, { parent: first });
  await replicateSnapshots(a!, b!, [first.id]);
  const before = new Map(stores[1]!.objects);
  const counts = await replicateSnapshots(a!, b!, [first.id, third.id]);
  assert.deepEqual(counts.snapshots, [third.id]);
  for (const [name, bytes] of before) assert.deepEqual(stores[1]!.objects.get(name), bytes);
  assert.deepEqual(await problemsOf(b!), []);
  assert.ok(!(await b!.list("snapshot")).some(({ id }) => id === forgotten.id));
  assert.deepEqual((await replicateSnapshots(a!, b!, [third.id])).snapshots, []);
  const [stranger] = await makeRepositories(new MemoryObjectStore());
  await assert.rejects(replicateSnapshots(a!, stranger!, [first.id]), /no replicas/);
});

Deno.test("replicas: a crash while catching up leaves the replica whole, and the next time ends it", async () => {
  const [a] = await makeRepositories(new MemoryObjectStore("a"));
  const made = await backup(a!, { "x": some(30_000), "y/z": some(30_000) }, {
    packTargetBytes: 20_000,
  });
  for (let step = 0;; step++) {
    const memory = new MemoryObjectStore("b");
    for (const [name, bytes] of (a!.store as MemoryObjectStore).objects) {
      if (/^(config|keys)/.test(name)) memory.objects.set(name, bytes);
    }
    const store = new FaultyObjectStore(memory);
    const b = await openWithKey(store, a!.kernels, { keyId: a!.keyId, master: a!.master });
    store.changesLeft = step;
    const isThrough = await replicateSnapshots(a!, b, [made.id]).then(() => true, () => false);
    assert.deepEqual((await problemsOf(b)).filter((line) => line.startsWith("E")), []);
    store.changesLeft = Infinity;
    await replicateSnapshots(a!, b, [made.id]);
    assert.deepEqual(await problemsOf(b), []);
    assert.equal((await loadSnapshots(b)).length, 1);
    if (isThrough) return;
  }
});
