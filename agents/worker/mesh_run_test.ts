/** Several agents that work on one run at one destination. */
import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { backUp } from "../../tests/support/mirror_engine.ts";
import {
  inScratch,
  writeFirstVersion,
  writeSecondVersion,
} from "../../tests/support/small_tree.ts";
import type { LaneProgress, TaskProgress } from "../../protocol/mesh/progress.ts";
import { PASSWORD } from "../../tests/support/restic.ts";
import { makeReplicas } from "../../tests/support/snapshot_engine.ts";
import {
  inTime,
  TestAgent,
  type TestAgentOptions,
  TestRun,
} from "../../tests/support/test_agents.ts";
import {
  checksumProblems,
  sameCopy,
  stagedFiles,
  treeState,
} from "../../tests/support/tree_state.ts";
import { EIO } from "../platform/errno.ts";
import { openPosix } from "../platform/open_posix.ts";
import { PART_WEIGHT_MIN } from "../source/division.ts";
import { openStoredLists } from "../strategies/mirror/restore/stored_lists.ts";

const posix = openPosix();

interface Scene {
  folder: string;
  clock: ManualClock;
  destination: string;
  /** Two sources, `one` and `two`. */
  sources: { name: string; path: string }[];
  agent(name: string, hostId?: string, gate?: TestAgentOptions["gate"]): TestAgent;
  run(runId: string): TestRun;
}

function inScene(use: (scene: Scene) => Promise<void>): Promise<void> {
  return inScratch(async (folder) => {
    const clock = new ManualClock();
    const destination = join(folder, "destination");
    const agents: TestAgent[] = [];
    const sources = ["one", "two"].map((name) => ({ name, path: join(folder, name) }));
    for (const { path } of sources) {
      fs.mkdirSync(path);
      writeFirstVersion(path);
    }
    try {
      await use({
        folder,
        clock,
        destination,
        sources,
        agent(name, hostId, gate) {
          const made = new TestAgent({
            name,
            folder,
            clock,
            posix,
            ...(hostId !== undefined && { hostId }),
            ...(gate !== undefined && { gate }),
          });
          agents.push(made);
          return made;
        },
        run: (runId) => new TestRun({ runId, sources, destinations: [destination] }),
      });
    } finally {
      for (const agent of agents) await agent.close();
    }
  });
}

/** The copy has all that its source has, and nothing is left half done. */
function assertWhole({ destination, sources }: Scene, gone = 0): void {
  for (const { name, path } of sources) {
    const copy = treeState(join(destination, name));
    for (const [entry, state] of treeState(path)) {
      const found = copy.get(entry);
      assert.ok(found !== undefined && sameCopy(found, state), `${name}/${entry}`);
    }
    if (gone === 0) assert.equal(copy.size, treeState(path).size);
    assert.deepEqual(checksumProblems(destination, name), []);
  }
  assert.deepEqual(stagedFiles(destination), []);
}

Deno.test("two agents share a run: each copies one source to one destination, and both are whole", () =>
  inScene(async (scene) => {
    const [home, other] = [scene.agent("home"), scene.agent("other")];
    for (const [runId, write] of [["run-1", undefined], ["run-2", writeSecondVersion]] as const) {
      for (const { path } of scene.sources) write?.(path);
      const run = scene.run(runId);
      const prepared = await run.prepare(home);
      assert.deepEqual(prepared.destinations.map(({ error }) => error), [undefined]);
      const joined = await run.join(other);
      assert.deepEqual(joined.destinations.map(({ error }) => error), [undefined]);
      assert.equal(joined.destinations[0]!.destinationId, run.ids.get(scene.destination));
      await run.scan(home);
      // The other one has not scanned its source, and walks it first.
      const results = await inTime(
        scene.clock,
        Promise.all([
          home.ask(run.mirrorSpec(scene.sources[0]!)),
          other.ask(run.mirrorSpec(scene.sources[1]!)),
        ]),
      );
      assert.deepEqual(results.map(({ lanes }) => lanes[0]!.state), ["verified", "verified"]);
      assert.deepEqual(results.map(({ walked }) => walked === undefined), [true, false]);
      assert.equal(results[1]!.walked!.counters.files, results[1]!.lanes[0]!.filesTotal);
      assert.deepEqual(await run.finish(home), [{ op: "finish" }]);
      await run.release(home, other);
      assertWhole(scene, write === undefined ? 0 : 1);
    }
  }));

