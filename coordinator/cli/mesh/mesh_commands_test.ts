import assert from "node:assert/strict";
import { systemClock } from "../../../protocol/base/clock.ts";
import { BackupError } from "../../../protocol/base/errors.ts";
import { silentLog } from "../../../protocol/base/log.ts";
import { fakeSignals, fakeSurroundings, fakeTerminal } from "../../../protocol/cli/fake_world.ts";
import { runProgram } from "../../../protocol/cli/program.ts";
import { createGate } from "../../../protocol/http/gate.ts";
import { createRpcEndpoint } from "../../../protocol/http/rpc_endpoint.ts";
import type { JobSpec } from "../../../protocol/mesh/job.ts";
import { PauseRun } from "../../../protocol/mesh/console_methods.ts";
import * as mesh from "../../../protocol/mesh/methods.ts";
import { createRpcClient } from "../../../protocol/rpc/client.ts";
import { createDispatch } from "../../../protocol/rpc/dispatch.ts";
import { type Binding, type EventStream, onCall, onStream } from "../../../protocol/rpc/method.ts";
import { RpcError } from "../../../protocol/rpc/rpc_error.ts";
import { RPC_CODES } from "../../../protocol/rpc/error_codes.ts";
import { toRpcFailure } from "../../../protocol/mesh/rpc_failure.ts";
import { ManualClock } from "../../../tests/support/manual_clock.ts";
import { PARTIAL, RACE, sampleDestination, sampleReport } from "../sample_run.ts";
import { createAgentsCommand } from "./agents.ts";
import {
  createCancelCommand,
  createDrainCommand,
  createHandoffCommand,
  createPauseCommand,
  createResumeCommand,
} from "./change_commands.ts";
import { explained } from "./coordinator_call.ts";
import { createRunCommand } from "./run.ts";
import { createRunsCommand } from "./runs.ts";
import { createSubmitCommand } from "./submit.ts";

const CLEAN = sampleReport([sampleDestination("/mnt/ssd", "verified", { filesCopied: 1 })]);
const TOKEN = "secret-token";

const AGENT: mesh.AgentInfo = {
  agentId: "agent-1",
  name: "worker-8801",
  url: "http://127.0.0.1:8801/rpc",
  version: "1",
  hostId: "host-1",
  capabilities: ["mirror", "compress"],
  roots: [],
  slots: 3,
  load: 0.25,
  state: "alive",
  heartbeatAgeMs: 1_500,
  tasks: [{ taskId: "task-1", epoch: 2 }],
  totals: { bytes: 10, files: 2, tasks: 1 },
};

function detail(facts: Partial<mesh.RunDetail> = {}): mesh.RunDetail {
  const spec = { sources: [{ path: "/src", name: "src" }], destinations: [] } as unknown as JobSpec;
  return {
    runId: "run-1",
    state: "running",
    createdAtMs: 0,
    endedAtMs: null,
    sources: [{ path: "/src", name: "src" }],
    destinations: ["/mnt/ssd"],
    exitCode: null,
    notes: ["No worker can be reached"],
    spec: { ...JOB, ...spec, destinations: JOB.destinations },
    tasks: [{
      taskId: "task-1",
      source: { path: "/src", name: "src" },
      part: { key: "p1", label: "a … b" },
      state: "running",
      epoch: 2,
      agent: "agent-1",
      agentName: "worker-8801",
      requires: ["mirror"],
      files: 3,
      sizeBytes: 3_000,
      reason: null,
    }],
    progress: RACE,
    report: null,
    ...facts,
  };
}

const JOB: JobSpec = {
  sources: [{ path: "/src", name: "src" }],
  destinations: [{ key: "/mnt/ssd", kind: "local", path: "/mnt/ssd", isNew: false }],
  strategy: "mirror",
  options: {
    verify: "new",
    order: "priority",
    priorities: [],
    excludes: [],
    ignoreFiles: true,
    excludeCaches: false,
    oneFileSystem: false,
    dryRun: false,
    attemptsMax: 3,
    workersMin: 1,
    workersMax: 8,
    operationTimeoutMs: 60_000,
    waitMs: 0,
    bufferBytes: 32 << 20,
  },
  requiredCapabilities: ["mirror"],
};

/** A stream that tells these events and then ends, or waits for ever. */
function events(list: mesh.RunEvent[], thenWaits = false): EventStream<mesh.RunEvent> {
  let at = 0;
  return {
    next() {
      const value = list[at++];
      if (value !== undefined) return Promise.resolve({ done: false, value });
      return thenWaits ? new Promise(() => {}) : Promise.resolve({ done: true, value: undefined });
    },
    return: () => Promise.resolve({ done: true, value: undefined }),
  };
}

