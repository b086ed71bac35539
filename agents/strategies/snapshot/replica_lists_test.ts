import assert from "node:assert/strict";
import { join } from "node:path";
import { systemClock } from "../../../protocol/base/clock.ts";
import { backupOurs, openOurs } from "../../../tests/support/restic.ts";
import { makeReplicas } from "../../../tests/support/snapshot_engine.ts";
import { replicateSnapshots, type Repository } from "../../repository/mod.ts";
import { readReplicaLists, withoutPacks } from "./replica_lists.ts";

interface Scene {
  a: Repository;
  b: Repository;
  paths: { a: string; b: string };
  base: string;
}

async function inScene(run: (scene: Scene) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync();
  try {
    const [a, b, base] = ["a", "b", "base"].map((name) => join(folder, name));
    await makeReplicas(a!, b!);
    Deno.mkdirSync(base!);
    Deno.writeTextFileSync(join(base!, "file"), "first");
    await run({
      a: await openOurs(a!),
      b: await openOurs(b!),
      paths: { a: a!, b: b! },
      base: base!,
    });
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/** Damages the one file of a folder. */
function damage(folder: string): void {
  const [{ name }] = [...Deno.readDirSync(folder)] as [Deno.DirEntry];
  const bytes = Deno.readFileSync(join(folder, name));
  bytes[20]! ^= 1;
  Deno.chmodSync(join(folder, name), 0o600);
  Deno.writeFileSync(join(folder, name), bytes);
}

const named = (a: Repository, b: Repository) => [
  { destination: "a", repository: a },
  { destination: "b", repository: b },
];

Deno.test("lists: replicas in step lack nothing, and one index is enough for both", () =>
  inScene(async ({ a, b, base }) => {
    const { snapshot } = await backupOurs(a, { base });
    await replicateSnapshots(a, b, [snapshot.id]);
    // What is the same is one file in both only when it was made once.
    Deno.removeSync(join(b.store.display, "index"), { recursive: true });
    Deno.mkdirSync(join(b.store.display, "index"));
    for (const { id } of await a.list("index")) {
      await b.store.put(`index/${id}`, [await a.store.get(`index/${id}`, 1 << 20)]);
    }
    const lists = await readReplicaLists(named(a, b), systemClock);
    assert.equal(lists.own.size, 0);
    assert.equal(lists.missing.size, 0);
    assert.deepEqual([...lists.snapshots.keys()], [snapshot.id]);
    assert.deepEqual(lists.lost, []);
  }));

Deno.test("lists: what a replica lacks is named by pack, and only what it lacks", () =>
  inScene(async ({ a, b, base }) => {
    const first = await backupOurs(a, { base });
    await replicateSnapshots(a, b, [first.snapshot.id]);
    const before = new Set((await a.list("pack")).map(({ id }) => id));
    Deno.writeTextFileSync(join(base, "other"), "second");
    await backupOurs(a, { base });
    const { missing, index, own } = await readReplicaLists(named(a, b), systemClock);
    const added = (await a.list("pack")).map(({ id }) => id).filter((id) => !before.has(id));
    assert.deepEqual([...missing.get("b")!].sort(), added.sort());
    assert.equal(missing.get("a")?.size ?? 0, 0);
    assert.ok(own.get("b")!.rowCount < index.rowCount);
    const without = withoutPacks(index, new Set(added));
    assert.equal(without.rowCount, own.get("b")!.rowCount);
  }));

Deno.test("lists: one that is damaged is read from a replica; a snapshot that nobody can read is none, who has such an index is lost", () =>
  inScene(async ({ a, b, paths, base }) => {
    const { snapshot } = await backupOurs(a, { base });
    await replicateSnapshots(a, b, [snapshot.id]);
    damage(join(paths.a, "snapshots"));
    const healed = await readReplicaLists(named(a, b), systemClock);
    assert.deepEqual([...healed.snapshots.keys()], [snapshot.id]);
    assert.deepEqual(healed.warnings, []);
    damage(join(paths.b, "snapshots"));
    const none = await readReplicaLists(named(a, b), systemClock);
    assert.equal(none.snapshots.size, 0);
    assert.equal(none.warnings.length, 1);
    damage(join(paths.a, "index"));
    const alone = await readReplicaLists(named(a, b), systemClock);
    assert.deepEqual(alone.replicas.map(({ destination }) => destination), ["b"]);
    const [{ replica, error }] = alone.lost as [typeof alone.lost[0]];
    assert.deepEqual([replica.destination, error.code], ["a", "damaged"]);
    assert.equal(
      alone.index.rowCount,
      (await readReplicaLists([named(a, b)[1]!], systemClock)).index.rowCount,
    );
    damage(join(paths.b, "index"));
    const neither = await readReplicaLists(named(a, b), systemClock);
    assert.deepEqual([neither.replicas.length, neither.lost.length], [0, 2]);
  }));

Deno.test("lists: a replica that cannot be listed is lost, alone", () =>
  inScene(async ({ a, b, paths, base }) => {
    const { snapshot } = await backupOurs(a, { base });
    Deno.writeTextFileSync(join(paths.b, "index"), "a file");
    const lists = await readReplicaLists(named(a, b), systemClock);
    assert.deepEqual(lists.lost.map(({ replica }) => replica.destination), ["b"]);
    assert.deepEqual(lists.replicas.map(({ destination }) => destination), ["a"]);
    assert.ok(lists.snapshots.has(snapshot.id));
  }));
