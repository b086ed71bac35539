/** Runs in parts that are cut off, and what the next run makes of what they left. */
import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { type FaultyPosix, faultyPosix, type PosixCall } from "../../tests/support/faulty_posix.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { backUp } from "../../tests/support/mirror_engine.ts";
import {
  cloneTree,
  inScratch,
  writeFirstVersion,
  writeSecondVersion,
} from "../../tests/support/small_tree.ts";
import {
  assertComplete,
  assertNothingTorn,
  copyAt,
} from "../../tests/support/small_tree_checks.ts";
import { partsOfSource } from "../../tests/support/source_parts.ts";
import { TestAgent, TestRun } from "../../tests/support/test_agents.ts";
import { needs } from "../../tests/support/tools.ts";
import { treeState } from "../../tests/support/tree_state.ts";
import { openPosix } from "../platform/open_posix.ts";

const posix = openPosix();

interface Scene {
  folder: string;
  clock: ManualClock;
  source: { name: string; path: string };
  /** The copy of the first version, whole; the source is the second one by now. */
  base: string;
  first: ReturnType<typeof treeState>;
  second: ReturnType<typeof treeState>;
  agent(name: string, at?: { path: string; faulty: FaultyPosix }): TestAgent;
  run(runId: string, destination: string): TestRun;
}

function inScene(use: (scene: Scene) => Promise<void>): Promise<void> {
  return inScratch(async (folder) => {
    const clock = new ManualClock();
    const source = { name: "copy", path: join(folder, "source") };
    const base = join(folder, "base");
    const agents: TestAgent[] = [];
    fs.mkdirSync(source.path);
    writeFirstVersion(source.path);
    const first = treeState(source.path);
    await backUp({
      posix,
      runId: "run-1",
      source: source.path,
      destinations: [{ path: base, posix }],
    });
    writeSecondVersion(source.path);
    try {
      await use({
        folder,
        clock,
        source,
        base,
        first,
        second: treeState(source.path),
        agent: (name, at) => {
          const made = new TestAgent({
            name,
            folder,
            clock,
            posix,
            ...(at !== undefined && {
              posixAt: (path: string) => path === at.path ? at.faulty.posix : undefined,
            }),
          });
          agents.push(made);
          return made;
        },
        run: (runId, destination) =>
          new TestRun({ runId, sources: [source], destinations: [destination] }),
      });
    } finally {
      for (const agent of agents) await agent.close();
    }
  });
}

/** Waits for the end of the work, or for the power cut in the middle of it. */
async function untilCut(
  clock: ManualClock,
  work: Promise<unknown>,
  faulty: FaultyPosix,
): Promise<void> {
  let isOver = false;
  work.catch(() => {}).finally(() => isOver = true);
  faulty.crashed.then(() => isOver = true);
  while (!isOver) await clock.advance(250);
  faulty.dispose();
}

/** Before and after each change; between two of them nothing on the disk is different. */
function cutsOf(calls: readonly PosixCall[]): (PosixCall & { when: "before" | "after" })[] {
  return calls.filter(({ changes }) => changes).flatMap((call) => [
    ...(call.name === "rename" ? [{ ...call, when: "before" as const }] : []),
    { ...call, when: "after" as const },
  ]);
}

/** All parts of the second version are copied and verified, and nobody has put their lists together. */
async function copyParts(scene: Scene, destination: string, skip = -1): Promise<void> {
  const agent = scene.agent(`parts-${destination.split("/").at(-1)}`);
  const run = scene.run("run-2", destination);
  await run.prepare(agent);
  for (const [at, part] of partsOfSource(scene.source.path, 3).entries()) {
    if (at === skip) continue;
    const { lanes } = await run.mirror(agent, scene.source, { part });
    assert.equal(lanes[0]!.state, "verified");
  }
  await run.release(agent);
}

