/** What goes wrong while the source is read. Rule: each file is named once, and everything else is safe everywhere. */
import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { assertChecksumsHold, assertSameTree, STOCK_TOOLS } from "../support/compare_trees.ts";
import { fillFiles, noise } from "../support/fill_tree.ts";
import { runProgram, startProgram } from "../support/run_program.ts";
import { createScene, destinationOf, type Scene } from "../support/scene.ts";
import { needs } from "../support/tools.ts";

/** The superuser without the right to read everything, so that modes count; anybody else needs nothing. */
const WITHOUT_OVERRIDE = Deno.uid() === 0
  ? ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-all"]
  : [];
const TOOLS = ["linux", "setpriv", ...STOCK_TOOLS] as const;

function faultTest(name: string, tools: string[], fn: (scene: Scene) => Promise<void>): void {
  Deno.test({
    ...needs(name, ...TOOLS, ...tools),
    async fn() {
      await using scene = createScene();
      await fn(scene);
    },
  });
}

faultTest(
  "a file that cannot be read is named, the rest is safe: exit code 3",
  [],
  async (scene) => {
    const { source, one, two } = scene;
    fillFiles(source, 30, 1000);
    writeFileSync(`${source}/secret`, "nobody may read this");
    chmodSync(`${source}/secret`, 0);
    const words = ["source", "--to", one, "--to", two];
    const call = { before: WITHOUT_OVERRIDE };
    const { code, errors, summary } = await scene.backupJson(words, call);
    assert.equal(code, 3);
    assert.deepEqual(errors.map(({ path, during }) => [path, during]), [["source/secret", "read"]]);
    for (const destination of [one, two]) {
      const row = destinationOf(summary, destination);
      assert.deepEqual([row["state"], row["files_verified"], row["files_failed"]], [
        "verified",
        30,
        0,
      ]);
      await assertChecksumsHold(destination);
    }
    const text = await scene.backup(words, call);
    assert.equal(text.code, 3);
    assert.match(text.out, /source\/secret: .*Permission denied/);
    const quiet = await scene.backup([...words, "-q"], call);
    assert.equal(quiet.out, "");
    assert.match(quiet.err, /source\/secret/);

    rmSync(`${source}/secret`);
    assert.equal((await scene.backup(words, call)).code, 0);
    await assertSameTree(source, `${one}/source`);
  },
);

faultTest("a large file that cannot be read is named as well", [], async (scene) => {
  const { source, one } = scene;
  writeFileSync(`${source}/large secret`, noise(9_000_000, 1));
  chmodSync(`${source}/large secret`, 0);
  writeFileSync(`${source}/file`, "content");
  const call = { before: WITHOUT_OVERRIDE };
  const { code, errors } = await scene.backupJson(["source", "--to", one], call);
  assert.equal(code, 3);
  assert.deepEqual(errors.map(({ path }) => path), ["source/large secret"]);
});

faultTest(
  "a folder that cannot be listed is named, and what was copied from it before is kept",
  [],
  async (scene) => {
    const { source, one } = scene;
    mkdirSync(`${source}/closed`);
    writeFileSync(`${source}/closed/inside`, "content");
    writeFileSync(`${source}/open`, "content");
    assert.equal((await scene.backup(["source", "--to", one])).code, 0);
    chmodSync(`${source}/closed`, 0);
    const call = { before: WITHOUT_OVERRIDE };
    const { code, errors } = await scene.backupJson(["source", "--to", one], call);
    assert.equal(code, 3);
    assert.deepEqual(errors.map(({ path }) => path), ["source/closed"]);
    assert.equal(readFileSync(`${one}/source/closed/inside`, "utf8"), "content");
    await assertChecksumsHold(one);
    chmodSync(`${source}/closed`, 0o755);
    assert.equal((await scene.backup(["source", "--to", one], call)).code, 0);
    await assertSameTree(source, `${one}/source`);
  },
);

faultTest(
  "a file with two names that cannot be read is the source's fault, not the destination's",
  [],
  async (scene) => {
    const { source, one } = scene;
    writeFileSync(`${source}/a secret`, "nobody may read this");
    linkSync(`${source}/a secret`, `${source}/its second name`);
    writeFileSync(`${source}/file`, "content");
    chmodSync(`${source}/a secret`, 0);
    const call = { before: WITHOUT_OVERRIDE };
    const { code, errors, summary } = await scene.backupJson(["source", "--to", one], call);
    assert.deepEqual(
      errors.map(({ path, during }) => [path, during]),
      [["source/a secret", "read"], ["source/its second name", "read"]],
    );
    assert.equal(code, 3);
    assert.equal(destinationOf(summary, one)["state"], "verified");
  },
);

faultTest(
  "an earlier copy of a file that cannot be read any more stays, under all its names",
  [],
  async (scene) => {
    const { source, one } = scene;
    writeFileSync(`${source}/a`, "first version");
    linkSync(`${source}/a`, `${source}/b`);
    assert.equal((await scene.backup(["source", "--to", one])).code, 0);
    writeFileSync(`${source}/a`, "second version");
    chmodSync(`${source}/a`, 0);
    const { code } = await scene.backup(["source", "--to", one], { before: WITHOUT_OVERRIDE });
    assert.equal(code, 3);
    for (const name of ["a", "b"]) {
      assert.equal(readFileSync(`${one}/source/${name}`, "utf8"), "first version");
    }
    await assertChecksumsHold(one);
    assert.equal((await scene.run(["verify", one])).code, 0);
  },
);