interface Calls {
  submitted: JobSpec[];
  cancelled: { runId: string; destination?: string }[];
  paused: [string, boolean][];
  drained: { agentId: string; undo?: boolean }[];
  handed: { task_id: string; target_agent: string }[];
}

function start(
  words: string[],
  { streams = [], run = detail(), token = TOKEN, isDown = () => false, isLive = false }: {
    streams?: EventStream<mesh.RunEvent>[];
    run?: mesh.RunDetail;
    token?: string;
    isDown?: () => boolean;
    isLive?: boolean;
  } = {},
) {
  const calls: Calls = { submitted: [], cancelled: [], paused: [], drained: [], handed: [] };
  const known = (runId: string) => {
    if (runId === "run-1") return;
    throw toRpcFailure(
      new BackupError("not_found", `No run ${runId} is stored`, { hint: "runs lists them" }),
    );
  };
  const { promise: cancelled, resolve: cancel } = Promise.withResolvers<void>();
  const bindings: Binding[] = [
    onCall(mesh.SubmitJob, ({ job }) => {
      calls.submitted.push(job);
      return { runId: "run-1" };
    }),
    onCall(mesh.GetRun, ({ runId }) => {
      known(runId);
      return run;
    }),
    onCall(mesh.ListRuns, () => ({ runs: [run] })),
    onCall(mesh.ListAgents, () => ({ agents: [AGENT] })),
    onCall(PauseRun, ({ runId, undo = false }) => {
      known(runId);
      calls.paused.push([runId, !undo]);
      return { isPaused: !undo };
    }),
    onCall(mesh.CancelRun, (params) => {
      calls.cancelled.push(params);
      cancel();
      // Its agents are told first.
      return { state: "running" as const };
    }),
    onCall(mesh.DrainAgent, (params) => {
      calls.drained.push(params);
      return { accepted: true };
    }),
    onCall(mesh.HandoffTask, (params) => {
      calls.handed.push(params);
      return params.target_agent === "busy"
        ? { accepted: false, reason: "busy has no free slot" }
        : { accepted: true, epoch: 3 };
    }),
    onStream(mesh.FollowRun, ({ runId }) => {
      known(runId);
      return streams.shift() ?? events([]);
    }),
  ];
  const endpoint = createRpcEndpoint({
    dispatch: createDispatch(bindings, { log: silentLog }),
    clock: systemClock,
    extensions: [],
    gate: createGate({ clock: systemClock, token: TOKEN }),
    caller: "mesh",
  });
  const terminal = fakeTerminal({ isLive });
  const clock = new ManualClock();
  const signals = fakeSignals();
  const door = {
    connect: ({ url }: { url: string }) =>
      createRpcClient({
        fetch: (request) => {
          if (isDown()) throw new TypeError("connection refused");
          return endpoint(request);
        },
        url,
        headers: { authorization: `Bearer ${token}` },
      }),
    fetchCard: () => Promise.reject(new BackupError("io", "no card here")),
    hostId: () => "host-1",
  };
  const commands = [
    createSubmitCommand,
    createRunCommand,
    createRunsCommand,
    createAgentsCommand,
    createPauseCommand,
    createResumeCommand,
    createCancelCommand,
    createHandoffCommand,
    createDrainCommand,
  ].map((create) => create(door));
  const world = { terminal, clock, signals, surroundings: fakeSurroundings() };
  const code = runProgram(words, { version: "1", commands, roles: {} }, world);
  return { code, terminal, clock, signals, calls, cancelled };
}

const END: mesh.RunEvent = { kind: "end", seq: 9, state: "completed", report: CLEAN };
const json = (text: string) => text.trimEnd().split("\n").map((line) => JSON.parse(line));

