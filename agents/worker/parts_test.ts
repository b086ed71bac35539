/** A source in parts, over several agents of one run. */
import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import type { PartSpec } from "../../protocol/mesh/task.ts";
import { type FaultyPosix, faultyPosix } from "../../tests/support/faulty_posix.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { backUp } from "../../tests/support/mirror_engine.ts";
import {
  inScratch,
  writeFirstVersion,
  writeSecondVersion,
} from "../../tests/support/small_tree.ts";
import { partsOfSource } from "../../tests/support/source_parts.ts";
import { assertComplete, NOTHING } from "../../tests/support/small_tree_checks.ts";
import {
  inTime,
  TestAgent,
  type TestAgentOptions,
  TestRun,
} from "../../tests/support/test_agents.ts";
import { restore } from "../../tests/support/restoring.ts";
import { sameCopy, treeState } from "../../tests/support/tree_state.ts";
import { openPosix } from "../platform/open_posix.ts";
import { createListing } from "../strategies/mirror/restore/listing.ts";
import { openStoredLists } from "../strategies/mirror/restore/stored_lists.ts";
import type { Posix } from "../platform/posix.ts";

const posix = openPosix();

interface Scene {
  folder: string;
  clock: ManualClock;
  source: { name: string; path: string };
  destination: string;
  agents: TestAgent[];
  agent(name: string, port?: Posix, gate?: TestAgentOptions["gate"]): TestAgent;
  run(runId: string): TestRun;
  lists(): string[];
}

function inScene(use: (scene: Scene) => Promise<void>): Promise<void> {
  return inScratch(async (folder) => {
    const clock = new ManualClock();
    const source = { name: "copy", path: join(folder, "source") };
    fs.mkdirSync(source.path);
    writeFirstVersion(source.path);
    const destination = join(folder, "destination");
    const agents: TestAgent[] = [];
    const agent: Scene["agent"] = (name, port, gate) => {
      const made = new TestAgent({
        name,
        folder,
        clock,
        posix,
        ...(gate !== undefined && { gate }),
        ...(port !== undefined && {
          posixAt: (path: string) => path === destination ? port : undefined,
        }),
      });
      agents.push(made);
      return made;
    };
    try {
      await use({
        folder,
        clock,
        source,
        destination,
        agents,
        agent,
        run: (runId) => new TestRun({ runId, sources: [source], destinations: [destination] }),
        lists: () => fs.readdirSync(join(destination, ".backup-agent/manifests")).sort(),
      });
    } finally {
      for (const one of agents) await one.close();
    }
  });
}

/** One round: everybody takes the parts in turn, all at the same time. */
async function mirrorParts(scene: Scene, run: TestRun, agents: TestAgent[], parts: PartSpec[]) {
  const results = await inTime(
    scene.clock,
    Promise.all(
      parts.map((part, at) =>
        agents[at % agents.length]!.ask(run.mirrorSpec(scene.source, { part }))
      ),
    ),
  );
  for (const { lanes } of results) {
    const [lane] = lanes;
    assert.deepEqual(
      [lane!.state, lane!.failures, lane!.error],
      ["verified", [], undefined],
    );
  }
  return results.map(({ lanes }) => lanes[0]!);
}

function filesOf(tree: ReturnType<typeof treeState>): number {
  return [...tree.values()].filter(({ kind }) => kind === "file").length;
}

