import assert from "node:assert/strict";
import { join } from "node:path";
import { EVERY_KIND_TOOLS, makeEveryKind, stock } from "../support/every_kind.ts";
import { assertSameInEverything, FIDELITY_TOOLS } from "../support/judge_fidelity.ts";
import {
  backupOurs,
  HOST,
  lastJson,
  makeRepository,
  openOurs,
  PASSWORD,
  restic,
  restoreOurs,
} from "../support/restic.ts";
import { needs } from "../support/tools.ts";
import { prng } from "./vector_files.ts";

Deno.test({
  ...needs(
    "ours to stock: restic checks, restores and goes on with what we wrote",
    "linux",
    "restic",
    "setfattr",
    ...FIDELITY_TOOLS,
  ),
  async fn() {
    const folder = Deno.makeTempDirSync();
    try {
      // A snapshot's root has no metadata, so what is compared lies below it.
      const base = join(folder, "base");
      const source = await makeSource(join(base, "source"));
      for (const version of [2, 1] as const) {
        const place = join(folder, `repo${version}`);
        const repository = await makeRepository(place, version);
        const { snapshot, builder, problems } = await backupOurs(repository, { base });
        assert.deepEqual(problems, []);
        assert.equal(builder.counts.filesNew, 10);
        await restic(place, ["check", "--read-data"]);
        const target = join(folder, `restored${version}`);
        await restic(place, ["restore", snapshot.id, "--target", target]);
        await assertSameInEverything(source, join(target, "source"));

        // On top: the same parent, everything unmodified, nothing added, the same tree to the byte.
        const args = ["backup", ".", "--host", HOST, "--json", "--ignore-inode"];
        for (const flags of [args.slice(0, -1), args, [...args, "--force"]]) {
          const summary = lastJson(await restic(place, flags, { cwd: base }), "snapshot_id");
          if (flags.includes("--force")) assert.equal(summary.files_new, 10);
          else assert.equal(summary.files_unmodified, 10, JSON.stringify(summary));
          assert.equal(summary.data_blobs, 0);
          assert.equal(summary.tree_blobs, 0);
          const id = summary.snapshot_id as string;
          const theirs = JSON.parse(await restic(place, ["cat", "snapshot", id]));
          assert.equal(theirs.tree, snapshot.tree);
          if (!flags.includes("--force")) assert.equal(theirs.parent, snapshot.id);
          await restic(place, ["forget", id]);
        }
        const stats = JSON.parse(await restic(place, ["stats", "--json"]));
        // Two names of one file count once there.
        assert.equal(stats.total_size, builder.counts.bytes - "ümläut".length - 2);
        // Ours on top of theirs, the same way round.
        const again = await backupOurs(await openOurs(place), { base });
        assert.equal(again.builder.counts.filesUnmodified, 10);
        assert.equal(again.snapshot.tree, snapshot.tree);
        assert.deepEqual([again.writer.counts.dataBlobs, again.writer.counts.treeBlobs], [0, 0]);
      }
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
});

Deno.test({
  ...needs(
    "ours to stock: forget --prune, copy, tag and a new password work on what we wrote",
    "linux",
    "restic",
    "setfattr",
    ...FIDELITY_TOOLS,
  ),
  async fn() {
    const folder = Deno.makeTempDirSync();
    try {
      // A snapshot's root has no metadata, so what is compared lies below it.
      const base = join(folder, "base");
      const source = await makeSource(join(base, "source"));
      const place = join(folder, "repo");
      const repository = await makeRepository(place);
      const first = await backupOurs(repository, { base, time: { sec: 1.6e9, nsec: 0 } });
      Deno.writeFileSync(join(source, "large"), prng("other", 3_000_000));
      const second = await backupOurs(repository, { base, tags: ["kept"] });
      assert.equal(second.snapshot.parent, first.snapshot.id);
      assert.equal(second.builder.counts.filesChanged, 1);
      const other = join(folder, "other");
      await restic(other, ["init"]);
      // restic 0.14 calls the other repository --repo2 and reads its password from a file.
      const file = join(folder, "password");
      Deno.writeTextFileSync(file, PASSWORD);
      await restic(place, ["copy", "--repo2", other, "--password-file2", file]);
      await restic(other, ["check", "--read-data"]);
      await restic(place, ["tag", "--add", "more", second.snapshot.id]);
      await restic(place, ["forget", "--keep-tag", "kept", "--prune"]);
      await restic(place, ["check", "--read-data"]);
      const target = join(folder, "restored");
      await restic(place, ["restore", "latest", "--target", target]);
      await assertSameInEverything(source, join(target, "source"));
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
});

Deno.test({
  ...needs(
    "ours to stock: every kind of file comes back, by us as it was, by restic as from its own backup",
    ...EVERY_KIND_TOOLS,
    ...FIDELITY_TOOLS,
    "restic",
  ),
  async fn() {
    const folder = Deno.makeTempDirSync({ dir: "/var/tmp" });
    try {
      const base = join(folder, "base");
      const source = join(base, "source");
      Deno.mkdirSync(source, { recursive: true });
      await makeEveryKind(source);
      // restic 0.14 gives the attributes of a link to what it points to.
      await stock("setfattr", ["-h", "-x", "trusted.link", "attributes/link"], source);
      const place = join(folder, "repo");
      const repository = await makeRepository(place);
      const { snapshot, problems } = await backupOurs(repository, { base });
      assert.deepEqual(problems, []);
      await restic(place, ["check", "--read-data"]);
      assert.deepEqual(await restoreOurs(repository, snapshot.tree, join(folder, "ours")), []);
      await assertSameInEverything(source, join(folder, "ours/source"));

      // restic 0.14 loses some of it, attributes of links for one: as much of ours as of its own.
      await restic(place, ["restore", snapshot.id, "--target", join(folder, "theirs")]);
      const made = await restic(place, ["backup", ".", "--force", "--json"], { cwd: base });
      const own = lastJson(made, "snapshot_id").snapshot_id as string;
      await restic(place, ["restore", own, "--target", join(folder, "own")]);
      await assertSameInEverything(join(folder, "own/source"), join(folder, "theirs/source"));
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
});

/** Ten files: small and large, compressible and not, odd names and modes. */
async function makeSource(source: string): Promise<string> {
  Deno.mkdirSync(join(source, "folder/inner"), { recursive: true });
  Deno.mkdirSync(join(source, "empty folder"));
  Deno.writeFileSync(join(source, "large"), prng("large", 5_000_000));
  Deno.writeFileSync(join(source, "zeros"), new Uint8Array(1_500_000));
  Deno.writeTextFileSync(join(source, "folder/text"), "some text\n".repeat(200_000));
  Deno.writeTextFileSync(join(source, "folder/inner/empty"), "");
  const odd = ['quote"d', "back\\slash", "new\nline", "<html>&amp;", "ümläut", "zwsp\u200bx"];
  for (const name of odd) Deno.writeTextFileSync(join(source, name), name);
  Deno.symlinkSync("folder/<text>&", join(source, "link"));
  Deno.linkSync(join(source, "ümläut"), join(source, "folder/inner/hard"));
  Deno.removeSync(join(source, "zwsp\u200bx"));
  Deno.chmodSync(join(source, "folder"), 0o1751);
  Deno.chmodSync(join(source, "large"), 0o640);
  Deno.utimeSync(join(source, "folder"), 1e9, 1_234_567_890.12);
  await stock("setfattr", ["-n", "user.zeta", "-v", "last", "large"], source);
  await stock("setfattr", ["-n", "user.alpha", "large"], source);
  return source;
}
