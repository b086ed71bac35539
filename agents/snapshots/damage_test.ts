import assert from "node:assert/strict";
import { join } from "node:path";
import { PASSWORD } from "../../tests/support/restic.ts";
import { RepositoryShell } from "../../tests/support/repository_commands.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import { openRepository } from "../repository/mod.ts";
import { backup, clock } from "../repository/sample_repository_suite.ts";

const A = "restic:/memory/a";
const B = "restic:/memory/b";
const FILES = { "a": "some text", "folder/b": "other text".repeat(20) };

/** Two replicas with one snapshot, and what is stored in the first. */
async function twoReplicas() {
  const shell = new RepositoryShell();
  assert.equal((await shell.type(["init", A, B])).code, 0);
  const stored = shell.memory("/memory/a").objects;
  const { kernels } = shell.world;
  const a = await openRepository(shell.memory("/memory/a"), kernels, { password: PASSWORD });
  await backup(a, FILES);
  const whole = new Map([...stored].map(([name, bytes]) => [name, bytes.slice()]));
  const putBack = () => {
    stored.clear();
    for (const [name, bytes] of whole) stored.set(name, bytes.slice());
  };
  for (const [name, bytes] of whole) {
    shell.memory("/memory/b").objects.set(name, bytes.slice());
  }
  return { shell, stored, whole, putBack };
}

