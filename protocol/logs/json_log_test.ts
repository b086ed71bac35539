import assert from "node:assert/strict";
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BackupError } from "../base/errors.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import {
  FILES,
  type JsonLog,
  type JsonLogOptions,
  LINES_IN_MEMORY,
  openJsonLog,
} from "./json_log.ts";

function withLog(
  options: Partial<JsonLogOptions>,
  work: (log: JsonLog, folder: string, failures: string[]) => void,
): void {
  const folder = mkdtempSync(join(tmpdir(), "log-"));
  const failures: string[] = [];
  const log = openJsonLog({
    directory: join(folder, "logs"),
    name: "worker-8801",
    clock: new ManualClock(),
    secrets: ["s3cr3t-token"],
    onFailure: (message) => failures.push(message),
    ...options,
  });
  try {
    work(log, folder, failures);
  } finally {
    log.close();
    rmSync(folder, { recursive: true });
  }
}

const linesOf = (path: string) =>
  readFileSync(path, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));

Deno.test("each line is one JSON object with time, level and the facts of the role", () =>
  withLog({ facts: { agent: "agent-1" } }, ({ log, path, lines }) => {
    log("info", "A task\nbegan", { run: "run-1", task: "task-1", attempt: 2 });
    log("debug", "left out");
    const [line, ...more] = linesOf(path);
    assert.deepEqual(line, {
      time: line.time,
      level: "info",
      message: "A task\nbegan",
      agent: "agent-1",
      run: "run-1",
      task: "task-1",
      attempt: 2,
    });
    assert.equal(new Date(line.time).toISOString(), line.time);
    assert.deepEqual([more.length, lines().length], [0, 1]);
  }));

Deno.test("no secret gets into a line, wherever it stands", () =>
  withLog({}, ({ log, path, lines }) => {
    log("error", "refused s3cr3t-token", {
      url: "http://x/?t=s3cr3t-token",
      deep: [{ note: "s3cr3t-token" }],
      headers: { authorization: "Bearer other" },
      passphrase: "abc",
      error: new Error("with s3cr3t-token"),
    });
    const text = readFileSync(path, "utf8") + JSON.stringify(lines());
    for (const secret of ["s3cr3t", "other", "abc"]) assert.ok(!text.includes(secret), secret);
  }));

Deno.test("what cannot be written as JSON, and what is very long, is a line all the same", () =>
  withLog({}, ({ log, path }) => {
    const circle: Record<string, unknown> = { big: 1n };
    circle["self"] = circle;
    log("warn", "round", circle);
    log("warn", "x".repeat(1 << 20));
    const [round, long] = linesOf(path);
    assert.equal(round.big, "1");
    assert.equal(long.cut, true);
  }));

Deno.test("files rotate by size, and no more than ten are kept", () =>
  withLog({ fileBytesMax: 1_000 }, ({ log, lines }, folder) => {
    for (let i = 0; i < 2_000; i++) log("info", `line ${i}`);
    const files = readdirSync(join(folder, "logs"));
    assert.equal(files.length, FILES);
    for (const file of files) assert.ok(statSync(join(folder, "logs", file)).size <= 1_000);
    assert.equal(lines().length, LINES_IN_MEMORY);
    assert.equal(lines().at(-1)!.message, "line 1999");
  }));

Deno.test("a log on a full disk says so once, and nobody who logs notices", () => {
  const directory = mkdtempSync(join(tmpdir(), "log-"));
  symlinkSync("/dev/full", join(directory, "worker-8801.jsonl"));
  try {
    withLog({ directory }, (json, _folder, failures) => {
      json.log("info", "first");
      json.log("info", "second");
      assert.equal(failures.length, 1);
      assert.match(failures[0]!, /cannot be written/);
      assert.equal(json.lines().length, 2);
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
});

Deno.test("a folder that cannot be made is an error that says what to do", () => {
  const folder = mkdtempSync(join(tmpdir(), "log-"));
  try {
    writeFileSync(join(folder, "file"), "");
    assert.throws(
      () =>
        openJsonLog({
          directory: join(folder, "file", "logs"),
          name: "x",
          clock: new ManualClock(),
          secrets: [],
          onFailure() {},
        }),
      (e) => e instanceof BackupError && e.hint!.includes("--log-dir"),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});