Deno.test("while any agent of a run lives, another run and a restore are kept out, also when the home is gone", () =>
  inScene(async (scene) => {
    const [home, other, third] = [
      scene.agent("home"),
      scene.agent("other"),
      scene.agent("third"),
    ];
    const { destination, sources } = scene;
    const run = scene.run("run-1");
    await run.prepare(home);
    await run.join(other);
    const isBusy = async () => {
      assert.throws(() => openStoredLists(posix, destination, true), { code: "destination_busy" });
      const { prepared } = await backUp({
        posix,
        runId: "run-2",
        name: "one",
        source: sources[0]!.path,
        destinations: [{ path: destination, posix }],
      });
      return prepared.destinations[0]!.error?.code;
    };
    assert.equal(await isBusy(), "destination_busy");
    await run.release(home);
    assert.equal(await isBusy(), "destination_busy", "the other one is still at it");
    // The run finds a new home beside the agent that is left, and a further agent.
    await run.prepare(third, 2);
    assert.equal((await run.join(home, 2)).destinations[0]!.error, undefined);
    await run.release(third, other, home);
    openStoredLists(posix, destination, true).close();
  }));

Deno.test("an agent is let in only where the marker is the run's, and a name is bound to the source", () =>
  inScene(async (scene) => {
    const [home, other] = [scene.agent("home"), scene.agent("other")];
    const run = scene.run("run-1");
    await run.prepare(home);
    const id = run.ids.get(scene.destination)!;
    run.ids.set(scene.destination, "dest-another");
    const refused = (await run.join(other)).destinations[0]!.error!;
    assert.deepEqual([refused.code, refused.retry], ["rejected", "elsewhere"]);
    await run.release(other);
    run.ids.set(scene.destination, id);
    const wrong = new TestRun({
      runId: "run-1",
      sources: [{ name: "one", path: join(scene.folder, "two") }],
      destinations: [scene.destination],
    });
    wrong.ids.set(scene.destination, id);
    const unbound = (await wrong.join(other)).destinations[0]!.error!;
    assert.deepEqual([unbound.code, unbound.retry], ["rejected", "elsewhere"]);
    await run.release(other);
    const stranger = new TestRun({ ...run, destinations: [scene.destination], runId: "run-9" });
    stranger.ids.set(scene.destination, id);
    const error = (await stranger.join(other)).destinations[0]!.error!;
    assert.equal(error.code, "destination_busy", "it belongs to another run");
    const missing = new TestRun({
      runId: "run-1",
      sources: scene.sources,
      destinations: [join(scene.folder, "nowhere")],
    });
    await run.release(other);
    assert.equal((await missing.join(other)).destinations[0]!.error!.retry, "elsewhere");
    assert.equal(fs.existsSync(join(scene.folder, "nowhere")), false, "nothing is made by joining");
  }));

Deno.test("prepare, join and release may come twice; a later run epoch begins anew, an earlier one changes nothing", () =>
  inScene(async (scene) => {
    const [home, other] = [scene.agent("home"), scene.agent("other")];
    const run = scene.run("run-1");
    const first = await run.prepare(home);
    assert.deepEqual(await run.prepare(home), first);
    const joined = await run.join(other);
    assert.deepEqual(await run.join(other), joined);
    assert.equal((await run.join(home)).op, "join", "the home is in already");
    // The other one becomes the home, while the first, perhaps stopped, still holds the lock.
    await run.prepare(other, 2);
    await assert.rejects(run.join(other, 1), { code: "superseded" });
    await assert.rejects(run.prepare(other, 1), { code: "superseded" });
    const { lanes } = await run.mirror(other, scene.sources[1]!);
    assert.equal(lanes[0]!.state, "verified");
    await run.mirror(other, scene.sources[0]!);
    assert.deepEqual(await run.finish(other), [{ op: "finish" }]);
    await run.release(other, other, home, home);
    assertWhole(scene);
    await assert.rejects(run.mirror(home, scene.sources[0]!), {
      code: "rejected",
      retry: "elsewhere",
    });
  }));

