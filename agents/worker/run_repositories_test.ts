import assert from "node:assert/strict";
import { join } from "node:path";
import { BackupError } from "../../protocol/base/errors.ts";
import { openOurs, posix } from "../../tests/support/restic.ts";
import { makeReplicas, snapshot } from "../../tests/support/snapshot_engine.ts";
import { openDestination } from "../destinations/local_destination.ts";
import { areReplicas } from "../repository/mod.ts";

async function inFolder(work: (source: string, at: (name: string) => string) => Promise<void>) {
  const folder = Deno.makeTempDirSync();
  const source = join(folder, "source");
  Deno.mkdirSync(source);
  Deno.writeTextFileSync(join(source, "file"), "content");
  try {
    await work(source, (name) => join(folder, name));
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test("repositories made together are replicas, also where each has a password of its own", () =>
  inFolder(async (source, at) => {
    const wanted = [
      { path: at("a"), password: "one" },
      { path: at("b"), password: "two" },
      { path: at("c"), password: "one" },
    ];
    const { reports } = await snapshot({ source, repositories: wanted });
    assert.deepEqual(reports.map(({ state }) => state), ["verified", "verified", "verified"]);
    const opened = await Promise.all(wanted.map((one) => openOurs(one.path, one.password)));
    assert.ok(opened.every((one) => areReplicas(opened[0]!, one)));
    for (const one of opened) assert.equal((await one.list("key")).length, 1);
    // One whose making was cut off before its configuration goes on with the key it has.
    Deno.removeSync(at("b/config"));
    for (const name of ["data", "index", "snapshots", "locks"]) {
      Deno.removeSync(join(at("b"), name), { recursive: true });
    }
    const again = await snapshot({ source, repositories: wanted });
    assert.deepEqual(again.prepared.map(({ error }) => error), [undefined, undefined, undefined]);
    const b = await openOurs(at("b"), "two");
    assert.equal(b.keyId, opened[1]!.keyId);
    assert.ok(areReplicas(opened[0]!, b));
  }));

Deno.test("among plain copies no repository is made", () =>
  inFolder(async (source, at) => {
    openDestination(posix, at("copies"), [], "maker", "2026-01-01T00:00:00Z").close();
    const { prepared } = await snapshot({ source, repositories: [{ path: at("copies") }] });
    assert.equal(prepared[0]!.error?.code, "destination_missing");
    assert.deepEqual([...Deno.readDirSync(at("copies"))].map(({ name }) => name), [
      ".backup-agent",
    ]);
  }));

Deno.test("a wrong password is that repository's alone, and nothing is made with it", () =>
  inFolder(async (source, at) => {
    await makeReplicas(at("old"));
    const { prepared, reports } = await snapshot({
      source,
      repositories: [
        { path: at("old"), password: "wrong" },
        { path: at("same"), password: "wrong" },
        { path: at("new"), password: "right" },
      ],
    });
    const codes = prepared.map(({ error }) => error?.code);
    assert.deepEqual(codes, ["wrong_key", "wrong_key", undefined]);
    assert.match(
      prepared[1]!.error!.message,
      /No repository is made at .*same.*does not open .*old/,
    );
    const states = reports.map(({ destination, state }) => [destination, state]);
    assert.deepEqual(states, [[at("new"), "verified"]]);
    assert.throws(() => Deno.statSync(at("same")));
  }));

Deno.test("a password that cannot be had is its repository's trouble, and the others are made and stored", () =>
  inFolder(async (source, at) => {
    await makeReplicas(at("old"));
    const unknown = new BackupError("wrong_key", "This agent knows no secret named nas");
    const { prepared, reports } = await snapshot({
      source,
      repositories: [
        { path: at("old"), password: unknown },
        { path: at("none"), password: unknown },
        { path: at("one"), password: "good" },
        { path: at("two"), password: "good" },
      ],
    });
    const codes = prepared.map(({ error }) => error?.code);
    assert.deepEqual(codes, ["wrong_key", "wrong_key", undefined, undefined]);
    assert.match(prepared[1]!.error!.message, /knows no secret named nas/);
    const states = reports.map(({ destination, state }) => [destination, state]);
    assert.deepEqual(states, [[at("one"), "verified"], [at("two"), "verified"]]);
    assert.throws(() => Deno.statSync(at("none")));
  }));