/** Wrong bytes are worse than none: whatever is there must be right. */
function requireRight(target: string): number {
  let files = 0;
  for (const [path, text] of Object.entries(FILES)) {
    try {
      assert.equal(Deno.readTextFileSync(join(target, path)), text, "restored wrong bytes");
      files++;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return files;
}

type Harm = [name: string, damage: (stored: Map<string, Uint8Array>, name: string) => void];

const HARMS: Harm[] = [
  ...[0, 17, -33, -5, -1].map((at): Harm => [
    `byte ${at}`,
    (stored, name) => {
      const bytes = stored.get(name)!;
      bytes[(at + bytes.length) % bytes.length]! ^= 0x10;
    },
  ]),
  ["cut off", (stored, name) => stored.set(name, stored.get(name)!.slice(0, -3))],
  ["empty", (stored, name) => stored.set(name, new Uint8Array(0))],
  ["missing", (stored, name) => stored.delete(name)],
];

Deno.test("damage: of every kind in every file is named, never restored, read around from a replica and healed by repair", async () => {
  const { shell, stored, whole, putBack } = await twoReplicas();
  const folder = Deno.makeTempDirSync();
  try {
    for (const name of whole.keys()) {
      for (const [what, harm] of HARMS) {
        const label = `${name}, ${what}`;
        putBack();
        harm(stored, name);
        // Without it there is nothing that could say that it was there.
        const isUnknowable = what === "missing" && /^(snapshots|keys)\//.test(name);
        const target = join(folder, "target");
        const restore = (...places: string[]) =>
          shell.type(["restore", ...places, "--target", target]);

        const checked = await shell.type(["verify", A]);
        if (!isUnknowable) {
          assert.notEqual(checked.code, 0, label);
          const isNamed = checked.err.includes(name) ||
            (what === "missing" && /index|config/.test(name));
          assert.ok(isNamed, `${label}: ${checked.err}`);
        }

        const alone = await restore(A);
        if (alone.code !== 0) assert.ok(requireRight(target) < 2 || alone.err !== "", label);
        Deno.mkdirSync(target, { recursive: true });
        Deno.removeSync(target, { recursive: true });

        const both = await restore(A, B);
        assert.equal(both.code, 0, `${label}: ${both.err}`);
        assert.equal(requireRight(target), 2, label);
        Deno.removeSync(target, { recursive: true });

        const repaired = await shell.type(["repair", A, "--from", B]);
        if (isUnknowable) continue;
        assert.equal(repaired.code, 0, `${label}: ${repaired.err}`);
        const sound = await shell.type(["verify", A]);
        assert.equal(sound.code, 0, `${label}: ${sound.err}`);
        // An index that went is written anew; everything else is the same to the byte.
        if (!(what === "missing" && name.startsWith("index/"))) {
          assert.deepEqual(stored.get(name), whole.get(name), label);
        }
      }
    }
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("damage: the only key comes back from a replica that has one for the password, and from nobody else", async () => {
  const { shell, stored, whole } = await twoReplicas();
  const key = [...whole.keys()].find((name) => name.startsWith("keys/"))!;
  stored.delete(key);
  assert.equal((await shell.type(["init", "restic:/memory/stranger"])).code, 0);
  const stranger = await shell.type(["repair", A, "--from", "restic:/memory/stranger"]);
  assert.equal(stranger.code, 1);
  assert.match(stranger.err, /has no key at all \(Where a replica has it, repair restic:PATH/);
  assert.equal((await shell.type(["repair", A, "--from", B], { password: "wrong" })).code, 1);
  assert.ok(!stored.has(key));
  const repaired = await shell.type(["repair", A, "--from", B, "--json"]);
  assert.equal(repaired.code, 0, repaired.err);
  assert.deepEqual(
    repaired.json.filter(({ message_type }) => message_type === "repaired").map(({ path }) => path),
    [`/memory/a/${key}`],
  );
  assert.deepEqual(stored, whole);
  assert.equal((await shell.type(["check", A])).code, 0);
});

Deno.test("damage: who restores the latest is told by the exit code that one which cannot be read may be newer", async () => {
  const { shell, stored } = await twoReplicas();
  const { kernels } = shell.world;
  const a = await openRepository(shell.memory("/memory/a"), kernels, { password: PASSWORD });
  const before = new Set(stored.keys());
  await clock.advance(60_000);
  await backup(a, { ...FILES, "a": "newer" });
  const newer = [...stored.keys()].find((name) =>
    name.startsWith("snapshots/") && !before.has(name)
  )!;
  const whole = stored.get(newer)!;
  stored.set(newer, whole.with(40, whole[40]! ^ 1));
  const folder = Deno.makeTempDirSync();
  try {
    const restore = (...words: string[]) =>
      shell.type([
        "restore",
        ...words,
        "--target",
        join(folder, "target"),
        "--overwrite",
        "always",
      ]);
    const older = await restore(A);
    assert.equal(older.code, 4, older.err);
    assert.match(older.err, new RegExp(newer));
    assert.match(older.out, /1 snapshot that may be newer cannot be read/);
    assert.equal(Deno.readTextFileSync(join(folder, "target/a")), FILES.a);
    assert.equal((await restore(A, "--dry-run")).code, 4);
    // Whoever says which one, means no other.
    const [id] = [...before].filter((name) => name.startsWith("snapshots/")).map((name) =>
      name.slice("snapshots/".length)
    );
    assert.equal((await restore(A, "--snapshot", id!)).code, 0);
    // A replica that has it whole knows better.
    for (const [name, bytes] of stored) shell.memory("/memory/b").objects.set(name, bytes);
    shell.memory("/memory/b").objects.set(newer, whole);
    const both = await restore(A, B);
    assert.equal(both.code, 0, both.err);
    assert.equal(Deno.readTextFileSync(join(folder, "target/a")), "newer");
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("damage: repair without a password heals what is named by its hash, and says what it cannot", async () => {
  const { shell, stored, whole, putBack } = await twoReplicas();
  const none = { password: undefined };
  for (const name of whole.keys()) {
    if (name === "config") continue;
    putBack();
    stored.get(name)![7]! ^= 1;
    const run = await shell.type(["repair", A, "--from", B, "--json"], none);
    assert.equal(run.code, 0, `${name}: ${run.err}`);
    assert.deepEqual(run.json.map(({ message_type }) => message_type), [
      "status",
      "repaired",
      "summary",
    ]);
    assert.deepEqual(stored, whole);
  }
  const [pack] = [...whole.keys()].filter((name) => name.startsWith("data/"));
  stored.get(pack!)![7]! ^= 1;
  shell.memory("/memory/b").objects.get(pack!)![8]! ^= 1;
  const lost = await shell.type(["repair", A, "--from", B], none);
  assert.equal(lost.code, 1);
  assert.ok(lost.err.includes(`${pack} is damaged, and no replica has it whole`), lost.err);
  assert.equal((await shell.type(["repair", A])).code, 2);
  assert.equal((await shell.type(["repair", A, "--from", A])).code, 2);
  assert.equal((await shell.type(["repair", A, "--from", "restic:/memory/none"])).code, 10);
});

Deno.test("damage: a config is taken only from where the same key opens it, and never from a stranger", async () => {
  const { shell, stored, whole } = await twoReplicas();
  assert.equal((await shell.type(["init", "restic:/memory/other"])).code, 0);
  stored.get("config")![20]! ^= 1;
  const damaged = stored.get("config")!.slice();
  const run = await shell.type(["repair", A, "--from", "restic:/memory/other"]);
  assert.equal(run.code, 1);
  assert.match(run.err, /config is damaged/);
  assert.deepEqual(stored.get("config"), damaged);
  const both = await shell.type(["repair", A, "--from", "restic:/memory/other", "--from", B]);
  assert.equal(both.code, 0, both.err);
  assert.deepEqual(stored, whole);
  // What came from the stranger: nothing.
  assert.deepEqual([...stored.keys()].sort(), [...whole.keys()].sort());
});

Deno.test("damage: verify --repair-from heals first, and then reads everything", async () => {
  const { shell, stored, whole } = await twoReplicas();
  const [pack] = [...whole.keys()].filter((name) => name.startsWith("data/"));
  stored.delete(pack!);
  const run = await shell.type(["verify", A, "--repair-from", B]);
  assert.equal(run.code, 0, run.err);
  assert.match(run.out, /1 repaired[^]*No errors in restic:\/memory\/a.*all data read/);
  assert.deepEqual(stored, whole);
});

Deno.test("a repository that changes under us is an error that names what went, or makes no difference", async () => {
  const { shell, stored, whole, putBack } = await twoReplicas();
  const folder = Deno.makeTempDirSync();
  try {
    for (const victim of whole.keys()) {
      for (const during of ["list", "get", "getRange"] as const) {
        putBack();
        // Somebody who takes no locks removes it at the first such call for something else.
        shell.wrap = (store) => {
          const real = store[during] as (...args: unknown[]) => unknown;
          Object.assign(store, {
            [during](name: string, ...rest: unknown[]) {
              if (name.startsWith("data") || during !== "getRange") stored.delete(victim);
              Object.assign(store, { [during]: real });
              return real.call(store, name, ...rest);
            },
          });
          return store;
        };
        const target = join(folder, "target");
        const run = await shell.type(["restore", A, "--target", target]);
        if (run.code !== 0) assert.notEqual(run.err, "", `${victim} during ${during}`);
        const files = requireRight(target);
        assert.ok(run.code !== 0 || files === 2, `${victim} during ${during}: ${files}`);
        Deno.mkdirSync(target, { recursive: true });
        Deno.removeSync(target, { recursive: true });
      }
    }
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("damage: a sector that the disk cannot read costs the file in it, and with a replica nothing", async () => {
  const { shell, whole } = await twoReplicas();
  const folder = Deno.makeTempDirSync();
  try {
    const [data] = [...whole.keys()].filter((name) => name.startsWith("data/"));
    // The first bytes of the pack, which are of the first file.
    const store = shell.memory("/memory/a");
    const getRange = store.getRange.bind(store);
    store.getRange = (name, offset, lengthBytes) => {
      if (name !== data || offset >= 16) return getRange(name, offset, lengthBytes);
      const path = `${store.display}/${name}`;
      return Promise.reject(new BackupError("io", `Cannot read ${path}: EIO`, { path }));
    };
    const target = join(folder, "target");
    const alone = await shell.type(["restore", A, "--target", target]);
    assert.equal(alone.code, 4, alone.err);
    assert.ok(alone.err.includes(data!), alone.err);
    assert.equal(requireRight(target), 1);
    const both = await shell.type(["restore", A, B, "--target", target]);
    assert.equal(both.code, 0, both.err);
    assert.equal(requireRight(target), 2);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("damage: what has lost its config is made whole by repair, and never made anew over its content", async () => {
  const { shell, stored, whole } = await twoReplicas();
  const remains = () => [...stored.keys()].filter((name) => !whole.has(name));
  for (const without of [["config"], ["config", "keys/"]]) {
    for (const name of whole.keys()) {
      if (without.some((start) => name.startsWith(start))) stored.delete(name);
    }
    for (const words of [["init", A], ["init", A, "--from", B]]) {
      const made = await shell.type(words);
      assert.equal(made.code, 1, made.err);
      assert.match(made.err, /\/memory\/a has snapshots and no config: a repository that lost it/);
      assert.match(made.err, /repair restic:PATH --from restic:OTHER/);
      assert.ok(!stored.has("config"));
      assert.deepEqual(remains(), []);
    }
  }
  for (const [name, bytes] of whole) if (name.startsWith("keys/")) stored.set(name, bytes);
  const repaired = await shell.type(["repair", A, "--from", B]);
  assert.equal(repaired.code, 0, repaired.err);
  assert.deepEqual(stored, whole);
});

Deno.test("damage: an index file that no replica has whole is made anew from the packs, and goes only when nothing is missing", async () => {
  const { shell, stored } = await twoReplicas();
  const { kernels } = shell.world;
  const a = await openRepository(shell.memory("/memory/a"), kernels, { password: PASSWORD });
  const before = new Set(stored.keys());
  await clock.advance(60_000);
  await backup(a, { ...FILES, "a": "newer" });
  const added = (folder: string) =>
    [...stored.keys()].filter((name) => name.startsWith(folder) && !before.has(name));
  const [index] = added("index/");
  const bytes = stored.get(index!)!;
  stored.set(index!, bytes.with(30, bytes[30]! ^ 1));
  const packs = added("data/").map((name) => [name, stored.get(name)!] as const);

  for (const [name] of packs) stored.delete(name);
  const without = await shell.type(["repair", A, "--from", B]);
  assert.equal(without.code, 1, without.err);
  assert.ok(stored.has(index!), "it may come back from another replica");

  for (const [name, bytes] of packs) stored.set(name, bytes);
  const repaired = await shell.type(["repair", A, "--from", B]);
  assert.equal(repaired.code, 0, repaired.err);
  assert.match(repaired.out, /that no index listed[^]*new index files list what it listed/);
  assert.ok(!stored.has(index!));
  const checked = await shell.type(["check", A, "--read-data"]);
  assert.equal(checked.code, 0, checked.err);
});
