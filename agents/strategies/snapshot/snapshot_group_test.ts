import assert from "node:assert/strict";
import { join } from "node:path";
import { faultyPosix } from "../../../tests/support/faulty_posix.ts";
import { noise } from "../../../tests/support/random.ts";
import {
  allProblems,
  kernels,
  openOurs,
  posix,
  restoreOurs,
} from "../../../tests/support/restic.ts";
import { makeReplicas, snapshot } from "../../../tests/support/snapshot_engine.ts";
import { systemClock } from "../../../protocol/base/clock.ts";
import type { LaneProgress } from "../../../protocol/mesh/progress.ts";
import type { LaneReport } from "../../../protocol/mesh/task.ts";
import { BackupError } from "../../../protocol/base/errors.ts";
import { EACCES, EIO, ENOSPC } from "../../platform/errno.ts";
import type { Posix } from "../../platform/posix.ts";
import {
  BlobReader,
  BlobWriter,
  Chunker,
  decodeTree,
  loadIndex,
  loadSnapshots,
  SnapshotBuilder,
} from "../../repository/mod.ts";
import { openSnapshotJournal } from "./snapshot_journal.ts";

interface Scene {
  source: string;
  a: string;
  b: string;
  stateDir: string;
}

async function inScene(run: (scene: Scene) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync();
  const [source, a, b, stateDir] = ["source", "a", "b", "state"].map((name) => join(folder, name));
  try {
    Deno.mkdirSync(join(source!, "sub"), { recursive: true });
    for (let n = 0; n < 6; n++) Deno.writeFileSync(join(source!, `file ${n}`), noise(4 << 20, n));
    Deno.writeTextFileSync(join(source!, "sub/small"), "small");
    await makeReplicas(a!, b!);
    await run({ source: source!, a: a!, b: b!, stateDir: stateDir! });
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

const isCurrent = (name: Uint8Array) => name.length === 2 && name[0] === ".".charCodeAt(0);
const states = (reports: readonly LaneReport[]) => reports.map(({ state }) => state);

async function requireWhole(path: string, source: string): Promise<void> {
  const repository = await openOurs(path);
  // What an interrupted run has left is harmless.
  const problems = (await allProblems(repository)).filter((one) => !one.endsWith("is in no index"));
  assert.deepEqual(problems, []);
  const last = (await loadSnapshots(repository)).at(-1)!;
  const target = Deno.makeTempDirSync();
  try {
    assert.deepEqual(await restoreOurs(repository, last.tree, target), []);
    for (const name of Deno.readDirSync(source)) {
      if (!name.isFile) continue;
      const path = join(source, name.name);
      assert.deepEqual(Deno.readFileSync(join(target, path)), Deno.readFileSync(path), path);
    }
  } finally {
    Deno.removeSync(target, { recursive: true });
  }
}

const packsOf = (path: string) =>
  [...Deno.readDirSync(join(path, "data"))]
    .flatMap(({ name }) => [...Deno.readDirSync(join(path, "data", name))])
    .map(({ name }) => name).sort();

Deno.test("snapshots: replicas get the same packs, each is verified, and progress never goes back", () =>
  inScene(async ({ source, a, b }) => {
    const seen: LaneProgress[][] = [];
    const { reports, unreadable } = await snapshot({
      source,
      repositories: [{ path: a }, { path: b }],
      onProgress: (lanes) => seen.push([...lanes]),
    });
    assert.deepEqual(states(reports), ["verified", "verified"]);
    assert.deepEqual(unreadable, []);
    assert.deepEqual(packsOf(a), packsOf(b));
    for (const at of [0, 1]) {
      const done = seen.map((lanes) => lanes[at]!.counters);
      for (const [i, counters] of done.entries()) {
        assert.ok(counters.filesDone <= counters.filesTotal);
        assert.ok(counters.bytesDone <= counters.bytesTotal);
        if (i > 0) assert.ok(counters.bytesDone >= done[i - 1]!.bytesDone);
      }
      assert.equal(done.at(-1)!.bytesDone, done.at(-1)!.bytesTotal);
      assert.equal(done.at(-1)!.verifyFilesDone, done.at(-1)!.verifyFilesTotal);
    }
    await requireWhole(b, source);
  }));

/** Changes the first file of a folder. */
function damageFirst(folder: string): string {
  const name = [...Deno.readDirSync(folder)].map(({ name }) => name).sort()[0]!;
  const bytes = Deno.readFileSync(join(folder, name));
  Deno.chmodSync(join(folder, name), 0o600);
  Deno.writeFileSync(join(folder, name), bytes.with(30, bytes[30]! ^ 1));
  return name;
}

Deno.test("snapshots: an index that is damaged at one replica is put right from another, or that replica fails alone", () =>
  inScene(async ({ source, a, b }) => {
    const run = () => snapshot({ source, repositories: [{ path: a }, { path: b }] });
    await run();
    const name = damageFirst(join(a, "index"));
    const { reports } = await run();
    assert.deepEqual(states(reports), ["verified", "verified"]);
    assert.deepEqual(reports[0]!.rewritten, [`${a}/index/${name}`]);
    await requireWhole(a, source);

    damageFirst(join(a, "index"));
    Deno.removeSync(join(b, "index", damageFirst(join(b, "index"))));
    const without = await run();
    assert.equal(without.reports[0]!.state, "failed");
    assert.equal(without.reports[0]!.error?.code, "damaged");
    assert.equal(without.reports[1]!.state, "verified");
    await requireWhole(b, source);
  }));

Deno.test("snapshots: a replica whose index is gone gets one of what stands there", () =>
  inScene(async ({ source, a, b }) => {
    const run = () => snapshot({ source, repositories: [{ path: a }, { path: b }] });
    await run();
    const packs = packsOf(a);
    Deno.removeSync(join(a, "index"), { recursive: true });
    assert.deepEqual(states((await run()).reports), ["verified", "verified"]);
    await requireWhole(a, source);
    assert.deepEqual(packs.filter((id) => !packsOf(a).includes(id)), []);
  }));

Deno.test("snapshots: a repository whose folder is moved away is lost, not verified, and goes on when it is back", () =>
  inScene(async ({ source, a, b }) => {
    for (const [back, moved] of [["put", 3], ["check", 1], ["stillThere", 1]] as const) {
      let calls = 0;
      const move = (method: string): boolean => {
        if (method === back && ++calls === moved) Deno.renameSync(a, `${a}-away`);
        return false;
      };
      Deno.writeTextFileSync(join(source, "new"), back);
      const { reports } = await snapshot({
        source,
        repositories: [{ path: a, hangs: move }, { path: b }],
      });
      assert.deepEqual(states(reports), ["failed", "verified"], back);
      assert.equal(reports[0]!.error?.code, "destination_lost");
      assert.throws(() => Deno.statSync(a), Deno.errors.NotFound);
      Deno.renameSync(`${a}-away`, a);
      const again = await snapshot({ source, repositories: [{ path: a }, { path: b }] });
      assert.deepEqual(states(again.reports), ["verified", "verified"], back);
      await requireWhole(a, source);
    }
  }));

Deno.test("snapshots: a replica that hangs fails by its deadline, the other one is verified without waiting", () =>
  inScene(async ({ source, a, b }) => {
    let hangsFrom = 2;
    const { reports } = await snapshot({
      source,
      repositories: [
        { path: a },
        { path: b, hangs: (method) => method === "put" && --hangsFrom <= 0 },
      ],
      operationTimeoutMs: 1000,
    });
    assert.deepEqual(states(reports), ["verified", "failed"]);
    assert.equal(reports[1]!.error?.code, "deadline");
    await requireWhole(a, source);
  }));

Deno.test("snapshots: a replica that hangs while it is read holds up the other one no longer than a moment", () =>
  inScene(async ({ source, a, b }) => {
    await snapshot({ source, repositories: [{ path: a }, { path: b }] });
    let reads = 0;
    const times: number[] = [];
    const { reports } = await snapshot({
      source,
      // The lists are read by then; what follows are the trees of the parent.
      repositories: [
        { path: a, hangs: (method) => method === "store" && ++reads > 4 },
        { path: b },
      ],
      operationTimeoutMs: 60_000,
      onProgress: (lanes) => void (lanes[1]!.state === "verified" || times.push(1)),
    });
    assert.equal(reports[1]!.state, "verified");
    assert.equal(reports[1]!.filesUnchanged, 7);
    // Ticks of 250 ms until it was verified: far below the deadline of the one that hangs.
    assert.ok(times.length < 60, String(times.length));
  }));

Deno.test("snapshots: a full replica is out by name and gets what it missed the next time", () =>
  inScene(async ({ source, a, b, stateDir }) => {
    const journal = openSnapshotJournal(stateDir, assert.fail);
    let packs = 0;
    const full = faultyPosix(
      posix,
      ({ name }) =>
        name === "writeAt" && ++packs > 1 ? { kind: "error", errno: ENOSPC } : undefined,
    );
    const first = await snapshot({
      source,
      repositories: [{ path: a }, { path: b, posix: full.posix }],
      journal,
    });
    assert.deepEqual(states(first.reports), ["verified", "failed"]);
    assert.equal(first.reports[1]!.error?.code, "no_space");
    assert.deepEqual((await loadSnapshots(await openOurs(b))).length, 0);

    // What the second run stores is little: the rest comes from the other replica.
    Deno.removeSync(join(source, "file 0"));
    Deno.writeTextFileSync(join(source, "file new"), "new");
    const second = await snapshot({ source, repositories: [{ path: b }, { path: a }], journal });
    assert.deepEqual(states(second.reports), ["verified", "verified"]);
    assert.equal(second.reports[0]!.filesUnchanged, 6);
    const ids = async (path: string) =>
      (await loadSnapshots(await openOurs(path))).map((s) => s.id);
    assert.deepEqual(await ids(b), await ids(a));
    assert.equal((await ids(b)).length, 2);
    await requireWhole(b, source);
    assert.deepEqual(journal.owed(b, first.prepared[0]!.destinationId!.slice(7)), []);
  }));

/** Damages each of the first two packs the first time it gets its name. */
function damaging(path: string): Posix {
  const damaged = new Set<string>();
  const rename: Posix["rename"] = (from, fromName, to, toName) => {
    const result = posix.rename(from, fromName, to, toName);
    const name = new TextDecoder().decode(toName.subarray(0, -1));
    const pack = join(path, "data", name.slice(0, 2), name);
    if (result >= 0 && name.length === 64 && damaged.size < 2 && !damaged.has(name)) {
      try {
        const bytes = Deno.readFileSync(pack);
        bytes[bytes.length >> 1]! ^= 1;
        Deno.writeFileSync(pack, bytes);
        damaged.add(name);
      } catch {
        // No pack.
      }
    }
    return result;
  };
  return { ...posix, rename };
}

Deno.test("snapshots: what does not read back as it was written is written again", () =>
  inScene(async ({ source, a }) => {
    const { reports } = await snapshot({
      source,
      repositories: [{ path: a, posix: damaging(a) }],
    });
    assert.deepEqual(states(reports), ["verified"]);
    assert.equal(reports[0]!.rewritten.length, 2);
    await requireWhole(a, source);
  }));

Deno.test("snapshots: what nobody has any more is read once more, and what needed the lost packs is replaced", () =>
  inScene(async ({ source, a }) => {
    // Older packs stay as they are.
    await snapshot({ source, repositories: [{ path: a }] });
    const older = packsOf(a);
    Deno.writeFileSync(join(source, "file new"), noise(3 << 20, 99));
    const { reports: [report] } = await snapshot({
      source,
      repositories: [{ path: a, posix: damaging(a) }],
      feedBudgetBytes: 0,
    });
    assert.equal(report!.state, "verified", JSON.stringify(report));
    assert.equal(report!.rewritten.length, 2);
    assert.ok(older.every((pack) => packsOf(a).includes(pack)));
    const snapshots = await loadSnapshots(await openOurs(a));
    assert.deepEqual(snapshots.at(-1)!.id, report!.snapshot!.id);
    assert.equal(snapshots.length, 2);
    assert.equal(snapshots[1]!.parent, snapshots[0]!.id);
    await requireWhole(a, source);
  }));

Deno.test("snapshots: cancelled at any moment it ends as cancelled, without a snapshot, and the next run makes it", () =>
  inScene(async ({ source, a, b }) => {
    for (const moment of [0, 1, 2, 3, 5]) {
      const stop = new AbortController();
      let ticks = 0;
      const { reports } = await snapshot({
        source,
        repositories: [{ path: a }, { path: b }],
        signal: stop.signal,
        onProgress: () => {
          if (ticks++ === moment) stop.abort(new BackupError("cancelled", "Cancelled"));
        },
      });
      // Late moments may come when all is done.
      const made = (await loadSnapshots(await openOurs(a))).length;
      for (const state of states(reports)) {
        assert.ok(state === "cancelled" || (state === "verified" && made === 1), state);
      }
      assert.deepEqual([...Deno.readDirSync(join(a, "locks"))], []);
      if (made > 0) break;
    }
    await snapshot({ source, repositories: [{ path: a }, { path: b }] });
    await requireWhole(b, source);
  }));

Deno.test("snapshots: an interrupted backup is compared with its last checkpoint", () =>
  inScene(async ({ source, a, stateDir }) => {
    const journal = openSnapshotJournal(stateDir, assert.fail);
    const stop = new AbortController();
    let left: string | undefined;
    const watched = {
      ...journal,
      noteLeft: (...words: Parameters<typeof journal.noteLeft>) => {
        journal.noteLeft(...words);
        left = words[1].tree;
        stop.abort();
      },
    };
    const first = await snapshot({
      source,
      repositories: [{ path: a }],
      journal: watched,
      signal: stop.signal,
      hurry: 1000,
    });
    assert.deepEqual(states(first.reports), ["cancelled"]);
    assert.equal((await loadSnapshots(await openOurs(a))).length, 0);
    const again = await snapshot({ source, repositories: [{ path: a }], journal });
    assert.deepEqual(states(again.reports), ["verified"]);
    // Of the files it names none was in a pack that was stored, so they count as known and are read all the same.
    assert.ok(left !== undefined && again.reports[0]!.snapshot!.filesNew < 7);
    await requireWhole(a, source);
  }));

Deno.test("snapshots: a source file that cannot be read is named, and the snapshot is made without it", () =>
  inScene(async ({ source, a }) => {
    const failing = faultyPosix(
      posix,
      ({ name }) => name === "readAt" ? { kind: "error", errno: EIO } : undefined,
    );
    const { reports, unreadable } = await snapshot({
      source,
      repositories: [{ path: a }],
      posix: failing.posix,
    });
    failing.dispose();
    assert.deepEqual(states(reports), ["verified"]);
    assert.equal(unreadable.length, 7, JSON.stringify(unreadable));
    assert.equal(reports[0]!.filesTotal, 0);
  }));

Deno.test("snapshots: attributes of the source, or of what it lies in, that cannot be read are told, and the rest is stored", () =>
  inScene(async ({ source, a }) => {
    const odd: Posix = {
      ...posix,
      listXattrs: (at, name) => isCurrent(name) ? ["user.odd"] : posix.listXattrs(at, name),
      getXattr: (at, name, attribute) =>
        isCurrent(name) ? -EIO : posix.getXattr(at, name, attribute),
    };
    const { reports, unreadable } = await snapshot({
      source,
      repositories: [{ path: a }],
      posix: odd,
    });
    assert.deepEqual(states(reports), ["verified"], JSON.stringify(reports));
    assert.equal(reports[0]!.filesTotal, 7);
    const parts = source.split("/").slice(1, -1);
    assert.deepEqual(
      unreadable.map(({ path }) => path).sort(),
      [...parts.map((_, at) => `/${parts.slice(0, at + 1).join("/")}`), "source"].sort(),
    );
    await requireWhole(a, source);
  }));

Deno.test("snapshots: a source is stored also where a folder above it may be passed through and not be opened", () =>
  inScene(async ({ source, a }) => {
    const above = join(source, "..");
    const name = above.slice(above.lastIndexOf("/") + 1);
    const isNamed = (raw: Uint8Array, text: string) =>
      new TextDecoder().decode(raw.subarray(0, -1)) === text;
    const closed: Posix = {
      ...posix,
      openRoot: (path) => isNamed(path, above) ? -EACCES : posix.openRoot(path),
      openDirectory: (at, raw) => isNamed(raw, name) ? -EACCES : posix.openDirectory(at, raw),
    };
    const { reports, unreadable } = await snapshot({
      source,
      repositories: [{ path: a }],
      posix: closed,
    });
    assert.deepEqual(unreadable, []);
    assert.deepEqual(states(reports), ["verified"], JSON.stringify(reports));
    await requireWhole(a, source);
    const repository = await openOurs(a);
    const { index } = await loadIndex(repository);
    const reader = new BlobReader(repository.store, repository.key, index);
    let tree = reports[0]!.snapshot!.tree;
    for (let path = ""; path !== above;) {
      const [node, ...others] = decodeTree(await reader.load("tree", tree), tree);
      assert.deepEqual(others, []);
      path += `/${node!.name}`;
      assert.equal(String(node!.inode), String(Deno.statSync(path).ino), path);
      tree = node!.subtree!;
    }
  }));

Deno.test("snapshots: a checkpoint holds what the walk has got through, and the parent's entries where it has not been", () =>
  inScene(async ({ a }) => {
    const repository = await openOurs(a);
    const { index } = await loadIndex(repository);
    const begin = (tree?: string) => {
      const writer = new BlobWriter(repository, index, { clock: systemClock });
      const reader = new BlobReader(repository.store, repository.key, index);
      const chunker = new Chunker(kernels.createScanner(repository.config.polynomial));
      const parent = tree === undefined ? {} : { parent: { tree, reader } };
      return { writer, builder: new SnapshotBuilder(writer, chunker, parent) };
    };
    const times = { atime: "2026-01-01T00:00:00Z", mtime: "2026-01-01T00:00:00Z" };
    const node = (name: string, type: "file" | "dir") => ({
      name,
      type,
      mode: 0o644,
      uid: 0,
      gid: 0,
      inode: 1,
      ctime: times.mtime,
      ...times,
    });
    const bytes = new TextEncoder().encode("content");
    const open = () => {
      let rest = bytes;
      return {
        read(into: Uint8Array) {
          const got = rest.subarray(0, into.length);
          into.set(got);
          rest = rest.subarray(got.length);
          return got.length;
        },
        close() {},
      };
    };
    const { writer, builder } = begin();
    await builder.enter(node("above", "dir"));
    await builder.enter(node("folder", "dir"));
    await builder.file(node("read", "file"), bytes.length, open);
    const promised = builder.addFile(node("unread", "file"))!;
    const tree = await builder.checkpoint();
    await writer.checkpoint();
    promised.leaveOut();

    const fails = () => {
      throw new Error("It is read again");
    };
    const next = begin(tree);
    await next.builder.enter(node("above", "dir"));
    const between = await next.builder.checkpoint();
    await next.builder.enter(node("folder", "dir"));
    await next.builder.file(node("read", "file"), bytes.length, fails);
    assert.equal(next.builder.counts.filesUnmodified, 1);
    await next.writer.checkpoint();
    // Before the walk came to the folder, it is there as the parent had it.
    const last = begin(between);
    await last.builder.enter(node("above", "dir"));
    await last.builder.enter(node("folder", "dir"));
    await last.builder.file(node("read", "file"), bytes.length, fails);
    assert.notEqual(last.builder.addFile(node("unread", "file")), undefined);
    assert.equal(last.builder.counts.filesUnmodified, 1);
  }));