faultTest("a source folder that cannot be listed at all: exit code 1", [], async (scene) => {
  chmodSync(scene.source, 0);
  const { code, out, err } = await scene.backup(["source", "--to", scene.one], {
    before: WITHOUT_OVERRIDE,
  });
  chmodSync(scene.source, 0o755);
  assert.equal(code, 1, out + err);
  assert.match(out, /Permission denied/);
});

/** Read in one piece, and read in chunks. */
for (const [how, startBytes] of [["one piece", 4_000_000], ["chunks", 20_000_000]] as const) {
  faultTest(
    `a file read in ${how} that never stops changing is retried, then reported: exit code 3`,
    [
      "perl",
    ],
    async (scene) => {
      const { source, one, two } = scene;
      fillFiles(source, 20, 1000);
      writeFileSync(`${source}/log`, noise(startBytes, 3));
      // Without a pause: whatever the moment, something was appended while it was read.
      await using writer = startProgram("perl", [
        "-e",
        String
          .raw`use IO::Handle; open(my $f, '+<', $ARGV[0]) or die; binmode $f; $| = 1; print "writing\n";
      my $n = 0; while (1) { seek($f, $n++ % ${startBytes}, 0); print $f chr($n % 251); $f->flush; }`,
        `${source}/log`,
      ], { env: { PATH: Deno.env.get("PATH") ?? "" } });
      await writer.saw("writing");
      const { code, errors, summary } = await scene.backupJson([
        "source",
        "--to",
        one,
        "--to",
        two,
      ]);
      writer.kill("SIGKILL");
      await writer.outcome;
      assert.deepEqual(
        errors.map(({ path, code, attempts }) => [path, code, attempts]),
        [["source/log", "changed_while_read", 3]],
      );
      assert.equal(code, 3);
      // A destination that reads for itself may find a moment in which nobody wrote: then it has a whole file, and says so.
      const withLog = [one, two].filter((destination) => existsSync(`${destination}/source/log`));
      assert.ok(withLog.length < 2);
      for (const destination of [one, two]) {
        const verified = withLog.includes(destination) ? 21 : 20;
        assert.equal(destinationOf(summary, destination)["files_verified"], verified);
        await assertChecksumsHold(destination);
      }
      assert.equal((await scene.backup(["source", "--to", one, "--to", two])).code, 0);
      await assertSameTree(source, `${one}/source`);
      await assertSameTree(source, `${two}/source`);
    },
  );
}

faultTest(
  "a clock that goes backwards between two runs disturbs nothing",
  ["faketime"],
  async (scene) => {
    const { source, one } = scene;
    fillFiles(source, 5, 100);
    assert.equal((await scene.backup(["source", "--to", one])).code, 0);
    writeFileSync(`${source}/new`, "new");
    const { code, out } = await scene.backup(["source", "--to", one], {
      env: { FAKETIME_DONT_FAKE_MONOTONIC: "1" },
      before: ["faketime", "-f", "@2001-01-01 00:00:00"],
    });
    assert.equal(code, 0, out);
    await assertSameTree(source, `${one}/source`);
    assert.equal((await scene.run(["verify", one])).code, 0);
  },
);

faultTest(
  "files that vanish and appear during a run never make it fail or lie",
  ["perl"],
  async (scene) => {
    const { source, one } = scene;
    fillFiles(source, 200, 3000);
    mkdirSync(`${source}/busy`);
    await using writer = startProgram("perl", [
      "-e",
      String.raw`chdir $ARGV[0] or die; $| = 1; print "writing\n"; my $n = 0;
    while (1) { $n++; open(my $f, '>', 'f' . $n % 40) or die; print $f "content $n" x ($n % 100); close $f;
      unlink('f' . (($n * 7) % 40)); }`,
      `${source}/busy`,
    ], { env: { PATH: Deno.env.get("PATH") ?? "" } });
    await writer.saw("writing");
    const { code, errors, summary } = await scene.backupJson(["source", "--to", one]);
    writer.kill("SIGKILL");
    await writer.outcome;
    assert.ok(code === 0 || code === 3, `${code}`);
    assert.equal(destinationOf(summary, one)["state"], "verified");
    for (const { path } of errors) assert.match(String(path), /^source\/busy\//);
    await assertChecksumsHold(one);
    assert.equal((await scene.run(["verify", one])).code, 0);
  },
);

Deno.test({
  ...needs("the test's own way of taking rights away works", "linux", "root", "setpriv", "cat"),
  async fn() {
    await using scene = createScene();
    writeFileSync(`${scene.source}/secret`, "x");
    chmodSync(`${scene.source}/secret`, 0);
    const [program, ...args] = [...WITHOUT_OVERRIDE, "cat", `${scene.source}/secret`];
    const { code } = await runProgram(program!, args, {
      env: { PATH: Deno.env.get("PATH") ?? "" },
    });
    assert.equal(code, 1);
  },
});
