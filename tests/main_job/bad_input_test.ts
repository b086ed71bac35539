/** Mistakes of the caller and of the world before the run. Rule: one line says what to do, and nothing is written. */
import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { assertCopies, snapshotOf, STOCK_TOOLS } from "../support/compare_trees.ts";
import { createScene, destinationOf, type Scene } from "../support/scene.ts";
import { needs } from "../support/tools.ts";

/** The call fails with `code`, says `reason` in a single line of at most a few hundred characters, and changes nothing. */
async function assertRefused(
  scene: Scene,
  words: string[],
  code: number,
  reason: RegExp,
): Promise<void> {
  // The state directory may remember the refused run; sources and destinations may not change.
  const watched = readdirSync(scene.folder).filter((name) => !OWN_FOLDERS.includes(name));
  const before = await Promise.all(watched.map((name) => snapshotOf(`${scene.folder}/${name}`)));
  const outcome = await scene.backup(words);
  assert.equal(outcome.code, code, outcome.out + outcome.err);
  assert.match(outcome.err + outcome.out, reason);
  const after = readdirSync(scene.folder).filter((name) => !OWN_FOLDERS.includes(name));
  assert.deepEqual(after, watched);
  const now = await Promise.all(after.map((name) => snapshotOf(`${scene.folder}/${name}`)));
  assert.deepEqual(now, before);
}

const OWN_FOLDERS = ["state", ".cache", ".local", ".config"];

function refused(
  name: string,
  code: number,
  reason: RegExp,
  prepare: (scene: Scene) => string[],
): void {
  Deno.test({
    ...needs(name, "linux", ...STOCK_TOOLS),
    async fn() {
      await using scene = createScene();
      writeFileSync(`${scene.source}/file`, "content");
      await assertRefused(scene, prepare(scene), code, reason);
    },
  });
}

refused("no --to is a usage error", 2, /--to/, () => ["source"]);

refused("no SOURCE is a usage error", 2, /SOURCE/, ({ one }) => ["--to", one]);

refused(
  "an unknown flag is a usage error that names the nearest flag",
  2,
  /--exclude/,
  ({ one }) => ["source", "--to", one, "--exlude", "x"],
);

refused(
  "a flag with a value that it cannot have is a usage error",
  2,
  /--limit|limit/,
  ({ one }) => ["source", "--to", one, "--limit", "fast"],
);

refused(
  "a limit for a destination that is not there is a usage error",
  2,
  /no destination of this backup/,
  ({ one }) => ["source", "--to", one, "--limit", "/mnt/nas=8MB"],
);

refused(
  "backup X/photos --to X is refused: the copy would be the source",
  2,
  /would be .*photos itself/,
  ({ folder }) => {
    mkdirSync(`${folder}/data/photos`, { recursive: true });
    return ["data/photos", "--to", "data"];
  },
);

refused(
  "backup of a link to X/photos --to X is refused as well",
  2,
  /itself|lies inside/,
  ({ folder }) => {
    mkdirSync(`${folder}/data/photos`, { recursive: true });
    symlinkSync("data", `${folder}/link`);
    return ["link/photos", "--to", "data"];
  },
);

refused(
  "a destination inside a source is refused",
  2,
  /lies inside the source/,
  ({ source }) => {
    mkdirSync(`${source}/backups/usb`, { recursive: true });
    return ["source", "--to", "source/backups/usb"];
  },
);

refused(
  "a destination inside a source that does not exist yet is refused",
  2,
  /lies inside the source/,
  () => ["source", "--to", "source/new"],
);

refused(
  "a destination that is the source is refused",
  2,
  /lies inside the source/,
  () => ["source", "--to", "source"],
);

refused(
  "a destination inside another destination's copy is refused",
  2,
  /inside/,
  ({ folder }) => {
    mkdirSync(`${folder}/one/source/below`, { recursive: true });
    return ["source", "--to", "one", "--to", "one/source/below"];
  },
);

refused(
  "a source inside a copy of itself at a destination is refused",
  2,
  /inside/,
  ({ folder }) => {
    mkdirSync(`${folder}/one/source/deep/source`, { recursive: true });
    writeFileSync(`${folder}/one/source/deep/source/file`, "");
    return ["one/source/deep/source", "--to", "one"];
  },
);

refused("--to /a --to /a/. is refused", 2, /same folder/, ({ folder }) => {
  mkdirSync(`${folder}/one`);
  return ["source", "--to", "one", "--to", "one/."];
});

refused(
  "two destinations that are one folder by way of a link are refused",
  2,
  /same folder/,
  ({ folder }) => {
    mkdirSync(`${folder}/one`);
    symlinkSync("one", `${folder}/two`);
    return ["source", "--to", "one", "--to", "two"];
  },
);

refused("two sources with one base name are refused", 2, /both be copied/, ({ folder, one }) => {
  mkdirSync(`${folder}/a/photos`, { recursive: true });
  mkdirSync(`${folder}/b/photos`, { recursive: true });
  return ["a/photos", "b/photos", "--to", one];
});

refused("the root folder needs --as", 2, /--as/, ({ one }) => ["/", "--to", one]);

