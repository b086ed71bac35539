/** A worker that may touch only some folders. */
import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { inScratch, writeFirstVersion } from "../../tests/support/small_tree.ts";
import { assertComplete, NOTHING } from "../../tests/support/small_tree_checks.ts";
import { TestAgent, TestRun } from "../../tests/support/test_agents.ts";
import { treeState } from "../../tests/support/tree_state.ts";
import { openPosix } from "../platform/open_posix.ts";
import { placeOf, type Roots } from "./roots.ts";

const posix = openPosix();

interface Scene {
  folder: string;
  agent(name: string, roots?: Roots, hostId?: string): TestAgent;
}

/** `data/photos`, `data/out` (a link to `secret`), `copies`, `secret`. */
function inScene(use: (scene: Scene) => Promise<void>): Promise<void> {
  return inScratch(async (folder) => {
    const clock = new ManualClock();
    for (const path of ["data/photos", "copies", "secret", "elsewhere"]) {
      fs.mkdirSync(join(folder, path), { recursive: true });
    }
    writeFirstVersion(join(folder, "data/photos"));
    writeFirstVersion(join(folder, "secret"));
    fs.symlinkSync(join(folder, "secret"), join(folder, "data/out"));
    fs.symlinkSync(join(folder, "elsewhere"), join(folder, "copies/out"));
    const agents: TestAgent[] = [];
    const agent: Scene["agent"] = (name, roots, hostId) => {
      const made = new TestAgent({
        name,
        folder,
        clock,
        posix,
        ...(roots !== undefined && { roots }),
        ...(hostId !== undefined && { hostId }),
      });
      agents.push(made);
      return made;
    };
    try {
      await use({ folder, agent });
    } finally {
      for (const one of agents) await one.close();
    }
  });
}

function rootsIn(folder: string): Roots {
  return {
    sources: [join(folder, "data")],
    destinations: [join(folder, "copies")],
    labels: new Map([["data", join(folder, "data")]]),
  };
}

Deno.test("a worker with roots copies what lies in them, by path or by label, also on another machine", () =>
  inScene(async ({ folder, agent }) => {
    const home = agent("home", rootsIn(folder), "host-a");
    const other = agent("other", rootsIn(folder), "host-b");
    const destination = join(folder, "copies/new");
    const source = { name: "copy", root: "data", path: "photos" };
    const run = new TestRun({ runId: "run-1", sources: [source], destinations: [destination] });
    await run.prepare(home);
    assert.equal((await run.join(other)).destinations[0]!.error, undefined);
    await run.scan(home);
    assert.equal((await run.mirror(other, source)).lanes[0]!.state, "verified");
    assert.deepEqual(await run.finish(home), [{ op: "finish" }]);
    await run.release(home, other);
    assertComplete(destination, treeState(join(folder, "data/photos")), NOTHING, "by its label");
    const marker = JSON.parse(
      fs.readFileSync(join(destination, ".backup-agent/marker.json"), "utf8"),
    );
    assert.deepEqual(
      [marker.bindings[0].hostId, marker.bindings[0].sourcePath],
      ["root:data", "data:photos"],
    );
  }));

Deno.test("no source outside the roots is read: not by its path, not over a link, not over a label", () =>
  inScene(async ({ folder, agent }) => {
    const worker = agent("worker", rootsIn(folder));
    const sources = [
      { name: "a", path: join(folder, "secret") },
      { name: "b", path: join(folder, "data/out") },
      { name: "c", path: join(folder, "data/../secret") },
      { name: "d", root: "data", path: "../secret" },
      { name: "e", root: "data", path: "out" },
      { name: "f", root: "other", path: "photos" },
    ];
    const run = new TestRun({
      runId: "run-1",
      sources,
      destinations: [join(folder, "copies/new")],
    });
    await run.prepare(worker);
    for (const source of sources) {
      for (const work of [() => run.scan(worker, source), () => run.mirror(worker, source)]) {
        await assert.rejects(work(), { code: "rejected", retry: "elsewhere" }, source.name);
      }
    }
    assert.deepEqual(fs.readdirSync(join(folder, "copies/new")), [".backup-agent"]);
  }));

Deno.test("nothing outside the destination roots is made or opened", () =>
  inScene(async ({ folder, agent }) => {
    const worker = agent("worker", rootsIn(folder));
    const before = treeState(folder);
    const destinations = [
      join(folder, "elsewhere"),
      join(folder, "elsewhere/new"),
      join(folder, "copies/out"),
      join(folder, "copies/out/new"),
      join(folder, "copies/../elsewhere/new"),
    ];
    const run = new TestRun({
      runId: "run-1",
      sources: [{ name: "copy", path: join(folder, "data/photos") }],
      destinations,
    });
    const prepared = await run.prepare(worker);
    assert.deepEqual(
      prepared.destinations.map(({ error }) => error?.code),
      destinations.map(() => "rejected"),
    );
    const joined = await new TestRun({ ...run, runId: "run-2", destinations }).join(worker);
    assert.deepEqual(
      joined.destinations.map(({ error }) => [error?.code, error?.retry]),
      destinations.map(() => ["rejected", "elsewhere"]),
    );
    const after = treeState(folder);
    for (const path of [...after.keys()]) if (path.startsWith("state-")) after.delete(path);
    assert.deepEqual([...after.keys()], [...before.keys()]);
  }));

Deno.test("a label names a folder of this worker alone, whatever slashes the path has", () => {
  const roots: Roots = { sources: ["/data"], destinations: [], labels: new Map([["d", "/data"]]) };
  const at = (path: string) => placeOf({ name: "n", root: "d", path }, "host", roots);
  assert.deepEqual(["photos", "/photos", "///photos", "/", "."].map(at), [
    "/data/photos",
    "/data/photos",
    "/data/photos",
    "/data",
    "/data",
  ]);
  const anywhere = { ...roots, sources: [] };
  assert.equal(placeOf({ name: "n", path: "/x", hostId: "host" }, "host", anywhere), "/x");
  for (const source of [{ name: "n", path: "/x" }, { name: "n", path: "/data", hostId: "other" }]) {
    assert.throws(() => placeOf(source, "host", roots), { code: "rejected", retry: "elsewhere" });
  }
});
