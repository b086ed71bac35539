import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { inScratch } from "../../tests/support/small_tree.ts";
import { openKnownDestinations } from "./known_destinations.ts";

Deno.test("what was remembered is known to the next program, path by path", () =>
  inScratch((folder) => {
    const state = join(folder, "not/yet");
    const known = openKnownDestinations(state);
    assert.equal(known.idAt("/mnt/a"), undefined);
    known.remember("/mnt/a", "dest-1");
    known.remember("/mnt/b", "dest-2");
    known.remember("/mnt/a", "dest-3");
    assert.equal(known.idAt("/mnt/a"), "dest-3");
    const next = openKnownDestinations(state);
    assert.deepEqual(["/mnt/a", "/mnt/b", "/mnt"].map((path) => next.idAt(path)), [
      "dest-3",
      "dest-2",
      undefined,
    ]);
    assert.deepEqual(fs.readdirSync(state), ["destinations.json"]);
  }));

Deno.test("remembering what is known writes nothing", () =>
  inScratch((folder) => {
    openKnownDestinations(folder).remember("/mnt/a", "dest-1");
    const before = fs.statSync(join(folder, "destinations.json"), { bigint: true });
    openKnownDestinations(folder).remember("/mnt/a", "dest-1");
    const after = fs.statSync(join(folder, "destinations.json"), { bigint: true });
    assert.equal(after.ino, before.ino);
  }));

Deno.test("two programs that remember at one time do not forget what the other learned", () =>
  inScratch((folder) => {
    const [one, two] = [openKnownDestinations(folder), openKnownDestinations(folder)];
    one!.remember("/mnt/a", "dest-1");
    two!.remember("/mnt/b", "dest-2");
    const next = openKnownDestinations(folder);
    assert.deepEqual([next.idAt("/mnt/a"), next.idAt("/mnt/b")], ["dest-1", "dest-2"]);
  }));

Deno.test("a damaged list is an error that says what to do, never an empty list", () =>
  inScratch((folder) => {
    for (
      const text of ["", "{", "{}", '{"version":2,"byPath":{}}', '{"version":1,"byPath":{"/a":1}}']
    ) {
      fs.writeFileSync(join(folder, "destinations.json"), text);
      assert.throws(() => openKnownDestinations(folder), (error) => {
        const { code, hint } = error as { code: string; hint: string };
        assert.equal(code, "damaged");
        assert.match(hint, /Delete it/);
        return true;
      });
    }
  }));