Deno.test("a run that has begun with one disk is not prepared at another, and nothing is made there", () =>
  inScene(async (scene) => {
    const other = scene.agent("other");
    const run = scene.run("run-1");
    const empty = join(scene.folder, "empty");
    fs.mkdirSync(empty);
    const destination = { key: empty, kind: "local", path: empty, isNew: false } as const;
    const { destinations } = await other.run({
      op: "prepare",
      runId: "run-1",
      runEpoch: 2,
      sources: run.sources,
      destinations: [destination],
      expectedIds: { [empty]: "dest-of-an-earlier-home" },
      options: run.options,
    });
    assert.equal(destinations[0]!.error?.code, "destination_changed");
    assert.deepEqual(fs.readdirSync(empty), []);
    await run.release(other);
  }));

Deno.test("an agent gives one destination of a run back when it is told so, and goes on with the others", () =>
  inScene(async (scene) => {
    const [home, other, third] = [scene.agent("home"), scene.agent("other"), scene.agent("third")];
    const second = join(scene.folder, "second");
    const { sources, destination } = scene;
    const run = new TestRun({ runId: "run-1", sources, destinations: [destination, second] });
    await run.prepare(home);
    await run.join(other);
    await run.scan(home);
    const results = await inTime(
      scene.clock,
      Promise.all([
        home.ask({ ...run.mirrorSpec(sources[0]!), destinations: [destination] }),
        other.ask({ ...run.mirrorSpec(sources[1]!), destinations: [destination] }),
      ]),
    );
    assert.ok(results.every(({ lanes }) => lanes[0]!.state === "verified"));
    const finished = { op: "finish", runId: "run-1", destination } as const;
    assert.deepEqual(await home.run(finished), { op: "finish" });
    const busy = async (path: string, runId: string) => {
      const next = new TestRun({ runId, sources, destinations: [path] });
      const { destinations: [prepared] } = await next.prepare(third);
      await next.release(third);
      return prepared!.error?.code === "destination_busy";
    };
    assert.equal(await busy(destination, "run-2"), true, "the other one holds it");
    await other.run({ op: "drop", runId: "run-1", destination, isDone: true });
    await other.run({ op: "drop", runId: "run-1", destination, isDone: true });
    assert.equal(await busy(destination, "run-3"), false);
    assert.equal(await busy(second, "run-4"), true);
    const { lanes } = await other.run({
      ...run.mirrorSpec(sources[1]!, { epoch: 2 }),
      destinations: [second],
    });
    assert.equal(lanes[0]!.state, "verified");
    await run.release(home, other);
  }));

Deno.test("a destination that is cancelled alone is given back at once, also while an agent is in the middle of a file there", () =>
  inScene(async (scene) => {
    const { sources, destination, clock } = scene;
    const second = join(scene.folder, "second");
    const writing = Promise.withResolvers<void>();
    let isWriting = false;
    const home = scene.agent("home", undefined, (method, path) => {
      if (path !== destination || method !== "writeFiles") return undefined;
      isWriting = true;
      return writing.promise;
    });
    const [other, third] = [scene.agent("other"), scene.agent("third")];
    const run = new TestRun({ runId: "run-1", sources, destinations: [destination, second] });
    await run.prepare(home);
    await run.join(other);
    await run.scan(home);
    const mirrored = home.ask(run.mirrorSpec(sources[0]!));
    while (!isWriting) await inTime(clock, Promise.resolve());
    const dropped = [home, other].map((agent) =>
      agent.ask({ op: "drop", runId: "run-1", destination })
    );
    writing.resolve();
    await inTime(clock, Promise.all(dropped));
    const next = new TestRun({ runId: "run-2", sources, destinations: [destination] });
    const { destinations: [prepared] } = await next.prepare(third);
    assert.equal(prepared!.error, undefined);
    const { lanes } = await inTime(clock, mirrored);
    assert.deepEqual(lanes.map(({ state }) => state), ["cancelled", "verified"]);
    // What the cancelled one has left there is in nobody's way.
    await next.scan(third);
    for (const source of sources) {
      const { lanes } = await inTime(clock, third.ask(next.mirrorSpec(source)));
      assert.deepEqual(lanes.map(({ state }) => state), ["verified"]);
    }
    const finished = { op: "finish", runId: "run-2", destination } as const;
    assert.deepEqual(await third.run(finished), { op: "finish" });
    assert.deepEqual(stagedFiles(destination), []);
    await run.release(home, other);
    await next.release(third);
  }));

