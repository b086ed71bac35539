import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import type { MirrorOptions } from "../../../protocol/mesh/job.ts";
import type { LaneReport } from "../../../protocol/mesh/task.ts";
import { backUp } from "../../../tests/support/mirror_engine.ts";
import {
  inScratch,
  writeFirstVersion,
  writeSecondVersion,
} from "../../../tests/support/small_tree.ts";
import type { Tree } from "../../../tests/support/small_tree_checks.ts";
import { needs } from "../../../tests/support/tools.ts";
import {
  checksumProblems,
  sameCopy,
  stagedFiles,
  treeState,
} from "../../../tests/support/tree_state.ts";
import { openPosix } from "../../platform/open_posix.ts";
import { type Codec, CODECS } from "./codec/codec.ts";
import { encodingOf, manifestOf, recordedCopy, recordedVersions } from "./encoded_copy_suite.ts";

type Form = Codec | "plain";

const posix = openPosix();
const FORMS: Form[] = ["plain", ...CODECS];
const HISTORY: Partial<MirrorOptions> = { deleteGone: true, keepVersions: 2 };
/** What the second version of the small tree changes or lacks, and what is no file afterwards. */
const REPLACED = ["dir/inner.txt", "file-to-link", "link-a", "link-b", "replaced.txt"];
const DELETED = ["gone.txt"];

interface Scene {
  source: string;
  destination: string;
  run(runId: string, form: Form, options?: Partial<MirrorOptions>): Promise<LaneReport>;
}

function test(name: string, use: (scene: Scene) => Promise<void>): void {
  Deno.test({
    ...needs(name, "linux"),
    fn: () =>
      inScratch(async (folder) => {
        const source = join(folder, "source");
        const destination = join(folder, "destination");
        fs.mkdirSync(source);
        await use({
          source,
          destination,
          run: async (runId, form, options = HISTORY) => {
            const encoding = form === "plain" ? {} : { encoding: encodingOf(form) };
            const outcome = await backUp({
              posix,
              runId,
              source,
              destinations: [{ path: destination, posix }],
              options: { ...options, ...encoding },
            });
            return outcome.mirrored!.lanes[0]!;
          },
        });
      }),
  });
}

/** The copy is the source and nothing more, all of it recorded, and nothing waits in the stage. */
function assertIsSource({ destination, source }: Scene, point: string): void {
  const copy = recordedCopy(destination);
  const wanted = treeState(source);
  assert.deepEqual([...copy.keys()].sort(), [...wanted.keys()].sort(), point);
  for (const [path, entry] of wanted) {
    assert.ok(sameCopy(copy.get(path)!, entry), `${point} ${path}`);
  }
  const folders = [...treeState(join(destination, "copy"))]
    .flatMap(([path, { kind }]) => kind === "directory" ? [path] : []);
  const listed = [...wanted].flatMap(([path, { kind }]) => kind === "directory" ? [path] : []);
  assert.deepEqual(folders, listed, `${point}: no folder is left over`);
  assert.deepEqual(checksumProblems(destination, "copy"), [], point);
  assert.deepEqual(stagedFiles(destination), [], point);
}

/** All versions there are, the one of a path after the other. */
function versionsByPath(
  destination: string,
): Map<string, Tree extends Map<string, infer E> ? E[] : never> {
  const found = new Map();
  for (const tree of recordedVersions(destination).values()) {
    for (const [path, entry] of tree) {
      if (entry.kind !== "directory") found.set(path, [...found.get(path) ?? [], entry]);
    }
  }
  return found;
}

for (const before of FORMS) {
  for (const after of FORMS) {
    test(`${before}, then ${after}: what is replaced or deleted is kept in the form it had`, async (scene) => {
      const { source, destination, run } = scene;
      writeFirstVersion(source);
      const first = treeState(source);
      assert.equal((await run("run-1", before)).state, "verified");
      writeSecondVersion(source);
      const lane = await run("run-2", after);
      assert.deepEqual([lane.state, lane.failures], ["verified", []]);
      assertIsSource(scene, "the second run");
      const versions = versionsByPath(destination);
      const kept = [...versions.keys()].filter((path) => !path.startsWith("folder-to-file/"));
      assert.deepEqual(kept.sort(), [...REPLACED, ...DELETED].sort());
      for (const [path, [entry, ...more]] of versions) {
        assert.deepEqual(more, [], path);
        assert.ok(sameCopy(entry!, first.get(path)!), path);
      }
      const again = await run("run-3", after);
      assert.deepEqual([again.filesCopied, again.history!.entriesDeleted], [0, 0]);
      assertIsSource(scene, "the third run");
    });
  }
}

