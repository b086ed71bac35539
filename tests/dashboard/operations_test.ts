/** D8: every operation of the API has an effect, and each is looked at here. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { AnswerOf } from "../../dashboard/api_client.ts";
import type { AnyOperation } from "../../dashboard/operations/operation.ts";
import { OPERATIONS } from "../../dashboard/operations/table.ts";
import { until } from "../support/mesh_processes.ts";
import { sampleAgentFacts } from "../support/sample_agent_facts.ts";
import { type Desk, openDesk } from "./desk.ts";

/** Those that were asked and have answered well, in any of the tests of this file. */
const asked = new Set<string>();
/** What needs several processes is asked in `process_test.ts`. */
const ELSEWHERE = ["handOffTask"];
const WITHIN_MS = 120_000;

function operationAt(method: string, path: string): AnyOperation | undefined {
  const plain = path.split("?")[0]!.replace(/^\/api/, "");
  return (OPERATIONS as readonly AnyOperation[]).find((o) =>
    o.method.toUpperCase() === method &&
    new RegExp(`^${o.path.replaceAll(/:\w+/g, "[^/]+")}$`).test(plain) &&
    !(o.path.includes(":") && OPERATIONS.some((other) => other.path === plain))
  );
}

/** Asks and expects it to be done. */
async function done<T>(desk: Desk, method: string, path: string, body?: unknown): Promise<T> {
  const { status, json } = await desk.ask(method, path, body);
  assert.ok(status >= 200 && status < 300, `${method} ${path}: ${status} ${JSON.stringify(json)}`);
  const operation = operationAt(method, path);
  if (operation !== undefined) asked.add(operation.name);
  return json as T;
}

function fill(folder: string, files: Record<string, string | Uint8Array>): string {
  for (const [path, content] of Object.entries(files)) {
    const at = join(folder, path);
    mkdirSync(join(at, ".."), { recursive: true });
    writeFileSync(at, content);
  }
  return folder;
}

function ended(desk: Desk, runId: string): Promise<AnswerOf<"getRun">> {
  return until(
    async () => {
      const run = await done<AnswerOf<"getRun">>(desk, "GET", `/api/runs/${runId}`);
      return run.exitCode === null ? undefined : run;
    },
    WITHIN_MS,
    () => `${runId} has not ended: ${JSON.stringify(desk.store.run(runId))}`,
  );
}

