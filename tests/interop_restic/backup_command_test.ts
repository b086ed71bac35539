/** `backup --to restic:…`, judged by stock restic. Rule: the program runs as a user runs it, and restic says what is there. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openDestination } from "../../agents/destinations/local_destination.ts";
import { lockRepository } from "../../agents/repository/mod.ts";
import { assertSameTree, STOCK_TOOLS } from "../support/compare_trees.ts";
import { stock } from "../support/every_kind.ts";
import { fillFiles, noise } from "../support/fill_tree.ts";
import { assertSameInEverything, FIDELITY_TOOLS } from "../support/judge_fidelity.ts";
import { lastJson, lockContext, openOurs, PASSWORD, posix, restic } from "../support/restic.ts";
import { runProgram } from "../support/run_program.ts";
import { createScene, destinationOf, type JsonLine, parseLines } from "../support/scene.ts";
import { needs } from "../support/tools.ts";

const CALL = { env: { RESTIC_PASSWORD: PASSWORD } };
/** Snapshots hold the times of all folders above the source: those of the temporary folder change all the time. */
const QUIET_FOLDER = "/var/tmp";

/** What stock restic restores as it was. */
const SOME_KINDS = `
  ln large "other name of large"
  ln -s large link
  ln -s /nowhere dangling
  mkfifo pipe
  mkdir -p empty 'ümläut "quoted"'
  printf x > 'ümläut "quoted"/file'
  chmod 2750 empty
  setfattr -n user.note -v text large
  truncate -s 3000000 holes
  touch -d '1999-12-31T23:59:59.123456789Z' holes
`;

interface Place extends AsyncDisposable {
  source: string;
  a: string;
  b: string;
  mirror: string;
  /** `backup SOURCE WORDS`; fails with the program's words unless it ends with `code`. */
  backup(words: readonly string[], code?: number, env?: Record<string, string>): Promise<JsonLine>;
  start(words: readonly string[]): ReturnType<ReturnType<typeof createScene>["startBackup"]>;
}

/** Everything that a run makes is there before, so that making it changes no folder above the source. */
function createPlace(): Place {
  const scene = createScene(QUIET_FOLDER);
  const [a, b, mirror] = ["a", "b", "mirror"].map((name) => join(scene.folder, name));
  for (const path of [a!, b!, mirror!, scene.stateDir]) Deno.mkdirSync(path);
  const { source } = scene;
  return {
    source,
    a: a!,
    b: b!,
    mirror: mirror!,
    async backup(words, code = 0, env = CALL.env) {
      const outcome = await scene.backupJson([source, ...words], { env });
      assert.equal(outcome.code, code, `${outcome.out}\n${outcome.err}`);
      return outcome.summary;
    },
    start: (words) => scene.startBackup([source, ...words, "--json"], CALL),
    [Symbol.asyncDispose]: () => scene[Symbol.asyncDispose](),
  };
}

interface Snapshot {
  id: string;
  tree: string;
  parent?: string;
  paths: string[];
  tags?: string[];
  hostname: string;
}

async function snapshotsOf(repository: string): Promise<Snapshot[]> {
  return JSON.parse(await restic(repository, ["snapshots", "--json"]));
}

function packsOf(repository: string): string[] {
  return [...Deno.readDirSync(join(repository, "data"))]
    .flatMap(({ name }) => [...Deno.readDirSync(join(repository, "data", name))])
    .map(({ name }) => name).sort();
}

function snapshotIn(summary: JsonLine, destination: string): Record<string, unknown> {
  const [snapshot] = destinationOf(summary, destination)["snapshots"] as Record<string, unknown>[];
  return snapshot!;
}

