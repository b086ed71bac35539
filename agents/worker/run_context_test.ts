import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { faultyPosix } from "../../tests/support/faulty_posix.ts";
import { backUp, type EngineOutcome, type EngineRun } from "../../tests/support/mirror_engine.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { TestAgent, TestRun } from "../../tests/support/test_agents.ts";
import { inScratch, writeFirstVersion } from "../../tests/support/small_tree.ts";
import { assertComplete } from "../../tests/support/small_tree_checks.ts";
import { needs } from "../../tests/support/tools.ts";
import { treeState } from "../../tests/support/tree_state.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import { EIO, ENOSPC } from "../platform/errno.ts";
import { openPosix } from "../platform/open_posix.ts";

const posix = openPosix();

interface Scene {
  folder: string;
  source: string;
  run: (
    destinations: (Omit<EngineRun["destinations"][number], "posix"> & { posix?: typeof posix })[],
    more?: Partial<EngineRun>,
  ) => Promise<EngineOutcome>;
}

function inScene(use: (scene: Scene) => Promise<void>): Promise<void> {
  return inScratch(async (folder) => {
    const source = join(folder, "source");
    fs.mkdirSync(source);
    writeFirstVersion(source);
    await use({
      folder,
      source,
      run: (destinations, more) =>
        backUp({
          runId: "run-1",
          source,
          posix,
          destinations: destinations.map((one) => ({ posix, ...one })),
          ...more,
        }),
    });
  });
}

Deno.test("D9: every file is at every destination, read from the source once", () =>
  inScene(async ({ folder, source, run }) => {
    const paths = ["a", "b", "c"].map((name) => join(folder, name));
    const reading = faultyPosix(posix);
    const outcome = await run(paths.map((path) => ({ path })), { posix: reading.posix });
    const lanes = outcome.mirrored!.lanes;
    assert.deepEqual(lanes.map(({ state }) => state), ["verified", "verified", "verified"]);
    for (const [at, path] of paths.entries()) {
      assertComplete(path, treeState(source), new Map(), path);
      assert.equal(lanes[at]!.filesVerified, lanes[at]!.filesTotal);
    }
    const files = new Set(
      [...treeState(source).values()].flatMap(({ kind, inode }) => kind === "file" ? [inode] : []),
    );
    assert.equal(reading.calls.filter(({ name }) => name === "openRead").length, files.size);
    assert.equal(reading.openCount(), 0);
  }));

Deno.test("threads that come and go leave nothing open", () =>
  inScene(async ({ folder, source, run }) => {
    for (let k = 0; k < 600; k++) fs.writeFileSync(join(source, `small-${k}`), `${k}`);
    const path = join(folder, "a");
    const watched = faultyPosix(posix);
    const reading = faultyPosix(posix);
    await run([{ path, posix: watched.posix }], {
      posix: reading.posix,
      options: { workersMin: 4, workersMax: 8 },
    });
    assert.ok(
      watched.calls.filter(({ name }) => name === "openRoot").length >= 4,
      "several threads",
    );
    assert.equal(watched.openCount(), 0);
    assert.equal(reading.openCount(), 0);
    watched.dispose();
    assertComplete(path, treeState(source), new Map(), "by several threads");
  }));

Deno.test("a destination that is full fails alone; the others are verified", () =>
  inScene(async ({ folder, source, run }) => {
    const [good, full] = [join(folder, "good"), join(folder, "full")];
    const disk = { ...posix, writeAt: () => -ENOSPC };
    const { mirrored, finished } = await run([{ path: full!, posix: disk }, { path: good! }]);
    const [failed, verified] = mirrored!.lanes;
    assert.deepEqual([failed!.state, failed!.error?.code], ["failed", "no_space"]);
    assert.equal(verified!.state, "verified");
    assert.deepEqual(finished.map(({ error }) => error?.code), ["no_space", undefined]);
    assertComplete(good!, treeState(source), new Map(), "the other one");
    assert.deepEqual(
      fs.readdirSync(join(full!, "copy")).filter((name) => name.endsWith(".txt")),
      [],
    );
  }));

