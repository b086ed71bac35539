import assert from "node:assert/strict";
import { join } from "node:path";
import { stock } from "../support/every_kind.ts";
import { assertSameInEverything, FIDELITY_TOOLS } from "../support/judge_fidelity.ts";
import { RepositoryShell } from "../support/repository_commands.ts";
import { backupOurs, HOST, lastJson, openOurs, PASSWORD, restic } from "../support/restic.ts";
import { runProgram, startProgram } from "../support/run_program.ts";
import { needs } from "../support/tools.ts";
import { prng } from "./vector_files.ts";

const FIXTURE = new URL("fixture/", import.meta.url);

interface Scene {
  shell: RepositoryShell;
  folder: string;
  base: string;
  source: string;
}

/** A source of a few files of every plain kind, below a base whose entries are a snapshot's root. */
async function inScene(run: (scene: Scene) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync();
  try {
    const base = join(folder, "base");
    const source = join(base, "source");
    Deno.mkdirSync(join(source, "inner/deep"), { recursive: true });
    Deno.writeFileSync(join(source, "large"), prng("large", 3_000_000));
    Deno.writeTextFileSync(join(source, "inner/text"), "some text\n".repeat(100_000));
    Deno.writeTextFileSync(join(source, "inner/deep/ümläut"), "x");
    Deno.writeTextFileSync(join(source, "empty"), "");
    Deno.symlinkSync("inner/text", join(source, "link"));
    Deno.linkSync(join(source, "inner/text"), join(source, "hard"));
    Deno.chmodSync(join(source, "inner/text"), 0o4711);
    Deno.utimeSync(join(source, "inner"), 1e9, 1_234_567_890.12);
    await stock("setfattr", ["-n", "user.a", "-v", "b", "large"], source);
    await run({ shell: new RepositoryShell({ isReal: true }), folder, base, source });
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

const fields = (line: Record<string, unknown>) => {
  const { path, type, mode, permissions, size, mtime, ctime, uid, gid, name } = line;
  return { path, type, mode, permissions, size, mtime, ctime, uid, gid, name };
};

async function listedAlike(shell: RepositoryShell, place: string, id: string): Promise<void> {
  const A = `restic:${place}`;
  const theirs = JSON.parse(await restic(place, ["snapshots", "--json"]));
  const listed = await shell.type(["snapshots", A, "--json", "--tag", "t1,t2"]);
  assert.deepEqual(listed.json[0], theirs);

  const nodes = (await restic(place, ["ls", "latest", "--json"])).trim().split("\n")
    .map((line) => JSON.parse(line)).filter((line) => line.struct_type === "node");
  const ours = await shell.type(["ls", A, "--json"]);
  assert.equal(ours.json[0].id.startsWith(id), true);
  assert.deepEqual(ours.json.slice(1).map(fields), nodes.map(fields));
  const [found] = (await shell.type(["find", A, "ümläut", "--json"])).json[0];
  assert.deepEqual(found.matches.map(({ path }: { path: string }) => path), [
    "/source/inner/deep/ümläut",
  ]);
}

Deno.test({
  ...needs(
    "commands on repositories that restic wrote: listed alike, found, checked and restored equal",
    "linux",
    "restic",
    "setfattr",
    ...FIDELITY_TOOLS,
  ),
  async fn() {
    await inScene(async ({ shell, folder, base, source }) => {
      for (
        const [version, compression] of [["1", undefined], ["2", "off"], ["2", "max"]] as const
      ) {
        const place = join(folder, `repo-${version}-${compression}`);
        const A = `restic:${place}`;
        // One by restic itself; its keys take a second each time.
        if (version === "1") await restic(place, ["init", "--repository-version", version]);
        else assert.equal((await shell.type(["init", A])).code, 0);
        const more = compression === undefined ? [] : ["--compression", compression];
        const made = lastJson(
          await restic(place, ["backup", ".", "--tag", "t1,t2", "--json", ...more], { cwd: base }),
          "snapshot_id",
        );
        if (compression === "max") await listedAlike(shell, place, made.snapshot_id as string);
        const checked = await shell.type(["check", A, "--read-data"]);
        assert.equal(checked.code, 0, checked.err);
        const target = join(folder, `restored-${version}-${compression}`);
        const run = await shell.type(["restore", A, "--target", target, "--verify"]);
        assert.equal(run.code, 0, run.err);
        await assertSameInEverything(source, join(target, "source"));
        if (compression !== "max") continue;
        // The same again over a damaged result, of which only that is taken.
        Deno.writeTextFileSync(join(target, "source/large"), "harm");
        Deno.writeTextFileSync(join(target, "source/extra"), "harm");
        const again = await shell.type(
          ["restore", A, "--target", target, "--overwrite", "if-changed", "--delete", "--json"],
        );
        assert.equal(again.code, 0, again.err);
        assert.equal(again.json.at(-1).files_deleted, 1);
        await assertSameInEverything(source, join(target, "source"));
      }
    });
  },
});

Deno.test({
  ...needs(
    "commands on the fixture that restic wrote: listed as it lists it, checked, restored",
    "tar",
  ),
  async fn() {
    const folder = Deno.makeTempDirSync();
    try {
      await stock("tar", ["-xzf", new URL("fixture-repo.tar.gz", FIXTURE).pathname], folder);
      const A = `restic:${join(folder, [...Deno.readDirSync(folder)][0]!.name)}`;
      const shell = new RepositoryShell({ isReal: true });
      const as = { password: "vector-password" };
      const lines = Deno.readTextFileSync(new URL("fixture-ls.jsonl", FIXTURE)).trim().split("\n")
        .map((line) => JSON.parse(line));
      const ours = await shell.type(["ls", A, lines[0].id, "--json"], as);
      assert.equal(ours.code, 0, ours.err);
      assert.deepEqual(ours.json.slice(1).map(fields), lines.slice(1).map(fields));
      const target = join(folder, "target");
      const run = await shell.type([
        "restore",
        A,
        "--snapshot",
        lines[0].id,
        "--target",
        target,
        "--verify",
        "--json",
      ], as);
      // Owners and device nodes need the superuser.
      assert.ok(run.code === 0 || Deno.uid() !== 0, run.err);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
});

Deno.test({
  ...needs(
    "repositories that our commands made: restic backs up, checks, copies, counts and restores",
    "linux",
    "restic",
    "setfattr",
    ...FIDELITY_TOOLS,
  ),
  async fn() {
    await inScene(async ({ shell, folder, base, source }) => {
      const places = ["one", "two"].map((name) => join(folder, name));
      const [A, B] = places.map((place) => `restic:${place}`);
      assert.equal((await shell.type(["init", A!, B!])).code, 0);
      await restic(places[0]!, ["backup", ".", "--host", HOST, "--tag", "kept"], { cwd: base });
      for (let i = 0; i < 3; i++) {
        Deno.writeFileSync(join(source, "changing"), prng(`version ${i}`, 400_000));
        const repository = await openOurs(places[0]!);
        await backupOurs(repository, { base });
        repository.store.close();
      }
      const dry = await shell.type([
        "forget",
        A!,
        "--keep-last",
        "1",
        "--keep-tag",
        "kept",
        "--dry-run",
        "--json",
      ]);
      const theirs = JSON.parse(
        await restic(places[0]!, [
          "forget",
          "--keep-last",
          "1",
          "--keep-tag",
          "kept",
          "--dry-run",
          "--json",
        ]),
      );
      const ids = (group: Record<string, { id: string }[] | null>, list: string) =>
        (group[list] ?? []).map(({ id }) => id);
      const shape = (groups: Record<string, never>[]) =>
        groups.map((group) => [group.host, group.paths, ids(group, "keep"), ids(group, "remove")]);
      assert.deepEqual(shape(dry.json[0]), shape(theirs));

      const run = await shell.type(
        ["forget", A!, "--keep-last", "1", "--keep-tag", "kept", "--prune", "--max-unused", "0"],
      );
      assert.equal(run.code, 0, run.err);
      await restic(places[0]!, ["check", "--read-data"]);
      assert.match(await restic(places[0]!, ["prune", "--dry-run"]), /to delete: +0 blobs/);
      const stats = JSON.parse(await restic(places[0]!, ["stats", "--json", "--mode", "raw-data"]));
      assert.ok(stats.total_size > 3_000_000, JSON.stringify(stats));

      const password = join(folder, "password");
      Deno.writeTextFileSync(password, PASSWORD);
      await restic(places[0]!, ["copy", "--repo2", places[1]!, "--password-file2", password]);
      await restic(places[1]!, ["check", "--read-data"]);
      const target = join(folder, "restored");
      await restic(places[1]!, ["restore", "latest", "--target", target]);
      await assertSameInEverything(source, join(target, "source"));
      // Packs of the copy are others than the original's, the blobs are the same: each does for the other.
      for (const { name } of Deno.readDirSync(join(places[0]!, "data"))) {
        const packs = join(places[0]!, "data", name);
        for (const pack of Deno.readDirSync(packs)) Deno.removeSync(join(packs, pack.name));
      }
      const both = join(folder, "both");
      const healed = await shell.type(["restore", A!, B!, "--target", both]);
      assert.equal(healed.code, 0, healed.err);
      await assertSameInEverything(source, join(both, "source"));
    });
  },
});

Deno.test({
  ...needs(
    "passwords of either program open for the other, and those removed do not",
    "linux",
    "restic",
  ),
  async fn() {
    await inScene(async ({ shell, folder }) => {
      const place = join(folder, "repo");
      const A = `restic:${place}`;
      assert.equal((await shell.type(["init", A])).code, 0);
      const file = join(folder, "password");
      Deno.writeTextFileSync(file, "second\n");
      const add = ["key", "add", A, "--new-password-file", file, "--user", "bob", "--json"];
      const added = await shell.type(add);
      assert.equal(added.code, 0, added.err);
      const as = { password: "second" };
      const seen = JSON.parse(await restic(place, ["key", "list", "--json"], as));
      const own = seen.find(({ current }: { current: boolean }) => current);
      assert.deepEqual([own.userName, added.json[0].id.startsWith(own.id)], ["bob", true]);
      await restic(place, ["key", "remove", own.id]);
      assert.equal((await shell.type(["snapshots", A], as)).code, 12);
      Deno.writeTextFileSync(file, "fourth");
      const changed = await shell.type(["key", "passwd", A, "--new-password-file", file]);
      assert.equal(changed.code, 0, changed.err);
      await restic(place, ["snapshots"], { code: 1 });
      const fourth = { password: "fourth" };
      await restic(place, ["check"], fourth);
      Deno.writeTextFileSync(file, "third");
      await restic(place, ["key", "add", "--new-password-file", file], fourth);
      assert.equal((await shell.type(["snapshots", A], { password: "third" })).code, 0);
    });
  },
});

Deno.test({
  ...needs(
    "a lock that restic holds keeps our commands out, until it is released or unlocked",
    "linux",
    "restic",
    "mkfifo",
  ),
  async fn() {
    await inScene(async ({ shell, folder, base }) => {
      const place = join(folder, "repo");
      const A = `restic:${place}`;
      assert.equal((await shell.type(["init", A])).code, 0);
      await restic(place, ["backup", "."], { cwd: base });
      // restic reads a password from a pipe only after nothing else can go wrong, so it is held where it reads files.
      const pipe = join(folder, "pipe");
      await stock("mkfifo", [pipe], folder);
      await using held = startProgram(
        "sh",
        ["-c", `exec restic --no-cache backup --stdin < ${pipe}`],
        {
          env: {
            RESTIC_REPOSITORY: place,
            RESTIC_PASSWORD: PASSWORD,
            PATH: Deno.env.get("PATH")!,
            HOME: "/nonexistent",
          },
        },
      );
      // Opened for both, so that it is neither waited for nor at its end.
      using writer = Deno.openSync(pipe, { read: true, write: true });
      const repository = await openOurs(place);
      while ((await repository.list("lock")).length === 0) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      assert.equal((await shell.type(["snapshots", A])).code, 0);
      const busy = await shell.type(["prune", A]);
      assert.deepEqual([busy.code, /is locked by /.test(busy.err)], [11, true]);
      assert.match((await shell.type(["unlock", A])).out, /0 locks removed, 1 held still/);
      held.kill("SIGKILL");
      await held.outcome;
      // Not ours to remove without being asked: a person must say so.
      assert.equal((await shell.type(["prune", A])).code, 11);
      assert.match((await shell.type(["unlock", A])).out, /1 lock removed\./);
      assert.equal((await shell.type(["prune", A])).code, 0);
      await restic(place, ["check", "--read-data"]);
      void writer;
    });
  },
});

Deno.test({
  ...needs("a repository of the program itself has a key as strong as restic's", "linux", "restic"),
  async fn() {
    await inScene(async ({ folder }) => {
      const file = join(folder, "password");
      Deno.writeTextFileSync(file, `${PASSWORD}\n`);
      const place = join(folder, "repo");
      const program = new URL("../../mod.ts", import.meta.url).pathname;
      const env = { RESTIC_PASSWORD_FILE: file, PATH: Deno.env.get("PATH")!, HOME: folder };
      const cache = Deno.env.get("DENO_DIR") ??
        join(Deno.env.get("HOME") ?? "/root", ".cache/deno");
      const made = await runProgram(
        Deno.execPath(),
        ["run", "--quiet", "-A", program, "init", `restic:${place}`, "--json"],
        { env: { ...env, DENO_DIR: cache } },
      );
      assert.equal(made.code, 0, made.err);
      const [key] = [...Deno.readDirSync(join(place, "keys"))];
      const { N, r, p } = JSON.parse(Deno.readTextFileSync(join(place, "keys", key!.name)));
      assert.ok(N >= 32768 && r >= 8 && p >= 1, JSON.stringify({ N, r, p }));
      const config = JSON.parse(await restic(place, ["cat", "config"]));
      assert.deepEqual([config.version, config.id], [2, JSON.parse(made.out).id]);
    });
  },
});
