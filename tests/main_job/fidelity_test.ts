/** Everything a file is. Rule: stock programs make the tree and judge the copies; the real program copies. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { EVERY_KIND_TOOLS, makeEveryKind, stock } from "../support/every_kind.ts";
import {
  allocatedBytes,
  assertSameInEverything,
  FIDELITY_TOOLS,
} from "../support/judge_fidelity.ts";
import { needsLoopFs, withLoopFs } from "../support/loop_fs.ts";
import { createScene, destinationOf, type JsonLine } from "../support/scene.ts";

const TOOLS = [...EVERY_KIND_TOOLS, ...FIDELITY_TOOLS];
/** From here on mkfs makes blocks of 4 KiB, so that there is room for attributes. */
const EXT4_BYTES = 1 << 30;
/** File systems differ in where a hole can begin. */
const SLACK_BYTES = 64 << 10;

function copiedAt(summary: JsonLine, destination: string): unknown {
  const row = destinationOf(summary, destination);
  const warnings = row["warnings"] as string[];
  return {
    files_copied: row["files_copied"],
    warnings: warnings.filter((text) => !text.includes("are on one file system")),
  };
}

function manifestTextOf(destination: string): string {
  return readFileSync(`${destination}/.backup-agent/manifests/s1.jsonl`, "utf8");
}

/** Lines of the one manifest of a destination, by path. */
function manifestOf(destination: string): Map<string, Record<string, unknown>> {
  const lines = manifestTextOf(destination).split("\n").slice(1, -2).map((line) =>
    JSON.parse(line)
  );
  return new Map(lines.map((line) => [line.path as string, line]));
}

/** A source with every kind of entry and two destinations on a file system that can hold all of it. */
function onExt4(
  use: (
    at: { source: string; one: string; two: string; backup: () => Promise<JsonLine> },
  ) => Promise<void>,
): Promise<void> {
  return withLoopFs({ type: "ext4", sizeBytes: EXT4_BYTES }, async (folder) => {
    await using scene = createScene(folder);
    const { source, one, two } = scene;
    await makeEveryKind(source);
    mkdirSync(two);
    // What people put there later is to be theirs: no copy may inherit it.
    await stock("setfacl", ["-m", "d:u:4444:rwx,d:g:5555:rx", two]);
    const backup = async () => {
      const words = ["source", "--to", one, "--to", two];
      const { code, errors, summary } = await scene.backupJson(words);
      assert.deepEqual({ code, errors }, { code: 0, errors: [] });
      return summary;
    };
    await use({ source, one, two, backup });
  });
}

Deno.test({
  ...needsLoopFs(
    "everything a file is reaches two destinations as it is, and a second run copies nothing",
    "ext4",
    ...TOOLS,
  ),
  fn: () =>
    onExt4(async ({ source, one, two, backup }) => {
      await backup();
      for (const destination of [one, two]) {
        await assertSameInEverything(source, `${destination}/source`);
      }
      const manifests = [one, two].map(manifestTextOf);
      const again = await backup();
      // Had anything been made anew, links and folders too, they would have been written again.
      assert.deepEqual([one, two].map(manifestTextOf), manifests);
      for (const destination of [one, two]) {
        assert.deepEqual(copiedAt(again, destination), { files_copied: 0, warnings: [] });
        await assertSameInEverything(source, `${destination}/source`);
      }
    }),
});

Deno.test({
  ...needsLoopFs(
    "a changed, new or removed attribute is seen on a file, a folder, a link and a node, and copied",
    "ext4",
    ...TOOLS,
  ),
  fn: () =>
    onExt4(async ({ source, one, two, backup }) => {
      await backup();
      const attributes = `${source}/attributes`;
      const before = await stock("stat", ["-c", "%y", `${attributes}/many`]);
      await stock("setfattr", ["-n", "user.comment", "-v", "changed", `${attributes}/many`]);
      await stock("setfattr", ["-x", "user.empty", `${attributes}/many`]);
      assert.equal(await stock("stat", ["-c", "%y", `${attributes}/many`]), before);
      await stock("setfattr", ["-n", "user.folder", "-v", "2", `${attributes}/folder`]);
      await stock("setfattr", ["-x", "trusted.folder", `${attributes}/folder`]);
      await stock("setfattr", ["-h", "-n", "trusted.link", "-v", "new", `${attributes}/link`]);
      await stock("setfattr", ["-n", "trusted.pipe", "-v", "2", `${attributes}/pipe`]);
      await stock("setfattr", ["-n", "trusted.node", "-v", "2", `${source}/nodes/block`]);
      await stock("setcap", ["-r", `${attributes}/capable`]);
      await stock("setfacl", ["-b", "-k", `${source}/acl/defaults`]);
      await stock("setfacl", ["-m", "u:9:r", `${source}/acl/defaults/plain`]);
      const summary = await backup();
      for (const destination of [one, two]) {
        assert.deepEqual(copiedAt(summary, destination), { files_copied: 2, warnings: [] });
        await assertSameInEverything(source, `${destination}/source`);
      }
      assert.deepEqual(copiedAt(await backup(), one), { files_copied: 0, warnings: [] });
    }),
});

