/** Earlier versions over several runs. Rule: what a version must be was taken down from the source when it was backed up. */
import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createHash } from "node:crypto";
import {
  assertChecksumsHold,
  assertCopies,
  assertSameTree,
  STOCK_TOOLS,
} from "../support/compare_trees.ts";
import { fillFiles, noise } from "../support/fill_tree.ts";
import { createScene, destinationOf, parseLines, type Scene } from "../support/scene.ts";
import { needs } from "../support/tools.ts";

/** What a file of the source was in one run. */
interface Then {
  sha256: string;
  mode: number;
  mtimeMs: number;
}

const sha256Of = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");

function thenOf(path: string): Then {
  const { mode, mtimeMs } = statSync(path);
  return { sha256: sha256Of(path), mode: mode & 0o7777, mtimeMs };
}

/** Every regular file below `folder`, by its path. */
function filesBelow(folder: string, path = ""): string[] {
  return readdirSync(`${folder}/${path}`, { withFileTypes: true }).flatMap((entry) => {
    const below = path === "" ? entry.name : `${path}/${entry.name}`;
    return entry.isDirectory() ? filesBelow(folder, below) : entry.isFile() ? [below] : [];
  });
}

async function versionsOf(scene: Scene, path: string): Promise<Record<string, unknown>[]> {
  const { code, out, err } = await scene.run([
    "versions",
    `source/${path}`,
    "--at",
    scene.one,
    "--json",
  ]);
  assert.equal(code, 0, err);
  return parseLines(out)[0]!["versions"] as Record<string, unknown>[];
}

function history(name: string, fn: (scene: Scene) => Promise<void>): void {
  Deno.test({
    ...needs(name, ...STOCK_TOOLS),
    async fn() {
      await using scene = createScene();
      await fn(scene);
    },
  });
}

history(
  "over four runs with N = 2 exactly the right versions exist and are what the source had",
  async (scene) => {
    const { source, one, two, folder } = scene;
    /** What each file was in each run, in order; a run without the file has no entry. */
    const past = new Map<string, { run: number; then: Then }[]>();
    const edits: (() => void)[] = [
      () => {
        fillFiles(source, 30, 4000);
        writeFileSync(`${source}/large`, noise(5_000_000, 1));
        mkdirSync(`${source}/leaves/deep`, { recursive: true });
        writeFileSync(`${source}/leaves/deep/one`, "one");
        symlinkSync("deep", `${source}/leaves/link`);
      },
      () => {
        writeFileSync(`${source}/large`, noise(5_000_001, 2));
        writeFileSync(`${source}/folder 0/file 1`, "second");
        chmodSync(`${source}/folder 0/file 1`, 0o600);
        rmSync(`${source}/folder 0/file 2`);
      },
      () => {
        writeFileSync(`${source}/large`, noise(4_000_000, 3));
        writeFileSync(`${source}/folder 0/file 1`, "the third");
        utimesSync(`${source}/folder 0/file 1`, 1_500_000_000.25, 1_500_000_000.25);
        writeFileSync(`${source}/folder 0/file 2`, "back again");
        rmSync(`${source}/leaves`, { recursive: true });
      },
      () => {
        writeFileSync(`${source}/large`, noise(4_000_000, 4));
        writeFileSync(`${source}/folder 0/file 1`, "and the fourth");
        rmSync(`${source}/folder 0/file 2`);
        chmodSync(`${source}/folder 0/file 5`, 0o640);
      },
    ];
    for (const [run, edit] of edits.entries()) {
      edit();
      for (const path of filesBelow(source)) {
        const known = past.get(path) ?? past.set(path, []).get(path)!;
        known.push({ run, then: thenOf(`${source}/${path}`) });
      }
      const words = ["source", "--to", one, "--to", two, "--delete", "--keep-versions", "2"];
      const { code, summary, out, err } = await scene.backupJson(words);
      assert.equal(code, 0, out + err);
      for (const destination of [one, two]) {
        await assertChecksumsHold(destination);
        const row = destinationOf(summary, destination);
        assert.deepEqual(
          [row["entries_deleted"], row["folders_deleted"], row["versions_kept"]],
          [[0, 0, 0], [1, 0, 3], [2, 2, 4], [1, 0, 3]][run],
          `run ${run}`,
        );
        assert.equal(row["versions_removed"], run === 3 ? 2 : 0);
      }
      await assertCopies(source, [one, two]);
    }

    let versions = 0;
    for (const [path, known] of past) {
      // A version is what stood there before another content, or nothing, took its place.
      const replaced = known.filter(({ run, then }) => {
        const next = known.find((later) => later.run === run + 1);
        return run < 3 && (next === undefined || next.then.sha256 !== then.sha256);
      }).slice(-2).reverse();
      const found =
        await (replaced.length > 0 || path.endsWith("5") ? versionsOf(scene, path) : []);
      assert.deepEqual(
        found.map(({ sha256 }) => sha256),
        replaced.map(({ then }) => then.sha256),
        path,
      );
      for (const [k, { then }] of replaced.entries()) {
        for (const destination of [one, two]) {
          const key = String(found[k]!["stored_at"]).replace(String(found[k]!["time"]), "*");
          const times = readdirSync(`${destination}/.backup-agent/versions/s1`)
            .filter((name) => !name.endsWith(".jsonl"))
            .map((time) => `${destination}/${key.replace("*", time)}`)
            .filter((stored) => existsSync(stored));
          assert.ok(
            times.some((stored) => JSON.stringify(thenOf(stored)) === JSON.stringify(then)),
            path,
          );
          assert.equal(times.length, replaced.length, path);
        }
        versions++;
      }
    }
    assert.equal(versions, 2 + 2 + 2 + 1);
    for (const destination of [one, two]) {
      const files = filesBelow(`${destination}/.backup-agent/versions`)
        .filter((path) => !path.endsWith(".jsonl"));
      assert.equal(files.length, versions);
    }

    const verified = await scene.run(["verify", one, "--json"]);
    assert.equal(verified.code, 0, verified.out);
    assert.match(
      verified.out,
      new RegExp(`"files_verified":${filesBelow(source).length + versions},`),
    );

    // For people: dates, sizes and a short hash; of a folder, the files below it.
    const listed = await scene.run(["versions", "source/folder 0/file 1", "--at", one]);
    assert.equal(listed.code, 0, listed.err);
    assert.match(listed.out, /^2 earlier versions of source\/folder 0\/file 1:\n/);
    const [, third] = past.get("folder 0/file 1")!.slice(1);
    assert.ok(listed.out.includes(third!.then.sha256.slice(0, 12)), listed.out);
    const below = await scene.run(["versions", `${source}/leaves`, "--at", one]);
    assert.match(below.out, /2 files below source\/leaves with earlier versions/);

    // Any of them comes back, and nothing is written over.
    const [newest, older] = await versionsOf(scene, "large");
    const restore = (time: unknown, target: string) =>
      scene.run(
        ["versions", "source/large", "--at", one, "--restore", String(time), "--target", target],
      );
    const targets = [["latest", `${folder}/a`, newest], [
      older!["time"],
      `${folder}/b`,
      older,
    ]] as const;
    for (const [time, target, version] of targets) {
      const restored = await restore(time, target);
      assert.equal(restored.code, 0, restored.err);
      assert.equal(sha256Of(target), version!["sha256"]);
    }
    const again = await restore("latest", `${folder}/a`);
    assert.equal(again.code, 1);
    assert.match(again.err, /is there already, and nothing is written over/);
    const never = await restore("2001-01-01T00-00-00Z", `${folder}/c`);
    assert.equal(never.code, 1);
    assert.match(never.err, /has no version of 2001/);
    assert.ok(!existsSync(`${folder}/c`));
  },
);

