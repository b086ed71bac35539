import assert from "node:assert/strict";
import { PASSWORD } from "../../tests/support/restic.ts";
import { RepositoryShell } from "../../tests/support/repository_commands.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import { fakeSignals } from "../../protocol/cli/fake_world.ts";
import { thisProcess } from "../platform/process_identity.ts";
import { backup, clock } from "../repository/sample_repository_suite.ts";
import { MemoryObjectStore } from "../destinations/memory_object_store.ts";
import {
  areReplicas,
  lockRepository,
  openRepository,
  type Repository,
  writerOf,
} from "../repository/mod.ts";

const A = "restic:/memory/a";
const B = "restic:/memory/b";

async function open(shell: RepositoryShell, path: string, password = PASSWORD) {
  return await openRepository(shell.memory(path), shell.world.kernels, { password });
}

async function withRepository(): Promise<{ shell: RepositoryShell; repository: Repository }> {
  const shell = new RepositoryShell();
  assert.equal((await shell.type(["init", A])).code, 0);
  return { shell, repository: await open(shell, "/memory/a") };
}

Deno.test("init: repositories of one command are replicas, and nothing is written where one is", async () => {
  const shell = new RepositoryShell();
  const made = await shell.type(["init", A, B, "--json"]);
  assert.equal(made.code, 0, made.err);
  assert.deepEqual(made.json.map(({ repository }) => repository), [A, B]);
  const [a, b] = [await open(shell, "/memory/a"), await open(shell, "/memory/b")];
  assert.ok(areReplicas(a, b));
  assert.equal(a.config.id, made.json[0].id);
  const again = await shell.type(["init", "restic:/memory/c", B]);
  assert.equal(again.code, 1);
  assert.match(again.err, /There is a repository at restic:\/memory\/b already/);
  assert.match(again.err, /--from restic:\/memory\/b/);
  assert.equal(shell.memory("/memory/c").objects.size, 0);
  assert.equal((await shell.type(["init", "restic:/memory/c", "--from", A])).code, 0);
  assert.ok(areReplicas(a, await open(shell, "/memory/c")));
  const old = await shell.type(["init", "restic:/memory/old", "--repository-version", "1"]);
  assert.equal(old.code, 0);
  assert.equal((await open(shell, "/memory/old")).config.version, 1);
});

Deno.test("init: what a killed one has begun is finished by the next, with the key that is there", async () => {
  const shell = new RepositoryShell();
  assert.equal((await shell.type(["init", A, B])).code, 0);
  const [a, b] = [shell.memory("/memory/a").objects, shell.memory("/memory/b").objects];
  a.delete("config");
  b.clear();
  const [key] = a.keys();
  assert.equal((await shell.type(["init", A, B], { password: "another" })).code, 1);
  assert.equal((await shell.type(["init", B, A])).code, 0);
  for (const objects of [a, b]) {
    assert.deepEqual([...objects.keys()].sort(), ["config", key].sort());
  }
  assert.ok(areReplicas(await open(shell, "/memory/a"), await open(shell, "/memory/b")));
});

Deno.test("a person is asked for a password, twice for a new one; nobody to ask is exit code 12", async () => {
  const shell = new RepositoryShell();
  const none = { password: undefined };
  assert.equal((await shell.type(["init", A], { ...none, answers: ["x", "y"] })).code, 2);
  assert.equal((await shell.type(["init", A], { ...none, answers: ["x", "x"] })).code, 0);
  assert.equal((await shell.type(["snapshots", A], { ...none, answers: ["x"] })).code, 0);
  assert.equal((await shell.type(["snapshots", A], { ...none, answers: ["z"] })).code, 12);
  assert.equal((await shell.type(["snapshots", A], none)).code, 12);
  // Where there is no repository nobody is asked.
  const asked = await shell.type(["snapshots", "restic:/memory/no"], { ...none, answers: ["x"] });
  assert.deepEqual([asked.code, asked.err.includes("Password")], [10, false]);
});