for (const how of ["the end of the run", "the next run"] as const) {
  Deno.test({
    ...needs(
      `a power cut at any step of putting parts together, at ${how}, loses nothing`,
      "linux",
    ),
    fn: () =>
      inScene(async (scene) => {
        const { folder, clock, first, second } = scene;
        const copied = join(folder, "copied");
        cloneTree(scene.base, copied);
        await copyParts(scene, copied);
        /** Puts them together at `destination`: the calls from there on. */
        const settle = async (destination: string, faulty: FaultyPosix): Promise<number> => {
          const agent = scene.agent(`settler-${destination.split("/").at(-1)}`, {
            path: destination,
            faulty,
          });
          const run = scene.run(how === "the next run" ? "run-3" : "run-2", destination);
          let from = 0;
          const work = (async () => {
            await run.prepare(agent, 2);
            if (how === "the next run") return;
            from = faulty.calls.length;
            await run.finish(agent);
          })();
          await untilCut(clock, work, faulty);
          return from;
        };
        const rehearsal = join(folder, "rehearsal");
        cloneTree(copied, rehearsal);
        const whole = faultyPosix(posix);
        const from = await settle(rehearsal, whole);
        assert.deepEqual(fs.readdirSync(join(rehearsal, ".backup-agent/manifests")), ["s1.jsonl"]);
        const cuts = cutsOf(whole.calls.slice(from));
        assert.ok(cuts.length > 15, `${cuts.length}`);
        for (const { number, name, when } of cuts) {
          const point = `power cut ${when} call ${number} (${name})`;
          const destination = join(folder, `cut-${number}-${when}`);
          cloneTree(copied, destination);
          const faulty = faultyPosix(
            posix,
            (call) => call.number === number ? { kind: "crash", when } : undefined,
          );
          await settle(destination, faulty);
          assert.ok(faulty.hasCrashed(), point);
          assertNothingTorn(copyAt(destination), first, second, point);
          const { mirrored } = await backUp({
            posix,
            runId: "run-9",
            source: scene.source.path,
            destinations: [{ path: destination, posix }],
          });
          assert.equal(
            mirrored!.lanes[0]!.bytesCopied,
            0,
            `${point}: all of it was verified before`,
          );
          assertComplete(destination, second, first, `${point}, then another run`);
          assert.deepEqual(fs.readdirSync(join(destination, ".backup-agent/manifests")), [
            "s1.jsonl",
          ]);
          fs.rmSync(destination, { recursive: true });
        }
      }),
  });
}

Deno.test({
  ...needs(
    "a power cut at any step of a part leaves the old or the new file, and the next run completes",
    "linux",
  ),
  fn: () =>
    inScene(async (scene) => {
      const { folder, clock, first, second, source } = scene;
      const copied = join(folder, "copied");
      cloneTree(scene.base, copied);
      await copyParts(scene, copied, 1);
      const part = partsOfSource(source.path, 3)[1]!;
      const mirror = async (destination: string, faulty: FaultyPosix): Promise<number> => {
        const agent = scene.agent(`part-${destination.split("/").at(-1)}`, {
          path: destination,
          faulty,
        });
        const run = scene.run("run-2", destination);
        let from = 0;
        const work = (async () => {
          await run.prepare(agent, 2);
          from = faulty.calls.length;
          await run.mirror(agent, source, { part });
        })();
        await untilCut(clock, work, faulty);
        return from;
      };
      const rehearsal = join(folder, "rehearsal");
      cloneTree(copied, rehearsal);
      const whole = faultyPosix(posix);
      const from = await mirror(rehearsal, whole);
      const cuts = cutsOf(whole.calls.slice(from));
      assert.ok(cuts.length > 30, `${cuts.length}`);
      for (const { number, name, when } of cuts) {
        const point = `power cut ${when} call ${number} (${name})`;
        const destination = join(folder, `cut-${number}-${when}`);
        cloneTree(copied, destination);
        const faulty = faultyPosix(
          posix,
          (call) => call.number === number ? { kind: "crash", when } : undefined,
        );
        await mirror(destination, faulty);
        assert.ok(faulty.hasCrashed(), point);
        assertNothingTorn(copyAt(destination), first, second, point);
        // Half of the times by a successor in the same run, else by another run, and as a whole.
        if (number % 2 === 0) {
          const agent = scene.agent(`successor-${number}-${when}`);
          const run = scene.run("run-2", destination);
          await run.prepare(agent, 3);
          const { lanes } = await run.mirror(agent, source, { part, epoch: 2 });
          assert.deepEqual([lanes[0]!.state, lanes[0]!.failures], ["verified", []], point);
          assert.deepEqual(await run.finish(agent), [{ op: "finish" }], point);
          await agent.close();
        } else {
          await backUp({
            posix,
            runId: "run-9",
            source: source.path,
            destinations: [{ path: destination, posix }],
          });
        }
        assertComplete(destination, second, first, `${point}, then another`);
        fs.rmSync(destination, { recursive: true });
      }
    }),
});

