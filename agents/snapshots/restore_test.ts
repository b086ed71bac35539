import assert from "node:assert/strict";
import { join } from "node:path";
import { PASSWORD, posix } from "../../tests/support/restic.ts";
import { RepositoryShell, type TypingOptions } from "../../tests/support/repository_commands.ts";
import {
  BlobWriter,
  loadIndex,
  openRepository,
  type Repository,
  storeSnapshot,
  type TreeNode,
} from "../repository/mod.ts";
import { backup, clock, type Files, node } from "../repository/sample_repository_suite.ts";
import { encodeTree } from "../repository/tree.ts";

const A = "restic:/memory/a";
const B = "restic:/memory/b";
const FILES = { "a": "some text", "folder/b": "other text".repeat(20), "folder/c.txt": "" };

interface Scene {
  shell: RepositoryShell;
  repository: Repository;
  /** Not there yet. */
  target: string;
  restore(...words: string[]): ReturnType<RepositoryShell["type"]>;
  restoreWith(options: TypingOptions, ...words: string[]): ReturnType<RepositoryShell["type"]>;
  /** Everything in the target: a folder as `name/`, a file as `name: text`. */
  found(): string[];
  put(path: string, text: string): void;
}

async function inScene(run: (scene: Scene) => Promise<void>, files: Files | undefined = FILES) {
  const folder = Deno.makeTempDirSync();
  try {
    const shell = new RepositoryShell();
    assert.equal((await shell.type(["init", A, B])).code, 0);
    const repository = await openRepository(shell.memory("/memory/a"), shell.world.kernels, {
      password: PASSWORD,
    });
    if (files !== undefined) await backup(repository, files);
    const target = join(folder, "target");
    const restoreWith = (options: TypingOptions, ...words: string[]) =>
      shell.type(["restore", A, "--target", target, ...words], options);
    await run({
      shell,
      repository,
      target,
      restoreWith,
      restore: (...words) => restoreWith({}, ...words),
      found: () => list(target).sort(),
      put(path, text) {
        Deno.mkdirSync(join(target, path, ".."), { recursive: true });
        Deno.writeTextFileSync(join(target, path), text);
      },
    });
    assert.deepEqual([...Deno.readDirSync(folder)].filter(({ name }) => name !== "target"), []);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

function list(folder: string, prefix = ""): string[] {
  const found: string[] = [];
  for (const { name, isDirectory, isFile } of Deno.readDirSync(folder)) {
    const path = join(folder, name);
    if (isDirectory) found.push(`${prefix}${name}/`, ...list(path, `${prefix}${name}/`));
    else found.push(`${prefix}${name}: ${isFile ? Deno.readTextFileSync(path) : "special"}`);
  }
  return found;
}

const ALL = ["a: some text", "folder/", `folder/b: ${FILES["folder/b"]}`, "folder/c.txt: "];

/** The same bytes in B, as a backup to both leaves them. */
function replicate(shell: RepositoryShell): void {
  const b = shell.memory("/memory/b").objects;
  for (const [name, bytes] of shell.memory("/memory/a").objects) b.set(name, bytes.slice());
}

Deno.test("restore: the latest snapshot, one by its id, and a folder of one", async () => {
  await inScene(async ({ shell, repository, restore, found, target }) => {
    const whole = await restore("--verify", "--json");
    assert.equal(whole.code, 0, whole.err);
    assert.deepEqual(found(), ALL);
    const summary = whole.json.at(-1);
    assert.deepEqual(
      [summary.files_restored, summary.files_verified, summary.files_failed],
      [3, 3, 0],
    );
    assert.equal(
      Deno.statSync(join(target, "folder/b")).mtime!.toISOString(),
      "2026-01-02T03:04:05.678Z",
    );
    await clock.advance(60_000);
    const { id } = await backup(repository, { a: "changed" });
    Deno.removeSync(target, { recursive: true });
    const text = await restore();
    assert.match(text.out, new RegExp(`1 file, 7 B of ${id.slice(0, 8)} restored to `));
    assert.deepEqual(found(), ["a: changed"]);
    const part = await restore("--snapshot", `${summary.snapshot_id.slice(0, 12)}:/folder`);
    assert.equal(part.code, 0, part.err);
    assert.deepEqual(found().slice(1), [`b: ${FILES["folder/b"]}`, "c.txt: "]);
    assert.equal((await restore("--snapshot", `${id}:/none`)).code, 1);
    assert.equal((await restore("--snapshot", "ffff")).code, 1);
    assert.equal((await restore("--host", "elsewhere")).code, 1);
    assert.equal((await shell.type(["restore", A])).code, 2);
    assert.equal(
      (await shell.type(["restore", A, "/plain", "--to", target, "--target", "x"])).code,
      2,
    );
  });
});

Deno.test("restore: paths, --include and --exclude choose, and make no folder that nobody asked for", async () => {
  await inScene(async ({ restore, found, target }) => {
    const only = async (...words: string[]) => {
      Deno.removeSync(target, { recursive: true });
      assert.equal((await restore(...words)).code, 0, words.join(" "));
      return found();
    };
    await restore();
    assert.deepEqual(await only("/folder/b"), ["folder/", `folder/b: ${FILES["folder/b"]}`]);
    assert.deepEqual(await only("--include", "*.txt"), ["folder/", "folder/c.txt: "]);
    assert.deepEqual(await only("--include", "/a"), ["a: some text"]);
    assert.deepEqual(await only("folder", "--exclude", "b"), ["folder/", "folder/c.txt: "]);
    assert.deepEqual(await only("--exclude", "folder/"), ["a: some text"]);
    for (const words of [["--include", "*.none"], ["--include", "*.none", "--dry-run"]]) {
      const { code, err } = await restore(...words);
      assert.equal(code, 0, err);
      assert.match(err, /No file in the snapshot matches what was asked for/);
    }
    assert.doesNotMatch((await restore("--include", "*.txt", "--dry-run")).err, /matches/);
  });
});

Deno.test("restore: a configuration's excludes and --delete are for backups, and touch no restore", async () => {
  await inScene(async ({ restoreWith, found, put }) => {
    put("mine", "precious");
    const env = { BACKUP_AGENT_EXCLUDE: "a", BACKUP_AGENT_DELETE: "true", BACKUP_DEST: "/other" };
    assert.equal((await restoreWith({ env: { RESTIC_PASSWORD: PASSWORD, ...env } })).code, 0);
    assert.deepEqual(found(), [...ALL, "mine: precious"]);
  });
});

Deno.test("restore: what stands there is replaced, or left, as --overwrite says", async () => {
  await inScene(async ({ restore, found, put, target }) => {
    const at = (date: string) => Deno.utimeSync(join(target, "a"), new Date(date), new Date(date));
    const after = async (rule: string, date: string, text = "MINE text") => {
      put("a", text);
      at(date);
      const run = await restore("--overwrite", rule, "/a", "--json");
      assert.equal(run.code, 0, run.err);
      return [found()[0], run.json.at(-1).files_skipped];
    };
    const same = "2026-01-02T03:04:05.678Z";
    assert.deepEqual(await after("always", same), ["a: some text", 0]);
    assert.deepEqual(await after("if-changed", same), ["a: MINE text", 1]);
    assert.deepEqual(await after("if-changed", same, "longer than that"), ["a: some text", 0]);
    assert.deepEqual(await after("if-newer", "2027-01-01T00:00:00Z"), ["a: MINE text", 1]);
    assert.deepEqual(await after("if-newer", "2025-01-01T00:00:00Z"), ["a: some text", 0]);
    assert.deepEqual(await after("never", "2025-01-01T00:00:00Z"), ["a: MINE text", 1]);
    assert.equal((await restore("--overwrite", "always", "/a")).code, 0);
    assert.equal((await restore("--overwrite=sometimes")).code, 2);
  });
});

Deno.test("restore: without --overwrite nothing that stands there is replaced, and what differs is named", async () => {
  await inScene(async ({ restore, found, put }) => {
    put("a", "MINE text");
    const dry = await restore("--dry-run", "--verbose");
    assert.match(dry.out, /^differs \/a\n/);
    assert.match(dry.out, /1 stay as they are \(1 with another size or time; only --overwrite/);
    assert.equal((await restore("--dry-run", "--json")).json.at(-1).files_differing, 1);
    const first = await restore();
    assert.equal(first.code, 4);
    assert.match(first.err, /\/a stands there and differs, and is left; --overwrite replaces it/);
    assert.deepEqual(found(), ["a: MINE text", ...ALL.filter((line) => !line.startsWith("a: "))]);
    assert.equal((await restore("--overwrite")).code, 0);
    assert.deepEqual(found(), ALL);
    const again = await restore("--json");
    assert.equal(again.code, 0, again.err);
    assert.deepEqual([again.json.at(-1).files_restored, again.json.at(-1).files_skipped], [0, 3]);
  });
});

Deno.test("restore: --delete removes only what was asked for and the snapshot has not", async () => {
  await inScene(async ({ restore, found, put }) => {
    put("old/deep/file", "gone");
    put("folder/old.txt", "gone");
    put("folder/old.jpg", "gone");
    const some = await restore("--delete", "/folder", "--include", "*.txt");
    assert.equal(some.code, 0, some.err);
    assert.deepEqual(found(), [
      "folder/",
      "folder/c.txt: ",
      "folder/old.jpg: gone",
      "old/",
      "old/deep/",
      "old/deep/file: gone",
    ]);
    const dry = await restore("--delete", "--exclude", "old/", "--dry-run", "--verbose");
    assert.match(dry.out, /Would restore 2 files, .*; 1 stay as they are; 1 would be deleted/);
    assert.match(dry.out, /delete +\/folder\/old\.jpg\n/);
    assert.equal((await restore("--delete", "--exclude", "old/")).code, 0);
    assert.deepEqual(found(), [...ALL, "old/", "old/deep/", "old/deep/file: gone"]);
    const all = await restore("--delete", "--json");
    assert.equal(all.json.at(-1).files_deleted, 1);
    assert.deepEqual(found(), ALL);
    const root = await restore("--delete", "--to", "/");
    assert.equal(root.code, 2);
  });
});

Deno.test("restore: a dry run writes nothing, not even the target", async () => {
  await inScene(async ({ restore, target }) => {
    const run = await restore("--dry-run", "--json", "--verbose");
    assert.equal(run.code, 0, run.err);
    assert.deepEqual(run.json.slice(0, -1).map(({ action, item }) => [action, item]), [
      ["restore", "/a"],
      ["restore", "/folder/b"],
      ["restore", "/folder/c.txt"],
    ]);
    assert.deepEqual([run.json.at(-1).files_restored, run.json.at(-1).dry_run], [3, true]);
    assert.throws(() => Deno.statSync(target), Deno.errors.NotFound);
  });
});

Deno.test("restore: folders on the way that stood there keep their mode, new ones get the recorded one", async () => {
  await inScene(async ({ restore, target, put }) => {
    put("folder/mine", "x");
    Deno.chmodSync(join(target, "folder"), 0o711);
    assert.equal((await restore("/folder/b")).code, 0);
    assert.equal(Deno.statSync(join(target, "folder")).mode! & 0o777, 0o711);
    assert.equal((await restore("/folder")).code, 0);
    assert.equal(Deno.statSync(join(target, "folder")).mode! & 0o777, 0o644);
  });
});

Deno.test("restore: zeros become holes with --sparse, and the bytes are the same", async () => {
  const zeros = new Uint8Array(3 << 20);
  zeros[zeros.length - 1] = 1;
  await inScene(async ({ restore, target }) => {
    assert.equal((await restore("--sparse", "--verify")).code, 0);
    const path = join(target, "zeros");
    assert.deepEqual(Deno.readFileSync(path), zeros);
    assert.ok(Deno.statSync(path).blocks! * 512 < 1 << 20);
  }, { zeros });
});

Deno.test("restore: --verify finds what the disk has made of a file", async () => {
  await inScene(async ({ restore, target }) => {
    const rename = posix.renameNew;
    // Right after it was named, as a disk would do it.
    posix.renameNew = (...args) => {
      const result = rename.apply(posix, args);
      Deno.writeTextFileSync(join(target, "a"), "some TEXT");
      return result;
    };
    try {
      const run = await restore("/a", "--verify", "--json");
      assert.equal(run.code, 4);
      assert.match(run.err, /is not what the snapshot has/);
    } finally {
      posix.renameNew = rename;
    }
  });
});

Deno.test("restore: what is damaged or missing in one replica comes from the other, and is told", async () => {
  await inScene(async ({ shell, restore, found, target }) => {
    replicate(shell);
    const [a, b] = [shell.memory("/memory/a").objects, shell.memory("/memory/b").objects];
    const packs = [...a.keys()].filter((name) => name.startsWith("data/"));
    for (const name of packs) a.get(name)![5]! ^= 1;
    const alone = await restore();
    assert.equal(alone.code, 1);
    assert.ok(packs.some((name) => alone.err.includes(name)), alone.err);
    const both = await restore(B);
    assert.equal(both.code, 0, both.err);
    assert.deepEqual(found(), ALL);

    // Each lacks something else: only together they have everything.
    for (const name of packs) a.set(name, b.get(name)!.slice());
    a.delete(packs[0]!);
    b.delete(packs[1]!);
    Deno.removeSync(target, { recursive: true });
    const third = await restore(B);
    assert.equal(third.code, 0, third.err);
    assert.deepEqual(found(), ALL);
    assert.match(third.err, /another replica is asked/);
  });
});

Deno.test("restore: a replica that does not open, or is none, is left out and named", async () => {
  await inScene(async ({ shell, restore, found }) => {
    replicate(shell);
    shell.memory("/memory/a").objects.get("config")![20]! ^= 1;
    const run = await restore(B);
    assert.equal(run.code, 0, run.err);
    assert.match(run.err, /restic:\/memory\/a is left out: \/memory\/a\/config is damaged/);
    assert.deepEqual(found(), ALL);
    assert.equal((await restore("restic:/memory/none")).code, 1);
    assert.equal((await shell.type(["init", "restic:/memory/other"])).code, 0);
    const stranger = await shell.type(
      ["restore", B, "restic:/memory/other", "--target", "/nonexistent/x", "--dry-run"],
    );
    assert.equal(stranger.code, 0, stranger.err);
    assert.match(stranger.err, /other is left out: no replica of restic:\/memory\/b/);
  });
});

Deno.test("restore: a replica with another password is opened by the second one", async () => {
  await inScene(async ({ shell, restore, restoreWith, found, target }) => {
    replicate(shell);
    const file = join(target, "../target-password");
    Deno.writeTextFileSync(file, "other");
    const changed = await shell.type(["key", "passwd", B, "--new-password-file", file]);
    assert.equal(changed.code, 0, changed.err);
    const a = shell.memory("/memory/a").objects;
    for (const name of [...a.keys()]) if (name.startsWith("data/")) a.delete(name);
    assert.equal((await restore(B)).code, 1);
    const second = await restore(B, "--from-password-file", file);
    assert.equal(second.code, 0, second.err);
    assert.deepEqual(found(), ALL);
    const env = { RESTIC_PASSWORD: PASSWORD, RESTIC_FROM_PASSWORD: "other" };
    assert.equal((await restoreWith({ env }, B)).code, 0);
    Deno.removeSync(file);
  });
});

Deno.test("restore: a replica that was pruned differently, or came late, does for what it has", async () => {
  await inScene(async ({ shell, repository, restore, found, target }) => {
    const [first] = (await shell.type(["snapshots", A, "--json"])).json[0];
    const second = await backup(repository, { a: "second", "folder/b": FILES["folder/b"] });
    replicate(shell);
    // Other packs in B, with the same blobs.
    const drop = ["forget", B, first.id, "--prune", "--max-unused", "0"];
    const keep = await shell.type(drop);
    assert.equal(keep.code, 0, keep.err);
    const a = shell.memory("/memory/a").objects;
    for (const name of [...a.keys()]) if (name.startsWith("data/")) a.delete(name);
    const run = await restore(B, "--snapshot", second.id);
    assert.equal(run.code, 0, run.err);
    assert.deepEqual(found(), ["a: second", "folder/", `folder/b: ${FILES["folder/b"]}`]);
    Deno.removeSync(target, { recursive: true });
    // The older one is in A alone, and its data is nowhere any more.
    assert.equal((await restore(B, "--snapshot", first.id)).code, 1);
  });
});

/** A snapshot with a root as somebody with the password could make it. */
async function plant(repository: Repository, nodes: readonly TreeNode[]): Promise<void> {
  const { index } = await loadIndex(repository);
  const writer = new BlobWriter(repository, index, { clock });
  const { id } = await writer.save("tree", encodeTree(nodes));
  await writer.flush();
  await storeSnapshot(repository, { time: "2026-05-05T05:05:05Z", tree: id, paths: ["/x"] });
}

Deno.test("restore: hostile trees write nothing outside the target, in any way of restoring", async () => {
  await inScene(async ({ repository, restore, found, target }) => {
    const outside = join(target, "../outside");
    Deno.mkdirSync(outside);
    const uid = { uid: Deno.uid()!, gid: Deno.gid()! };
    const { index } = await loadIndex(repository);
    const writer = new BlobWriter(repository, index, { clock });
    const { id: blob } = await writer.save("data", new TextEncoder().encode("evil"));
    const file = (name: string, size = 4) =>
      node(name, "file", { ...uid, content: [blob], sizeBytes: size });
    const { id: inner } = await writer.save("tree", encodeTree([file("in")]));
    await writer.flush();
    await plant(repository, [
      ...["..", ".", "", "/abs", "../outside/x", "a/b", "nul\0"].map((name) => file(name)),
      node("..", "dir", { ...uid, subtree: inner }),
      node("link", "symlink", { ...uid, linkTarget: outside }),
      node("link", "dir", { ...uid, subtree: inner }),
      file("twice"),
      file("twice"),
      file("huge", 10 * 2 ** 30),
      node("up", "symlink", { ...uid, linkTarget: "../outside" }),
    ]);
    for (
      const words of [[], ["--include", "*"], ["--overwrite", "never"], ["--delete"], ["--verify"]]
    ) {
      const run = await restore(...words);
      assert.equal(run.code, 4, `${words}: ${run.err}`);
      assert.deepEqual(found(), ["link: special", "twice: evil", "up: special"], words.join());
      assert.deepEqual([...Deno.readDirSync(outside)], []);
    }
    assert.match((await restore()).err, /"?\/huge says it has 10737418240 bytes, its blobs have 4/);
    Deno.removeSync(outside);
  }, undefined);
});

Deno.test("a path that the snapshot does not have is refused before anything is written", () =>
  inScene(async ({ restore, target }) => {
    for (const words of [["/folder/x"], ["/folder/b", "/no"], ["a/b", "-n"], ["/no", "--verify"]]) {
      const { code, err } = await restore(...words);
      assert.deepEqual(
        [code, /The snapshot has no \/(folder\/x|no|a\/b) \(/.test(err)],
        [2, true],
        err,
      );
    }
    assert.throws(() => Deno.statSync(target), Deno.errors.NotFound);
    assert.equal((await restore("/folder/b", "a", "/folder/")).code, 0);
  }));