history("a flipped byte in a version is found by verify DEST and named", async (scene) => {
  const { source, one } = scene;
  writeFileSync(`${source}/file`, "first");
  const words = ["source", "--to", one, "--keep-versions", "1"];
  assert.equal((await scene.backup(words)).code, 0);
  writeFileSync(`${source}/file`, "second");
  assert.equal((await scene.backup(words)).code, 0);
  const [version] = await versionsOf(scene, "file");
  writeFileSync(`${one}/${version!["stored_at"]}`, "fir5t");
  const { code, out } = await scene.run(["verify", one]);
  assert.equal(code, 1);
  assert.ok(out.includes(String(version!["stored_at"])), out);
  const restored = await scene.run(
    ["versions", "source/file", "--at", one, "--restore", "latest", "--target", "back"],
  );
  assert.equal(restored.code, 1);
  assert.match(restored.err, /damaged/);
  assert.ok(!existsSync(`${scene.folder}/back`));
});

history(
  "an emptied source deletes nothing until --delete-anyway, and the report says how to go on",
  async (scene) => {
    const { source, one } = scene;
    fillFiles(source, 20, 100);
    assert.equal((await scene.backup(["source", "--to", one])).code, 0);
    for (const name of readdirSync(source)) rmSync(`${source}/${name}`, { recursive: true });
    const plan = await scene.backup(["source", "--to", one, "--delete", "-n"]);
    assert.equal(plan.code, 0, plan.err);
    assert.match(plan.out, /would delete 20 files/);
    assert.match(plan.out, /would delete source\/folder 0/);
    const refused = await scene.backup(["source", "--to", one, "--delete"]);
    assert.equal(refused.code, 1, refused.out);
    assert.match(refused.out, /Copied and verified, but nothing was deleted/, refused.err);
    assert.match(refused.out, /the source is empty, and 20 files would be removed/);
    assert.match(refused.out, /--delete-anyway/);
    assert.equal(filesBelow(`${one}/source`).length, 20);
    const told = await scene.backup(["source", "--to", one, "--delete", "--delete-anyway"]);
    assert.equal(told.code, 0, told.out + told.err);
    assert.match(told.out, /20 deleted/);
    // No checksums are left, which `sha256sum -c` would refuse.
    await assertSameTree(source, `${one}/source`);
  },
);

history("mistakes in the words are told before anything is touched", async (scene) => {
  const { one } = scene;
  for (
    const [words, said] of [
      [["versions"], /Name one file or folder/],
      [["versions", "source/x"], /--at DEST/],
      [["versions", "source/x", "--at", one, "--restore", "latest"], /need each other/],
      [["backup", "source", "--to", one, "--delete-anyway"], /does nothing without --delete/],
      [["backup", "source", "--to", one, "--keep-versions", "many"], /whole number from 0/],
    ] as const
  ) {
    const { code, err } = await scene.run(words);
    assert.equal(code, 2, words.join(" "));
    assert.match(err, said);
  }
  assert.ok(!existsSync(one));
  const nowhere = await scene.run(["versions", "source/x", "--at", one]);
  assert.equal(nowhere.code, 10, nowhere.err);
});
