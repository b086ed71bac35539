import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Outcome, runProgram, startProgram } from "../support/run_program.ts";
import { needsLoopFs } from "../support/loop_fs.ts";
import { CONTENDER_PROGRAMS } from "./contenders.ts";
import { SIZES } from "./mirror_bench.ts";

const SCRIPT = fileURLToPath(new URL("../../scripts/bench.ts", import.meta.url));
const CONFIG = fileURLToPath(new URL("../../deno.json", import.meta.url));
const TOOLS = ["losetup", ...CONTENDER_PROGRAMS];

/** With all permissions: dropping caches and the times of child processes are special files. */
const command = (...args: string[]): string[] => [
  ...["run", "--quiet", "-A", "--config", CONFIG, SCRIPT],
  ...args,
];

const env = (folder: string): Record<string, string> => ({
  PATH: Deno.env.get("PATH") ?? "",
  HOME: Deno.env.get("HOME") ?? folder,
  TMPDIR: folder,
  ...(Deno.env.has("DENO_DIR") ? { DENO_DIR: Deno.env.get("DENO_DIR")! } : {}),
});

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync({ prefix: "bench-test-" });
  try {
    await use(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test({
  ...needsLoopFs(
    "the smallest bench measures every contender, and all copies are equal",
    "ext4",
    ...TOOLS,
  ),
  fn: () =>
    inFolder(async (folder) => {
      const json = `${folder}/result.json`;
      const parts = ["small", "large", "second"].flatMap((part) => ["--only", part]);
      const args = command("mirror", "--size", "smallest", ...parts, "--json", json);
      const { code, out, err } = await runProgram(Deno.execPath(), args, {
        env: env(folder),
        deadlineMs: 300_000,
      });
      assert.equal(code, 0, err);

      const { parts: [small, large, second] } = JSON.parse(Deno.readTextFileSync(json));
      for (const part of [small, large]) {
        for (const name of ["rsync", "cp", "rclone", "backup-agent"]) {
          const row = part.rows.find((row: { name: string }) => row.name.startsWith(name));
          assert.ok(row.values.every((seconds: number) => seconds > 0), name);
        }
      }
      // Every copy of every contender, compared by code that none of them shares; a difference would have ended it.
      assert.equal(small.filesCompared, SIZES.smallest.smallFiles * 3 * small.rows.length);
      assert.equal(large.filesCompared, SIZES.smallest.largeFiles * 3 * large.rows.length);
      assert.ok(second.rows.length >= 3);
      assert.match(out, /target ≤ 0\.5 ×/);
      assert.deepEqual(readdirSync(folder), ["result.json"], "nothing is left behind");
    }),
});

Deno.test({
  ...needsLoopFs(
    "an interrupted bench unmounts its file system and leaves nothing behind",
    "ext4",
    ...TOOLS,
  ),
  fn: () =>
    inFolder(async (folder) => {
      const args = command("mirror", "--size", "smallest", "--only", "small", "--rounds", "1000");
      await using bench = startProgram(Deno.execPath(), args, {
        env: env(folder),
        deadlineMs: 120_000,
      });
      await bench.saw("file system");
      bench.kill("SIGINT");
      const { code, err } = await bench.outcome;
      assert.equal(code, 130, err);
      assert.deepEqual(readdirSync(folder), []);
      assert.doesNotMatch(Deno.readTextFileSync("/proc/mounts"), new RegExp(folder));
    }),
});

const usage = (name: string, args: string[], expected: RegExp): void =>
  Deno.test(name, async () => {
    const outcome: Outcome = await runProgram(Deno.execPath(), command(...args), {
      env: env("/tmp"),
    });
    assert.equal(outcome.code, 2);
    assert.match(outcome.err, expected);
  });

usage(
  "an unknown part is a usage error that names the known ones",
  ["mirror", "--only", "tea"],
  /Unknown part: tea; known: small/,
);
usage("a bench without a name is a usage error", [], /Name the bench: mirror/);
usage(
  "no rounds at all is a usage error",
  ["mirror", "--rounds", "0"],
  /--rounds must be 1 or more/,
);