Deno.test("a repository that is cancelled alone is unlocked, and the run goes on with the others", () =>
  inScene(async ({ folder, sources: [source], destination, clock }) => {
    const repository = join(folder, "repository");
    await makeReplicas(repository);
    const secrets = new Map([["vault", { typed: PASSWORD }]]);
    const agent = new TestAgent({ name: "a", folder, clock, posix, secrets });
    try {
      const run = new TestRun({
        runId: "run-1",
        sources: [source!],
        destinations: [destination],
        options: { keys: { repositoryPassword: "vault" } },
      });
      run.destinations.push({ key: "vault", kind: "restic", path: repository, isNew: false });
      const { destinations } = await run.prepare(agent);
      assert.deepEqual(destinations.map(({ error }) => error), [undefined, undefined]);
      const locks = () => fs.readdirSync(join(repository, "locks")).length;
      assert.equal(locks(), 1);
      await agent.run({ op: "drop", runId: "run-1", destination: "vault" });
      assert.equal(locks(), 0);
      await run.scan(agent);
      const { lanes } = await agent.run({
        ...run.mirrorSpec(source!),
        destinations: [destination],
      });
      assert.equal(lanes[0]!.state, "verified");
      await run.release(agent);
    } finally {
      await agent.close();
    }
  }));

Deno.test("the home of a run with a repository need not have its first source", () =>
  inScene(async ({ folder, sources, destination, clock }) => {
    const repository = join(folder, "repository");
    await makeReplicas(repository);
    const secrets = new Map([["vault", { typed: PASSWORD }]]);
    const agent = new TestAgent({ name: "a", folder, clock, posix, secrets });
    try {
      const run = new TestRun({
        runId: "run-1",
        sources: [{ ...sources[0]!, hostId: "host-there" }, sources[1]!],
        destinations: [destination],
        options: { keys: { repositoryPassword: "vault" } },
      });
      run.destinations.push({ key: "vault", kind: "restic", path: repository, isNew: false });
      const { destinations } = await run.prepare(agent);
      assert.deepEqual(destinations.map(({ error }) => error), [undefined, undefined]);
      await run.release(agent);
    } finally {
      await agent.close();
    }
  }));

Deno.test("a destination that is cancelled while it is being opened is given back when it is open", () =>
  inScene(async (scene) => {
    const { sources, destination, clock } = scene;
    const second = join(scene.folder, "second");
    const opening = Promise.withResolvers<void>();
    const home = scene.agent(
      "home",
      undefined,
      (method, path) => path === destination && method === "open" ? opening.promise : undefined,
    );
    const third = scene.agent("third");
    const run = new TestRun({ runId: "run-1", sources, destinations: [destination, second] });
    const prepared = run.prepare(home);
    for (let turn = 0; turn < 20; turn++) await inTime(clock, Promise.resolve());
    const dropped = home.ask({ op: "drop", runId: "run-1", destination });
    opening.resolve();
    await prepared;
    await inTime(clock, dropped);
    const next = new TestRun({ runId: "run-2", sources, destinations: [destination] });
    assert.equal((await next.prepare(third)).destinations[0]!.error, undefined);
    await next.release(third);
    await run.release(home);
  }));

Deno.test("an empty folder under a path that the coordinator knows is not made a destination, unless it is said to be new", () =>
  inScene(async (scene) => {
    const fresh = scene.agent("fresh");
    const empty = join(scene.folder, "not mounted");
    fs.mkdirSync(empty);
    let runs = 0;
    const prepare = async (knownIds: Record<string, string | null>, isNew = false) => {
      const run = scene.run(`run-${++runs}`);
      const { destinations: [prepared] } = await fresh.run({
        op: "prepare",
        runId: run.runId,
        sources: run.sources,
        destinations: [{ key: empty, kind: "local", path: empty, isNew }],
        knownIds,
        options: run.options,
      });
      await run.release(fresh);
      return prepared!;
    };
    for (const known of ["dest-known-here", null]) {
      const { error } = await prepare({ [empty]: known });
      assert.equal(error?.code, "destination_changed");
      assert.match(error!.hint!, /[Mm]ount .*--init/);
      assert.deepEqual(fs.readdirSync(empty), []);
    }
    const { destinationId } = await prepare({ [empty]: null }, true);
    assert.ok(destinationId !== undefined);
    assert.equal((await prepare({ [empty]: destinationId })).error, undefined);
  }));