Deno.test("runs: a dry run plans, a run copies, and list, detail, failures, files, tasks, history and recent files show it", async () => {
  await using desk = openDesk();
  const source = fill(join(desk.folder, "photos"), { "a.jpg": "aaaa", "sub/b.jpg": "bb" });
  const [one, two] = [join(desk.folder, "one"), join(desk.folder, "two")];
  const job = {
    sources: [{ path: source }],
    destinations: [{ path: one }, { path: two, key: "second" }],
  };
  const planned = await done<AnswerOf<"dryRun">>(desk, "POST", "/api/dry-runs", { job });
  const plan = await ended(desk, planned.runId);
  assert.equal(plan.report!.destinations[0]!.lanes[0]!.report.plan!.filesToCopy, 2);
  assert.ok(!existsSync(one));

  const wanted = { job, idempotencyKey: "once" };
  const { runId } = await done<AnswerOf<"startRun">>(desk, "POST", "/api/runs", wanted);
  const same = await done<AnswerOf<"startRun">>(desk, "POST", "/api/runs", wanted);
  assert.equal(same.runId, runId);
  const run = await ended(desk, runId);
  assert.equal(run.state, "completed");
  for (const place of [one, two]) {
    assert.equal(readFileSync(join(place, "photos/sub/b.jpg"), "utf8"), "bb");
  }
  const { runs } = await done<AnswerOf<"listRuns">>(desk, "GET", "/api/runs?limit=5");
  assert.deepEqual(runs.map((r) => r.runId), [runId, planned.runId]);
  const failures = await done<AnswerOf<"listRunFailures">>(
    ...[desk, "GET", `/api/runs/${runId}/failures`] as const,
  );
  assert.deepEqual(failures, { failures: [], total: 0 });
  const files = await done<AnswerOf<"listRunFiles">>(desk, "GET", `/api/runs/${runId}/files`);
  assert.deepEqual(files, {
    destinations: [one, "second"],
    rows: [
      { path: "photos/a.jpg", sizeBytes: 4, marks: "vv" },
      { path: "photos/sub/b.jpg", sizeBytes: 2, marks: "vv" },
    ],
    total: 2,
    unlisted: 0,
    isLive: false,
    notes: [],
  });
  const second = await done<AnswerOf<"listRunFiles">>(
    ...[desk, "GET", `/api/runs/${runId}/files?offset=1&limit=1`] as const,
  );
  assert.deepEqual([second.rows.length, second.rows[0]!.path, second.total], [
    1,
    "photos/sub/b.jpg",
    2,
  ]);
  const { tasks } = await done<AnswerOf<"listTasks">>(desk, "GET", `/api/tasks?runId=${runId}`);
  assert.deepEqual(tasks.map((t) => [t.runId, t.state, t.files]), [[runId, "succeeded", 2]]);
  const history = await done<AnswerOf<"getHistory">>(desk, "GET", "/api/history");
  assert.equal(history.runs[0]!.verdict.tone, "good");
  assert.match(history.runs[0]!.verdict.text, /All 2 copies are verified/);
  assert.equal(history.lastSuccessAtMs, run.endedAtMs);
  assert.deepEqual(Object.keys(history.lastVerifiedAtMs).sort(), [one, "second"].sort());
  const recent = await done<AnswerOf<"getRecentFiles">>(
    ...[desk, "GET", `/api/recent-files?runId=${runId}`] as const,
  );
  assert.deepEqual(
    recent.files.map((f) => [f.path, f.marks]).sort(),
    ["photos/a.jpg", "photos/sub/b.jpg"].map((path) => [
      path,
      { [one]: "verified", second: "verified" },
    ]),
  );
  const { state } = await done<AnswerOf<"getStatus">>(desk, "GET", "/api/status");
  const { lastCompleted } = state!.live[runId]!.directories;
  assert.deepEqual([lastCompleted!.files, lastCompleted!.sizeBytes, lastCompleted!.isEstimate], [
    2,
    6,
    false,
  ]);
  for (const fact of ["startedAtMs", "endedAtMs", "durationMs", "bytesPerSecond"] as const) {
    assert.equal(typeof lastCompleted![fact], "number", fact);
  }
});

Deno.test("runs: what failed is tried again, alone, and what a file failed of is named", async () => {
  await using desk = openDesk();
  const source = fill(join(desk.folder, "docs"), { "a": "1" });
  const good = join(desk.folder, "good");
  const file = join(desk.folder, "file");
  writeFileSync(file, "not a folder");
  const { runId } = await done<AnswerOf<"startRun">>(desk, "POST", "/api/runs", {
    job: {
      sources: [{ path: source }],
      destinations: [{ path: good, key: "good" }, { path: join(file, "x"), key: "bad" }],
    },
  });
  assert.equal((await ended(desk, runId)).state, "partial");
  const { failures } = await done<AnswerOf<"listRunFailures">>(
    ...[desk, "GET", `/api/runs/${runId}/failures`] as const,
  );
  assert.deepEqual(failures.map((f) => f.destination), ["bad"]);
  const again = await done<AnswerOf<"retryRun">>(desk, "POST", `/api/runs/${runId}/retry`);
  const retried = await ended(desk, again.runId);
  assert.deepEqual(retried.destinations, ["bad"]);
  const fine = await desk.ask("POST", `/api/runs/${again.runId}/retry`);
  assert.equal(fine.status, 202);
  await ended(desk, (fine.json as unknown as { runId: string }).runId);
});

