import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import {
  applyPolicy,
  BlobReader,
  checkRepository,
  decodeTree,
  groupSnapshots,
  type KeepPolicy,
  loadIndex,
  loadSnapshots,
  lockRepository,
  pruneRepository,
  showBytes,
  type TreeNode,
  unlockRepository,
} from "../../agents/repository/mod.ts";
import { systemClock } from "../../protocol/base/clock.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import { assertSameInEverything, FIDELITY_TOOLS } from "../support/judge_fidelity.ts";
import { stock } from "../support/every_kind.ts";
import {
  allProblems,
  backupOurs,
  HOST,
  lastJson,
  lockContext,
  makeRepository,
  openOurs,
  restic,
  restoreOurs,
} from "../support/restic.ts";
import { needs } from "../support/tools.ts";
import { prng } from "./vector_files.ts";

const FIXTURE = new URL("fixture/", import.meta.url);

Deno.test({
  ...needs("stock to ours: the fixture is listed as restic lists it, checked and restored", "tar"),
  async fn() {
    const folder = Deno.makeTempDirSync();
    try {
      await stock("tar", ["-xzf", new URL("fixture-repo.tar.gz", FIXTURE).pathname], folder);
      const place = join(folder, [...Deno.readDirSync(folder)][0]!.name);
      const repository = await openOurs(place, "vector-password");
      assert.deepEqual(await allProblems(repository), []);
      const lines = Deno.readTextFileSync(new URL("fixture-ls.jsonl", FIXTURE)).trim().split("\n")
        .map((line) => JSON.parse(line));
      const expected = new Map(
        lines.filter((line) => line.struct_type === "node").map((line) => [line.path, line]),
      );
      const snapshots = await loadSnapshots(repository);
      const listed = lines.find((line) => line.struct_type === "snapshot");
      const snapshot = snapshots.find(({ id }) => id === listed.id)!;
      const { index } = await loadIndex(repository);
      const reader = new BlobReader(repository.store, repository.key, index);
      const seen = await listNodes(reader, snapshot.tree);
      assert.deepEqual([...seen.keys()].sort(), [...expected.keys()].sort());
      for (const [path, node] of seen) {
        const line = expected.get(path)!;
        const { type, mode, mtime, uid, gid } = node;
        assert.deepEqual(
          [type, mode, mtime, uid, gid, node.sizeBytes ?? 0],
          [line.type, line.mode ?? 0, line.mtime, line.uid, line.gid, line.size ?? 0],
          path,
        );
      }
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
});

Deno.test({
  ...needs(
    "stock to ours: repositories of both versions are checked, restored and gone on with",
    "linux",
    "restic",
    ...FIDELITY_TOOLS,
    "setfattr",
  ),
  async fn() {
    const folder = Deno.makeTempDirSync();
    try {
      const base = join(folder, "base");
      const source = join(base, "source");
      Deno.mkdirSync(join(source, "inner"), { recursive: true });
      Deno.writeFileSync(join(source, "large"), prng("large", 4_000_000));
      Deno.writeTextFileSync(join(source, "inner/text"), "some text\n".repeat(100_000));
      Deno.writeTextFileSync(join(source, "empty"), "");
      Deno.symlinkSync("inner", join(source, "link"));
      await stock("setfattr", ["-n", "user.a", "-v", "b", "large"], source);
      for (const [version, compression] of [[1, "auto"], [2, "off"], [2, "max"]] as const) {
        const place = join(folder, `repo-${version}-${compression}`);
        await makeRepository(place, version);
        const flags = version === 1 ? [] : ["--compression", compression];
        const args = ["backup", ".", "--host", HOST, "--json", ...flags];
        const made = lastJson(await restic(place, args, { cwd: base }), "snapshot_id");
        const repository = await openOurs(place);
        assert.deepEqual(await allProblems(repository), []);
        const [theirs] = await loadSnapshots(repository);
        assert.ok(theirs!.id.startsWith(made.snapshot_id as string));
        const target = join(folder, `restored-${version}-${compression}`);
        assert.deepEqual(await restoreOurs(repository, theirs!.tree, target), []);
        await assertSameInEverything(source, join(target, "source"));

        const on = await backupOurs(repository, { base });
        assert.equal(on.snapshot.parent, theirs!.id);
        assert.equal(on.snapshot.tree, theirs!.tree);
        assert.equal(on.builder.counts.filesUnmodified, 3);
        assert.deepEqual([on.writer.counts.dataBlobs, on.writer.counts.treeBlobs], [0, 0]);
        const forced = await backupOurs(repository, { base, isForced: true });
        assert.deepEqual([forced.writer.counts.dataBlobs, forced.writer.counts.treeBlobs], [0, 0]);
        await restic(place, ["check", "--read-data"]);
      }
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
});

Deno.test({
  ...needs(
    "both: forget decides as restic does, and prune leaves what restic calls whole",
    "linux",
    "restic",
  ),
  async fn() {
    const folder = Deno.makeTempDirSync();
    try {
      const base = join(folder, "base");
      const place = join(folder, "repo");
      Deno.mkdirSync(base);
      const repository = await makeRepository(place);
      const times = [0, 1, 2, 26, 49, 50, 24 * 8, 24 * 15, 24 * 40, 24 * 41, 24 * 100, 24 * 400];
      for (const [i, hours] of times.entries()) {
        Deno.writeFileSync(join(base, "file"), prng(`version ${i}`, 300_000));
        Deno.writeFileSync(join(base, `own-${i % 5}`), prng(`own ${i % 5}`, 100_000));
        const time = { sec: 1_700_000_000 - hours * 3600, nsec: 0 };
        const tags = i % 3 === 0 ? ["third", "x"] : ["x"];
        await backupOurs(repository, { base, time, tags, isForced: true });
      }
      const policies: [string[], KeepPolicy][] = [
        [["--keep-last", "3"], { last: 3 }],
        [["--keep-hourly", "4", "--keep-daily", "2"], { counts: { hourly: 4, daily: 2 } }],
        [["--keep-weekly", "3", "--keep-monthly", "2"], { counts: { weekly: 3, monthly: 2 } }],
        [["--keep-yearly", "10"], { counts: { yearly: 10 } }],
        [["--keep-within", "1m2d5h"], { within: { months: 1, days: 2, hours: 5 } }],
        [["--keep-within-daily", "9d"], { withinBuckets: { daily: { days: 9 } } }],
        [["--keep-within-monthly", "1y"], { withinBuckets: { monthly: { years: 1 } } }],
        [["--keep-tag", "third,x", "--keep-last", "1"], { tags: [["third", "x"]], last: 1 }],
      ];
      const snapshots = await loadSnapshots(repository);
      const now = { sec: Math.floor(systemClock.nowMs() / 1000), nsec: 0 };
      for (const [flags, policy] of policies) {
        const [theirs] = JSON.parse(
          await restic(place, ["forget", "--dry-run", "--json", ...flags]),
        );
        const [group] = groupSnapshots(snapshots);
        // The oldest is kept by newer versions of restic than the one that judges.
        const ours = applyPolicy(group!.snapshots, { ...policy, keepOldest: false }, now);
        const ids = (list: { id: string }[] | null) => (list ?? []).map(({ id }) => id).sort();
        assert.deepEqual(ids(ours.keep.map((k) => k.snapshot)), ids(theirs.keep), flags.join(" "));
        assert.deepEqual(ids(ours.remove), ids(theirs.remove), flags.join(" "));
      }

      const { keep, remove } = applyPolicy(snapshots, { last: 4 }, now);
      for (const { id } of remove) await repository.remove("snapshot", id);
      const lock = await lockRepository(repository, lockContext(), { exclusive: true });
      const plan = await pruneRepository(repository, { clock: systemClock });
      await lock.release();
      assert.ok(plan.counts.freedBytes > 1_500_000, JSON.stringify(plan.counts));
      await restic(place, ["check", "--read-data"]);
      assert.deepEqual(await allProblems(repository), []);
      const again = JSON.parse(await restic(place, ["snapshots", "--json"]));
      assert.equal(again.length, keep.length);
      const idle = await pruneRepository(repository, { clock: systemClock, isDryRun: true });
      assert.deepEqual([idle.repack, idle.remove, idle.unindexed], [[], [], []]);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
});

Deno.test({
  ...needs(
    "both: locks of each are respected by the other, and unlock removes what is stale",
    "linux",
    "restic",
  ),
  async fn() {
    const folder = Deno.makeTempDirSync();
    try {
      const place = join(folder, "repo");
      const repository = await makeRepository(place);
      const shared = await lockRepository(repository, lockContext());
      await restic(place, ["snapshots"]);
      await restic(place, ["prune"], { code: 1 });
      // Two that share go together; one that excludes does not.
      const second = await lockRepository(repository, lockContext());
      await second.release();
      await assert.rejects(
        lockRepository(repository, lockContext(), { exclusive: true }),
        (error) => error instanceof BackupError && error.code === "destination_busy",
      );
      // restic takes ours for held: the process lives.
      await restic(place, ["unlock"]);
      assert.equal((await repository.list("lock")).length, 1);
      await shared.release();
      const exclusive = await lockRepository(repository, lockContext(), { exclusive: true });
      await restic(place, ["snapshots"], { code: 1 });
      await exclusive.release();
      await restic(place, ["prune"]);

      // A process that died holding it: restic needs unlock, our next run does not.
      const dead = { ...lockContext(), owner: { ...lockContext().owner } };
      dead.owner.process = { ...dead.owner.process, pid: 2 ** 22 + 1, start: "dead" };
      await lockRepository(repository, dead, { exclusive: true });
      await restic(place, ["snapshots"], { code: 1 });
      const next = await lockRepository(repository, lockContext(), { exclusive: true });
      await next.release();
      assert.equal((await repository.list("lock")).length, 0);
      await lockRepository(repository, dead, { exclusive: true });
      assert.equal((await unlockRepository(repository, lockContext())).length, 1);
      await restic(place, ["check"]);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
});

Deno.test({
  ...needs(
    "both at once: two restic processes and two of ours write one repository, check stays clean",
    "linux",
    "restic",
  ),
  async fn() {
    const folder = Deno.makeTempDirSync();
    try {
      const place = join(folder, "repo");
      await makeRepository(place);
      const common = new Uint8Array(randomBytes(6_000_000));
      const sources = [0, 1, 2, 3].map((i) => {
        const base = join(folder, `base${i}`);
        Deno.mkdirSync(base);
        Deno.writeFileSync(join(base, "common"), common);
        Deno.writeFileSync(join(base, "own"), new Uint8Array(randomBytes(3_000_000)));
        return base;
      });
      const ours = async (base: string) => {
        const repository = await openOurs(place);
        const lock = await lockRepository(repository, lockContext(), { waitMs: 60_000 });
        const packTargetBytes = 2 << 20;
        const made = await backupOurs(repository, { base, writer: { packTargetBytes } });
        await lock.release();
        return made.snapshot.tree;
      };
      const theirs = (base: string) => restic(place, ["backup", ".", "--json"], { cwd: base });
      await Promise.all([
        theirs(sources[0]!),
        ours(sources[1]!),
        theirs(sources[2]!),
        ours(sources[3]!),
      ]);
      await restic(place, ["check", "--read-data"]);
      const repository = await openOurs(place);
      assert.deepEqual(await allProblems(repository), []);
      assert.equal((await loadSnapshots(repository)).length, 4);
      assert.equal((await repository.list("lock")).length, 0);
      // Blobs that several saved at once are there more than once, until a prune.
      await pruneRepository(repository, { clock: systemClock, maxUnused: { bytes: 0 } });
      await restic(place, ["check", "--read-data"]);
      const counts = await checkRepository(repository, {
        onProblem: (p) => assert.fail(p.message),
      });
      assert.equal(counts.unusedBlobs, 0);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
});

type Nodes = Map<string, TreeNode>;

async function listNodes(reader: BlobReader, tree: string, path = ""): Promise<Nodes> {
  const nodes: Nodes = new Map();
  for (const node of decodeTree(await reader.load("tree", tree), tree)) {
    const own = `${path}/${showBytes(node.name)}`;
    nodes.set(own, node);
    if (node.subtree === undefined) continue;
    for (const [below, value] of await listNodes(reader, node.subtree, own)) {
      nodes.set(below, value);
    }
  }
  return nodes;
}