Deno.test("a source of another machine is not taken for what has the same path here", () =>
  inScene(async (scene) => {
    const [here, there] = [scene.agent("here"), scene.agent("there", "host-there")];
    const sources = [
      { ...scene.sources[0]!, hostId: "host-of-tests" },
      { ...scene.sources[1]!, hostId: "host-there" },
    ];
    const run = new TestRun({ runId: "run-1", sources, destinations: [scene.destination] });
    await run.prepare(here);
    await run.join(there);
    for (const work of [() => run.scan(here, sources[1]), () => run.mirror(here, sources[1]!)]) {
      await assert.rejects(work(), { code: "rejected", retry: "elsewhere" });
    }
    await run.scan(there, sources[1]);
    assert.equal((await run.mirror(there, sources[1]!)).lanes[0]!.state, "verified");
    assert.equal((await run.mirror(here, sources[0]!)).lanes[0]!.state, "verified");
    await run.finish(here);
    await run.release(here, there);
    assertWhole(scene);
    const marker = JSON.parse(
      fs.readFileSync(join(scene.destination, ".backup-agent/marker.json"), "utf8"),
    );
    assert.deepEqual(
      marker.bindings.map((b: { name: string; hostId: string }) => [b.name, b.hostId]),
      [["one", "host-of-tests"], ["two", "host-there"]],
    );
  }));

Deno.test("a source is divided by the agent that has joined near it, and the home's finish makes one copy of its parts", () =>
  inScene(async (scene) => {
    const [here, there] = [scene.agent("here"), scene.agent("there", "host-there")];
    const near = scene.agent("near", "host-there");
    for (const name of ["big", "large"]) {
      const path = join(scene.sources[1]!.path, name);
      fs.writeFileSync(path, "");
      fs.truncateSync(path, PART_WEIGHT_MIN + 1);
    }
    const sources = [
      { ...scene.sources[0]!, hostId: "host-of-tests" },
      { ...scene.sources[1]!, hostId: "host-there" },
    ];
    const run = new TestRun({ runId: "run-1", sources, destinations: [scene.destination] });
    await run.prepare(here);
    await run.join(there);
    await run.join(near);
    await run.scan(here, sources[0]);
    const { parts = [] } = await run.scan(there, sources[1], 3);
    assert.ok(parts.length > 1, String(parts.length));
    for (const [at, { part }] of parts.entries()) {
      const agent = at % 2 === 0 ? there : near;
      const { lanes } = await run.mirror(agent, sources[1]!, { part });
      assert.equal(lanes[0]!.state, "verified");
    }
    await run.mirror(here, sources[0]!);
    assert.deepEqual(await run.finish(here), [{ op: "finish" }]);
    await run.release(here, there, near);
    assertWhole(scene);
  }));

Deno.test("an agent gives back what it holds of a run that is over, and keeps what it has joined since", () =>
  inScene(async (scene) => {
    const [home, other] = [scene.agent("home"), scene.agent("other")];
    const run = scene.run("run-1");
    await run.prepare(home);
    await run.join(other);
    assert.deepEqual(other.worker.runs.held(), [{ runId: "run-1", runEpoch: 1 }]);
    await run.prepare(home, 2);
    await run.join(other, 2);
    const give = (agent: TestAgent, runEpoch: number) =>
      inTime(scene.clock, agent.worker.runs.release({ runId: "run-1", runEpoch }));
    await give(other, 1);
    assert.equal(other.worker.runs.held().length, 1, "a late word about the first epoch");
    assert.equal((await run.mirror(other, scene.sources[1]!)).lanes[0]!.state, "verified");
    await give(other, 2);
    await give(home, 2);
    assert.deepEqual([home, other].map(({ worker }) => worker.runs.held()), [[], []]);
    // Nobody holds the lock any more.
    openStoredLists(posix, scene.destination, true).close();
  }));