Deno.test({
  ...needs(
    "backup: two replicas and a plain copy in one run, each of them what stock tools say it should be",
    "linux",
    "restic",
    "setfattr",
    ...STOCK_TOOLS,
    ...FIDELITY_TOOLS,
  ),
  async fn() {
    await using place = createPlace();
    const { source, a, b, mirror } = place;
    Deno.writeFileSync(join(source, "large"), noise(9 << 20, 1));
    fillFiles(source, 60, 5_000);
    await stock("bash", ["-c", SOME_KINDS], source);
    const to = ["--to", `restic:${a}`, "--to", `restic:${b}`, "--to", mirror];

    const first = await place.backup([...to, "--tag", "one,two", "--host", "here"]);
    assert.equal(first["state"], "completed");
    for (const repository of [a, b]) {
      assert.equal(destinationOf(first, `restic:${repository}`)["state"], "verified");
      await restic(repository, ["check", "--read-data"]);
    }
    assert.deepEqual(packsOf(a), packsOf(b));
    assert.deepEqual(await snapshotsOf(a), await snapshotsOf(b));
    const [snapshot] = await snapshotsOf(a);
    assert.deepEqual(snapshot!.paths, [source]);
    assert.deepEqual(snapshot!.tags, ["one", "two"]);
    assert.equal(snapshot!.hostname, "here");

    const target = Deno.makeTempDirSync();
    try {
      await restic(b, ["restore", "latest", "--target", target]);
      await assertSameInEverything(source, join(target, source));
    } finally {
      await runProgram("/bin/rm", ["-rf", target]);
    }

    // restic on top of ours finds everything as it was, and so do we on top of restic's.
    const theirs = lastJson(
      await restic(a, ["backup", source, "--host", "here", "--json"]),
      "snapshot_id",
    );
    assert.deepEqual([theirs.files_new, theirs.files_changed], [0, 0], JSON.stringify(theirs));
    assert.deepEqual([theirs.data_blobs, theirs.tree_blobs], [0, 0]);
    const [, second] = await snapshotsOf(a);
    assert.equal(second!.tree, snapshot!.tree);
    assert.equal(second!.parent, snapshot!.id);
    const packs = packsOf(a);
    const third = snapshotIn(
      await place.backup(["--to", `restic:${a}`, "--host", "here"]),
      `restic:${a}`,
    );
    assert.deepEqual([third["files_new"], third["files_changed"]], [0, 0]);
    assert.equal(third["parent"], second!.id);
    assert.equal(third["tree"], snapshot!.tree);
    assert.equal(third["data_added"], 0);
    assert.deepEqual(packsOf(a), packs);
    await restic(a, ["check"]);
  },
});

Deno.test({
  ...needs(
    "backup: a wrong password is 12, a lock 11, a repository that is gone 10",
    "linux",
    "restic",
  ),
  async fn() {
    await using place = createPlace();
    const { source, a, b } = place;
    fillFiles(source, 3, 1_000);
    const to = ["--to", `restic:${a}`];
    await place.backup(to);
    await place.backup([...to, "--to", `restic:${b}`], 12, { RESTIC_PASSWORD: "wrong" });
    // Beside one that refuses the password nothing is made.
    assert.deepEqual([...Deno.readDirSync(b)], []);

    const lock = await lockRepository(await openOurs(a), lockContext(), { exclusive: true });
    await place.backup(to, 11);
    await lock.release();

    Deno.renameSync(a, `${a}-elsewhere`);
    await place.backup(to, 10);
    Deno.mkdirSync(a);
    await place.backup(to, 10);
    assert.deepEqual([...Deno.readDirSync(a)], []);
    await place.backup([...to, "--init"]);
    await restic(a, ["check", "--read-data"]);
  },
});