Deno.test("runs: a paused run begins no further file, goes on when it is resumed, and one destination or all can be cancelled", async () => {
  await using desk = openDesk();
  const files = Array.from({ length: 8 }, (_, k) => [`f${k}`, new Uint8Array(1 << 20).fill(k)]);
  const source = fill(join(desk.folder, "big"), Object.fromEntries(files));
  const slow = { path: join(desk.folder, "slow"), key: "slow", limitBytesPerSecond: 4e6 };
  const other = { path: join(desk.folder, "other"), key: "other", limitBytesPerSecond: 1e5 };
  const { runId } = await done<AnswerOf<"startRun">>(desk, "POST", "/api/runs", {
    job: { sources: [{ path: source }], destinations: [slow, other] },
  });
  const filesDone = async () => {
    const run = await done<AnswerOf<"getRun">>(desk, "GET", `/api/runs/${runId}`);
    return run.progress?.destinations.find((d) => d.destination === "slow")?.counters;
  };
  await until(
    async () => ((await filesDone())?.filesDone ?? 0) > 0 || undefined,
    WITHIN_MS,
    () => "it does not begin",
  );
  const live = await done<AnswerOf<"listRunFiles">>(desk, "GET", `/api/runs/${runId}/files`);
  assert.equal(live.isLive, true);
  assert.equal(live.total, 8);
  assert.match(live.rows.map((r) => r.marks[0]).join(""), /c/);
  assert.deepEqual(
    await done(desk, "POST", `/api/runs/${runId}/pause`),
    { isPaused: true },
  );
  // What is in hand is copied to its end; then nothing moves any more.
  let before = -1;
  await until(
    async () => {
      const { bytesDone } = (await filesDone())!;
      const isStill = bytesDone === before;
      before = bytesDone;
      if (!isStill) await new Promise((resolve) => setTimeout(resolve, 700));
      return isStill || undefined;
    },
    WITHIN_MS,
    () => "it goes on though it is paused",
  );
  assert.ok(before < 8 << 20, "it was through before it was paused");
  assert.equal(before % (1 << 20), 0, "a file was left half copied");
  const { state } = await done<AnswerOf<"getStatus">>(desk, "GET", "/api/status");
  assert.equal(state!.runs[runId]!.isPaused, true);
  assert.match(state!.live[runId]!.verdict.text, /paused/);
  assert.deepEqual(await done(desk, "POST", `/api/runs/${runId}/resume`), { isPaused: false });
  await done(desk, "POST", `/api/runs/${runId}/destinations/cancel`, { destination: "other" });
  const run = await ended(desk, runId);
  assert.deepEqual(run.report!.destinations.map((d) => d.state), ["verified", "cancelled"]);
  // Nothing that stood there at the pause was copied again.
  assert.equal(run.report!.destinations[0]!.lanes[0]!.report.bytesCopied, 8 << 20);

  const next = await done<AnswerOf<"startRun">>(desk, "POST", "/api/runs", {
    job: { sources: [{ path: source, name: "again" }], destinations: [other] },
  });
  await done(desk, "POST", `/api/runs/${next.runId}/cancel`);
  assert.equal((await ended(desk, next.runId)).state, "cancelled");
});

Deno.test("agents: one is listed, drained, taken back into use and forgotten", async () => {
  const first = openDesk();
  const agent = {
    agentId: "agent-1",
    name: "worker-1",
    url: "http://127.0.0.1:8801/rpc",
    version: "1",
    facts: sampleAgentFacts(),
    isDraining: false,
  };
  first.store.transact((tx) => tx.putAgent(agent));
  await first.stop();
  await using desk = openDesk({ folder: first.folder });
  const { agents } = await done<AnswerOf<"listAgents">>(desk, "GET", "/api/agents");
  assert.deepEqual(agents.map((a) => [a.name, a.state]), [["worker-1", "alive"]]);
  const drain = (undo?: boolean) =>
    done(desk, "POST", "/api/agents/agent-1/drain", undo === undefined ? {} : { undo });
  assert.deepEqual(await drain(), { accepted: true });
  const one = await done<AnswerOf<"getAgent">>(desk, "GET", "/api/agents/agent-1");
  assert.equal(one.agent.state, "draining");
  await drain(true);
  assert.equal(desk.store.agents()[0]!.isDraining, false);
  await drain();
  assert.deepEqual(await done(desk, "DELETE", "/api/agents/agent-1"), { accepted: true });
  assert.deepEqual(desk.store.agents(), []);
  assert.equal((await desk.ask("GET", "/api/agents/agent-1")).status, 404);
});

