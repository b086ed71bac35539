import assert from "node:assert/strict";
import fc from "fast-check";
import { BackupError } from "../../protocol/base/errors.ts";
import { PLAIN_STYLE } from "../../protocol/cli/colours.ts";
import { fakeSignals, fakeSurroundings, fakeTerminal } from "../../protocol/cli/fake_world.ts";
import { runProgram } from "../../protocol/cli/program.ts";
import { textWidth } from "../../protocol/cli/visible_text.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { createVerifyCommand } from "./verify.ts";
import type { VerifyDestination, VerifyOutcome } from "./verify_port.ts";
import { renderVerifyLane } from "./verify_result.ts";

const SOUND: VerifyOutcome = {
  filesVerified: 12,
  bytesVerified: 3e6,
  verification: "disk",
  damaged: [],
  missing: [],
  extra: [],
  recordedOnly: 0,
  unreadable: [],
};
const failure = (path: string, code: string, message: string) => ({
  path,
  code,
  message,
  attempts: 1,
});
const UNSOUND: VerifyOutcome = {
  ...SOUND,
  damaged: [failure("Documents/a\n", "damaged", "Differs from its SHA-256")],
  missing: [failure("Documents/b", "not_found", "Not there")],
  unreadable: [failure("Documents/c", "io", "Input/output error")],
  extra: ["Documents/new"],
};

async function verify(words: string[], act: VerifyDestination, isLive = false) {
  const terminal = fakeTerminal({ isLive });
  const clock = new ManualClock();
  const signals = fakeSignals();
  const world = { terminal, clock, signals, surroundings: fakeSurroundings() };
  const program = {
    version: "1",
    commands: [createVerifyCommand(act, () => Promise.resolve(77))],
    roles: {},
  };
  const code = await runProgram(["verify", ...words], program, world);
  return { code, ...terminal.written, signals };
}

Deno.test("a sound destination is one sentence and exit code 0", async () => {
  let asked: unknown;
  const run = await verify(["out/", "Documents"], ({ path, names }) => {
    asked = { path, names };
    return Promise.resolve(SOUND);
  });
  assert.deepEqual(asked, { path: "/here/out", names: ["Documents"] });
  assert.equal(run.code, 0);
  assert.equal(run.out, "✓ out is sound: 12 files, 3.0 MB verified from disk in 0.0 s.\n");
  assert.equal(run.err, "out: verify, reading what is recorded\n");
});

Deno.test("how long the disk may take and how long another run is waited for can be said", async () => {
  const asked: number[][] = [];
  const act: VerifyDestination = ({ timeoutMs, waitMs }) => {
    asked.push([timeoutMs, waitMs]);
    return Promise.resolve(SOUND);
  };
  await verify(["/d"], act);
  await verify(["/d", "--timeout", "5s", "--wait", "2m"], act);
  assert.deepEqual(asked, [[60_000, 0], [5000, 120_000]]);
});

Deno.test("damaged, missing and unreadable files are named and the exit code is 1", async () => {
  const run = await verify(["/d"], () => Promise.resolve(UNSOUND));
  assert.equal(run.code, 1);
  assert.deepEqual(run.out.split("\n"), [
    "✗ /d is not sound: 1 damaged, 1 missing, 1 unreadable; 12 files verified from disk.",
    "Damaged (1):",
    "  Documents/a\\n: Differs from its SHA-256",
    "Missing (1):",
    "  Documents/b: Not there",
    "Could not be read (1):",
    "  Documents/c: Input/output error",
    "Not recorded, so not checked (1):",
    "  Documents/new",
    "If another destination has the same copies, add --repair-from OTHER to put this one right.",
    "",
  ]);
  const quiet = await verify(["/d", "-q"], () => Promise.resolve(UNSOUND));
  assert.deepEqual([quiet.out, quiet.err], ["", run.out]);
  assert.equal((await verify(["/d", "-q"], () => Promise.resolve(SOUND))).err, "");
});