Deno.test("submit sends the sources bound to this host, with what each wishes, and ends with the run's exit code", async () => {
  const words = ["submit", "/d/Documents", "/d/.ssh", "photos:2026/june", "--to", "/mnt/ssd"];
  const run = start([
    ...words,
    "--after",
    ".ssh=Documents",
    "--sequential",
    "Documents",
    "--parallel=june",
    "--requires",
    "Documents=compress",
  ], {
    streams: [events([
      { kind: "snapshot", seq: 0, run: detail() },
      { kind: "destination", seq: 1, destination: "/mnt/ssd", state: "verified", elapsedMs: 9 },
      { kind: "destination", seq: 2, destination: "/mnt/ssd", state: "verified", elapsedMs: 9 },
      { kind: "end", seq: 3, state: "partial", report: PARTIAL },
    ])],
  });
  assert.equal(await run.code, 4);
  const [job] = run.calls.submitted;
  assert.deepEqual(job!.sources, [
    {
      path: "/d/Documents",
      hostId: "host-1",
      name: "Documents",
      requires: ["compress", "backup.sequential"],
      encoding: { codec: "zst", recipients: [] },
    },
    { path: "/d/.ssh", hostId: "host-1", name: ".ssh", after: ["Documents"] },
    { path: "2026/june", root: "photos", name: "june", requires: ["backup.parallel"] },
  ]);
  assert.match(run.terminal.written.out, /^✗ 1 of 2 copies verified, not \/mnt\/nas/);
  assert.match(run.terminal.written.err, /No worker can be reached/);
  assert.equal(run.terminal.written.err.match(/ssd: verified in/g)!.length, 1, "told once");
});

Deno.test("submit --detach prints the id and returns at once", async () => {
  const run = start(["submit", "/src", "--to", "/mnt/ssd", "--detach"]);
  assert.equal(await run.code, 0);
  assert.equal(run.terminal.written.out, "run-1\n");
  const asJson = start(["submit", "/src", "--to", "/mnt/ssd", "--detach", "--json"]);
  assert.equal(await asJson.code, 0);
  assert.deepEqual(json(asJson.terminal.written.out), [
    { message_type: "submitted", run_id: "run-1" },
  ]);
});

Deno.test("what --after and the like say about no source of the call, or in a circle, is refused before anything is sent", async () => {
  for (
    const [words, says] of [
      [["--after", "Docs=src"], "--after names Docs, which is no source"],
      [["--after", "src=other"], "--after names other, which is no source"],
      [["--after", "src=src"], "goes in a circle: src, after src"],
      [["--requires", "src=fly"], "There is no capability fly"],
      [["--sequential", "src", "--parallel", "src"], "both sequential and parallel"],
      [["--requires", "src=encrypt"], "--encrypt needs to know for whom"],
      [["--after", "src"], "must be NAME=TEXT"],
    ] as const
  ) {
    const run = start(["submit", "/src", "--to", "/mnt/ssd", ...words]);
    assert.equal(await run.code, 2, says);
    assert.ok(run.terminal.written.err.includes(says), run.terminal.written.err);
    assert.equal(run.calls.submitted.length, 0);
  }
  const escaping = start(["submit", "photos:../../etc", "--to", "/mnt/ssd"]);
  assert.equal(await escaping.code, 2);
  assert.match(escaping.terminal.written.err, /leaves the root photos/);
});

Deno.test("a coordinator that goes away and comes back is asked again until the run's end", async () => {
  let down = false;
  const first = events([{ kind: "snapshot", seq: 0, run: detail() }]);
  const streams = [
    { ...first, next: () => first.next().then((step) => (down = step.done === true, step)) },
    events([{ kind: "snapshot", seq: 0, run: detail() }, END]),
  ];
  const run = start(["submit", "/src", "--to", "/mnt/ssd"], { streams, isDown: () => down });
  await run.clock.advance(0);
  for (let i = 0; i < 40 && !down; i++) await run.clock.advance(0);
  assert.ok(down);
  await run.clock.advance(800);
  down = false;
  await run.clock.advance(2_000);
  assert.equal(await run.code, 0);
  assert.match(run.terminal.written.err, /does not answer; trying again/);
});

Deno.test("a coordinator that stays away is an error that says how to look again", async () => {
  const streams = [events([{ kind: "snapshot", seq: 0, run: detail() }])];
  let down = false;
  const run = start(["run", "run-1", "--follow"], {
    streams: [{
      ...streams[0]!,
      next: () => streams[0]!.next().then((step) => (down = step.done === true, step)),
    }],
    isDown: () => down,
  });
  for (let i = 0; i < 40 && !down; i++) await run.clock.advance(0);
  await run.clock.advance(200_000);
  assert.equal(await run.code, 1);
  assert.match(run.terminal.written.err, /Cannot reach the coordinator.*backup-agent run run-1/s);
});