Deno.test({
  ...needs(
    "backup: into repositories of stock restic with a password each, and only the wrong one fails",
    "linux",
    "restic",
  ),
  async fn() {
    await using place = createPlace();
    const { source, a, b, mirror } = place;
    fillFiles(source, 3, 1_000);
    await restic(a, ["init"]);
    // Named as what it is not, it is not touched.
    openDestination(posix, mirror, [], "maker", "2026-01-01T00:00:00Z").close();
    const refused = /no summary in \{"code":2,.*Did you mean/;
    await assert.rejects(place.backup(["--to", `restic:${mirror}`], 2), refused);
    await restic(b, ["init"], { password: "other" });
    // A name as awkward as they come.
    const awkward = `${b}=a: b`;
    Deno.renameSync(b, awkward);
    const file = join(a, "../password");
    Deno.writeTextFileSync(file, "other\n");
    const to = ["--to", `restic:${a}`, "--to", `restic:${awkward}`];
    const own = ["--password-file", `restic:${awkward}=${file}`];

    const wrong = await place.backup(to, 12);
    assert.equal(destinationOf(wrong, `restic:${a}`)["state"], "verified");
    assert.equal(destinationOf(wrong, `restic:${awkward}`)["state"], "failed");
    const command = ["--password-command", `restic:${a}=printf ${PASSWORD}`];
    const none = { RESTIC_PASSWORD_FILE: join(a, "none") };
    const both = await place.backup([...to, ...own, ...command], 0, none);
    assert.equal(both["state"], "completed");
    await restic(awkward, ["check", "--read-data"], { password: "other" });
    const list = await restic(awkward, ["snapshots", "--json"], { password: "other" });
    assert.deepEqual([JSON.parse(list).length, (await snapshotsOf(a)).length], [1, 2]);
  },
});

Deno.test({
  ...needs(
    "backup: killed at any moment, restic unlocks and checks, and the next run goes on",
    "linux",
    "restic",
  ),
  async fn() {
    await using place = createPlace();
    const { source, a, b } = place;
    const to = ["--to", `restic:${a}`, "--to", `restic:${b}`];
    // The second: when all is read and the last packs are on their way.
    for (const moment of [`"phase":"copy"`, `"files_done":20`]) {
      fillFiles(source, 20, 1_000_000, moment.length);
      {
        await using running = place.start([...to, "--limit", "20MB"]);
        await running.saw(moment);
        running.kill("SIGKILL");
      }
      await restic(a, ["unlock"]);
      await restic(a, ["check", "--read-data"]);
    }
    // The lock at the other one was left by a process of ours that is dead.
    const summary = await place.backup(to);
    assert.equal(summary["state"], "completed");
    for (const repository of [a, b]) await restic(repository, ["check", "--read-data"]);
    const target = Deno.makeTempDirSync();
    try {
      await restic(b, ["restore", "latest", "--target", target]);
      await assertSameTree(source, join(target, source));
    } finally {
      await runProgram("/bin/rm", ["-rf", target]);
    }
  },
});

Deno.test({
  ...needs(
    "backup: restic unlock while it runs ends nothing, and a destination that is full is out by name",
    "root",
    "linux",
    "restic",
    "mount",
  ),
  async fn() {
    await using place = createPlace();
    const { source, a, b, mirror } = place;
    fillFiles(source, 40, 1_000_000);
    const mounted = await runProgram("mount", ["-t", "tmpfs", "-o", "size=24m", "tmpfs", b], {
      env: { PATH: Deno.env.get("PATH") ?? "" },
    });
    assert.equal(mounted.code, 0, mounted.err);
    try {
      const to = ["--to", `restic:${a}`, "--to", `restic:${b}`, "--to", mirror];
      await using running = place.start([...to, "--limit", `restic:${a}=20MB`]);
      await running.saw(`"destination":"restic:${a}","phase":"copy"`);
      await restic(a, ["unlock"]);
      const { code, out, err } = await running.outcome;
      assert.equal(code, 4, `${out}\n${err}`);
      const summary = parseLines(out).find((line) => line.message_type === "summary")!;
      assert.equal(destinationOf(summary, `restic:${a}`)["state"], "verified");
      assert.equal(destinationOf(summary, mirror)["state"], "verified");
      const full = destinationOf(summary, `restic:${b}`);
      assert.equal(full["state"], "failed");
      assert.match(String(full["error"]), /space/);
      await restic(a, ["check", "--read-data"]);
    } finally {
      await runProgram("umount", [b], { env: { PATH: Deno.env.get("PATH") ?? "" } });
    }
  },
});

Deno.test({
  ...needs(
    "backup: two of ours and two of restic's write one repository at once",
    "linux",
    "restic",
  ),
  async fn() {
    await using place = createPlace();
    await using other = createPlace();
    const { source, a } = place;
    fillFiles(source, 20, 300_000);
    fillFiles(other.source, 20, 300_000, 1);
    await restic(a, ["init"]);
    await Promise.all([
      place.backup(["--to", `restic:${a}`]),
      other.backup(["--to", `restic:${a}`, "--host", "other"]),
      restic(a, ["backup", source, "--host", "theirs"]),
      restic(a, ["backup", other.source, "--host", "theirs"]),
    ]);
    await restic(a, ["check", "--read-data"]);
    const snapshots = await snapshotsOf(a);
    assert.deepEqual(
      snapshots.map(({ hostname }) => hostname).filter((host) => host === "theirs").length,
      2,
    );
    assert.equal(snapshots.length, 4);
    assert.deepEqual([...Deno.readDirSync(join(a, "locks"))], []);
  },
});