for (const partsMax of [2, 3, 8, 100]) {
  Deno.test(`a source in up to ${partsMax} parts over three agents is the same copy as in one piece, twice`, () =>
    inScene(async (scene) => {
      const { source, destination } = scene;
      const agents = ["a", "b", "c"].map((name) => scene.agent(name));
      let before: ReturnType<typeof treeState> = NOTHING;
      for (const [runId, write] of [["run-1", undefined], ["run-2", writeSecondVersion]] as const) {
        write?.(source.path);
        const parts = partsOfSource(source.path, partsMax);
        assert.ok(parts.length >= Math.min(partsMax, 8), `${parts.length} parts`);
        const run = scene.run(runId);
        await run.prepare(agents[0]!);
        for (const agent of agents.slice(1)) await run.join(agent);
        await run.scan(agents[0]!, source, partsMax);
        const lanes = await mirrorParts(scene, run, agents, parts);
        const tree = treeState(source.path);
        assert.equal(lanes.reduce((sum, lane) => sum + lane.filesTotal, 0), filesOf(tree));
        assert.deepEqual(await run.finish(agents[0]!), [{ op: "finish" }]);
        await run.release(...agents);
        assertComplete(destination, tree, before, runId);
        assert.deepEqual(scene.lists(), ["s1.jsonl"]);
        assert.deepEqual(
          fs.readdirSync(join(destination, ".backup-agent/stage")),
          ["s1"].filter(
            (name) => fs.existsSync(join(destination, ".backup-agent/stage", name)),
          ),
        );
        before = tree;
      }
      const whole = await backUp({
        posix,
        runId: "run-3",
        source: source.path,
        destinations: [{ path: destination, posix }],
      });
      // What the parts have left is what a whole backup would have: nothing is to be done.
      const [lane] = whole.mirrored!.lanes;
      assert.deepEqual([lane!.filesCopied, lane!.filesUnchanged], [0, lane!.filesTotal]);
      assertComplete(
        destination,
        before,
        before === NOTHING ? NOTHING : treeWithGone(destination),
        "whole",
      );
    }));
}

/** What stands there: the copy may have more than the source. */
function treeWithGone(destination: string): ReturnType<typeof treeState> {
  return treeState(join(destination, "copy"));
}

/** An agent whose machine loses power in the middle of a task. */
function dyingAgent(scene: Scene, name: string, faulty: FaultyPosix): TestAgent {
  return scene.agent(name, faulty.posix);
}

Deno.test("a part whose agent dies in the middle is taken over: what it published, new or replaced, is not copied again", () =>
  inScene(async (scene) => {
    const { source, destination, clock } = scene;
    const home = scene.agent("home");
    const run = scene.run("run-1");
    await run.prepare(home);
    await run.mirror(home, source);
    await run.finish(home);
    await run.release(home);
    const first = treeState(source.path);
    writeSecondVersion(source.path);
    const second = treeState(source.path);

    // All of the part is published and the power goes off before anything of it is read back.
    let flushes = 0;
    const faulty = faultyPosix(
      posix,
      (call) =>
        call.name === "flushFileSystem" && ++flushes === 2
          ? { kind: "crash", when: "after" }
          : undefined,
    );
    const dying = dyingAgent(scene, "dying", faulty);
    const other = scene.agent("other");
    const next = scene.run("run-2");
    await next.prepare(home);
    assert.equal((await next.join(dying)).destinations[0]!.error, undefined);
    await next.join(other);
    const [part, ...rest] = partsOfSource(source.path, 2);
    assert.equal(rest.length, 1);
    const lost = dying.ask(next.mirrorSpec(source, { part: part! }));
    lost.catch(() => {});
    let crashed = false;
    faulty.crashed.then(() => crashed = true);
    while (!crashed) await clock.advance(250);
    assert.ok(faulty.hasCrashed());
    const kept = join(destination, ".backup-agent/stage/s1.p1/run-2-1/kept");
    assert.ok(fs.existsSync(kept), "something was replaced");

    const [taken] = (await next.mirror(other, source, { part: part!, epoch: 2 })).lanes;
    assert.equal(taken!.state, "verified");
    assert.equal(taken!.bytesCopied, 0, "nothing is copied twice");
    assert.ok(taken!.filesVerified >= 3, `${taken!.filesVerified} were read back`);
    assert.deepEqual(taken!.rewritten, []);
    for (const [at, more] of rest.entries()) {
      assert.equal(
        (await next.mirror([home, other][at % 2]!, source, { part: more })).lanes[0]!.state,
        "verified",
      );
    }
    assert.deepEqual(await next.finish(home), [{ op: "finish" }]);
    assertComplete(destination, second, first, "after the take-over");
    faulty.dispose();
  }));

/** What a destination's thread is asked in the course of a task. */
const STEPS = [
  "addTask",
  "compare",
  "makeDirectories",
  "writeFiles",
  "publish",
  "makeOthers",
  "flush",
  "verify",
  "verifyOthers",
  "finishTask",
  "removeTask",
];

