import assert from "node:assert/strict";
import { join } from "node:path";
import { BackupError } from "../../../protocol/base/errors.ts";
import { backupOurs, makeRepository, posix, restoreOurs } from "../../../tests/support/restic.ts";
import { type ProcessFacts, thisProcess } from "../../platform/process_identity.ts";
import { type Repository, toGoMode, type TreeNode } from "../../repository/mod.ts";
import { rawDevice, splitDevice } from "./node_of_stat.ts";
import { openRestoreTarget, type TargetOptions } from "./posix_target.ts";
import { temporariesOf } from "./restore_temporaries.ts";

const ME = thisProcess("machine");
const temporaries = temporariesOf(ME);

interface Scene {
  folder: string;
  base: string;
  target: string;
  outside: string;
  repository: Repository;
}

async function inScene(run: (scene: Scene) => void | Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync();
  try {
    const [base, target, outside] = ["base", "target", "outside"].map((name) => join(folder, name));
    for (const path of [base!, target!, outside!]) Deno.mkdirSync(path);
    Deno.mkdirSync(join(base!, "sub"));
    Deno.writeTextFileSync(join(base!, "sub/file"), "content");
    Deno.writeTextFileSync(join(base!, "top"), "top");
    Deno.writeTextFileSync(join(outside!, "file"), "precious");
    const repository = await makeRepository(join(folder, "repo"));
    await run({ folder, base: base!, target: target!, outside: outside!, repository });
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

const restore = async ({ repository, base, target }: Scene, options?: Partial<TargetOptions>) => {
  const { snapshot, problems } = await backupOurs(repository, { base });
  assert.deepEqual(problems, []);
  return await restoreOurs(repository, snapshot.tree, target, options);
};

Deno.test("restore target: a link that stands where a folder or file must be is replaced, never followed", async () => {
  await inScene(async (scene) => {
    Deno.symlinkSync(scene.outside, join(scene.target, "sub"));
    Deno.symlinkSync(join(scene.outside, "file"), join(scene.target, "top"));
    assert.deepEqual(await restore(scene), []);
    assert.equal(Deno.readTextFileSync(join(scene.outside, "file")), "precious");
    assert.deepEqual([...Deno.readDirSync(scene.outside)].map(({ name }) => name), ["file"]);
    assert.ok(!Deno.lstatSync(join(scene.target, "sub")).isSymlink);
    assert.equal(Deno.readTextFileSync(join(scene.target, "sub/file")), "content");
    assert.equal(Deno.readTextFileSync(join(scene.target, "top")), "top");
  });
});

Deno.test("restore target: a link made by the tree itself is not written through by what comes after it", async () => {
  await inScene(({ target, outside }) => {
    const folder = openRestoreTarget(target, {
      posix,
      temporaries,
      onProblem: (path) => assert.fail(path),
    });
    const common = { atime: "", mtime: "", ctime: "", uid: Deno.uid()!, gid: Deno.gid()! };
    const node = (name: string, type: TreeNode["type"]): TreeNode => ({
      name,
      type,
      mode: toGoMode(type, 0o755),
      ...common,
    });
    folder.other({ ...node("evil", "symlink"), linkTarget: outside });
    // What a restorer that did not look for names listed twice would do.
    const below = folder.folder(node("evil", "dir"));
    const file = below.file(node("file", "file"))!;
    file.write(new TextEncoder().encode("overwritten"));
    file.finish();
    below.close();
    folder.close();
    assert.equal(Deno.readTextFileSync(join(outside, "file")), "precious");
    assert.equal(Deno.readTextFileSync(join(target, "evil/file")), "overwritten");
  });
});

Deno.test("restore target: what stands there is kept or replaced as was asked", async () => {
  await inScene(async (scene) => {
    const top = join(scene.target, "top");
    const set = (text: string, sec: number) => {
      Deno.writeTextFileSync(top, text);
      Deno.utimeSync(top, sec, sec);
    };
    Deno.utimeSync(join(scene.base, "top"), 1e9, 1e9);
    for (
      const [overwrite, text, sec, expected] of [
        ["never", "own", 1e9, "own"],
        ["always", "own", 1e9, "top"],
        ["if-newer", "own", 2e9, "own"],
        ["if-newer", "own", 5e8, "top"],
        ["if-changed", "xxx", 1e9, "xxx"],
        ["if-changed", "longer", 1e9, "top"],
        ["if-changed", "own", 5e8, "top"],
      ] as const
    ) {
      set(text, sec);
      assert.deepEqual(await restore(scene, { overwrite }), []);
      assert.equal(Deno.readTextFileSync(top), expected, `${overwrite} ${text} ${sec}`);
    }
  });
});

Deno.test("restore target: with delete what the snapshot does not have goes, without it stays", async () => {
  await inScene(async (scene) => {
    Deno.mkdirSync(join(scene.target, "other/deep"), { recursive: true });
    Deno.symlinkSync(scene.outside, join(scene.target, "other/link"));
    Deno.mkdirSync(join(scene.target, "top"));
    Deno.writeTextFileSync(join(scene.target, "top/in-the-way"), "x");
    const [problem, ...others] = await restore(scene);
    assert.match(problem!, /top.*not empty/);
    assert.deepEqual(others, []);
    assert.ok(Deno.lstatSync(join(scene.target, "other/deep")).isDirectory);
    assert.deepEqual(await restore(scene, { delete: true }), []);
    const names = [...Deno.readDirSync(scene.target)].map(({ name }) => name).sort();
    assert.deepEqual(names, ["sub", "top"]);
    assert.equal(Deno.readTextFileSync(join(scene.outside, "file")), "precious");
  });
});

Deno.test("restore target: zeros become holes when asked, and the content is the same", async () => {
  await inScene(async (scene) => {
    const bytes = new Uint8Array(3_000_001);
    bytes[1_500_000] = 1;
    Deno.writeFileSync(join(scene.base, "holes"), bytes);
    assert.deepEqual(await restore(scene, { sparse: true }), []);
    const path = join(scene.target, "holes");
    assert.deepEqual(Deno.readFileSync(path), bytes);
    assert.ok(Deno.statSync(path).blocks! * 512 < 100_000);
  });
});

Deno.test("restore target: a target that is not there is refused", () => {
  assert.throws(
    () => openRestoreTarget("/nonexistent/target", { posix, temporaries, onProblem() {} }),
    BackupError,
  );
});

Deno.test("devices: numbers are Linux's dev_t both ways", () => {
  assert.equal(rawDevice(1 * 2 ** 32 + 3), 259n);
  for (const [major, minor] of [[0, 0], [8, 1], [259, 1_048_575], [4095, 255], [70_000, 300]]) {
    const joined = major! * 2 ** 32 + minor!;
    assert.equal(splitDevice(rawDevice(joined)), joined);
  }
});

Deno.test("restore target: what a killed restore was writing is removed, of a living or unknown one nothing, nor anything else", async () => {
  await inScene(async (scene) => {
    const { target } = scene;
    const nameOf = (change: Partial<ProcessFacts>) => temporariesOf({ ...ME, ...change }).next();
    const otherBoot = "01234567-89ab-cdef-0123-456789abcdef";
    const dead = [nameOf({ start: "1" }), nameOf({ boot: otherBoot })];
    const kept = [
      nameOf({}),
      nameOf({ host: "another", boot: otherBoot }),
      nameOf({ boot: "unknown" }),
      nameOf({ start: "unknown", boot: otherBoot }),
      `${nameOf({ start: "1" })}.txt`,
      ".restore-0123456789abcdef",
      ".restore-notes",
    ];
    const folderLike = nameOf({ start: "1" });
    Deno.mkdirSync(join(target, "sub"));
    for (const at of [target, join(target, "sub")]) {
      for (const name of [...dead, ...kept]) Deno.writeTextFileSync(join(at, name), "half");
      Deno.mkdirSync(join(at, folderLike));
    }
    assert.deepEqual(await restore(scene), []);
    const names = (at: string) => [...Deno.readDirSync(at)].map(({ name }) => name).sort();
    assert.deepEqual(names(target), [...kept, folderLike, "sub", "top"].sort());
    assert.deepEqual(names(join(target, "sub")), [...kept, folderLike, "file"].sort());
  });
});

Deno.test("restore target: what comes to a name of a new folder meanwhile is left, unless it may be replaced", async () => {
  for (const overwrite of ["refuse", "always"] as const) {
    await inScene(({ target }) => {
      const options = {
        posix,
        temporaries,
        overwrite,
        onProblem: (path: string) => assert.fail(path),
      };
      const root = openRestoreTarget(target, options);
      const common = { atime: "", mtime: "", ctime: "", uid: Deno.uid()!, gid: Deno.gid()! };
      const folder = root.folder({
        name: "new",
        type: "dir",
        mode: toGoMode("dir", 0o755),
        ...common,
      });
      const file = folder.file({
        name: "a",
        type: "file",
        mode: toGoMode("file", 0o600),
        ...common,
      })!;
      file.write(new TextEncoder().encode("ours"));
      Deno.writeTextFileSync(join(target, "new/a"), "theirs");
      if (overwrite === "always") file.finish();
      else assert.throws(() => file.finish(), { code: "rejected" });
      file.discard();
      folder.close();
      root.close();
      assert.deepEqual([...Deno.readDirSync(join(target, "new"))].map(({ name }) => name), ["a"]);
      const text = Deno.readTextFileSync(join(target, "new/a"));
      assert.equal(text, overwrite === "always" ? "ours" : "theirs");
    });
  }
});