refused(
  "a name that exists at the destination and is nobody's copy is refused",
  2,
  /exists already.*source/s,
  ({ folder }) => {
    mkdirSync(`${folder}/one/source`, { recursive: true });
    writeFileSync(`${folder}/one/source/somebody's`, "work");
    return ["source", "--to", "one"];
  },
);

refused(
  "a file where the copy has to be is refused",
  2,
  /exists already/,
  ({ folder }) => {
    mkdirSync(`${folder}/one`, { recursive: true });
    writeFileSync(`${folder}/one/source`, "a file");
    return ["source", "--to", "one"];
  },
);

refused(
  "a missing folder above the destination is exit code 10",
  10,
  /folder above it/,
  ({ folder }) => ["source", "--to", `${folder}/not/there`],
);

refused("a destination that is a file is an error", 1, /one/, ({ folder }) => {
  mkdirSync(`${folder}/parent`);
  writeFileSync(`${folder}/parent/one`, "a file");
  return ["source", "--to", "parent/one"];
});

refused(
  "one destination whose name is taken keeps the run from writing to the other",
  2,
  /exists already/,
  ({ folder }) => {
    mkdirSync(`${folder}/taken/source`, { recursive: true });
    writeFileSync(`${folder}/taken/source/somebody's`, "work");
    mkdirSync(`${folder}/free`);
    return ["source", "--to", "free", "--to", "taken"];
  },
);

Deno.test("a missing leaf folder is created, and the run succeeds", async () => {
  await using scene = createScene();
  writeFileSync(`${scene.source}/file`, "content");
  const { code } = await scene.backup(["source", "--to", scene.one]);
  assert.equal(code, 0);
  assert.equal(readFileSync(`${scene.one}/source/file`, "utf8"), "content");
});

Deno.test({
  ...needs("a missing source is named, the others are safe: exit code 3", ...STOCK_TOOLS),
  async fn() {
    await using scene = createScene();
    const { source, one, folder } = scene;
    writeFileSync(`${source}/file`, "content");
    const words = ["source", "gone", "--to", one];
    const { code, summary, errors } = await scene.backupJson(words);
    assert.equal(code, 3);
    assert.equal(destinationOf(summary, one)["state"], "verified");
    assert.ok(errors.some((error) => error["path"] === `${folder}/gone`), JSON.stringify(errors));
    await assertCopies(source, [one]);
    const text = await scene.backup(words);
    assert.equal(text.code, 3);
    assert.match(text.out, /gone: .*No such file or directory/);
  },
});

Deno.test("when every source is missing the run has failed: exit code 1", async () => {
  await using scene = createScene();
  const { code, out } = await scene.backup(["gone", "gone too", "--to", scene.one]);
  assert.equal(code, 1, out);
  assert.match(out, /gone too/);
});