Deno.test("what was repaired is named with what was wrong and where it came from, and leaves exit code 0", async () => {
  let asked: readonly string[] = [];
  const act: VerifyDestination = ({ repairFrom }) => {
    asked = repairFrom;
    return Promise.resolve({
      ...SOUND,
      repaired: [
        { path: "Documents/a", what: "The checksum is not the recorded one", from: "/nas" },
        { path: "Documents/b", what: "Recorded as a file", displacedTo: "displaced/s1-repair-3" },
      ],
      warnings: ["Nothing more is taken from /usb: It is gone"],
    });
  };
  const words = ["/d", "--repair-from", "/nas", "--repair-from", "usb"];
  const run = await verify(words, act);
  assert.deepEqual(asked, ["/nas", "/here/usb"]);
  assert.equal(run.code, 0);
  assert.deepEqual(run.out.split("\n").slice(1), [
    "Repaired (2):",
    "  Documents/a: The checksum is not the recorded one; taken from /nas",
    "  Documents/b: Recorded as a file; what stood there is now .backup-agent/displaced/s1-repair-3",
    "Warning: Nothing more is taken from /usb: It is gone",
    "",
  ]);
  const json = await verify([...words, "--json"], act);
  const lines = json.out.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines.map((line) => [line.message_type, line.path, line.from]), [
    ["status", undefined, undefined],
    ["repaired", "Documents/a", "/nas"],
    ["repaired", "Documents/b", undefined],
    ["warning", undefined, undefined],
    ["summary", undefined, undefined],
  ]);
  assert.equal(lines[4].entries_repaired, 2);
});

Deno.test("what is only recorded is said and is no damage", async () => {
  const act = () => Promise.resolve({ ...SOUND, recordedOnly: 2 });
  const run = await verify(["/d"], act);
  assert.equal(run.code, 0);
  assert.equal(
    run.out.split("\n")[1],
    "Recorded only, since this file system cannot hold them (2)",
  );
  const json = await verify(["/d", "--json"], act);
  assert.equal(JSON.parse(json.out.trimEnd().split("\n").at(-1)!).recorded_only, 2);
});

Deno.test("--json prints status, errors and summary as lines, the exit error on stderr", async () => {
  const run = await verify(["/d", "--json"], () => Promise.resolve(UNSOUND));
  const lines = run.out.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines.map((line) => [line.message_type, line.kind, line.destination]), [
    ["status", undefined, "/d"],
    ["error", "damaged", "/d"],
    ["error", "missing", "/d"],
    ["error", "unreadable", "/d"],
    ["summary", undefined, "/d"],
  ]);
  assert.equal(lines[4].state, "failed");
  assert.equal(JSON.parse(run.err).code, 1);
});

Deno.test("on a terminal the picture goes away before the result", async () => {
  const run = await verify(["/d"], () => Promise.resolve(SOUND), true);
  assert.match(run.err, /Verifying: \/d/);
  assert.ok(run.err.endsWith("\r\x1b[3A\x1b[J\x1b[?25h"), JSON.stringify(run.err));
});

Deno.test("no destination is a usage error, a missing marker exit code 10, a signal 130", async () => {
  assert.equal((await verify([], () => Promise.resolve(SOUND))).code, 2);
  const tilde = await verify(["~/copies"], () => Promise.resolve(SOUND));
  assert.equal(tilde.code, 2);
  assert.match(tilde.err, /\$HOME\/copies/);
  const missing = await verify(
    ["/d"],
    () => Promise.reject(new BackupError("destination_missing", "No marker")),
  );
  assert.deepEqual([missing.code, missing.err.split("\n").at(-2)], [10, "backup-agent: No marker"]);
  assert.equal(missing.signals.listening.size, 0);

  const terminal = fakeTerminal();
  const signals = fakeSignals();
  const command = createVerifyCommand(({ signal }) => {
    signals.send("SIGINT");
    return Promise.reject(signal.reason);
  }, () => Promise.resolve(77));
  const world = { terminal, signals, clock: new ManualClock(), surroundings: fakeSurroundings() };
  const program = { version: "1", commands: [command], roles: {} };
  assert.equal(await runProgram(["verify", "/d"], program, world), 130);
});

Deno.test("the picture of a verification is never wider than the terminal", () => {
  const amount = fc.oneof(fc.nat(), fc.double({ min: 0, max: 1e15, noNaN: true }));
  const progress = fc.record({
    filesDone: amount,
    filesTotal: amount,
    bytesDone: amount,
    bytesTotal: amount,
    currentFile: fc.string({ unit: "grapheme" }),
  });
  fc.assert(fc.property(
    progress,
    fc.string(),
    amount,
    fc.integer({ min: 1, max: 150 }),
    (progress, destination, elapsedMs, columns) => {
      for (
        const line of renderVerifyLane({ progress, destination, elapsedMs }, columns, PLAIN_STYLE)
      ) {
        assert.ok(textWidth(line) <= columns);
        assert.doesNotMatch(line, /NaN|Infinity/);
      }
    },
  ));
});
