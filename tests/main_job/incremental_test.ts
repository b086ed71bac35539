/** Later runs. Rule: after each, the destination is compared with the source as after the first. */
import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { assertChecksumsHold, assertCopies, STOCK_TOOLS } from "../support/compare_trees.ts";
import { fillFiles, noise } from "../support/fill_tree.ts";
import { runProgram } from "../support/run_program.ts";
import { createScene, destinationOf, type Scene } from "../support/scene.ts";
import { needs } from "../support/tools.ts";

interface Row {
  copied: number;
  unchanged: number;
  verified: number;
}

/** Runs to destination `one` and expects success. */
async function backUp(scene: Scene, ...words: string[]): Promise<Row> {
  const { code, summary, out, err } = await scene.backupJson([
    "source",
    "--to",
    scene.one,
    ...words,
  ]);
  assert.equal(code, 0, out + err);
  const row = destinationOf(summary, scene.one);
  return {
    copied: Number(row["files_copied"]),
    unchanged: Number(row["files_unmodified"]),
    verified: Number(row["files_verified"]),
  };
}

function incremental(name: string, fn: (scene: Scene) => Promise<void>): void {
  Deno.test({
    ...needs(name, ...STOCK_TOOLS),
    async fn() {
      await using scene = createScene();
      await fn(scene);
    },
  });
}

incremental("only what is new or changed is copied and read back", async (scene) => {
  const { source, one } = scene;
  fillFiles(source, 60, 2000);
  assert.deepEqual(await backUp(scene), { copied: 60, unchanged: 0, verified: 60 });
  assert.deepEqual(await backUp(scene), { copied: 0, unchanged: 60, verified: 0 });

  writeFileSync(`${source}/folder 0/file 3`, "changed, another size");
  writeFileSync(`${source}/folder 1/new`, "new");
  mkdirSync(`${source}/folder 1/new folder`);
  assert.deepEqual(await backUp(scene), { copied: 2, unchanged: 59, verified: 2 });
  await assertCopies(source, [one]);
});

incremental("the same size and mtime with another ctime is a change", async (scene) => {
  const { source, one } = scene;
  writeFileSync(`${source}/file`, "before");
  utimesSync(`${source}/file`, 1_600_000_000, 1_600_000_000);
  await backUp(scene);
  writeFileSync(`${source}/file`, "after!");
  utimesSync(`${source}/file`, 1_600_000_000, 1_600_000_000);
  assert.equal((await backUp(scene)).copied, 1);
  await assertCopies(source, [one]);
});

incremental("another file under the same name, size and mtime is a change", async (scene) => {
  const { source, folder, one } = scene;
  for (const [path, text] of [[`${source}/file`, "before"], [`${folder}/other`, "after!"]]) {
    writeFileSync(path!, text!);
    utimesSync(path!, 1_600_000_000, 1_600_000_000);
  }
  await backUp(scene);
  renameSync(`${folder}/other`, `${source}/file`);
  assert.equal((await backUp(scene)).copied, 1);
  await assertCopies(source, [one]);
});

incremental(
  "a changed mode or mtime of a file, a folder or a link is carried over",
  async (scene) => {
    const { source, one } = scene;
    fillFiles(source, 3, 10);
    symlinkSync("here", `${source}/link`);
    await backUp(scene);
    chmodSync(`${source}/folder 0/file 1`, 0o741);
    utimesSync(`${source}/folder 0/file 2`, 1_500_000_000.25, 1_500_000_000.25);
    chmodSync(`${source}/folder 0`, 0o711);
    rmSync(`${source}/link`);
    symlinkSync("there", `${source}/link`);
    await backUp(scene);
    await assertCopies(source, [one]);
  },
);

incremental("what the source deleted is kept, verified and listed", async (scene) => {
  const { source, one } = scene;
  fillFiles(source, 4, 100);
  await backUp(scene);
  const content = readFileSync(`${source}/folder 0/file 2`);
  rmSync(`${source}/folder 0/file 2`);
  await backUp(scene);
  assert.deepEqual(readFileSync(`${one}/source/folder 0/file 2`), content);
  await assertChecksumsHold(one);
  const verified = await scene.run(["verify", one, "--json"]);
  assert.equal(verified.code, 0, verified.out);
  assert.match(verified.out, /"files_verified":4,/);

  writeFileSync(`${source}/folder 0/file 2`, "it is back, and different");
  assert.equal((await backUp(scene)).copied, 1);
  await assertCopies(source, [one]);
});

/** What may stand under one name, before and after. */
const KINDS: Record<string, (path: string) => void> = {
  file: (path) => writeFileSync(path, "a file"),
  folder: (path) => {
    mkdirSync(path);
    writeFileSync(`${path}/inside`, "in a folder");
    linkSync(`${path}/inside`, `${path}/second name`);
  },
  "symbolic link": (path) => symlinkSync("target", path),
};

for (const before of Object.keys(KINDS)) {
  for (const after of Object.keys(KINDS).filter((kind) => kind !== before)) {
    incremental(`a ${before} that became a ${after} is replaced by it`, async (scene) => {
      const { source, one } = scene;
      KINDS[before]!(`${source}/name`);
      writeFileSync(`${source}/other`, "stays");
      await backUp(scene);
      rmSync(`${source}/name`, { recursive: true });
      KINDS[after]!(`${source}/name`);
      await backUp(scene);
      await assertCopies(source, [one]);
      assert.equal((await backUp(scene)).copied, 0);
      const verified = await scene.run(["verify", one]);
      assert.equal(verified.code, 0, verified.out);
    });
  }
}

