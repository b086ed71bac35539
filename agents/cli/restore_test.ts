import assert from "node:assert/strict";
import { BackupError } from "../../protocol/base/errors.ts";
import { PLAIN_STYLE } from "../../protocol/cli/colours.ts";
import { fakeSignals, fakeSurroundings, fakeTerminal } from "../../protocol/cli/fake_world.ts";
import { runProgram } from "../../protocol/cli/program.ts";
import { textWidth } from "../../protocol/cli/visible_text.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { listLine, modeText } from "./list_line.ts";
import { createRestoreCommand, type RestoreFrom } from "./restore.ts";
import { renderRestoreLane, type RestoreDoneOutcome } from "./restore_result.ts";

const WHOLE: RestoreDoneOutcome = {
  counts: {
    ...{ files: 12, bytes: 3e6, others: 2, folders: 4 },
    ...{ alreadyThere: 0, failed: 0, locked: 0, kept: 0, taken: 0 },
  },
  failures: [],
  kept: [],
  taken: [],
  planned: { files: 12, bytes: 3e6, folders: 4, others: 2, gone: 0, sockets: 0 },
  copies: ["Documents"],
  warnings: [],
};
const failure = { path: "Documents/a\n", code: "damaged", message: "Not right", attempts: 1 };
const PARTIAL: RestoreDoneOutcome = {
  ...WHOLE,
  counts: { ...WHOLE.counts, failed: 1, kept: 1, taken: 1 },
  failures: [failure],
  kept: ["Documents/mine"],
  taken: ["Took Documents/b from nas: the copy at ssd is missing"],
};

async function restore(words: string[], act: RestoreFrom, signals = fakeSignals()) {
  const terminal = fakeTerminal();
  const world = {
    terminal,
    clock: new ManualClock(),
    signals,
    surroundings: fakeSurroundings(),
  };
  const program = {
    version: "1",
    commands: [createRestoreCommand(act, () => Promise.resolve(77))],
    roles: {},
  };
  const code = await runProgram(["restore", ...words], program, world);
  return { code, ...terminal.written };
}

const WORDS = ["--from", "ssd/", "--from", "/nas", "--target", "back/", "Documents"];

Deno.test("what was typed reaches the engine, and a whole restore is one sentence", async () => {
  let asked: unknown;
  const run = await restore(WORDS, ({ sources, target, paths, overwrite, withGone, dryRun }) => {
    asked = { sources, target, paths, overwrite, withGone, dryRun };
    return Promise.resolve(WHOLE);
  });
  assert.deepEqual(asked, {
    ...{ sources: ["/here/ssd", "/nas"], target: "/here/back", paths: ["Documents"] },
    ...{ overwrite: false, withGone: false, dryRun: false },
  });
  assert.equal(run.code, 0);
  assert.equal(run.out, "✓ 12 files, 3.0 MB restored to back in 0.0 s.\n");
});

Deno.test("what was not restored is named, with exit code 4, also when quiet", async () => {
  const run = await restore(WORDS, () => Promise.resolve(PARTIAL));
  assert.equal(run.code, 4);
  assert.match(run.out, /1 not replaced; 1 failed/);
  assert.match(run.out, /\n {2}Documents\/a\\n: Not right\n/);
  assert.match(run.out, /\n {2}Documents\/mine\n/);
  assert.match(run.out, /Took Documents\/b from nas/);
  const quiet = await restore([...WORDS, "-q"], () => Promise.resolve(PARTIAL));
  assert.equal(quiet.out, "");
  assert.match(quiet.err, /Documents\/mine/);
  assert.deepEqual(
    await restore([...WORDS, "-q"], () => Promise.resolve(WHOLE)).then(({ out, err }) => out + err),
    "",
  );
});

Deno.test("exit code 1 says that nothing was restored", async () => {
  const counts = { ...PARTIAL.counts, files: 0, others: 0 };
  const run = await restore(WORDS, () => Promise.resolve({ ...PARTIAL, counts }));
  assert.equal(run.code, 1);
});