test("five forms one after the other: each run keeps what the one before it stored", async (scene) => {
  const { source, destination, run } = scene;
  const put = (path: string, text: string, seconds: number) => {
    fs.rmSync(join(source, path), { force: true });
    fs.writeFileSync(join(source, path), text);
    fs.utimesSync(join(source, path), seconds, seconds);
  };
  put("same", "the same all the time", 1e9);
  const forms: Form[] = ["plain", "zst", "age", "zst.age", "plain"];
  for (const [k, form] of forms.entries()) {
    put("changes", `content ${k}`, 1e9 + k);
    put(`only ${k}`, `only in run ${k}`, 1e9 + k);
    fs.rmSync(join(source, `only ${k - 1}`), { force: true });
    fs.utimesSync(source, 1.1e9 + k, 1.1e9 + k);
    const lane = await run(`run-${k}`, form, { deleteGone: true, keepVersions: 9 });
    assert.deepEqual([lane.state, lane.warnings], ["verified", []], form);
    assertIsSource(scene, form);
    assert.ok(
      manifestOf(destination).every((e) => (e.codec ?? "plain") === form || e.type !== "file"),
    );
  }
  const versions = versionsByPath(destination);
  assert.deepEqual([...versions.keys()].sort(), [
    "changes",
    "only 0",
    "only 1",
    "only 2",
    "only 3",
  ]);
  const texts = versions.get("changes")!.map(({ text }) => text);
  assert.deepEqual(texts, ["content 0", "content 1", "content 2", "content 3"]);

  put("changes", "content 5", 1e9 + 5);
  const lane = await run("run-5", "zst", { deleteGone: true, keepVersions: 2 });
  assert.equal(lane.history!.versionsRemoved, 3);
  const left = versionsByPath(destination);
  assert.deepEqual(left.get("changes")!.map(({ text }) => text), ["content 3", "content 4"]);
});

test("a name that only changed its case goes, in whatever form it was stored", async (scene) => {
  const { source, destination, run } = scene;
  fs.writeFileSync(join(source, "Letter"), "a letter");
  fs.writeFileSync(join(source, "other"), "something else");
  await run("run-1", "zst");
  fs.renameSync(join(source, "Letter"), join(source, "letter"));
  await run("run-2", "zst");
  assertIsSource(scene, "the same form");
  fs.renameSync(join(source, "letter"), join(source, "LETTER"));
  await run("run-3", "age");
  assertIsSource(scene, "another form");
  assert.deepEqual([...versionsByPath(destination).keys()].sort(), ["Letter", "letter"]);
});

test("a file that ends as stored files do gives way to the encoded one of its neighbour, and is not lost", async (scene) => {
  const { source, destination, run } = scene;
  fs.writeFileSync(join(source, "a"), "first");
  fs.writeFileSync(join(source, "a.zst"), "no zstd at all");
  await run("run-1", "plain");
  fs.writeFileSync(join(source, "a.zst"), "neither is this");
  await run("run-2", "zst");
  assertIsSource(scene, "both encoded");
  fs.rmSync(join(source, "a.zst"));
  await run("run-3", "zst");
  assertIsSource(scene, "one gone");
  fs.writeFileSync(join(source, "a.zst"), "plain again");
  await run("run-4", "plain");
  assertIsSource(scene, "both plain");
  const everything = fs.readdirSync(join(destination, ".backup-agent"), { recursive: true });
  const texts = everything.flatMap((name) => {
    const path = join(destination, ".backup-agent", name as string);
    return fs.statSync(path).isFile() ? [fs.readFileSync(path, "utf8")] : [];
  });
  assert.ok(texts.includes("no zstd at all"), "the replaced plain file is kept");
});

test("a deletion that needs --delete-anyway is refused for encoded copies too", async (scene) => {
  const { source, run } = scene;
  for (let k = 0; k < 24; k++) fs.writeFileSync(join(source, `file ${k}`), `content ${k}`);
  await run("run-1", "zst.age");
  for (let k = 0; k < 20; k++) fs.rmSync(join(source, `file ${k}`));
  const refused = await run("run-2", "zst.age");
  assert.equal(refused.error?.code, "rejected");
  assert.ok(refused.history!.refused);
  const lane = await run("run-3", "zst.age", { ...HISTORY, deleteAnyway: true });
  assert.deepEqual([lane.state, lane.history!.entriesDeleted], ["verified", 20]);
  assertIsSource(scene, "the third run");
});

test("what was altered by hand stays, whatever form it has", async (scene) => {
  const { source, destination, run } = scene;
  fs.writeFileSync(join(source, "gone"), "goes later");
  fs.writeFileSync(join(source, "stays"), "stays here");
  await run("run-1", "zst");
  fs.writeFileSync(join(destination, "copy/gone.zst"), "my own notes");
  fs.rmSync(join(source, "gone"));
  const lane = await run("run-2", "zst");
  assert.equal(lane.history!.entriesDeleted, 0);
  assert.ok(lane.warnings.some((text) => text.includes("altered by hand")), lane.warnings.join());
  assert.equal(fs.readFileSync(join(destination, "copy/gone.zst"), "utf8"), "my own notes");
});

test("ASC MHL of encoded copies is refused by the engine too, before anything is written", async (scene) => {
  fs.writeFileSync(join(scene.source, "file"), "content");
  await assert.rejects(scene.run("run-1", "zst", { mhl: true }), { code: "usage" });
  assert.ok(!fs.existsSync(join(scene.destination, "copy")));
});
