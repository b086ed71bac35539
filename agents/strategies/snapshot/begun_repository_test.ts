import assert from "node:assert/strict";
import { join } from "node:path";
import { openOurs, PASSWORD } from "../../../tests/support/restic.ts";
import { makeReplicas, snapshot } from "../../../tests/support/snapshot_engine.ts";

Deno.test("a repository whose making was cut off after its key is finished by the next run, with that key", async () => {
  const folder = Deno.makeTempDirSync();
  try {
    const [source, a, b] = ["source", "a", "b"].map((name) => join(folder, name));
    Deno.mkdirSync(source!);
    Deno.writeTextFileSync(join(source!, "file"), "content");
    await makeReplicas(a!, b!);
    const keys = [...Deno.readDirSync(join(a!, "keys"))].map(({ name }) => name);
    for (const path of [a!, b!]) {
      for (const { name } of [...Deno.readDirSync(path)]) {
        if (name !== "keys") Deno.removeSync(join(path, name), { recursive: true });
      }
    }
    Deno.writeTextFileSync(join(a!, "config-tmp-0123456789abcdef01234567"), "half");
    // At the second not even that.
    Deno.removeSync(join(b!, "keys"), { recursive: true });
    const { prepared, reports } = await snapshot({
      source: source!,
      repositories: [{ path: a! }, { path: b! }],
    });
    assert.deepEqual(prepared.map(({ error }) => error), [undefined, undefined]);
    assert.deepEqual(reports.map(({ state }) => state), ["verified", "verified"]);
    for (const path of [a!, b!]) {
      assert.deepEqual([...Deno.readDirSync(join(path, "keys"))].map(({ name }) => name), keys);
      assert.equal((await openOurs(path, PASSWORD)).config.version, 2);
    }
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