Deno.test("each repository can have a password of its own, also of replicas", async () => {
  const shell = new RepositoryShell();
  const folder = Deno.makeTempDirSync();
  const words = [A, B].map((place, k) => {
    Deno.writeTextFileSync(`${folder}/${k}`, `own ${k}\n`);
    return ["--password-file", `${place}=${folder}/${k}`];
  });
  const [ofA, ofB] = words as [string[], string[]];
  try {
    assert.equal((await shell.type(["init", A, B, ...ofA])).code, 0);
    // Of its own, and no other.
    assert.equal((await shell.type(["snapshots", A])).code, 12);
    const [a, b] = [await open(shell, "/memory/a", "own 0"), await open(shell, "/memory/b")];
    assert.ok(areReplicas(a, b));
    assert.deepEqual((await a.list("key")).length, 1);
    const { id } = await backup(a, { "folder/x": "text" });

    const restore = ["restore", A, B, "--target", `${folder}/back`, "--dry-run"];
    const both = await shell.type([...restore, ...ofA]);
    assert.deepEqual([both.code, both.err.includes("left out")], [0, false], both.err);
    const wrong = await shell.type([...restore, ...ofA, ...ofB]);
    assert.equal(wrong.code, 0, wrong.err);
    assert.match(wrong.err, /restic:\/memory\/b is left out: Wrong password for/);
    const only = await shell.type(["snapshots", B, ...ofB]);
    assert.equal(only.code, 12);
    assert.match(
      only.err,
      /It was in the password file \/.*--password-file restic:\/memory\/b=FILE/,
    );
    assert.match((await shell.type(["snapshots", B, ...ofA])).err, /no repository of this command/);
    assert.equal((await shell.type(["ls", A, id, ...ofA, "--key-hint", `${A}=0`])).code, 0);

    // A person is asked again for the one that the first does not open.
    const asked = { password: undefined, answers: ["own 0", PASSWORD] };
    assert.equal((await shell.type(restore, asked)).err.includes("left out"), false);

    const third = ["init", "restic:/memory/c", "--from", A];
    const from = { RESTIC_FROM_PASSWORD: "own 0" };
    assert.equal((await shell.type(third, { password: undefined, env: from })).code, 0);
    await open(shell, "/memory/c", "own 0");
    const fourth = ["init", "restic:/memory/d", "--from", A];
    assert.equal((await shell.type(fourth, { password: "new", env: from })).code, 0);
    assert.ok(areReplicas(a, await open(shell, "/memory/d", "new")));
    await assert.rejects(open(shell, "/memory/d", "own 0"), /Wrong password/);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("no repository is 10, a lock 11, a wrong password 12, for every command, and as JSON", async () => {
  const { shell, repository } = await withRepository();
  const commands = [
    ["snapshots"],
    ["ls"],
    ["find", "", "x"],
    ["restore", "", "--target", "/nowhere"],
    ["check"],
    ["verify"],
    ["forget", "", "--keep-last", "1"],
    ["prune"],
    ["unlock"],
    ["key", "", "list"],
  ].map(
    ([name, ...rest]) => (place: string) => [
      name!,
      place,
      ...rest.filter((w) => w !== ""),
      "--json",
    ],
  );
  const context = shell.world.lockContext({} as never);
  const lock = await lockRepository(repository, context, { exclusive: true });
  for (const command of commands) {
    const [gone, wrong, held] = [
      await shell.type(command("restic:/memory/none")),
      await shell.type(command(A), { password: "wrong" }),
      await shell.type(command(A)),
    ];
    const name = command("").join(" ");
    assert.equal(gone.code, 10, name);
    assert.equal(wrong.code, 12, name);
    assert.equal(held.code, name.startsWith("unlock") ? 0 : 11, `${name}: ${held.err}`);
    for (const { err, code } of [gone, wrong, ...(held.code === 0 ? [] : [held])]) {
      const last = JSON.parse(err.trim().split("\n").at(-1)!);
      assert.deepEqual([last.message_type, last.code], ["exit_error", code], name);
    }
  }
  await lock.release();
  assert.deepEqual((await repository.list("lock")).length, 0);
  const repair = await shell.type(["repair", "restic:/memory/none", "--from", A]);
  assert.equal(repair.code, 10);
});

Deno.test("locks are given back after success, failure and Ctrl-C; commands that only read share", async () => {
  const { shell, repository } = await withRepository();
  await backup(repository, { a: "text" });
  const context = shell.world.lockContext({} as never);
  const shared = await lockRepository(repository, context);
  assert.equal((await shell.type(["snapshots", A])).code, 0);
  assert.equal((await shell.type(["prune", A])).code, 11);
  assert.equal((await shell.type(["prune", A, "--dry-run"])).code, 0);
  await shared.release();
  const exclusive = await lockRepository(repository, context, { exclusive: true });
  assert.equal((await shell.type(["snapshots", A])).code, 11);
  assert.equal((await shell.type(["snapshots", A, "--no-lock"])).code, 0);
  await exclusive.release();

  const signals = fakeSignals();
  const { wrap } = shell;
  shell.wrap = (store) => {
    const { getRange } = store;
    store.getRange = (...args) => {
      signals.send("SIGINT");
      return getRange.apply(store, args);
    };
    return store;
  };
  assert.equal((await shell.type(["check", A, "--read-data"], { signals })).code, 130);
  shell.wrap = wrap;
  assert.equal((await shell.type(["ls", A, "zzzz"])).code, 2);
  assert.deepEqual(await repository.list("lock"), []);
  assert.equal(signals.listening.size, 0);
});

Deno.test("Ctrl-C ends a command also while a disk gives no answer", async () => {
  const { shell, repository } = await withRepository();
  await backup(repository, { a: "text" });
  const signals = fakeSignals();
  const store = shell.memory("/memory/a");
  let giveUp: (error: unknown) => void = () => {};
  store.getRange = () => {
    signals.send("SIGINT");
    return new Promise((_, reject) => giveUp = reject);
  };
  // What the thread of a store does when it is closed.
  store.close = () => giveUp(new BackupError("cancelled", "The thread was closed"));
  assert.equal((await shell.type(["ls", A], { signals })).code, 130);
});

Deno.test("where no lock can be written, a reader is told how to do without", async () => {
  const { shell } = await withRepository();
  shell.memory("/memory/a").put = () =>
    Promise.reject(new BackupError("read_only", "Cannot create locks: EROFS"));
  for (const words of [["snapshots", A], ["check", A]]) {
    const run = await shell.type(words);
    assert.equal(run.code, 1);
    assert.match(run.err, /No lock can be written: .*EROFS \(.*--no-lock/);
  }
  assert.equal((await shell.type(["snapshots", A, "--no-lock"])).code, 0);
  assert.doesNotMatch((await shell.type(["prune", A])).err, /--no-lock/);
});

Deno.test("unlock removes locks of the dead, and all when asked", async () => {
  const { shell, repository } = await withRepository();
  const context = shell.world.lockContext({} as never);
  const elsewhere = { ...context.owner.process, host: "elsewhere" };
  const foreign = {
    ...context,
    owner: { ...context.owner, hostname: "other", process: elsewhere },
  };
  const held = await lockRepository(repository, foreign);
  assert.match(
    (await shell.type(["unlock", A])).out,
    /Left [0-9a-f]{8}: locked by .*\n0 locks removed, 1 held still/,
  );
  const all = await shell.type(["unlock", A, "--remove-all", "--json"]);
  assert.deepEqual(all.json[0].removed, [held.id]);
  // A crash of ours on this machine: the next command goes on without an unlock.
  const dead = { ...context.owner.process, pid: 2 ** 22 + 1, start: "dead" };
  await lockRepository(repository, { ...context, owner: { ...context.owner, process: dead } }, {
    exclusive: true,
  });
  assert.equal((await shell.type(["prune", A])).code, 0);
});

Deno.test({
  name: "a lock is held as long as its process lives, and gone with it",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const shell = new RepositoryShell({ isReal: true });
    assert.equal((await shell.type(["init", A])).code, 0);
    const repository = await open(shell, "/memory/a");
    const child = new Deno.Command("sleep", { args: ["60"] }).spawn();
    const context = shell.world.lockContext({} as never);
    const process = { ...thisProcess("machine", child.pid) };
    const lock = { ...context, owner: { ...context.owner, process } };
    await lockRepository(repository, lock, { exclusive: true });
    assert.equal((await shell.type(["snapshots", A])).code, 11);
    assert.match((await shell.type(["unlock", A])).out, /0 locks removed, 1 held still/);
    child.kill("SIGKILL");
    await child.status;
    assert.equal((await shell.type(["snapshots", A])).code, 0);
    assert.deepEqual(await repository.list("lock"), []);
  },
});

Deno.test("repair: a config that is gone comes back from a replica with another password", async () => {
  const shell = new RepositoryShell();
  const command = ["--password-command", `${B}=printf own`];
  assert.equal((await shell.type(["init", A, B, ...command])).code, 0);
  const { objects } = shell.memory("/memory/a");
  const config = objects.get("config")!.slice();
  objects.delete("config");
  const without = await shell.type(["repair", A, "--from", B], { password: undefined });
  assert.deepEqual([without.code, objects.has("config")], [1, false]);
  const repaired = await shell.type(["repair", A, "--from", B]);
  assert.equal(repaired.code, 0, repaired.err);
  assert.match(repaired.out, /Repaired .*config\n/);
  assert.deepEqual(objects.get("config"), config);
});

Deno.test({
  name:
    "what a killed init or repair was writing is left while it lives, and removed by the next one",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const shell = new RepositoryShell({ isReal: true });
    const writers = new Set<string | undefined>();
    const { openStore } = shell.world;
    shell.world.openStore = (path, options) => {
      writers.add(options.writer);
      return openStore(path, options);
    };
    const mine = writerOf(thisProcess("machine"));
    assert.equal((await shell.type(["init", A, B])).code, 0);
    assert.deepEqual([...writers], [mine]);
    const child = new Deno.Command("sleep", { args: ["60"] }).spawn();
    const its = writerOf(thisProcess("machine", child.pid));
    assert.notEqual(its, mine);
    const names = [`data/ab/${"ab".repeat(32)}`, `keys/${"cd".repeat(32)}`, "config"]
      .map((name) => `${name}-tmp-${its}01234567`);
    const stores = [shell.memory("/memory/a"), new MemoryObjectStore("/memory/new")];
    shell.stores.set("/memory/new", stores[1]!);
    for (const store of stores) {
      for (const name of names) store.objects.set(name, new Uint8Array(9));
    }
    const left = () =>
      stores.map((store) => names.filter((name) => store.objects.has(name)).length);
    const repair = ["repair", A, "--from", B];
    assert.equal((await shell.type(repair)).code, 0);
    assert.deepEqual(left(), [3, 3]);
    child.kill("SIGKILL");
    await child.status;
    // Neither needs a lock or a password for that.
    assert.equal((await shell.type(repair, { password: undefined })).code, 0);
    assert.equal((await shell.type(["init", "restic:/memory/new"])).code, 0);
    assert.deepEqual(left(), [0, 0]);
  },
});

Deno.test("snapshots, ls and find show what there is, filtered by host, tag, path and id", async () => {
  const { shell, repository } = await withRepository();
  const empty = await shell.type(["snapshots", A, "--json"]);
  assert.deepEqual(empty.json, [[]]);
  assert.equal((await shell.type(["ls", A])).code, 1);
  const first = await backup(repository, { a: "one", "folder/b": "two", "folder/c": "" });
  await clock.advance(60_000);
  const second = await backup(repository, { a: "other" });
  const list = await shell.type(["snapshots", A]);
  assert.match(list.out, new RegExp(`${first.id.slice(0, 8)}.*here.*/source`));
  assert.match(list.out, /2 snapshots\.\n$/);
  const ids = async (...words: string[]) =>
    (await shell.type(["snapshots", A, "--json", ...words])).json[0]
      .map(({ id }: { id: string }) => id).sort();
  const both = [first.id, second.id].sort();
  assert.deepEqual(await ids(), both);
  assert.equal((await ids("--latest", "1")).length, 1);
  assert.deepEqual(await ids("--host", "here", "--path", "/source"), both);
  assert.deepEqual(await ids("--host", "elsewhere"), []);
  assert.deepEqual(await ids("--tag", "none"), []);
  assert.deepEqual(await ids(first.id.slice(0, 10)), [first.id]);

  const paths = async (...words: string[]) => {
    const { json, code } = await shell.type(["ls", A, "--json", ...words]);
    return code === 0 ? json.slice(1).map(({ path }) => path) : code;
  };
  assert.deepEqual(await paths(first.id), ["/a", "/folder", "/folder/b", "/folder/c"]);
  assert.deepEqual(await paths(first.id, "/folder"), ["/folder", "/folder/b", "/folder/c"]);
  assert.deepEqual(await paths(`${first.id}:/folder`), ["/b", "/c"]);
  assert.equal(await paths(first.id, "/none"), 1);
  assert.equal(await paths("0123456789abcdef"), 1);
  const plain = await shell.type(["ls", A, first.id.slice(0, 12), "/a"]);
  assert.match(plain.out, /^-rw-r--r-- 1:2 +3 2026-01-02 \d\d:04 \/a\n$/);

  const found = await shell.type(["find", A, "b", "--json"]);
  assert.deepEqual(
    found.json[0].map((hit: { snapshot: string; hits: number }) => [hit.snapshot, hit.hits]),
    [
      [first.id, 1],
    ],
  );
  assert.equal((await shell.type(["find", A, "*.odt"])).code, 1);
  assert.match((await shell.type(["find", A, "folder/*"])).out, /\/folder\/b\n.*\/folder\/c\n$/);
});

Deno.test("forget keeps what the rules say, refuses rules that keep nothing, and prunes when asked", async () => {
  const { shell, repository } = await withRepository();
  const made: string[] = [];
  for (let i = 0; i < 4; i++) {
    made.push((await backup(repository, { a: `text ${i}`.repeat(50) })).id);
    await clock.advance(60_000);
  }
  const left = async () => (await repository.list("snapshot")).length;
  assert.equal((await shell.type(["forget", A])).code, 2);
  const none = await shell.type(["forget", A, "--keep-tag", "none"]);
  assert.deepEqual([none.code, await left()], [1, 4]);
  assert.match(none.err, /would keep no snapshot of here, \/source/);
  assert.equal(
    (await shell.type(["forget", A, "--keep-tag", "none", "--unsafe-allow-remove-all"])).code,
    2,
  );
  const dry = await shell.type(["forget", A, "--keep-last", "2", "--dry-run", "--prune", "--json"]);
  assert.deepEqual([dry.code, await left()], [0, 4]);
  const [[group]] = dry.json;
  const summary = dry.json.at(-1);
  assert.deepEqual([group.keep.length, group.remove.length, group.host], [2, 2, "here"]);
  assert.ok(summary.dry_run && summary.unused_blobs > 0, JSON.stringify(summary));
  const real = await shell.type(["forget", A, "--keep-last", "2", "--prune", "--max-unused", "0"]);
  assert.deepEqual([real.code, await left()], [0, 2], real.err);
  assert.match(real.out, /Freed \d+ B/);
  assert.equal((await shell.type(["verify", A])).code, 0);
  const [kept] = await repository.list("snapshot");
  assert.equal((await shell.type(["forget", A, kept!.id.slice(0, 20)])).code, 0);
  assert.equal(await left(), 1);
  assert.equal((await shell.type(["forget", A, "latest"])).code, 2);
  assert.equal(
    (await shell.type([
      "forget",
      A,
      "--keep-tag",
      "none",
      "--host",
      "here",
      "--unsafe-allow-remove-all",
    ]))
      .code,
    0,
  );
  assert.equal(await left(), 0);
  const idle = await shell.type(["prune", A, "--json", "--max-unused", "unlimited"]);
  assert.equal(idle.json.at(-1).used_blobs, 0);
});

Deno.test("forget decides nothing about a snapshot that cannot be read, and prunes nothing then", async () => {
  const { shell, repository } = await withRepository();
  const ids: string[] = [];
  for (let i = 0; i < 3; i++) ids.push((await backup(repository, { a: `text ${i}` })).id);
  const name = `snapshots/${ids[0]}`;
  shell.memory("/memory/a").objects.get(name)![9]! ^= 1;
  const run = await shell.type(["forget", A, "--keep-last", "1", "--prune"]);
  assert.equal(run.code, 1);
  assert.match(run.err, new RegExp(`${ids[0]}.*damaged`));
  assert.ok(shell.memory("/memory/a").objects.has(name));
});

Deno.test("key: passwords are added, listed, changed and removed, and the one in use stays", async () => {
  const { shell } = await withRepository();
  const file = Deno.makeTempFileSync();
  try {
    Deno.writeTextFileSync(file, "second\n");
    const added = await shell.type([
      ...["key", "add", A, "--new-password-file", file],
      ...["--user", "bob", "--host", "far", "--json"],
    ]);
    assert.equal(added.code, 0, added.err);
    const listed = await shell.type(["key", "list", A, "--json"], { password: "second" });
    const [mine] = listed.json[0].filter(({ current }: { current: boolean }) => current);
    assert.deepEqual([mine.userName, mine.hostName, listed.json[0].length], ["bob", "far", 2]);
    assert.ok(added.json[0].id.startsWith(mine.id));
    const own = await shell.type(["key", "remove", A, mine.id], { password: "second" });
    assert.deepEqual([own.code, /in use/.test(own.err)], [2, true]);
    assert.equal((await shell.type(["key", "remove", A, mine.id])).code, 0);
    assert.equal((await shell.type(["snapshots", A], { password: "second" })).code, 12);
    Deno.writeTextFileSync(file, "third");
    assert.equal((await shell.type(["key", "passwd", A, "--new-password-file", file])).code, 0);
    assert.equal((await shell.type(["snapshots", A])).code, 12);
    const only = await shell.type(["key", A, "list"], { password: "third" });
    assert.match(only.out, /^\*[0-9a-f]{8} {2}.*\n$/);
    for (
      const words of [["key", A], ["key", "remove", A], ["key", "list", A, "x"], ["key", "list"]]
    ) {
      assert.equal((await shell.type(words)).code, 2, words.join(" "));
    }
  } finally {
    Deno.removeSync(file);
  }
});

Deno.test("check says what is wrong and where, reads a part when asked, and prints a summary", async () => {
  const { shell, repository } = await withRepository();
  await backup(repository, { a: "text", "folder/b": "other" });
  const sound = await shell.type(["check", A]);
  assert.match(sound.out, /No errors in restic:\/memory\/a: 1 snapshot, 2 packs, .* no data read/);
  const some = await shell.type(["check", A, "--read-data-subset", "1%", "--json"]);
  assert.deepEqual([some.code, some.json.at(-1).packs_read], [0, 1]);
  assert.equal((await shell.type(["check", A, "--read-data-subset", "3/2"])).code, 2);
  assert.equal(
    (await shell.type(["check", A, "--read-data", "--read-data-subset", "1/2"])).code,
    2,
  );
  const { objects } = shell.memory("/memory/a");
  const [pack] = [...objects.keys()].filter((name) => name.startsWith("data/"));
  // Two packs are in two of three parts at most.
  const parts: string[] = [];
  for (const part of ["1/3", "2/3", "3/3"]) {
    parts.push((await shell.type(["check", A, "--read-data-subset", part])).out);
  }
  assert.ok(parts.some((out) => out.includes("no pack is in that part, so no data read")));
  assert.doesNotMatch(sound.out, /Notes/);
  const unlisted = `data/ab/ab${"0".repeat(62)}`;
  objects.set(unlisted, new Uint8Array(9));
  const untidy = await shell.type(["check", A]);
  assert.equal(untidy.code, 0);
  assert.match(untidy.out, /No errors[^]*Notes tell of no damage; packs in no index.* prune/);
  objects.delete(unlisted);
  const latest = await shell.type(["snapshots", A, "latest"]);
  assert.match(latest.out, /\n1 snapshot\.\n$/);
  const absent = await shell.type(["snapshots", A, "00000000"]);
  assert.deepEqual([absent.code, absent.out], [1, "0 snapshots.\n"]);
  assert.match(absent.err, /No snapshot 00000000 in restic:\/memory\/a/);
  assert.equal((await shell.type(["snapshots", A, "restic:/memory/b"])).code, 2);
  const unknown = await shell.type(["forget", A, "00000000"]);
  assert.match(unknown.err, /No snapshot 00000000 .*snapshots restic:PATH shows their ids/);
  const none = await shell.type(["forget", A, "--keep-last", "1", "--tag", "none"]);
  assert.equal(none.out, "No snapshot matches.\n");
  objects.get(pack!)![3]! ^= 1;
  const broken = await shell.type(["verify", A, "--json"]);
  assert.equal(broken.code, 1);
  const { num_errors, broken_packs } = broken.json.at(-1);
  assert.ok(num_errors > 0);
  assert.deepEqual(broken_packs, [pack!.slice(8)]);
  assert.ok(broken.err.includes(pack!));
  const told = await shell.type(["verify", A]);
  assert.match(told.out, /repair restic:\/memory\/a --from restic:OTHER puts this one right/);
});
