// deno-lint-ignore-file no-control-regex -- what a terminal is told is made of control characters
/** What the program says. Rule: the result is on standard output, the rest on standard error, and scripts can rely on both. */
import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import * as v from "valibot";
import { fillFiles } from "../support/fill_tree.ts";
import { createScene } from "../support/scene.ts";
import { needs } from "../support/tools.ts";

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const seconds = v.pipe(v.number(), v.minValue(0));
/** restic's field names, which scripts parse already, and `destination`. */
const LINES = v.variant("message_type", [
  v.object({
    message_type: v.literal("status"),
    destination: v.string(),
    percent_done: v.pipe(v.number(), v.minValue(0), v.maxValue(1)),
    seconds_elapsed: seconds,
    seconds_remaining: v.optional(seconds),
    total_files: count,
    files_done: count,
    total_bytes: count,
    bytes_done: count,
    error_count: count,
    current_files: v.pipe(v.array(v.string()), v.maxLength(8)),
  }),
  v.object({
    message_type: v.literal("destination"),
    destination: v.string(),
    state: v.picklist(["verified", "failed"]),
    seconds_elapsed: seconds,
  }),
  v.object({
    message_type: v.literal("error"),
    error: v.object({ message: v.string() }),
    during: v.string(),
    item: v.string(),
  }),
  v.object({
    message_type: v.literal("summary"),
    exit_code: count,
    total_files_processed: count,
    total_bytes_processed: count,
    total_duration: seconds,
    destinations: v.array(v.object({
      destination: v.string(),
      state: v.picklist(["verified", "failed", "cancelled", "planned"]),
      files_verified: count,
      verification: v.picklist(["disk", "cache", "mixed", "none"]),
    })),
  }),
]);
const EXIT_ERROR = v.object({
  message_type: v.literal("exit_error"),
  code: count,
  message: v.string(),
});

Deno.test("--json: every line of every kind has restic's shape, and each destination ends once", async () => {
  await using scene = createScene();
  const { source, one, folder } = scene;
  fillFiles(source, 200, 20_000);
  const missing = `${folder}/not/there`;
  const { code, lines, err } = await scene.backupJson([
    ...["source", "gone", "--to", one, "--to", missing, "--limit", `${one}=5MB`],
  ]);
  assert.equal(code, 10);
  for (const line of lines) v.parse(LINES, line);
  const kinds = new Set(lines.map((line) => line.message_type));
  assert.deepEqual([...kinds].sort(), ["destination", "error", "status", "summary"]);
  const ends = lines.filter((line) => line.message_type === "destination");
  assert.deepEqual(
    ends.map((line) => [line["destination"], line["state"]]).toSorted(),
    [[missing, "failed"], [one, "verified"]].toSorted(),
  );
  assert.equal(lines.at(-1)!.message_type, "summary");
  const [exit] = err.trim().split("\n").map((line) => JSON.parse(line));
  assert.equal(v.parse(EXIT_ERROR, exit).code, 10);
});

Deno.test("--json: a mistake in the command is one exit_error line and no other", async () => {
  await using scene = createScene();
  const { code, out, err } = await scene.backup(["source", "--json"]);
  assert.equal(code, 2);
  assert.equal(out, "");
  assert.equal(v.parse(EXIT_ERROR, JSON.parse(err)).code, 2);
});

Deno.test("the result is on standard output and the rest on standard error, without colours in a pipe", async () => {
  await using scene = createScene();
  const { source, one, two } = scene;
  fillFiles(source, 3, 1000);
  const { code, out, err } = await scene.backup(["source", "--to", one, "--to", two]);
  assert.equal(code, 0);
  assert.match(out, /^✓ All 2 copies are verified: 3 files, 3\.0 kB in .*\n/);
  for (const destination of [one, two]) {
    assert.ok(out.includes(`${destination}: verified, 3 files copied`), out);
    assert.ok(err.includes(`${destination}: verified in`), err);
  }
  assert.doesNotMatch(out + err, /\x1b/);
});

Deno.test("-q prints nothing when all is well, and only what went wrong when not", async () => {
  await using scene = createScene();
  const { source, one, folder } = scene;
  writeFileSync(`${source}/file`, "content");
  const good = await scene.backup(["source", "--to", one, "-q"]);
  assert.deepEqual(good, { code: 0, signal: null, out: "", err: "" });
  const bad = await scene.backup(["source", "--to", one, "--to", `${folder}/a/b`, "-q"]);
  assert.equal(bad.code, 10);
  assert.equal(bad.out, "");
  assert.match(bad.err, /a\/b/);
  assert.equal((await scene.run(["verify", one, "-q"])).out, "");
  rmSync(`${one}/source/file`);
  const damaged = await scene.run(["verify", one, "-q"]);
  assert.deepEqual([damaged.code, damaged.out], [1, ""]);
  assert.match(damaged.err, /source\/file/);
});

Deno.test({
  ...needs(
    "on a terminal each destination has a lane, and NO_COLOR takes the colours away",
    "script",
    "linux",
  ),
  async fn() {
    await using scene = createScene();
    const { source, one, two } = scene;
    fillFiles(source, 200, 20_000);
    // `script` gives the program a terminal; it takes the whole command as one word of shell.
    const onTerminal = (words: string[], env: Record<string, string>) =>
      scene.backup(words, {
        env: { ...env, TERM: "xterm-256color", COLUMNS: "120" },
        before: ["sh", "-c", `exec script -qefc "$(printf "'%s' " "$@")" /dev/null`, "sh"],
      });
    const words = ["source", "--to", one, "--to", two, "--limit", `${two}=3MB`];
    const coloured = await onTerminal(words, {});
    assert.equal(coloured.code, 0, coloured.out);
    assert.match(
      coloured.out,
      /\x1b\[\d*A|\x1b\[\d+F|\x1b8|\x1b\[u/,
      "the lanes are drawn in place",
    );
    assert.match(coloured.out, /\x1b\[[0-9;]*m/, "colours");
    assert.match(coloured.out, /MB\/s/);
    assert.match(coloured.out, /ETA/);
    for (const path of [one, two]) assert.ok(coloured.out.includes(path.slice(-10)), path);

    const plain = await onTerminal(words, { NO_COLOR: "1" });
    assert.equal(plain.code, 0);
    assert.doesNotMatch(plain.out, /\x1b\[(3|4|9|10)\d(;\d+)*m/, "no colours");
  },
});

Deno.test("names with control characters reach the terminal only in a visible form", async () => {
  await using scene = createScene();
  const { source, one } = scene;
  writeFileSync(`${source}/evil\x1b[31mred\nname`, "content");
  assert.equal((await scene.backup(["source", "--to", one])).code, 0);
  rmSync(`${one}/source/evil\x1b[31mred\nname`);
  const { code, out } = await scene.run(["verify", one]);
  assert.equal(code, 1);
  assert.doesNotMatch(out, /\x1b/);
  assert.doesNotMatch(out, /red\nname/);
});