Deno.test("destinations: a place is added, tested, looked at, used by name and forgotten, and nothing at it is touched", async () => {
  await using desk = openDesk();
  const path = join(desk.folder, "nas");
  mkdirSync(path);
  const { place } = await done<AnswerOf<"addDestination">>(desk, "POST", "/api/destinations", {
    path: `${path}/`,
    label: "NAS",
  });
  assert.equal(place.path, path);
  const clash = await desk.ask("POST", "/api/destinations", { path: "/other", label: "NAS" });
  assert.equal(clash.status, 400);
  const test = await done<AnswerOf<"testDestination">>(
    ...[desk, "POST", "/api/destinations/test", { place: place.placeId }] as const,
  );
  assert.deepEqual([test.found.exists, test.found.isWritable, test.found.copies], [true, true, []]);
  const space = await done<AnswerOf<"getDestinationSpace">>(
    ...[desk, "GET", `/api/destinations/${place.placeId}/space`] as const,
  );
  assert.ok(space.freeBytes! > 0 && space.totalBytes! >= space.freeBytes!);
  const source = fill(join(desk.folder, "src"), { a: "1" });
  const { directory } = await done<AnswerOf<"selectDirectory">>(desk, "POST", "/api/selection", {
    path: source,
  });
  const { runId } = await done<AnswerOf<"startRun">>(desk, "POST", "/api/runs", {});
  assert.deepEqual((await ended(desk, runId)).destinations, ["NAS"]);
  const { places } = await done<AnswerOf<"listDestinations">>(desk, "GET", "/api/destinations");
  assert.equal(places[0]!.lastState, "verified");
  assert.ok(places[0]!.lastVerifiedAtMs! > 0);
  assert.equal(places[0]!.freeBytes! > 0, true);
  const again = await done<AnswerOf<"testDestination">>(
    ...[desk, "POST", "/api/destinations/test", { place: path, writes: false }] as const,
  );
  assert.deepEqual(again.found.copies.map((c) => [c.name, c.sourcePath]), [["src", source]]);
  await done(desk, "DELETE", `/api/destinations/${place.placeId}`);
  assert.equal(readFileSync(join(path, "src/a"), "utf8"), "1");
  assert.deepEqual(desk.store.documents("place"), []);
  await done(desk, "DELETE", `/api/selection/${directory.directoryId}`);
  assert.deepEqual(await done(desk, "GET", "/api/selection"), { directories: [] });
  assert.equal((await desk.ask("POST", "/api/runs", {})).status, 400);
});

Deno.test("directories: every folder is found with its size, hidden ones too, and settings say where looking begins", async () => {
  await using desk = openDesk();
  const home = join(desk.folder, "home");
  fill(home, {
    ".ssh/key": "secret",
    "Photos/2024/a.jpg": "12345",
    "Photos/b.jpg": "1",
    note: "n",
  });
  await done(desk, "PATCH", "/api/settings", { discoverFrom: home });
  const found = await done<AnswerOf<"discoverDirectories">>(desk, "GET", "/api/directories");
  assert.equal(found.path, home);
  assert.deepEqual([found.files, found.sizeBytes], [1, 1]);
  assert.deepEqual(
    found.directories.map((d) => [d.name, d.files, d.sizeBytes, d.isHidden, d.isCounted]),
    [[".ssh", 1, 6, true, true], ["Photos", 2, 6, false, true]],
  );
  const below = await done<AnswerOf<"discoverDirectories">>(
    ...[desk, "GET", `/api/directories?path=${home}/Photos&withinMs=0`] as const,
  );
  assert.deepEqual(below.directories.map((d) => [d.name, d.isCounted]), [["2024", false]]);
  assert.equal(below.parent, home);
  const missing = await desk.ask("GET", `/api/directories?path=${home}/nothing`);
  assert.equal(missing.status, 404);
  const { settings } = await done<AnswerOf<"getSettings">>(desk, "GET", "/api/settings");
  assert.equal(settings.discoverFrom, home);
});