Deno.test({
  ...needsLoopFs(
    "holes stay holes, what was written as zeros comes back as zeros, and the manifest says which",
    "ext4",
    ...TOOLS,
  ),
  fn: () =>
    onExt4(async ({ source, one, two, backup }) => {
      await backup();
      const wanted = await allocatedBytes(`${source}/sparse`);
      for (const destination of [one, two]) {
        const found = await allocatedBytes(`${destination}/source/sparse`);
        for (const [path, bytes] of wanted) {
          const room = `${path}: ${found.get(path)} of ${bytes}`;
          assert.ok(found.get(path)! <= bytes + SLACK_BYTES, room);
        }
        const sparse = [...manifestOf(destination)].filter(([, line]) => line["sparse"] === true)
          .map(([path]) => path);
        assert.deepEqual(sparse.sort(), [
          "sparse/hole-then-tail",
          "sparse/middle",
          "sparse/only-hole",
          "sparse/small-hole",
          "sparse/start-and-end",
        ]);
      }
    }),
});

Deno.test({
  ...needsLoopFs(
    "a value that the destination has no room for is counted and said, the manifest has it, and nothing is copied twice for it",
    "ext4",
    ...TOOLS,
  ),
  async fn() {
    await using scene = createScene("/dev/shm");
    const { source } = scene;
    writeFileSync(`${source}/file`, "content");
    const large = "v".repeat(20_000);
    await stock("setfattr", ["-n", "trusted.large", "-v", large, `${source}/file`]);
    await stock("setfattr", ["-n", "trusted.small", "-v", "fits", `${source}/file`]);
    await withLoopFs({ type: "ext4", sizeBytes: 16 << 20 }, async (folder) => {
      const to = `${folder}/to`;
      const words = ["source", "--to", to];
      const first = await scene.backupJson(words);
      assert.deepEqual([first.code, destinationOf(first.summary, to)["warnings"]], [0, [
        "extended attributes or ACLs of one entry could not be kept here; the manifest has them",
      ]]);
      const kept = await stock("getfattr", [
        "-d",
        "-m",
        "-",
        "--absolute-names",
        `${to}/source/file`,
      ]);
      assert.match(kept, /trusted\.small="fits"/);
      assert.doesNotMatch(kept, /trusted\.large/);
      assert.deepEqual(manifestOf(to).get("file")!["xattrs"], {
        "trusted.large": btoa(large),
        "trusted.small": btoa("fits"),
      });
      const again = await scene.backupJson(words);
      assert.deepEqual(copiedAt(again.summary, to), { files_copied: 0, warnings: [] });
    });
  },
});

Deno.test({
  ...needsLoopFs(
    "a socket is counted as left out, and neither copied nor a failure",
    "ext4",
    ...TOOLS,
  ),
  async fn() {
    await using scene = createScene();
    const { source, one } = scene;
    writeFileSync(`${source}/file`, "content");
    using _listener = Deno.listen({ transport: "unix", path: `${source}/socket` });
    const { code, summary } = await scene.backupJson(["source", "--to", one]);
    assert.equal(code, 0);
    const [only] = summary["sources"] as { excluded: { rule: string; files: number }[] }[];
    assert.deepEqual(only!.excluded.map(({ rule, files }) => [rule.split(" ")[0], files]), [
      ["sockets", 1],
    ]);
    assert.deepEqual([...manifestOf(one).keys()], ["", "file"]);
  },
});