Deno.test("JSON has a status, an error line for each entry, and one summary", async () => {
  const run = await restore([...WORDS, "--json"], ({ onProgress }) => {
    onProgress({ filesDone: 3, filesTotal: 12, bytesDone: 1, bytesTotal: 2, copy: "Documents" });
    return Promise.resolve(PARTIAL);
  });
  const lines = run.out.trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines.map((line) => line.message_type), ["status", "error", "error", "summary"]);
  assert.equal(lines.at(-1).state, "partial");
  assert.deepEqual(lines.slice(1, 3).map(({ item, code }) => [item, code]), [
    ["Documents/a\n", "damaged"],
    ["Documents/mine", "exists"],
  ]);
  assert.equal(JSON.parse(run.err).code, 4);
});

Deno.test("a dry run says what would be restored and what would be left out", async () => {
  const planned = { ...WHOLE.planned, gone: 3, sockets: 1 };
  const run = await restore([...WORDS, "--dry-run"], ({ dryRun }) => {
    assert.equal(dryRun, true);
    return Promise.resolve({ ...WHOLE, planned });
  });
  assert.equal(run.code, 0);
  assert.match(
    run.out,
    /^Would restore 12 files, 3\.0 MB, 4 folders and 2 links and nodes of Documents to back\.\nWhat stands there already was not looked at/,
  );
  assert.match(run.out, /3 entries that the source had lost/);
});

Deno.test("an interrupted restore exits with 130 and stops listening", async () => {
  const signals = fakeSignals();
  const run = await restore(WORDS, ({ signal }) => {
    const ended = Promise.withResolvers<RestoreDoneOutcome>();
    signal.addEventListener("abort", () => ended.reject(new BackupError("cancelled", "x")));
    signals.send("SIGINT");
    return ended.promise;
  }, signals);
  assert.equal(run.code, 130);
  assert.equal(signals.listening.size, 0);
});

Deno.test("the lane never is wider than the terminal", () => {
  const progress = {
    filesDone: 1,
    filesTotal: 2000,
    bytesDone: 1e9,
    bytesTotal: 2e9,
    copy: "ж".repeat(99),
  };
  for (const columns of [20, 40, 80, 200]) {
    for (
      const text of renderRestoreLane(
        { target: "back", progress, elapsedMs: 9000 },
        columns,
        PLAIN_STYLE,
      )
    ) {
      assert.ok(textWidth(text) <= columns, text);
    }
  }
});

Deno.test("a listed line shows every fact, and nothing of a name raw", () => {
  assert.deepEqual([0o644, 0o4755, 0o2644, 0o1777, 0o1776].map(modeText), [
    ...["rw-r--r--", "rwsr-xr-x", "rw-r-Sr--", "rwxrwxrwt", "rwxrwxrwT"],
  ]);
  const facts = { mode: 0o644, uid: 0, gid: 5, mtimeNs: "0" };
  assert.match(
    listLine({ ...facts, path: "a\x1b[31m", type: "symlink", target: "b\n", goneAtMs: 0 }),
    /^lrw-r--r-- 0:5 .* a\\x1b\[31m -> b\\n {2}\[gone since 19/,
  );
  assert.match(
    listLine({ ...facts, path: "n", type: "block", rdev: 8 * 2 ** 32 + 1, recordedOnly: true }),
    /8, 1 .* n {2}\[recorded only\]$/,
  );
  assert.match(
    listLine({ ...facts, path: "far", type: "file", sizeBytes: 3, mtimeNs: "9".repeat(25) }),
    / 3 @\d+ far$/,
  );
});

Deno.test("a repository goes its own way, and options of the other use are refused", async () => {
  const act = () => Promise.resolve(WHOLE);
  assert.equal((await restore(["restic:/a", "--target", "back"], act)).code, 77);
  assert.equal((await restore(["--from", "restic:/a", "--to", "back", "--sparse"], act)).code, 77);
  for (
    const words of [
      ["restic:/a", "--target", "back", "--with-gone"],
      ["restic:/a", "--target", "back", "--identity", "key"],
      ["--from", "/a", "--target", "back", "--snapshot", "1"],
      ["--from", "/a", "--target", "back", "--delete"],
      ["--from", "/a", "--target", "back", "--overwrite", "if-newer"],
    ]
  ) assert.equal((await restore(words, act)).code, 2, words.join(" "));
});
