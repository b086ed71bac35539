import assert from "node:assert/strict";
import { join } from "node:path";
import {
  allProblems,
  backupOurs,
  makeRepository,
  type OurBackup,
  posix,
} from "../../../tests/support/restic.ts";
import { EACCES } from "../../platform/errno.ts";
import type { Posix } from "../../platform/posix.ts";
import {
  BlobReader,
  decodeTree,
  loadIndex,
  type Repository,
  type TreeNode,
} from "../../repository/mod.ts";

interface Scene {
  repository: Repository;
  base: string;
  backup(options?: Partial<OurBackup>): ReturnType<typeof backupOurs>;
  nodesOf(tree: string): Promise<TreeNode[]>;
}

async function inScene(run: (scene: Scene) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync();
  try {
    const base = join(folder, "base");
    Deno.mkdirSync(join(base, "sub/deep"), { recursive: true });
    Deno.mkdirSync(join(base, "sub-other"));
    for (const path of ["a", "sub/deep/b", "sub/z", "sub-other/c", "z"]) {
      Deno.writeTextFileSync(join(base, path), path);
    }
    Deno.symlinkSync("where", join(base, "sub/link"));
    const repository = await makeRepository(join(folder, "repo"));
    await run({
      repository,
      base,
      backup: (options) => backupOurs(repository, { base, ...options }),
      async nodesOf(tree) {
        const { index } = await loadIndex(repository);
        const reader = new BlobReader(repository.store, repository.key, index);
        return decodeTree(await reader.load("tree", tree), tree);
      },
    });
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

const nameOf = (raw: Uint8Array) => new TextDecoder().decode(raw.subarray(0, -1));

Deno.test("archive: what the walk has found is neither listed nor looked at again, and nothing unchanged is opened", () =>
  inScene(async ({ backup, repository }) => {
    const calls = { list: 0, statAt: 0, openRead: 0 };
    const counting: Posix = {
      ...posix,
      list: (handle) => (calls.list++, posix.list(handle)),
      statAt: (...words) => (calls.statAt++, posix.statAt(...words)),
      openRead: (...words) => (calls.openRead++, posix.openRead(...words)),
    };
    const first = await backup({ port: counting });
    assert.deepEqual(calls, { list: 4, statAt: 9, openRead: 5 });
    const second = await backup({ port: counting });
    assert.deepEqual(calls, { list: 8, statAt: 18, openRead: 5 });
    assert.equal(second.snapshot.tree, first.snapshot.tree);
    assert.deepEqual(
      [second.builder.counts.filesUnmodified, second.builder.counts.dirsUnmodified],
      [5, 3],
    );
    assert.deepEqual(await allProblems(repository), []);
  }));

Deno.test("archive: a source keeps its place, with the folders that it lies in", () =>
  inScene(async ({ backup, base, nodesOf }) => {
    const { snapshot } = await backup({ isPlaced: true });
    let nodes = await nodesOf(snapshot.tree);
    for (const part of base.split("/").filter((part) => part !== "")) {
      assert.deepEqual(nodes.map(({ name }) => name), [part]);
      nodes = await nodesOf(nodes[0]!.subtree!);
    }
    assert.deepEqual(nodes.map(({ name }) => name), ["a", "sub", "sub-other", "z"]);
    const inSub = await nodesOf(nodes[1]!.subtree!);
    assert.deepEqual(inSub.map(({ name, linkTarget }) => [name, linkTarget]), [
      ["deep", undefined],
      ["link", "where"],
      ["z", undefined],
    ]);
  }));

Deno.test("archive: a folder that nobody can open is told and left out, and what follows it is there", () =>
  inScene(async ({ backup, nodesOf }) => {
    const closed: Posix = {
      ...posix,
      openDirectory: (at, name) => nameOf(name) === "sub" ? -EACCES : posix.openDirectory(at, name),
    };
    const { problems, snapshot } = await backup({ port: closed });
    assert.deepEqual(problems.map(([path, { code }]) => [path, code]), [["/sub", "permission"]]);
    const nodes = await nodesOf(snapshot.tree);
    assert.deepEqual(nodes.map(({ name }) => name), ["a", "sub-other", "z"]);
  }));

Deno.test("archive: attributes that copies do not keep are stored all the same, in the order in which they are listed", () =>
  inScene(async ({ backup, nodesOf }) => {
    const names: Record<string, string[]> = {
      a: ["system.ntfs_attrib"],
      z: ["user.two", "system.nfs4_acl", "user.one"],
    };
    const odd: Posix = {
      ...posix,
      listXattrs: (_, name) => names[nameOf(name)] ?? [],
      getXattr: (_, name, attribute) => new TextEncoder().encode(`${attribute} of ${nameOf(name)}`),
    };
    const { problems, snapshot } = await backup({ port: odd });
    assert.deepEqual(problems, []);
    for (const { name, xattrs } of await nodesOf(snapshot.tree)) {
      assert.deepEqual(xattrs?.map((one) => one.name), names[name]);
      for (const { name: attribute, value } of xattrs ?? []) {
        assert.equal(new TextDecoder().decode(value), `${attribute} of ${name}`);
      }
    }
  }));

Deno.test("archive: a file that was replaced after the walk is stored as it is now, or told, whoever reads it", () =>
  inScene(async ({ backup, base, nodesOf }) => {
    const path = join(base, "a");
    const inHand = (attempts: number) => {
      let version = 1;
      // Same length, in its place, as editors save.
      const replacing: Posix = {
        ...posix,
        openRead: (at, name) => {
          if (nameOf(name) === "a" && version++ === 1) {
            Deno.writeTextFileSync(`${path}.new`, "b");
            Deno.utimeSync(`${path}.new`, 1, attempts);
            Deno.renameSync(`${path}.new`, path);
          }
          return posix.openRead(at, name);
        },
      };
      const again = { attempts, pause: () => Promise.resolve() };
      return backup({ port: replacing, isForced: true, again });
    };
    const { problems, snapshot } = await inHand(2);
    assert.deepEqual(problems, []);
    const [{ mtime, inode }] = await nodesOf(snapshot.tree) as [TreeNode];
    assert.equal(Date.parse(mtime), 2000);
    assert.equal(String(inode), String(Deno.statSync(path).ino));
    const once = await inHand(1);
    assert.deepEqual(once.problems.map(([name, { code }]) => [name, code]), [
      ["/a", "changed_while_read"],
    ]);
  }));