Deno.test("who prepares a run again while it is given back gets in when that is done", () =>
  inScene(async (scene) => {
    const home = scene.agent("home");
    const run = scene.run("run-1");
    await run.prepare(home);
    const released = home.worker.runs.release({ runId: "run-1", runEpoch: 1 });
    const { destinations } = await run.prepare(home, 2);
    assert.deepEqual(destinations.map(({ error }) => error), [undefined]);
    await released;
    assert.equal((await run.mirror(home, scene.sources[0]!)).lanes[0]!.state, "verified");
    await run.release(home);
  }));

Deno.test("S2-05: when one destination is done its workers help the one that has most to do", () =>
  inScene(async (scene) => {
    const source = { name: "many", path: join(scene.folder, "many") };
    fs.mkdirSync(source.path);
    for (let n = 0; n < 1_000; n++) fs.writeFileSync(join(source.path, `file ${n}`), `${n}`);
    const slow = join(scene.folder, "slow");
    let open = () => {};
    const opened = new Promise<void>((resolve) => open = resolve);
    const agent = scene.agent(
      "a",
      undefined,
      (method, path) => path === slow && method === "writeFiles" ? opened : undefined,
    );
    const run = new TestRun({
      runId: "run-1",
      sources: [source],
      destinations: [scene.destination, slow],
      options: { workersMax: 8 },
    });
    await run.prepare(agent);
    await run.scan(agent);
    let lanes: LaneProgress[] = [];
    const mirrored = agent.ask(run.mirrorSpec(source), {
      progress: (progress) => lanes = progress.lanes,
    });
    const until = async (is: () => boolean) => {
      for (let turn = 0; !is(); turn++) {
        assert.ok(turn < 1_000, JSON.stringify(lanes));
        await inTime(scene.clock, Promise.resolve());
      }
    };
    await until(() => lanes[0]?.state === "verified");
    const { queueDepth, workersTarget: before } = lanes[1]!.gauges;
    assert.ok(queueDepth > 0);
    await agent.run({ op: "finish", runId: "run-1", destination: scene.destination });
    await until(() => lanes[1]!.gauges.workersTarget > before);
    await until(() => lanes[1]!.gauges.workers > before);
    open();
    const result = await inTime(scene.clock, mirrored);
    assert.deepEqual(result.lanes.map(({ state }) => state), ["verified", "verified"]);
    await agent.run({ op: "finish", runId: "run-1", destination: slow });
    await run.release(agent);
  }));

Deno.test("while other lanes go on, what a verified one lacks is told with it: its agent may not live to report it", () =>
  inScene(async ({ folder, clock, sources: [source], destination }) => {
    const slow = join(folder, "slow");
    const bad = new TextEncoder().encode("same.txt\0");
    const isBad = (name: Uint8Array) =>
      name.length === bad.length && name.every((byte, k) => byte === bad[k]);
    let open = () => {};
    const opened = new Promise<void>((resolve) => open = resolve);
    const agent = new TestAgent({
      ...{ name: "a", folder, clock },
      posix: {
        ...posix,
        openRead: (at, name) => isBad(name) ? -EIO : posix.openRead(at, name),
      },
      gate: (method, path) => path === slow && method === "writeFiles" ? opened : undefined,
    });
    try {
      const run = new TestRun({
        runId: "run-1",
        sources: [source!],
        destinations: [destination, slow],
      });
      await run.prepare(agent);
      await run.scan(agent);
      let told: TaskProgress | undefined;
      const mirrored = agent.ask(run.mirrorSpec(source!), {
        progress: (progress) => told = progress,
      });
      for (let turn = 0; told?.lanes[0]?.state !== "verified"; turn++) {
        assert.ok(turn < 1_000, JSON.stringify(told));
        assert.equal(told?.unreadable, undefined);
        await inTime(clock, Promise.resolve());
      }
      const { unreadable } = told;
      assert.deepEqual([unreadable!.named.map(({ path }) => path), unreadable!.count], [
        ["one/same.txt"],
        1,
      ]);
      open();
      const result = await inTime(clock, mirrored);
      assert.deepEqual([result.unreadable, result.unreadableCount], [unreadable!.named, 1]);
      await run.release(agent);
    } finally {
      await agent.close();
    }
  }));