Deno.test("Ctrl-C cancels the run that was submitted and waits for its end", async () => {
  const { promise: end, resolve } = Promise.withResolvers<void>();
  const cancelledRun = { ...CLEAN, state: "cancelled" as const, exitCode: 130 };
  const snapshot = events([{ kind: "snapshot", seq: 0, run: detail() }], true);
  let told = 0;
  const stream: EventStream<mesh.RunEvent> = {
    ...snapshot,
    next: () =>
      told++ === 0 ? snapshot.next() : end.then(() => ({
        done: false,
        value: { kind: "end", seq: 1, state: "cancelled", report: cancelledRun },
      })),
  };
  const run = start(["submit", "/src", "--to", "/mnt/ssd"], { streams: [stream] });
  for (let i = 0; i < 40 && told < 2; i++) await run.clock.advance(0);
  run.signals.send("SIGINT");
  await run.cancelled;
  resolve();
  assert.equal(await run.code, 130);
  assert.deepEqual(run.calls.cancelled, [{ runId: "run-1" }]);
});

Deno.test("Ctrl-C on run --follow leaves the run alone", async () => {
  let told = 0;
  const snapshot = events([{ kind: "snapshot", seq: 0, run: detail() }], true);
  const stream = { ...snapshot, next: () => (told++, snapshot.next()) };
  const run = start(["run", "run-1", "--follow"], { streams: [stream] });
  for (let i = 0; i < 40 && told < 2; i++) await run.clock.advance(0);
  run.signals.send("SIGINT");
  assert.equal(await run.code, 130);
  assert.deepEqual(run.calls.cancelled, []);
});

Deno.test("run --json has state, agent and epoch of every task", async () => {
  const run = start(["run", "run-1", "--json"]);
  assert.equal(await run.code, 0);
  const [message] = json(run.terminal.written.out);
  assert.equal(message.state, "running");
  const [task] = message.tasks;
  assert.deepEqual([task.state, task.agent, task.epoch], ["running", "agent-1", 2]);
  assert.equal(task.part, "a … b");
});

Deno.test("run, runs and agents are tables for people", async () => {
  const run = start(["run", "run-1"]);
  assert.equal(await run.code, 0);
  assert.match(
    run.terminal.written.out,
    /TASK +SOURCE +STATE +AGENT[^]*task-1 +src \(a … b\) +running +worker-8801 +2 /,
  );
  const runs = start(["runs"]);
  assert.equal(await runs.code, 0);
  assert.match(runs.terminal.written.out, /^RUN[^]*run-1 +running +- /);
  const agents = start(["agents"]);
  assert.equal(await agents.code, 0);
  assert.match(agents.terminal.written.out, /agent-1 +worker-8801 +alive +0\.25 +1\/3 /);
  const asJson = start(["agents", "--json"]);
  await asJson.code;
  const [agent] = json(asJson.terminal.written.out);
  assert.deepEqual([agent.load_score, agent.tasks], [0.25, [{ task_id: "task-1", epoch: 2 }]]);
});

Deno.test("cancel, handoff and drain ask for what they say; a refusal has its reason and exit code 1", async () => {
  const cancel = start(["cancel", "run-1", "--destination", "/mnt/nas"]);
  assert.equal(await cancel.code, 0);
  assert.deepEqual(cancel.calls.cancelled, [{ runId: "run-1", destination: "/mnt/nas" }]);
  assert.match(cancel.terminal.written.out, /nothing more goes to \/mnt\/nas; the run is running/);
  const whole = start(["cancel", "run-1"]);
  assert.equal(await whole.code, 0);
  assert.match(whole.terminal.written.out, /being cancelled/, "it has not ended yet");
  const handoff = start(["handoff", "task-1", "worker-2"]);
  assert.equal(await handoff.code, 0);
  assert.deepEqual(handoff.calls.handed, [{ task_id: "task-1", target_agent: "worker-2" }]);
  const refused = start(["handoff", "task-1", "busy", "--json"]);
  assert.equal(await refused.code, 1);
  assert.deepEqual(json(refused.terminal.written.out), [{
    message_type: "handoff",
    task_id: "task-1",
    target_agent: "busy",
    accepted: false,
    reason: "busy has no free slot",
  }]);
  const drain = start(["drain", "worker-8801", "--undo"]);
  assert.equal(await drain.code, 0);
  assert.deepEqual(drain.calls.drained, [{ agentId: "agent-1", undo: true }]);
  const nobody = start(["drain", "worker-9"]);
  assert.equal(await nobody.code, 2);
});

Deno.test("an unknown run, a wrong token and a coordinator that is not there are told apart", async () => {
  const unknown = start(["run", "run-2"]);
  assert.equal(await unknown.code, 2);
  assert.match(
    unknown.terminal.written.err,
    /^backup-agent: No run run-2 is stored \(runs lists them\)$/m,
  );
  const stranger = start(["runs"], { token: "wrong" });
  assert.equal(await stranger.code, 1);
  assert.match(stranger.terminal.written.err, /does not know this token.*--token-file/s);
  const gone = start(["agents"], { isDown: () => true });
  assert.equal(await gone.code, 1);
  assert.match(gone.terminal.written.err, /Cannot reach the coordinator.*--role coordinator/s);
  const nonsense = start(["agents", "--coordinator", "http://"]);
  assert.equal(await nonsense.code, 2);
});