const INJURIES: Record<string, (copy: string) => void> = {
  deleted: (copy) => rmSync(copy),
  "cut short": (copy) => truncateSync(copy, 10),
  "given another mtime": (copy) => utimesSync(copy, 1, 1),
  "replaced by a folder": (copy) => {
    rmSync(copy);
    mkdirSync(copy);
    writeFileSync(`${copy}/stranger`, "somebody's work");
  },
  "replaced by a symbolic link": (copy) => {
    rmSync(copy);
    symlinkSync("/etc/hostname", copy);
  },
};

for (const [name, injure] of Object.entries(INJURIES)) {
  incremental(`a copy ${name} by hand is made again by the next run`, async (scene) => {
    const { source, one } = scene;
    fillFiles(source, 5, 1000);
    await backUp(scene);
    injure(`${one}/source/folder 0/file 3`);
    assert.deepEqual(await backUp(scene), { copied: 1, unchanged: 4, verified: 1 });
    await assertCopies(source, [one]);
  });
}

incremental("a whole copy deleted by hand is made again", async (scene) => {
  const { source, one } = scene;
  fillFiles(source, 5, 1000);
  await backUp(scene);
  rmSync(`${one}/source`, { recursive: true });
  assert.equal((await backUp(scene)).copied, 5);
  await assertCopies(source, [one]);
});

incremental("a folder of the copy replaced by a link is not written through", async (scene) => {
  const { source, one, folder } = scene;
  fillFiles(source, 5, 1000);
  await backUp(scene);
  mkdirSync(`${folder}/elsewhere`);
  renameSync(`${one}/source/folder 0`, `${folder}/elsewhere/kept`);
  symlinkSync(`${folder}/elsewhere`, `${one}/source/folder 0`);
  assert.equal((await backUp(scene)).copied, 5);
  await assertCopies(source, [one]);
  assert.equal(existsSync(`${folder}/elsewhere/file 0`), false);
});

incremental(
  "a flipped byte is found by --verify all, written again, and said so",
  async (scene) => {
    const { source, one, two } = scene;
    fillFiles(source, 8, 3000);
    assert.equal((await scene.backup(["source", "--to", one, "--to", two])).code, 0);
    await flipByte(`${one}/source/folder 0/file 4`);

    // By default what did not change is not read, and the report does not claim that it was.
    assert.deepEqual(await backUp(scene), { copied: 0, unchanged: 8, verified: 0 });

    const words = ["source", "--to", one, "--to", two, "--verify", "all", "-v"];
    const repaired = await scene.backup(words);
    assert.equal(repaired.code, 0, repaired.err);
    assert.match(repaired.out, /1 file differed on first read-back and was written again/);
    assert.match(repaired.out, /source\/folder 0\/file 4/);
    await assertCopies(source, [one, two]);
  },
);

incremental(
  "a damaged file with several names is written again under all of them",
  async (scene) => {
    const { source, one } = scene;
    writeFileSync(`${source}/b`, noise(3000, 1));
    linkSync(`${source}/b`, `${source}/a`);
    linkSync(`${source}/b`, `${source}/c`);
    writeFileSync(`${source}/other`, "content");
    await backUp(scene);
    await flipByte(`${one}/source/c`);
    await backUp(scene, "--verify", "all");
    await assertCopies(source, [one]);
  },
);

incremental("a flipped byte is found by verify DEST and named, with exit code 1", async (scene) => {
  const { source, one, two } = scene;
  fillFiles(source, 8, 3000);
  writeFileSync(`${source}/large`, noise(9_000_000, 7));
  assert.equal((await scene.backup(["source", "--to", one, "--to", two])).code, 0);
  assert.equal((await scene.run(["verify", one])).code, 0);
  await flipByte(`${one}/source/folder 0/file 6`);
  await flipByte(`${one}/source/large`);
  rmSync(`${one}/source/folder 0/file 1`);
  writeFileSync(`${one}/source/stranger`, "not recorded");

  const { code, out } = await scene.run(["verify", one]);
  assert.equal(code, 1);
  assert.match(out, /2 damaged, 1 missing, 0 unreadable/);
  for (const name of ["folder 0/file 6", "large", "folder 0/file 1", "stranger"]) {
    assert.ok(out.includes(`source/${name}`), `${name} is not named in ${out}`);
  }
  assert.equal((await scene.run(["verify", two])).code, 0);
});

incremental(
  "reports show when unchanged files were last verified, and verify DEST renews it",
  async (scene) => {
    const { source, one } = scene;
    writeFileSync(`${source}/file`, "content");
    await backUp(scene);
    const oldest = async (): Promise<number> => {
      const { summary } = await scene.backupJson(["source", "--to", one]);
      return Date.parse(String(destinationOf(summary, one)["oldest_verification"]));
    };
    const first = await oldest();
    assert.ok(Math.abs(first - statSync(`${one}/source/file`).ctimeMs) < 60_000, `${first}`);
    assert.equal((await scene.run(["verify", one])).code, 0);
    assert.ok(await oldest() > first);
  },
);

/** Size and mtime stay as they are, to the nanosecond: a copy with another mtime would be made again without being read. */
async function flipByte(path: string): Promise<void> {
  const env = { PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin" };
  const reference = `${Deno.makeTempDirSync()}/reference`;
  writeFileSync(reference, "");
  assert.equal((await runProgram("touch", ["-r", path, reference], { env })).code, 0);
  const bytes = readFileSync(path);
  bytes[bytes.length >> 1]! ^= 1;
  writeFileSync(path, bytes);
  assert.equal((await runProgram("touch", ["-r", reference, path], { env })).code, 0);
  rmSync(dirname(reference), { recursive: true });
}
