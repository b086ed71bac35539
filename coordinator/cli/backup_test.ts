import assert from "node:assert/strict";
import { BackupError } from "../../protocol/base/errors.ts";
import { fakeSignals, fakeSurroundings, fakeTerminal } from "../../protocol/cli/fake_world.ts";
import { commandHelp } from "../../protocol/cli/help.ts";
import { runProgram } from "../../protocol/cli/program.ts";
import type { JobSpec } from "../../protocol/mesh/job.ts";
import type { RunReport } from "../../protocol/mesh/run.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { CANCEL_PATIENCE_MS, createBackupCommand } from "./backup.ts";
import type { CreateEmbedded, EmbeddedRunner } from "./embedded.ts";
import { PARTIAL, RACE, sampleDestination, sampleReport } from "./sample_run.ts";

type RunOptions = Parameters<EmbeddedRunner["run"]>[1];
const CLEAN = sampleReport([sampleDestination("/mnt/ssd", "verified", { filesCopied: 1 })]);

function start(words: string[], options: { isLive?: boolean; neverCloses?: boolean } = {}) {
  const terminal = fakeTerminal(options);
  const clock = new ManualClock();
  const signals = fakeSignals();
  const { promise: report, resolve: end, reject: fail } = Promise.withResolvers<RunReport>();
  const { promise: started, resolve: begin } = Promise.withResolvers<RunOptions>();
  const seen = { job: undefined as JobSpec | undefined, stateDir: "", closed: 0, before: "" };
  const createEmbedded: CreateEmbedded = ({ stateDir }) => {
    seen.stateDir = stateDir;
    seen.before = terminal.written.err + terminal.written.out;
    return {
      run(job, runOptions) {
        seen.job = job;
        begin(runOptions);
        return report;
      },
      close() {
        seen.closed++;
        return options.neverCloses ? new Promise(() => {}) : Promise.resolve();
      },
    };
  };
  const command = createBackupCommand(createEmbedded);
  const world = { terminal, clock, signals, surroundings: fakeSurroundings() };
  const program = { version: "1", commands: [command], roles: {} };
  const code = runProgram(["backup", ...words], program, world);
  return { code, started, end, fail, terminal, clock, signals, seen };
}

const WORDS = ["/src", "--to", "/mnt/ssd", "--to", "/mnt/nas"];
const jsonLines = (text: string) => text.trimEnd().split("\n").map((line) => JSON.parse(line));

Deno.test("to a pipe: one line at once, phases, a line every ten seconds, the result on stdout", async () => {
  const run = start(WORDS);
  const { onProgress, onDestination } = await run.started;
  assert.equal(run.seen.before, "backup to /mnt/ssd, /mnt/nas\n", "printed before any work");
  onProgress(RACE);
  onProgress(RACE);
  await run.clock.advance(10_000);
  onDestination({ destination: "/mnt/ssd", state: "verified", elapsedMs: 12_000 });
  // A word of progress that comes late is no news of a destination that has ended.
  const destinations = RACE.destinations.map((lane) =>
    lane.destination === "/mnt/ssd" ? { ...lane, state: "flush" as const } : lane
  );
  onProgress({ ...RACE, destinations });
  run.end(PARTIAL);
  assert.equal(await run.code, 4);
  assert.deepEqual(run.terminal.written.err.split("\n"), [
    "backup to /mnt/ssd, /mnt/nas",
    "/mnt/ssd: verify 1,200 files, 3.0 GB",
    "/mnt/nas: copy of 1,234 files, 3.4 GB",
    "/mnt/ssd: verify 50%, 600/1,200 files, 1.5 GB/3.0 GB, 420 MB/s, ETA 0:04",
    "/mnt/nas: copy 10%, 100/1,234 files, 340 MB/3.4 GB, 7.9 MB/s, ETA 6:42, 1 failed",
    "/mnt/ssd: verified in 12 s",
    "",
  ]);
  assert.match(run.terminal.written.out, /^✗ 1 of 2 copies verified, not \/mnt\/nas/);
  assert.equal(run.seen.closed, 1);
  assert.equal(run.seen.stateDir, "/home/me/.local/state/backup-agent");
});

Deno.test("on a terminal: lanes at zero before any work, at most four pictures a second, cursor restored", async () => {
  const run = start(WORDS, { isLive: true });
  const { onProgress } = await run.started;
  assert.match(run.seen.before, /\/mnt\/ssd .*Analyze[^]*\/mnt\/nas .*Analyze[^]*0 files found/);
  run.terminal.written.err = "";
  for (let i = 0; i < 40; i++) {
    onProgress({ ...RACE, elapsedMs: 12_000 + i * 25 });
    await run.clock.advance(25);
  }
  const pictures = run.terminal.written.err.split("\x1b[J").length - 1;
  assert.ok(pictures >= 1 && pictures <= 4, `${pictures} pictures in a second`);
  run.end(CLEAN);
  assert.equal(await run.code, 0);
  assert.ok(run.terminal.written.err.endsWith("\x1b[?25h"));
  assert.match(run.terminal.written.out, /^✓ The copy is verified/);
});