Deno.test("what a run in parts published before it was cut off is adopted by one that is divided in another way", () =>
  inScene(async (scene) => {
    const { folder, clock, source, second } = scene;
    const destination = join(folder, "fresh");
    // All is published and nothing read back.
    let flushes = 0;
    const faulty = faultyPosix(
      posix,
      ({ name }) =>
        name === "flushFileSystem" && ++flushes === 2
          ? { kind: "crash", when: "after" }
          : undefined,
    );
    const dying = scene.agent("dying", { path: destination, faulty });
    const run = scene.run("run-2", destination);
    await run.prepare(dying);
    const [part] = partsOfSource(source.path, 2);
    await untilCut(clock, dying.ask(run.mirrorSpec(source, { part: part! })), faulty);
    assert.ok(faulty.hasCrashed());

    const agent = scene.agent("next");
    const next = scene.run("run-3", destination);
    await next.prepare(agent);
    await next.scan(agent, source, 5);
    let adopted = 0;
    let copied = 0;
    for (const other of partsOfSource(source.path, 5)) {
      const [lane] = (await next.mirror(agent, source, { part: other })).lanes;
      assert.equal(lane!.state, "verified");
      adopted += lane!.bytesVerified - lane!.bytesCopied;
      copied += lane!.bytesCopied;
    }
    assert.ok(adopted > 0 && copied > 0, `${adopted} adopted, ${copied} copied`);
    assert.deepEqual(await next.finish(agent), [{ op: "finish" }]);
    await next.release(agent);
    assertComplete(destination, second, new Map(), "in other parts");
    faulty.dispose();
  }));

Deno.test("a run whose home is lost goes on at another with the parts that are done, and copies only the others", () =>
  inScene(async (scene) => {
    const { source, base, first, second } = scene;
    const [home, other] = [scene.agent("home"), scene.agent("other")];
    const run = scene.run("run-2", base);
    await run.prepare(home);
    await run.join(other);
    const parts = partsOfSource(source.path, 4);
    assert.equal(parts.length, 4);
    for (const part of parts.slice(0, 2)) await run.mirror(home, source, { part });
    // The home does not answer any more, and holds the lock still; the other one is released and prepared anew.
    await run.release(other);
    await run.prepare(other, 2);
    const lists = fs.readdirSync(join(base, ".backup-agent/manifests"));
    assert.ok(
      lists.some((name) => name.startsWith("s1.p")),
      "what goes on is not put together yet",
    );
    for (const part of parts.slice(2)) {
      assert.equal((await run.mirror(other, source, { part })).lanes[0]!.state, "verified");
    }
    assert.deepEqual(await run.finish(other), [{ op: "finish" }]);
    assertComplete(base, second, first, "at another home");
  }));

Deno.test({
  ...needs(
    "before a source is divided, what a whole run left of it is put right once, and its new files are adopted",
    "linux",
  ),
  fn: () =>
    inScene(async (scene) => {
      const { source, base, first, clock } = scene;
      // Large enough to be divided, and quick to make.
      for (let k = 0; k < 2100; k++) {
        fs.mkdirSync(join(source.path, `many/${k}`), { recursive: true });
      }
      let flushes = 0;
      const faulty = faultyPosix(
        posix,
        ({ name }) =>
          name === "flushFileSystem" && ++flushes === 2
            ? { kind: "crash", when: "after" }
            : undefined,
      );
      const dying = scene.agent("dying", { path: base, faulty });
      const whole = scene.run("run-2", base);
      await whole.prepare(dying);
      await untilCut(clock, dying.ask(whole.mirrorSpec(source)), faulty);
      assert.ok(faulty.hasCrashed());
      const stage = join(base, ".backup-agent/stage/s1");
      assert.ok(fs.existsSync(join(stage, "run-2-1/kept")));

      const agents = [scene.agent("a"), scene.agent("b")];
      const run = scene.run("run-3", base);
      await run.prepare(agents[0]!);
      await run.join(agents[1]!);
      const { parts } = await run.scan(agents[0]!, source, 8);
      assert.ok(parts!.length > 1, `${parts!.length} parts`);
      assert.deepEqual(fs.readdirSync(stage), ["run-3.left"]);
      assert.deepEqual(fs.readdirSync(join(stage, "run-3.left")), ["journal.jsonl"]);
      // What was replaced is back: the copy is what its list says.
      assert.equal(fs.readFileSync(join(base, "copy/replaced.txt"), "utf8"), "first version");
      let copied = 0;
      let adopted = 0;
      for (const [at, { part }] of parts!.entries()) {
        const [lane] = (await run.mirror(agents[at % 2]!, source, { part })).lanes;
        assert.deepEqual([lane!.state, lane!.failures], ["verified", []]);
        copied += lane!.bytesCopied;
        adopted += lane!.bytesVerified - lane!.bytesCopied;
      }
      // What is new had been published; what was replaced went back, and is copied again.
      const sizeOf = (path: string) => fs.statSync(join(source.path, path)).size;
      const isNew = ["new.txt", "new-dir/a", "file-to-folder/child"];
      assert.ok(adopted >= isNew.reduce((sum, path) => sum + sizeOf(path), 0), `${adopted}`);
      assert.ok(copied > 0, `${copied}`);
      assert.deepEqual(await run.finish(agents[0]!), [{ op: "finish" }]);
      await run.release(...agents);
      assertComplete(base, treeState(source.path), first, "after the division");
      assert.deepEqual(fs.existsSync(stage) ? fs.readdirSync(stage) : [], []);
      faulty.dispose();
    }),
});