Deno.test("a source that is a file is an error that says so", async () => {
  await using scene = createScene();
  writeFileSync(`${scene.source}/file`, "content");
  const { code, out, err } = await scene.backup(["source/file", "--to", scene.one]);
  assert.equal(code, 1, out + err);
  assert.match(out + err, /source\/file is no folder \(A source is a folder/);
});

Deno.test({
  ...needs("another machine's copy of the same name is never written over", ...STOCK_TOOLS),
  async fn() {
    await using scene = createScene();
    const { source, one } = scene;
    writeFileSync(`${source}/file`, "mine");
    assert.equal((await scene.backup(["source", "--to", one])).code, 0);
    const marker = `${one}/.backup-agent/marker.json`;
    const json = JSON.parse(readFileSync(marker, "utf8"));
    json.bindings[0].hostId = "host-of-somebody-else";
    json.bindings[0].hostName = "her-laptop";
    writeFileSync(marker, JSON.stringify(json));
    writeFileSync(`${source}/file`, "changed");

    await assertRefused(scene, ["source", "--to", one], 2, /another machine.*her-laptop/s);
    // Her copy is untouched, and mine can lie beside it.
    assert.equal((await scene.backup(["source", "--to", one, "--as", "mine"])).code, 0);
    assert.equal(readFileSync(`${one}/source/file`, "utf8"), "mine");
    assert.equal(readFileSync(`${one}/mine/file`, "utf8"), "changed");
  },
});

Deno.test("another source under a name that is taken is refused, and --as gives it another", async () => {
  await using scene = createScene();
  const { folder, source, one } = scene;
  writeFileSync(`${source}/file`, "first");
  mkdirSync(`${folder}/elsewhere/source`, { recursive: true });
  writeFileSync(`${folder}/elsewhere/source/file`, "second");
  assert.equal((await scene.backup(["source", "--to", one])).code, 0);
  await assertRefused(scene, ["elsewhere/source", "--to", one], 2, /holds the copies of/);
  assert.equal((await scene.backup(["elsewhere/source", "--to", one, "--as", "b"])).code, 0);
  assert.equal(readFileSync(`${one}/source/file`, "utf8"), "first");
});

Deno.test({
  ...needs("a known destination without its marker is refused until --init says it is new"),
  async fn() {
    await using scene = createScene();
    const { source, one, folder } = scene;
    writeFileSync(`${source}/file`, "content");
    mkdirSync(one);
    assert.equal((await scene.backup(["source", "--to", one])).code, 0);
    // What an unmounted disk looks like: the empty mount point.
    renameSync(one, `${folder}/unplugged`);
    mkdirSync(one);

    await assertRefused(scene, ["source", "--to", one], 10, /marker is gone.*--init/s);
    assert.deepEqual(readdirSync(one), []);

    assert.equal((await scene.backup(["source", "--to", one, "--init"])).code, 0);
    // The old disk under the path of the new one is not the one known now.
    renameSync(one, `${folder}/new disk`);
    renameSync(`${folder}/unplugged`, one);
    await assertRefused(scene, ["source", "--to", one], 10, /not the destination that was known/);
  },
});

Deno.test("a known destination that is gone altogether is refused, not made anew", async () => {
  await using scene = createScene();
  const { source, one } = scene;
  writeFileSync(`${source}/file`, "content");
  assert.equal((await scene.backup(["source", "--to", one])).code, 0);
  rmSync(one, { recursive: true });
  await assertRefused(scene, ["source", "--to", one], 10, /marker is gone/);
  assert.equal(existsSync(one), false);
});

Deno.test("one missing destination of two: the other is verified, exit code 10", async () => {
  await using scene = createScene();
  const { source, one, folder } = scene;
  writeFileSync(`${source}/file`, "content");
  const words = ["source", "--to", `${folder}/not/there`, "--to", one];
  const { code, summary } = await scene.backupJson(words);
  assert.equal(code, 10);
  assert.equal(destinationOf(summary, one)["state"], "verified");
  assert.equal(readFileSync(`${one}/source/file`, "utf8"), "content");
});

Deno.test("verify of a folder that is no destination is exit code 10, of none at all 10, of nothing 2", async () => {
  await using scene = createScene();
  assert.equal((await scene.run(["verify", scene.source])).code, 10);
  assert.equal((await scene.run(["verify", scene.one])).code, 10);
  assert.equal((await scene.run(["verify"])).code, 2);
  assert.deepEqual(readdirSync(scene.source), []);
  assert.equal(existsSync(scene.one), false);
});

Deno.test("verify of a copy that is not there is exit code 2 and names it", async () => {
  await using scene = createScene();
  writeFileSync(`${scene.source}/file`, "content");
  assert.equal((await scene.backup(["source", "--to", scene.one])).code, 0);
  const { code, err } = await scene.run(["verify", scene.one, "photos"]);
  assert.equal(code, 2);
  assert.match(err, /photos/);
});

Deno.test("an unknown command is a usage error; every command's --help lists its own options and exit codes", async () => {
  await using scene = createScene();
  assert.equal((await scene.run(["bakcup", "source"])).code, 2);
  const help = await Promise.all(
    ["backup", "verify", "config"].map((command) => scene.run([command, "--help"])),
  );
  for (const { code, out } of help) {
    assert.equal(code, 0);
    assert.match(out, /^Usage:/m);
    assert.match(out, /^Exit codes:/m);
  }
  const [backup, verify] = help;
  assert.match(backup!.out, /--one-file-system/);
  assert.doesNotMatch(verify!.out, /--one-file-system/);
  for (const code of [0, 1, 2, 3, 4, 10, 11, 130]) {
    assert.match(backup!.out, new RegExp(`^ +${code} {4}`, "m"));
  }
});

Deno.test("a typo in the configuration file is an error that names the key, and nothing is copied", async () => {
  await using scene = createScene();
  const { source, one, folder } = scene;
  writeFileSync(`${source}/file`, "content");
  writeFileSync(`${folder}/config.json`, `{ "verfy": "all" }`);
  const { code, err } = await scene.backup(["source", "--to", one, "--config", "config.json"]);
  assert.equal(code, 2);
  assert.match(err, /verfy/);
  assert.equal(existsSync(one), false);
});

Deno.test("flag wins over environment, that over the file, that over the default; config show says which", async () => {
  await using scene = createScene();
  const { folder } = scene;
  const config = `${folder}/config.json`;
  writeFileSync(config, `{ "workers": 3, "attempts": 4, "timeout": "5s" } // three settings`);
  const env = { BACKUP_AGENT_ATTEMPTS: "5", BACKUP_AGENT_TIMEOUT: "6s" };
  const words = ["config", "show", "--config", config, "--timeout", "7s", "--json"];
  const { code, out, err } = await scene.run(words, { env });
  assert.equal(code, 0, err);
  for (
    const [name, value, source] of [
      ["timeout", "7", "flag"],
      ["attempts", "5", "environment"],
      ["workers", "3", "file"],
      ["order", "priority", "default"],
    ]
  ) {
    const line = out.split("\n").find((text) => text.includes(`"${name}"`));
    assert.ok(line !== undefined, `${name} is not in ${out}`);
    assert.match(line, new RegExp(value!));
    assert.match(line, new RegExp(source === "environment" ? "env|BACKUP_AGENT" : source!));
  }
});