Deno.test("-q prints nothing for a clean run and the problems of another", async () => {
  const clean = start([...WORDS, "-q"]);
  (await clean.started).onProgress(RACE);
  clean.end(CLEAN);
  assert.equal(await clean.code, 0);
  assert.deepEqual(clean.terminal.written, { out: "", err: "" });
  const partial = start([...WORDS, "-q"]);
  partial.end(PARTIAL);
  assert.equal(await partial.code, 4);
  assert.equal(partial.terminal.written.out, "");
  assert.match(partial.terminal.written.err, /Documents\/secret: Permission denied/);
});

Deno.test("--json prints only JSON lines on stdout: status, destination, errors, summary", async () => {
  const run = start([...WORDS, "--json"]);
  const { onProgress, onDestination } = await run.started;
  onProgress(RACE);
  onDestination({ destination: "/mnt/ssd", state: "verified", elapsedMs: 12_340 });
  run.end(PARTIAL);
  assert.equal(await run.code, 4);
  const lines = jsonLines(run.terminal.written.out);
  assert.deepEqual(lines.map((line) => line.message_type), [
    ...["status", "status", "status", "status", "destination"],
    ...["error", "error", "error", "summary"],
  ]);
  assert.deepEqual(lines[4], {
    message_type: "destination",
    destination: "/mnt/ssd",
    state: "verified",
    seconds_elapsed: 12.34,
  });
  assert.deepEqual(jsonLines(run.terminal.written.err), [{
    message_type: "exit_error",
    code: 4,
    message: "1 of 2 copies verified, not /mnt/nas; 1 source file could not be read.",
  }]);
});

Deno.test("Ctrl-C cancels the run and the exit code is 130", async () => {
  const run = start(WORDS);
  const { signal } = await run.started;
  run.signals.send("SIGINT");
  assert.ok(signal.aborted);
  run.end(
    sampleReport([sampleDestination("/mnt/ssd", "cancelled", {})], {
      state: "cancelled",
      exitCode: 130,
    }),
  );
  assert.equal(await run.code, 130);
  assert.match(run.terminal.written.out, /^✗ Cancelled after 42 s: 0 of 1 copy verified/);
  assert.equal(run.signals.listening.size, 0);
});

Deno.test("a cancelled run that does not end is left after its patience, and a second signal ends at once", async () => {
  const run = start(WORDS);
  await run.started;
  run.signals.send("SIGTERM");
  await run.clock.advance(CANCEL_PATIENCE_MS);
  assert.equal(await run.code, 130);
  assert.match(run.terminal.written.err, /backup-agent: Cancelled/);

  const other = start(WORDS);
  await other.started;
  other.signals.send("SIGINT");
  other.signals.send("SIGINT");
  assert.deepEqual(other.signals.exitedWith, [130]);
  other.fail(new BackupError("cancelled", "Cancelled"));
  assert.equal(await other.code, 130);
});

Deno.test("threads that never end do not hold back the result", async () => {
  const run = start(WORDS, { neverCloses: true });
  await run.started;
  run.end(CLEAN);
  await run.clock.advance(2_000);
  assert.equal(await run.code, 0);
});

Deno.test("a run that cannot start leaves one line, the terminal whole, and no listener behind", async () => {
  const run = start(WORDS, { isLive: true });
  run.fail(new BackupError("usage", "/mnt/ssd lies inside /src", { hint: "Choose another" }));
  assert.equal(await run.code, 2);
  assert.ok(run.terminal.written.err.endsWith(
    "\x1b[?25hbackup-agent: /mnt/ssd lies inside /src (Choose another)\n",
  ));
  assert.equal(run.signals.listening.size, 0);
  assert.equal(run.seen.closed, 1);
});

Deno.test("the help of backup lists all its exit codes and every variable", () => {
  const help = commandHelp(createBackupCommand(() => Promise.reject(new TypeError("not called"))));
  const codes = [...help.slice(help.indexOf("Exit codes:")).matchAll(/^ {2,4}(\d+) /gm)];
  assert.deepEqual(codes.map(([, code]) => Number(code)), [0, 1, 2, 3, 4, 10, 11, 12, 130]);
  for (const name of ["TO", "LIMIT", "EXCLUDE_FILE", "IGNORE_FILES", "STATE_DIR"]) {
    assert.ok(help.includes(`BACKUP_AGENT_${name}`), name);
  }
  assert.ok(!help.includes("BACKUP_AGENT_INIT"), "what belongs to one call is no setting");
});
