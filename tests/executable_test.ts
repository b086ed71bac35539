import assert from "node:assert/strict";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { fileURLToPath } from "node:url";
import config from "../deno.json" with { type: "json" };
import { type Outcome, runProgram, startProgram } from "./support/run_program.ts";
import { findProgram, needs } from "./support/tools.ts";

const built = fileURLToPath(new URL("../dist/backup-agent", import.meta.url));
const dir = Deno.makeTempDirSync({ prefix: "with space " });
const executable = `${dir}/backup-agent`;

/** Only the state folder is set, so that the tests leave nothing in the home of whoever runs them. */
const STATE = { XDG_STATE_HOME: `${dir}/state` };

Deno.test.beforeAll(() => {
  assert.ok(existsSync(built), "dist/backup-agent is missing: run `deno task build` first");
  copyFileSync(built, executable);
});

Deno.test.afterAll(() => Deno.removeSync(dir, { recursive: true }));

const run = (...args: string[]): Promise<Outcome> =>
  runProgram(executable, args, { cwd: dir, env: STATE });

/** A fresh folder of this test's own inside `dir`. */
function scene(name: string): string {
  const path = `${dir}/${name}`;
  mkdirSync(path);
  return path;
}

/** A source of many small files, odd names and one file large enough for several buffers. */
function fillSource(source: string): void {
  mkdirSync(`${source}/deep/er/est`, { recursive: true });
  mkdirSync(`${source}/empty folder`);
  for (let i = 0; i < 60; i++) {
    writeFileSync(`${source}/deep/file ${i}.txt`, `content ${i}\n`.repeat(i));
  }
  const names = [
    " ",
    "line\nbreak",
    "back\\slash",
    "-rf",
    "\"quoted\" 'name'",
    "🗄️",
    "n".repeat(255),
  ];
  for (const name of names) writeFileSync(`${source}/deep/er/est/${name}`, `I am ${name}`);
  const large = new Uint8Array(3 * 1024 * 1024 + 17).map((_, i) => (i * 31 + (i >> 9)) & 0xff);
  writeFileSync(`${source}/large.bin`, large);
}

/** Every path below `root` with its content in hex, folders as null; without the product's own folder. */
function tree(root: string): Map<string, string | null> {
  const found = new Map<string, string | null>();
  const visit = (relative: string): void => {
    for (const entry of readdirSync(`${root}/${relative}`, { withFileTypes: true })) {
      const path = relative === "" ? entry.name : `${relative}/${entry.name}`;
      if (path === ".backup-agent") continue;
      found.set(path, entry.isDirectory() ? null : readFileSync(`${root}/${path}`, "hex"));
      if (entry.isDirectory()) visit(path);
    }
  };
  visit("");
  return found;
}

function executableTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ ...needs(`executable: ${name}`, "linux"), fn });
}

executableTest("--version prints name and version", async () => {
  const { code, out, err } = await run("--version");
  assert.deepEqual([code, err], [0, ""]);
  assert.match(out, /^backup-agent \d+\.\d+\.\d+/);
  assert.ok(out.includes(config.version));
});

executableTest("--help lists the commands, and a command's own help its exit codes", async () => {
  const all = await run("--help");
  assert.deepEqual([all.code, all.err], [0, ""]);
  assert.match(all.out, /\bbackup\b/);
  const one = await run("backup", "--help");
  assert.deepEqual([one.code, one.err], [0, ""]);
  assert.match(one.out, /--to\b/);
  for (const code of [0, 1, 2, 3, 4, 10, 11, 130]) {
    assert.match(one.out, new RegExp(`\\b${code}\\b`));
  }
});

executableTest("an unknown command or flag is one line on stderr and exit 2", async () => {
  for (const args of [["no-such-command"], ["backup", "--no-such-flag"], ["--no-such-flag"]]) {
    const { code, out, err } = await run(...args);
    assert.deepEqual([code, out], [2, ""], args.join(" "));
    assert.ok(err.includes("no-such"), err);
    assert.doesNotMatch(err, /\n\s+at /, "no stack trace");
  }
});

executableTest("deno's own flags mean nothing to it", async () => {
  for (const flag of ["--allow-all", "--inspect", "--reload", "--unstable"]) {
    assert.equal((await run(flag)).code, 2, flag);
  }
});

executableTest("a megabyte of arguments is read to its end", async () => {
  const sources = Array.from({ length: 10 }, (_, i) => `/${i}${"/x".repeat(50_000)}`);
  const { code, err } = await run("backup", ...sources, "--no-such-flag-at-the-end");
  assert.equal(code, 2);
  assert.ok(err.includes("no-such-flag-at-the-end"), err.slice(0, 200));
});

executableTest("two destinations get the same bytes, read back and verified", async () => {
  const place = scene("two destinations");
  const source = `${place}/so "urce" of\n'mine'`;
  fillSource(source);
  mkdirSync(`${place}/a`);
  mkdirSync(`${place}/b`);
  const args = ["backup", source, "--to", `${place}/a`, "--to", `${place}/b`];
  const { code, err } = await run(...args);
  assert.equal(code, 0, err);
  const expected = tree(source);
  assert.ok(expected.size > 60);
  for (const destination of ["a", "b"]) {
    assert.deepEqual(tree(`${place}/${destination}/so "urce" of\n'mine'`), expected, destination);
  }
});

executableTest("an empty argument is refused as a source", async () => {
  const place = scene("empty argument");
  const { code, err } = await run("backup", "", "--to", `${place}/a`);
  assert.ok(code === 1 || code === 2, `exit code ${code}`);
  assert.notEqual(err, "");
  assert.equal(existsSync(`${place}/a/.backup-agent/SHA256SUMS`), false);
});

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  executableTest(`${signal} cancels with exit 130 and the next run completes`, async () => {
    const place = scene(`cancelled by ${signal}`);
    const source = `${place}/source`;
    fillSource(source);
    writeFileSync(`${source}/long.bin`, new Uint8Array(40 * 1024 * 1024).fill(7));
    const args = ["backup", source, "--to", `${place}/copy`, "--json"];
    {
      const slow = [...args, "--limit", "1MB"];
      await using running = startProgram(executable, slow, { cwd: dir, env: STATE });
      await running.saw('"message_type"');
      running.kill(signal);
      const { code, err } = await running.outcome;
      assert.equal(code, 130, err);
    }
    assert.equal(existsSync(`${place}/copy/source/long.bin`), false, "nothing torn is visible");
    const again = await run(...args);
    assert.equal(again.code, 0, again.err);
    assert.deepEqual(tree(`${place}/copy/source`), tree(source));
  });
}

Deno.test({
  ...needs(
    "executable: it backs up with an empty environment, no network and no Deno on PATH",
    "linux",
    "root",
    "unshare",
  ),
  async fn() {
    const place = scene("bare machine");
    const source = `${place}/source`;
    fillSource(source);
    // With no environment the state lies in the home folder: an empty one of this process's own covers it.
    const script = 'mount -t tmpfs none /root && unset PATH && exec "$0" "$@"';
    const outcome = await runProgram(findProgram("unshare")!, [
      ...["--net", "--mount", "/bin/sh", "-c", script, executable],
      ...["backup", source, "--to", `${place}/a`, "--to", `${place}/b`],
    ]);
    assert.equal(outcome.code, 0, outcome.err);
    for (const destination of ["a", "b"]) {
      assert.deepEqual(tree(`${place}/${destination}/source`), tree(source), destination);
    }
  },
});