Deno.test("a run that could not be carried out at all ends the command with the run's own error", async () => {
  const run = start(["submit", "/src", "--to", "/mnt/ssd"], {
    streams: [events([{
      kind: "end",
      seq: 0,
      state: "failed",
      report: null,
      error: { code: "usage", message: "/mnt/ssd lies in /src", hint: "Choose another" },
    }])],
  });
  assert.equal(await run.code, 2);
  assert.match(run.terminal.written.err, /lies in \/src/);
});

Deno.test("a run that was cancelled while it waited ends the command as cancelled", async () => {
  const run = start(["run", "run-1", "--follow"], {
    streams: [events([{ kind: "end", seq: 0, state: "cancelled", report: null }])],
  });
  assert.equal(await run.code, 130);
  assert.match(run.terminal.written.err, /cancelled before it began/);
});

Deno.test("a coordinator whose disk is full is said to have a full disk, not to be busy", () => {
  const full = new BackupError("no_space", "Cannot use the job store: disk is full", {
    retry: "later",
  });
  const told = explained(toRpcFailure(full), "http://127.0.0.1:8800");
  assert.deepEqual([told.code, /disk is full/.test(told.message)], ["no_space", true]);
  assert.doesNotMatch(told.message, /busy/);
  const busy = explained(new RpcError(RPC_CODES.unavailable, "Too many calls"), "http://x");
  assert.match(busy.message, /busy/);
});

Deno.test("secrets are named in a job, never said", async () => {
  const words = ["submit", "/src", "--to", "/mnt/ssd", "--detach", "--encrypt"];
  const run = start([...words, "--passphrase-name", "home", "--identity-name=key-1"]);
  assert.equal(await run.code, 0);
  const [job] = run.calls.submitted;
  assert.deepEqual(job!.options.keys, { passphrase: "home", identities: ["key-1"] });
  const bad = start([...words, "--passphrase-name", "not a name"]);
  assert.equal(await bad.code, 2);
  assert.equal(bad.calls.submitted.length, 0);
});

Deno.test("pause and resume ask for what they say, and a run that is not known is an error", async () => {
  const paused = start(["pause", "run-1"]);
  assert.equal(await paused.code, 0);
  assert.equal(paused.terminal.written.out, "run-1: paused\n");
  const resumed = start(["resume", "run-1", "--json"]);
  assert.equal(await resumed.code, 0);
  assert.deepEqual(json(resumed.terminal.written.out), [
    { message_type: "resume", run_id: "run-1", is_paused: false },
  ]);
  assert.deepEqual([...paused.calls.paused, ...resumed.calls.paused], [
    ["run-1", true],
    ["run-1", false],
  ]);
  assert.equal(await start(["pause", "run-9"]).code, 2);
  assert.equal(await start(["resume"]).code, 2);
});

Deno.test("submit names the secret of each repository, and tells which one has none", async () => {
  const words = ["submit", "/src", "--to", "restic:/mnt/a", "--to", "restic:/mnt/b", "--detach"];
  const run = start([
    ...[...words, "--password-name", "all", "--password-name", "restic:/mnt/b=nas"],
    ...["--key-hint", "restic:/mnt/a=12"],
  ]);
  assert.equal(await run.code, 0, run.terminal.written.err);
  const [job] = run.calls.submitted;
  assert.deepEqual(job!.options.keys, {
    repositoryPassword: "all",
    repositories: [
      { repository: "restic:/mnt/a", keyHint: "12" },
      { repository: "restic:/mnt/b", password: "nas" },
    ],
  });
  const mistakes: [string[], RegExp][] = [
    [["--password-name", "restic:/mnt/b=nas"], /which password opens restic:\/mnt\/a/],
    [["--password-name", "all", "--password-name", "restic:/mnt/c=nas"], /no repository of this/],
    [
      ["--password-name", "all", "--password-name", "restic:/mnt/b=No Name"],
      /"No Name" is no name of a secret/,
    ],
  ];
  for (const [more, says] of mistakes) {
    const wrong = start([...words, ...more]);
    assert.equal(await wrong.code, 2);
    assert.match(wrong.terminal.written.err, says);
    assert.equal(wrong.calls.submitted.length, 0);
  }
});