/** What a destination can be doing when its disk stops answering. */
const MOMENTS: string[][] = [
  ["inspect"],
  ["open"],
  ["compare"],
  ["writeFiles", "beginFile"],
  ["publish"],
  ["flush"],
  ["verify"],
  ["finishTask"],
  ["finish"],
];

for (const methods of MOMENTS) {
  const what = methods.join(" and ");
  Deno.test(`D16: a destination that hangs for ever in ${what} fails alone, by its deadline`, () =>
    inScene(async ({ folder, source, run }) => {
      const [good, hung] = [join(folder, "good"), join(folder, "hung")];
      const outcome = await run([{ path: hung!, hangs: (asked) => methods.includes(asked) }, {
        path: good!,
      }], {
        options: { operationTimeoutMs: 5000 },
      });
      const errors = [
        ...outcome.prepared.destinations.filter((one) => one.destination === hung),
        ...outcome.mirrored!.lanes.filter((one) => one.destination === hung),
        ...outcome.finished,
      ].flatMap(({ error }) => error === undefined ? [] : [error.code]);
      assert.ok(errors.length > 0 && errors.every((code) => code === "deadline"), `${errors}`);
      const lane = outcome.mirrored!.lanes.find((one) => one.destination === good);
      assert.equal(lane!.state, "verified");
      assertComplete(good!, treeState(source), new Map(), "the other one");
    }));
}

Deno.test("a thread that hangs once is replaced and the destination is verified all the same", () =>
  inScene(async ({ folder, source, run }) => {
    for (let k = 0; k < 300; k++) fs.writeFileSync(join(source, `small-${k}`), `${k}`);
    const path = join(folder, "hung");
    let hung = 0;
    const hangs = (method: string, thread: number) => {
      const isHung = method === "writeFiles" && thread === 1;
      if (isHung) hung++;
      return isHung;
    };
    const { mirrored } = await run([{ path, hangs }], {
      options: { operationTimeoutMs: 5000, workersMin: 2, workersMax: 2 },
    });
    assert.equal(hung, 1);
    assert.equal(mirrored!.lanes[0]!.state, "verified");
    assertComplete(path, treeState(source), new Map(), "after a replacement");
  }));

Deno.test("a file that cannot be read is the source's fault: named once, and no destination fails for it", () =>
  inScene(async ({ folder, source, run }) => {
    const bad = new TextEncoder().encode("same.txt\0");
    const disk = {
      ...posix,
      openRead: (at: number, name: Uint8Array) =>
        name.length === bad.length && name.every((byte, k) => byte === bad[k])
          ? -EIO
          : posix.openRead(at, name),
    };
    const paths = ["a", "b"].map((name) => join(folder, name));
    const { mirrored } = await run(paths.map((path) => ({ path })), { posix: disk });
    assert.deepEqual(mirrored!.lanes.map(({ state }) => state), ["verified", "verified"]);
    assert.deepEqual(mirrored!.unreadable.map(({ path, code }) => [path, code]), [[
      "copy/same.txt",
      "io",
    ]]);
    assert.equal(mirrored!.unreadableCount, 1);
    for (const path of paths) assert.ok(!fs.existsSync(join(path, "copy/same.txt")));
    assert.ok(fs.existsSync(join(source, "same.txt")));
  }));

Deno.test("a hard link whose first name cannot be read is the source's fault too, under both names", () =>
  inScene(async ({ folder, run }) => {
    const bad = new TextEncoder().encode("link-a\0");
    const disk = {
      ...posix,
      openRead: (at: number, name: Uint8Array) =>
        name.length === bad.length && name.every((byte, k) => byte === bad[k])
          ? -EIO
          : posix.openRead(at, name),
    };
    const { mirrored } = await run([{ path: join(folder, "a") }], { posix: disk });
    assert.equal(mirrored!.lanes[0]!.state, "verified");
    assert.deepEqual(mirrored!.unreadable.map(({ path }) => path), ["copy/link-a", "copy/link-b"]);
  }));