for (const step of STEPS) {
  Deno.test(`an attempt that was stopped before ${step} and goes on after its successor has ended changes nothing`, () =>
    inScene(async (scene) => {
      const { source, destination, clock } = scene;
      const home = scene.agent("home");
      const first = scene.run("run-0");
      await first.prepare(home);
      await first.mirror(home, source);
      await first.finish(home);
      await first.release(home);
      writeSecondVersion(source.path);

      const run = scene.run("run-1");
      await run.prepare(home);
      const { promise: woken, resolve: wake } = Promise.withResolvers<void>();
      let isStopped = false;
      const zombie = scene.agent("zombie", undefined, (method, path) => {
        isStopped ||= path === destination && method === step;
        return isStopped && path === destination ? woken : undefined;
      });
      await run.join(zombie);
      const [part, rest] = partsOfSource(source.path, 2);
      const ended = zombie.ask(run.mirrorSpec(source, { part: part! }))
        .then(({ lanes }) => lanes[0]!.state, (error) => error.code as string);
      while (!isStopped) await clock.advance(250);

      const taken = await run.mirror(home, source, { part: part!, epoch: 2 });
      assert.deepEqual(taken.lanes.map(({ state, failures }) => [state, failures]), [[
        "verified",
        [],
      ]]);
      const before = everything(destination);
      wake();
      const end = await inTime(clock, ended);
      // Its list stood already when it was stopped: what it says is true.
      assert.equal(end, step === "removeTask" ? "verified" : "superseded");
      assert.deepEqual(everything(destination), before);

      await run.mirror(home, source, { part: rest! });
      await run.finish(home);
      assertComplete(
        destination,
        treeState(source.path),
        treeWithGone(destination),
        `stopped before ${step}`,
      );
    }));
}

function everything(destination: string): unknown {
  return [...treeState(destination)].map(([path, { kind, text, mode, mtimeNs, inode }]) => [
    path,
    kind,
    text,
    mode,
    mtimeNs,
    inode,
  ]);
}

Deno.test("what the finished parts of an interrupted run have copied is listed and restored at once, as it will be when they are put together", () =>
  inScene(async (scene) => {
    const { source, destination, folder } = scene;
    const [agent] = [scene.agent("a")];
    let isFirst = true;
    for (const [runId, write] of [["run-1", undefined], ["run-2", writeSecondVersion]] as const) {
      write?.(source.path);
      const parts = partsOfSource(source.path, 6);
      const run = scene.run(runId);
      await run.prepare(agent!);
      const lanes = await mirrorParts(scene, run, [agent!], parts.slice(0, -1));
      // Nobody finishes: the process is gone.
      await run.release(agent!);
      assert.ok(scene.lists().some((name) => /\.p\d+\.jsonl$/.test(name)), String(scene.lists()));
      const found = listed(destination);
      const target = join(folder, `restored-${runId}`);
      const outcome = await restore(posix, { sources: [destination], target });
      const whole = treeState(source.path);
      const restored = treeState(join(target, "copy"));
      for (const [path, entry] of restored) {
        if (entry.kind !== "file" || !isFirst) continue;
        assert.ok(sameCopy(entry, whole.get(path)!), path);
      }
      if (isFirst) assert.equal(filesOf(restored), sumOf(lanes, (l) => l.filesTotal));
      else assert.equal(restored.get("dir/inner.txt")?.text, "inner, second version");
      assert.equal(outcome.failures.length, 0);
      // The next run puts the lists together first: what is listed is what was.
      const next = scene.run(`${runId}-next`);
      await next.prepare(agent!);
      await next.release(agent!);
      assert.deepEqual(scene.lists(), ["s1.jsonl"]);
      assert.deepEqual(listed(destination), found);
      await next.prepare(agent!, 2);
      await next.scan(agent!);
      await next.mirror(agent!, source);
      await next.finish(agent!);
      await next.release(agent!);
      isFirst = false;
    }
  }));

function sumOf<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((sum, item) => sum + of(item), 0);
}

/** What `ls` says of the destination. */
function listed(destination: string): unknown[] {
  const lists = openStoredLists(posix, destination, false);
  const next = createListing(posix, lists, { kind: "ls", path: "copy", recursive: true }, () => {});
  const entries: unknown[] = [];
  for (;;) {
    const part = next();
    entries.push(...part.entries);
    assert.deepEqual(part.problems, []);
    if (!part.ended) continue;
    lists.close();
    return entries;
  }
}