Deno.test("profiles, settings and schedules: what is kept is what a run is made of", async () => {
  await using desk = openDesk();
  const source = fill(join(desk.folder, "src"), { a: "1" });
  const job = { sources: [{ path: source }], destinations: [{ path: join(desk.folder, "d") }] };
  await done(desk, "PATCH", "/api/settings", { options: { attemptsMax: 7 } });
  await done(desk, "PUT", "/api/profiles/nightly", { job });
  const { profiles } = await done<AnswerOf<"listProfiles">>(desk, "GET", "/api/profiles");
  assert.deepEqual(profiles.map((p) => [p.name, p.job]), [["nightly", job]]);
  const started = await done<AnswerOf<"startProfile">>(
    ...[desk, "POST", "/api/profiles/nightly/start"] as const,
  );
  assert.equal((await ended(desk, started.runId)).spec.options.attemptsMax, 7);

  const times = { kind: "cron", expression: "0 3 * * *", timeZone: "UTC" };
  const wrong = { name: "x", times: { kind: "cron", expression: "nonsense" }, profile: "nightly" };
  assert.equal((await desk.ask("POST", "/api/schedules", wrong)).status, 400);
  const { schedule } = await done<AnswerOf<"addSchedule">>(desk, "POST", "/api/schedules", {
    name: "each night",
    times,
    profile: "nightly",
  });
  assert.equal(new Date(schedule.nextAtMs!).getUTCHours(), 3);
  const path = `/api/schedules/${schedule.scheduleId}`;
  const off = { name: "each night", times, profile: "nightly", isOn: false };
  const changed = await done<AnswerOf<"changeSchedule">>(desk, "PUT", path, off);
  assert.equal(changed.schedule.nextAtMs, null);
  const now = await done<AnswerOf<"startSchedule">>(desk, "POST", `${path}/start`);
  await ended(desk, now.runId);
  const { schedules } = await done<AnswerOf<"listSchedules">>(desk, "GET", "/api/schedules");
  assert.deepEqual(schedules.map((s) => s.lastRunId), [now.runId]);
  assert.deepEqual(await done(desk, "DELETE", path), { dropped: true });
  assert.deepEqual(desk.store.documents("schedule"), []);
  assert.deepEqual(await done(desk, "DELETE", "/api/profiles/nightly"), { dropped: true });
  assert.equal((await desk.ask("POST", "/api/profiles/nightly/start")).status, 404);
});

Deno.test("copies: what is stored is browsed, searched, downloaded and restored", async () => {
  await using desk = openDesk();
  const tree = { "a b.txt": "hello", "deep/er/photo.JPG": "jpeg", "deep/x": "x" };
  const source = fill(join(desk.folder, "src"), tree);
  const place = join(desk.folder, "copies");
  const { runId } = await done<AnswerOf<"startRun">>(desk, "POST", "/api/runs", {
    job: { sources: [{ path: source }], destinations: [{ path: place }] },
  });
  await ended(desk, runId);
  const at = `place=${encodeURIComponent(place)}`;
  const browse = (path: string) =>
    done<AnswerOf<"browseCopies">>(desk, "GET", `/api/copies?${at}&path=${path}`);
  const top = await browse("");
  assert.deepEqual(top.entries.map((e) => [e.path, e.type]), [["src", "directory"]]);
  const inside = await browse("src");
  assert.deepEqual(inside.entries.map((e) => e.path), ["src/a b.txt", "src/deep"]);
  assert.ok(inside.entries[0]!.verifiedAtMs! > 0);
  assert.equal((await browse("src/nothing")).isThere, false);
  const search = await done<AnswerOf<"searchCopies">>(
    ...[desk, "GET", `/api/copies/search?${at}&pattern=*.jpg`] as const,
  );
  assert.deepEqual(search.entries.map((e) => e.path), ["src/deep/er/photo.JPG"]);
  const exact = `/api/copies/search?${at}&pattern=*.jpg&ignoreCase=false`;
  assert.deepEqual((await done<AnswerOf<"searchCopies">>(desk, "GET", exact)).entries, []);

  const file = await desk.ask("GET", `/api/copies/file?${at}&path=src/a%20b.txt`);
  asked.add("downloadFile");
  assert.equal(file.response.headers.get("content-length"), "5");
  assert.match(file.response.headers.get("content-disposition")!, /attachment.*a%20b\.txt/);
  assert.equal(await file.response.text(), "hello");
  assert.equal((await desk.ask("GET", `/api/copies/file?${at}&path=src/none`)).status, 404);
  // A damaged file must not look whole.
  writeFileSync(join(place, "src/deep/x"), "y");
  const damaged = await desk.ask("GET", `/api/copies/file?${at}&path=src/deep/x`);
  await assert.rejects(damaged.response.text());

  const target = join(desk.folder, "back");
  const { restore } = await done<AnswerOf<"startRestore">>(desk, "POST", "/api/restores", {
    place,
    target,
    paths: ["src/deep/er"],
  });
  const { restores } = await until(
    async () => {
      const all = await done<AnswerOf<"listRestores">>(desk, "GET", "/api/restores");
      return all.restores.every((r) => r.endedAtMs !== null) ? all : undefined;
    },
    WITHIN_MS,
    () => "the restore has not ended",
  );
  assert.deepEqual(restores.map((r) => [r.restoreId, r.state, r.filesDone, r.error]), [
    [restore.restoreId, "completed", 1, null],
  ]);
  assert.equal(readFileSync(join(target, "src/deep/er/photo.JPG"), "utf8"), "jpeg");
  assert.ok(!existsSync(join(target, "src/a b.txt")));
  const over = await done<AnswerOf<"cancelRestore">>(
    ...[desk, "POST", `/api/restores/${restore.restoreId}/cancel`] as const,
  );
  assert.equal(over.restore.state, "completed");
});