Deno.test("a destination that was known and lost its marker is refused, and nothing is made there", () =>
  inScene(async ({ folder, run }) => {
    const path = join(folder, "mount-point");
    fs.mkdirSync(path);
    const known = { idAt: () => "dest-of-a-disk", remember: () => {} };
    const { prepared, mirrored } = await run([{ path }], { known });
    assert.equal(prepared.destinations[0]!.error?.code, "destination_changed");
    assert.equal(mirrored, undefined);
    assert.deepEqual(fs.readdirSync(path), []);
  }));

Deno.test("a repository that is named without restic: is refused before anything is written anywhere", () =>
  inScene(async ({ folder, run }) => {
    const [repository, other] = [join(folder, "repository"), join(folder, "other")];
    for (const name of ["data", "index", "keys", "snapshots"]) {
      fs.mkdirSync(join(repository!, name), { recursive: true });
    }
    fs.writeFileSync(join(repository!, "config"), "sealed");
    await assert.rejects(
      run([{ path: other! }, { path: repository! }], {
        known: { idAt: (path) => path === repository ? "restic-known" : undefined, remember() {} },
      }),
      (error) => error instanceof BackupError && /restic:\/.*repository\?/.test(error.hint ?? ""),
    );
    assert.ok(!fs.existsSync(other!));
    assert.ok(!fs.existsSync(join(repository!, ".backup-agent")));
  }));

Deno.test("places that clash are refused before anything is written anywhere", () =>
  inScene(async ({ folder, source, run }) => {
    const before = treeState(folder);
    const inside = [{ path: join(folder, "fine") }, { path: join(source, "dir") }];
    await assert.rejects(run(inside), (error) => {
      assert.ok(error instanceof BackupError && error.code === "usage");
      assert.match(error.message, /lies inside the source/);
      return true;
    });
    assert.deepEqual(treeState(folder), before);
  }));

Deno.test({
  ...needs(
    "a cancelled run ends as cancelled, closes everything, and the next one completes",
    "linux",
  ),
  fn: () =>
    inScene(async ({ folder, source, run }) => {
      const path = join(folder, "a");
      const cancel = new AbortController();
      let writes = 0;
      const watched = faultyPosix(posix, ({ name }) => {
        if (name === "writeAt" && ++writes === 3) cancel.abort();
        return undefined;
      });
      const { mirrored } = await run([{ path, posix: watched.posix }], { signal: cancel.signal });
      assert.equal(mirrored!.lanes[0]!.state, "cancelled");
      assert.deepEqual(mirrored!.lanes[0]!.failures, []);
      assert.equal(watched.openCount(), 0);
      watched.dispose();
      await run([{ path }], { runId: "run-2" });
      assertComplete(path, treeState(source), new Map(), "the next run");
    }),
});

Deno.test({
  ...needs(
    "a run that is released at any moment of its preparation leaves no lock behind",
    "linux",
  ),
  fn: () =>
    inScene(async ({ folder, source }) => {
      const clock = new ManualClock();
      const path = join(folder, "a");
      const job = { sources: [{ name: "copy", path: source }], destinations: [path] };
      const [first, next] = ["first", "next"].map((name) =>
        new TestAgent({ name, folder, clock, posix })
      );
      let isPrepared = false;
      for (let ticks = 0; !isPrepared; ticks++) {
        const { runId, sources, destinations, options } = new TestRun({
          runId: `run-${ticks}`,
          ...job,
        });
        const asked = first!.ask({ op: "prepare", runId, sources, destinations, options })
          .then((result) => isPrepared = result.destinations[0]!.error === undefined, () => {});
        for (let tick = 0; tick < ticks && !isPrepared; tick++) await Promise.resolve();
        await first!.run({ op: "release", runId });
        await asked;
        const after = new TestRun({ runId: `run-after-${ticks}`, ...job });
        const { destinations: [opened] } = await after.prepare(next!);
        assert.equal(opened!.error, undefined, `released after ${ticks} ticks`);
        await after.release(next!);
      }
      await Promise.all([first!.close(), next!.close()]);
    }),
});
