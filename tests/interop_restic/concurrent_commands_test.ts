/** Four programs at one repository at once. Rule: restic says whether it is whole, with every byte read. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { assertSameTree, STOCK_TOOLS } from "../support/compare_trees.ts";
import { RepositoryShell } from "../support/repository_commands.ts";
import { makeRepository, PASSWORD, restic } from "../support/restic.ts";
import { createScene } from "../support/scene.ts";
import { needs } from "../support/tools.ts";

Deno.test({
  ...needs(
    "two restic and two of our backups write one repository at once, others read it, and check stays clean",
    "linux",
    "restic",
    ...STOCK_TOOLS,
  ),
  async fn() {
    await using scene = createScene();
    const place = join(scene.folder, "repo");
    const A = `restic:${place}`;
    const repository = await makeRepository(place);
    const common = new Uint8Array(randomBytes(4_000_000));
    const sources = [0, 1, 2, 3].map((i) => {
      const source = join(scene.folder, `source${i}`);
      Deno.mkdirSync(join(source, "folder"), { recursive: true });
      Deno.writeFileSync(join(source, "folder/common"), common);
      Deno.writeFileSync(join(source, "own"), new Uint8Array(randomBytes(2_000_000)));
      return source;
    });
    const ours = async (source: string, i: number) => {
      const state = ["--state-dir", join(scene.folder, `state${i}`)];
      const env = { RESTIC_PASSWORD: PASSWORD };
      const run = await scene.run(["backup", source, "--to", A, "--json", ...state], { env });
      assert.equal(run.code, 0, `${run.out}\n${run.err}`);
    };
    const theirs = (source: string) => restic(place, ["backup", source]);
    const shell = new RepositoryShell({ isReal: true });
    let isOver = false;
    const readers = (async () => {
      for (let i = 0; i < 50 && !isOver; i++) {
        const run = await shell.type(["snapshots", A]);
        assert.equal(run.code, 0, run.err);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    })();
    await Promise.all([
      theirs(sources[0]!),
      ours(sources[1]!, 1),
      theirs(sources[2]!),
      ours(sources[3]!, 3),
    ]);
    isOver = true;
    await readers;
    await restic(place, ["check", "--read-data"]);
    assert.deepEqual(await repository.list("lock"), []);
    const list = await shell.type(["snapshots", A, "--json"]);
    assert.equal(list.json[0].length, 4);

    // What several saved at once goes by a prune, and each source comes back as it was.
    assert.equal((await shell.type(["prune", A, "--max-unused", "0"])).code, 0);
    await restic(place, ["check", "--read-data"]);
    for (const [i, source] of sources.entries()) {
      const target = join(scene.folder, `target${i}`);
      const words = ["restore", A, "--target", target, "--path", source];
      const run = await shell.type(words);
      assert.equal(run.code, 0, run.err);
      await assertSameTree(source, join(target, source));
    }
  },
});