Deno.test("logs, machine, version and logging in answer with what is true", async () => {
  await using desk = openDesk({ hasNoAgent: true });
  const { runId } = await done<AnswerOf<"startRun">>(desk, "POST", "/api/runs", {
    job: { sources: [{ path: "/nowhere/x" }], destinations: [{ path: "/nowhere/y" }] },
  });
  const tail = (query: string) => done<AnswerOf<"tailLog">>(desk, "GET", `/api/logs?${query}`);
  const { lines } = await tail(`runId=${runId}&limit=1000`);
  assert.ok(lines.some((line) => line.message === "A job was submitted"));
  assert.ok((await tail("contains=SUBMITTED")).lines.length === 1);
  assert.deepEqual((await tail("level=error")).lines, []);
  const { logs } = await done<AnswerOf<"listLogs">>(desk, "GET", "/api/logs/files");
  assert.deepEqual(logs.map((l) => l.name), ["coordinator-8800.jsonl"]);
  const file = await desk.ask("GET", "/api/logs/files/coordinator-8800.jsonl");
  asked.add("downloadLog");
  assert.match(await file.response.text(), /A job was submitted/);
  for (const name of ["..%2Fmesh-token", "nothing.jsonl", "%2Fetc%2Fpasswd"]) {
    assert.equal((await desk.ask("GET", `/api/logs/files/${name}`)).status, 404, name);
  }
  const machine = await done<AnswerOf<"getMachine">>(desk, "GET", "/api/machine");
  assert.ok(machine.processors > 0 && machine.memoryTotalBytes > machine.memoryFreeBytes);
  assert.deepEqual(await done(desk, "GET", "/api/version"), {
    dashboard: "1.2.3",
    coordinator: "1.2.3",
  });
  assert.deepEqual(await done(desk, "GET", "/api/health"), { status: "ok", coordinator: "ok" });
  const login = await done<AnswerOf<"newLogin">>(desk, "POST", "/api/logins");
  const { pathname, search } = new URL(login.url);
  assert.equal((await desk.ask("GET", pathname + search, undefined, {})).status, 303);
  await done(desk, "DELETE", "/api/session");
});

Deno.test("D8: every operation was asked, and has answered well", () => {
  const missing = OPERATIONS.map((o) => o.name)
    .filter((name) => !asked.has(name) && !ELSEWHERE.includes(name));
  assert.deepEqual(missing, []);
  assert.ok(OPERATIONS.length >= 29);
});

Deno.test("what is wrong with a request is said by field, as RFC 9457 has it", async () => {
  await using desk = openDesk();
  const cases: [string, string, unknown, number][] = [
    ["POST", "/api/runs", { job: { sources: [] } }, 400],
    ["POST", "/api/runs", { nonsense: 1 }, 400],
    ["GET", "/api/runs?limit=many", undefined, 400],
    ["GET", "/api/runs/run-none", undefined, 404],
    ["POST", "/api/runs/run-none/pause", undefined, 404],
    ["PUT", "/api/runs", {}, 405],
    ["GET", "/api/nothing", undefined, 404],
  ];
  for (const [method, path, body, status] of cases) {
    const { response, json } = await desk.ask(method, path, body);
    const problem = json as unknown as { status: number; type: string; title: string };
    assert.equal(response.status, status, `${method} ${path}`);
    assert.equal(response.headers.get("content-type"), "application/problem+json");
    assert.equal(problem.status, status);
    assert.match(problem.type, /^urn:backup-agent:problem:/);
  }
  const { json } = await desk.ask("POST", "/api/runs", { job: { sources: [{ path: 5 }] } });
  const { errors } = json as unknown as { errors: { field: string }[] };
  assert.equal(errors[0]!.field, "job.sources.0.path");
  const form = await desk.dashboard.fetch(
    new Request("http://127.0.0.1:8888/api/runs", {
      method: "POST",
      body: "{}",
      headers: { authorization: "Bearer the-token-of-this-test" },
    }),
  );
  assert.equal(form.status, 415);
});
