import assert from "node:assert/strict";
import { join } from "node:path";
import { backupOurs, openOurs } from "../../tests/support/restic.ts";
import { RepositoryShell } from "../../tests/support/repository_commands.ts";

Deno.test("versions: a file's contents through all snapshots, each once, and the command that restores one", async () => {
  const folder = Deno.makeTempDirSync();
  const [source, path] = [join(folder, "my docs"), join(folder, "repository")];
  const at = `restic:${path}`;
  const shell = new RepositoryShell();
  try {
    Deno.mkdirSync(join(source, "deep/er"), { recursive: true });
    assert.equal((await shell.type(["init", at])).code, 0);
    const repository = await openOurs(path);
    const letter = join(source, "letter");
    const texts = ["one", "two", "two", "one"];
    for (const [k, text] of texts.entries()) {
      Deno.writeTextFileSync(letter, text);
      Deno.writeTextFileSync(join(source, "deep/er/file"), k < 2 ? "old" : "new");
      if (k === 0) Deno.writeTextFileSync(join(source, "deep/gone"), "gone");
      else if (k === 1) Deno.removeSync(join(source, "deep/gone"));
      const time = { sec: Date.UTC(2026, 0, k + 1) / 1000, nsec: 0 };
      await backupOurs(repository, { base: source, isPlaced: true, time });
    }
    const versions = (...words: string[]) => shell.type(["versions", ...words, "--at", at]);
    const listed = await versions(letter);
    assert.equal(listed.code, 0, listed.err);
    const lines = listed.out.trimEnd().split("\n");
    assert.match(lines[0]!, /^2 versions of \/.*letter:$/);
    assert.match(lines[1]!, /^ {2}2026-01-04T00-00-00Z .* newest of 2 since 2026-01-01T00-00-00Z$/);
    assert.match(lines[2]!, /^ {2}2026-01-03T00-00-00Z .* newest of 2 since 2026-01-02T00-00-00Z$/);
    assert.match(lines[3]!, /'[0-9a-f]{8}:\/.*\/my docs' --target DIR letter$/);

    // The very command gives the very content.
    const [, id] = /--snapshot '([0-9a-f]{8}):/.exec(lines[3]!)!;
    const back = join(folder, "back");
    const restore = ["restore", at, "--snapshot", `${id}:${source}`, "--target", back, "letter"];
    assert.equal((await shell.type(restore)).code, 0);
    assert.equal(Deno.readTextFileSync(join(back, "letter")), "two");
    const asked = await versions(letter, "--restore", "2026-01-03T00:00:00Z", "--target", "x");
    assert.deepEqual([asked.code, asked.err.includes(`--snapshot '${id}:`)], [2, true]);

    const byName = await versions("my docs/letter", "--json");
    const [newest] = byName.json[0].versions;
    assert.deepEqual([newest.size, newest.type, newest.snapshots], [3, "file", 2]);
    assert.match(newest.sha256, /^[0-9a-f]{64}$/);

    const below = (await versions(source, "--json")).json[0];
    const found = below.below.map((one: { path: string; versions: number }) => [
      one.path.slice(source.length),
      one.versions,
    ]);
    assert.deepEqual(found, [["/deep/er/file", 2], ["/deep/gone", 1], ["/letter", 2]]);
    assert.equal(below.below_count, 3);
    assert.equal((await versions("/", "--json")).json[0].below_count, 3);

    // As restic stores a folder that was named by a dot: its path is noted, and nowhere in the tree.
    Deno.writeTextFileSync(letter, "three");
    for (const text of ["three", "four"]) {
      Deno.writeTextFileSync(letter, text);
      const time = { sec: Date.UTC(2026, 0, 9) / 1000, nsec: 0 };
      await backupOurs(repository, { base: source, time });
    }
    const dotted = (await versions(letter, "--json")).json[0].versions;
    const sizes = dotted.map(({ size }: { size: number }) => size);
    // The first two are of one moment: neither is the newer one.
    assert.deepEqual([sizes.slice(0, 2).sort(), sizes.slice(2)], [[4, 5], [3, 3]]);
    assert.match(dotted[0].stored_at, /^[0-9a-f]{8}:\/letter$/);
    const twice = await versions(letter, "--restore", dotted[0].time, "--target", "x");
    assert.match(twice.err, /several versions of .*Name the snapshot: [0-9a-f]{8}, [0-9a-f]{8}/);
    const one = await versions(
      letter,
      "--restore",
      dotted[1].stored_at.slice(0, 8),
      "--target",
      "x",
    );
    assert.match(one.err, /restore .* --snapshot [0-9a-f]{8} --target DIR letter/);

    assert.equal((await versions("/nowhere/letter")).code, 2);
    assert.equal((await versions(letter, "--host", "elsewhere")).code, 2);
    assert.equal((await versions(letter, "--identity", "key")).code, 2);
    assert.equal((await shell.type(["versions", "x", "--at", "restic:/memory/none"])).code, 10);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
