/** What agents answer about places: within their roots, in every form that is stored, and with what is damaged told. */
import assert from "node:assert/strict";
import {
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { AnswerOf } from "../../dashboard/api_client.ts";
import { createScene } from "../support/scene.ts";
import { until } from "../support/mesh_processes.ts";
import { type Desk, openDesk } from "./desk.ts";

const WITHIN_MS = 120_000;

async function copy(desk: Desk, job: unknown): Promise<AnswerOf<"getRun">> {
  const started = await desk.ask("POST", "/api/runs", { job });
  assert.equal(started.status, 202, JSON.stringify(started.json));
  const { runId } = started.json as unknown as { runId: string };
  return await until(
    async () => {
      const { json } = await desk.ask("GET", `/api/runs/${runId}`);
      const run = json as unknown as AnswerOf<"getRun">;
      return run.exitCode === null ? undefined : run;
    },
    WITHIN_MS,
    () => "the run has not ended",
  );
}

async function restored(desk: Desk, wanted: unknown) {
  const started = await desk.ask("POST", "/api/restores", wanted);
  if (started.status !== 202) return { status: started.status, restore: undefined };
  const restore = await until(
    async () => {
      const { json } = await desk.ask("GET", "/api/restores");
      const [newest] = (json as unknown as AnswerOf<"listRestores">).restores;
      return newest!.endedAtMs === null ? undefined : newest!;
    },
    WITHIN_MS,
    () => "the restore has not ended",
  );
  return { status: started.status, restore };
}

Deno.test("nothing outside an agent's roots is listed, looked at, read or restored to, whatever links lead there", async () => {
  const first = openDesk({ hasNoAgent: true });
  const { folder } = first;
  await first.stop();
  const [mine, disk, outside] = ["mine", "disk", "outside"].map((name) => join(folder, name));
  for (const path of [mine!, disk!, outside!, join(mine!, "docs")]) mkdirSync(path);
  writeFileSync(join(mine!, "docs/a"), "1");
  writeFileSync(join(outside!, "secret"), "2");
  symlinkSync(outside!, join(mine!, "way out"));
  symlinkSync(outside!, join(disk!, "way out"));
  const roots = { sources: [mine!], destinations: [disk!], labels: new Map() };
  await using desk = openDesk({ folder, roots });
  const run = await copy(desk, {
    sources: [{ path: join(mine!, "docs") }],
    destinations: [{ path: join(disk!, "copies") }],
  });
  assert.equal(run.state, "completed");
  const refused = async (method: string, path: string, body?: unknown) => {
    const { status, json } = await desk.ask(method, path, body);
    assert.ok(
      status >= 400 && status < 500,
      `${method} ${path}: ${status} ${JSON.stringify(json)}`,
    );
  };
  const q = encodeURIComponent;
  for (const path of [outside!, join(mine!, "way out"), "/", folder, `${mine}/../outside`]) {
    await refused("GET", `/api/directories?path=${q(path)}`);
  }
  for (const place of [outside!, join(disk!, "way out"), "/", `${disk}/../outside`]) {
    await refused("POST", "/api/destinations/test", { place });
    await refused("GET", `/api/copies?place=${q(place)}`);
    await refused("GET", `/api/copies/file?place=${q(place)}&path=docs/a`);
  }
  assert.ok(!existsSync(join(outside!, ".backup-agent")));
  const place = join(disk!, "copies");
  for (const target of [outside!, join(mine!, "way out/x"), join(disk!, "x"), `${mine}/../y`]) {
    const { restore } = await restored(desk, { place, target, paths: [] });
    assert.notEqual(restore?.state, "completed", target);
    assert.ok(!existsSync(join(outside!, "docs")) && !existsSync(join(target, "docs")));
  }
  const back = await restored(desk, { place, target: join(mine!, "back"), paths: [] });
  assert.equal(back.restore?.state, "completed", JSON.stringify(back));
  assert.equal(readFileSync(join(mine!, "back/docs/a"), "utf8"), "1");
});

Deno.test("a compressed file, a large one and a further name of one are downloaded as they were", async () => {
  await using desk = openDesk();
  const source = join(desk.folder, "src");
  mkdirSync(source);
  const large = new Uint8Array(3_000_000).map((_, k) => k % 251);
  writeFileSync(join(source, "large"), large);
  writeFileSync(join(source, "text"), "again and again\n".repeat(1_000));
  linkSync(join(source, "text"), join(source, "ztext"));
  const place = join(desk.folder, "copies");
  await copy(desk, {
    sources: [{ path: source }],
    destinations: [{ path: place }],
    encoding: { codec: "zst", recipients: [] },
  });
  assert.ok(existsSync(join(place, "src/text.zst")));
  for (
    const [name, bytes] of [["large", large], ["text", undefined], ["ztext", undefined]] as const
  ) {
    const path = `/api/copies/file?place=${encodeURIComponent(place)}&path=src/${name}`;
    const { response } = await desk.ask("GET", path);
    assert.equal(response.status, 200, name);
    const got = new Uint8Array(await response.arrayBuffer());
    assert.deepEqual(got, bytes ?? new Uint8Array(readFileSync(join(source, name))), name);
  }
});

Deno.test("after a run each cell says what its destination has: missing, failed and verified are told apart", async () => {
  await using desk = openDesk();
  const source = join(desk.folder, "src");
  mkdirSync(source);
  for (const name of ["a", "b", "c"]) writeFileSync(join(source, name), name);
  const [one, two] = ["one", "two"].map((name) => join(desk.folder, name));
  const run = await copy(desk, {
    sources: [{ path: source }],
    destinations: [{ path: one!, key: "one" }, { path: two!, key: "two" }],
  });
  const files = async () => {
    const { json } = await desk.ask("GET", `/api/runs/${run.runId}/files`);
    return json as unknown as AnswerOf<"listRunFiles">;
  };
  assert.deepEqual((await files()).rows.map((r) => r.marks), ["vv", "vv", "vv"]);
  // A later run finds less in the source, at one destination only.
  writeFileSync(join(source, "d"), "d");
  await copy(desk, { sources: [{ path: source }], destinations: [{ path: one!, key: "one" }] });
  assert.deepEqual((await files()).rows.map((r) => [r.path, r.marks]), [
    ["src/a", "vv"],
    ["src/b", "vv"],
    ["src/c", "vv"],
    ["src/d", "v-"],
  ]);
  // A disk that is away says nothing about the other.
  renameSync(two!, `${two}-away`);
  const page = await files();
  assert.deepEqual(page.rows.map((r) => r.marks), ["v-", "v-", "v-", "v-"]);
  assert.match(page.notes.join(), /two is no backup-agent destination/);
});

const KEYS = {
  repositoryPassword: "repo",
  repositories: [{ repository: "restic:/mnt/repo", password: "its-own" }],
};

Deno.test("a repository is asked for by its prefix", async () => {
  await using desk = openDesk({ hasNoAgent: true });
  const { json } = await desk.ask("POST", "/api/destinations", {
    path: "restic:/mnt/repo",
    label: "repo",
  });
  assert.equal((json as unknown as AnswerOf<"addDestination">).place.label, "repo");
  const started = await desk.ask("POST", "/api/runs", {
    job: { sources: [{ path: "/src" }], keys: KEYS },
  });
  const { runId } = started.json as unknown as AnswerOf<"startRun">;
  const { spec } = desk.store.run(runId)!;
  assert.deepEqual(
    spec.destinations.map(({ key, kind, path }) => [key, kind, path]),
    [["repo", "restic", "/mnt/repo"]],
  );
  assert.deepEqual(spec.options.keys, KEYS);
  const { runs } = (await desk.ask("GET", "/api/history")).json as unknown as AnswerOf<
    "getHistory"
  >;
  assert.deepEqual(runs[0]!.destinations, [{ key: "repo", path: "restic:/mnt/repo" }]);
  assert.ok(spec.requiredCapabilities.includes("snapshot"));
});

Deno.test("snapshots of a repository are browsed, searched and downloaded from, with a secret that the agent knows by name", async () => {
  await using scene = createScene();
  const password = join(scene.folder, "password");
  writeFileSync(password, "not to be guessed\n", { mode: 0o600 });
  const place = `restic:${join(scene.folder, "repo")}`;
  const made = await scene.run(["init", place, "--password-file", password]);
  assert.equal(made.code, 0, made.err);
  await using desk = openDesk({ secrets: new Map([["repo", { file: password }]]) });
  mkdirSync(join(scene.source, "deep"));
  writeFileSync(join(scene.source, "deep/Note.txt"), "in a snapshot");
  const run = await copy(desk, {
    sources: [{ path: scene.source }],
    destinations: [{ path: place }],
    keys: { repositoryPassword: "repo" },
  });
  assert.equal(run.state, "completed", JSON.stringify(run.report));
  const at = `place=${encodeURIComponent(place)}&repositoryPasswordName=repo`;
  const browse = async (query: string) => {
    const { status, json } = await desk.ask("GET", `/api/copies${query}`);
    assert.equal(status, 200, JSON.stringify(json));
    return (json as unknown as AnswerOf<"browseCopies">).entries;
  };
  const [snapshot] = await browse(`?${at}`);
  assert.match(snapshot!.path, /^[0-9a-f]{8}$/);
  assert.ok(snapshot!.mtimeMs! > 0);
  const found = await browse(`/search?${at}&pattern=note.*`);
  assert.deepEqual(found.map((e) => [e.path, e.type, e.sizeBytes]), [
    [`${snapshot!.path}${scene.source}/deep/Note.txt`, "file", 13],
  ]);
  const inside = await browse(`?${at}&path=${snapshot!.path}${scene.source}/deep`);
  assert.deepEqual(inside.map((e) => e.path), [found[0]!.path]);
  const file = await desk.ask("GET", `/api/copies/file?${at}&path=${found[0]!.path}`);
  assert.equal(await file.response.text(), "in a snapshot");
  const locked = await desk.ask("GET", `/api/copies?place=${encodeURIComponent(place)}`);
  assert.equal(locked.status, 409);
  const files = await desk.ask("GET", `/api/runs/${run.runId}/files`);
  assert.deepEqual((files.json as unknown as AnswerOf<"listRunFiles">).rows, []);
  const target = join(desk.folder, "back");
  const keys = { repositoryPassword: "repo" };
  const one = await restored(desk, { place, target, paths: [found[0]!.path], keys });
  const { state, filesDone, filesTotal, bytesDone, bytesTotal } = one.restore!;
  assert.equal(state, "completed", JSON.stringify(one));
  assert.deepEqual([filesDone, filesTotal, bytesDone, bytesTotal], [1, 1, 13, 13]);
  const note = join(target, scene.source, "deep/Note.txt");
  assert.equal(readFileSync(note, "utf8"), "in a snapshot");
  // All of the newest, where some stands already and some differs.
  writeFileSync(note, "mine");
  const all = await restored(desk, { place, target, paths: [], keys });
  assert.deepEqual([all.restore!.state, all.restore!.failureCount], ["failed", 1]);
  assert.match(all.restore!.failures[0]!.message, /Note\.txt stands there and differs/);
  assert.equal(readFileSync(note, "utf8"), "mine");
  const over = await restored(desk, { place, target, paths: [], keys, overwrite: true });
  assert.equal(over.restore!.state, "completed", JSON.stringify(over));
  assert.equal(readFileSync(note, "utf8"), "in a snapshot");
  // One that cannot be read may be newer than the newest of the others.
  const broken = "0".repeat(64);
  writeFileSync(join(scene.folder, "repo/snapshots", broken), "no snapshot at all, but a file");
  const older = await restored(desk, { place, target, paths: [], keys, overwrite: true });
  assert.deepEqual([older.restore!.state, older.restore!.failureCount], ["failed", 1]);
  assert.equal(older.restore!.failures[0]!.path, `snapshots/${broken}`);
  assert.match(older.restore!.failures[0]!.message, /may be newer/);
  const unnamed = await restored(desk, { place, target, paths: [] });
  assert.equal(unnamed.restore!.state, "failed");
  assert.match(unnamed.restore!.error!, /needs a password/);
});

Deno.test("a repository is restored only to where the agent may write, whatever links lead elsewhere", async () => {
  await using scene = createScene();
  const password = join(scene.folder, "password");
  writeFileSync(password, "not to be guessed\n", { mode: 0o600 });
  writeFileSync(join(scene.source, "a"), "1");
  const [mine, outside] = ["mine", "outside"].map((name) => join(scene.folder, name));
  for (const path of [mine!, outside!]) mkdirSync(path);
  symlinkSync(outside!, join(mine!, "way out"));
  const disk = join(scene.folder, "repo");
  const place = `restic:${disk}`;
  const made = await scene.run(["init", place, "--password-file", password]);
  assert.equal(made.code, 0, made.err);
  await using desk = openDesk({
    secrets: new Map([["repo", { file: password }]]),
    roots: { sources: [mine!, scene.source], destinations: [disk], labels: new Map() },
  });
  const keys = { repositoryPassword: "repo" };
  const run = await copy(desk, {
    sources: [{ path: scene.source }],
    destinations: [{ path: place }],
    keys,
  });
  assert.equal(run.state, "completed", JSON.stringify(run.report));
  for (
    const target of [outside!, join(mine!, "way out/x"), `${mine}/../y`, `${mine}/new/../../y`]
  ) {
    const { restore } = await restored(desk, { place, target, paths: [], keys });
    assert.notEqual(restore?.state, "completed", target);
  }
  assert.ok(!existsSync(join(scene.folder, "y")));
  const elsewhere = `restic:${outside}`;
  const { restore } = await restored(desk, { place: elsewhere, target: mine, paths: [], keys });
  assert.match(restore!.error!, /outside the roots/);
  const back = await restored(desk, { place, target: join(mine!, "deep/back"), paths: [], keys });
  assert.equal(back.restore?.state, "completed", JSON.stringify(back));
  assert.equal(readFileSync(join(mine!, "deep/back", scene.source, "a"), "utf8"), "1");
  assert.deepEqual([...Deno.readDirSync(outside!)], []);
});

Deno.test("a restore replaces nothing unasked, and says what it left", async () => {
  await using desk = openDesk();
  const source = join(desk.folder, "src");
  mkdirSync(source);
  writeFileSync(join(source, "a"), "new");
  const place = join(desk.folder, "copies");
  await copy(desk, { sources: [{ path: source }], destinations: [{ path: place }] });
  const target = join(desk.folder, "back");
  mkdirSync(join(target, "src"), { recursive: true });
  writeFileSync(join(target, "src/a"), "mine");
  const kept = await restored(desk, { place, target, paths: [] });
  assert.deepEqual([kept.restore!.state, kept.restore!.failureCount], ["failed", 1]);
  assert.equal(readFileSync(join(target, "src/a"), "utf8"), "mine");
  const forced = await restored(desk, { place, target, paths: [], overwrite: true });
  assert.equal(forced.restore!.state, "completed");
  assert.equal(readFileSync(join(target, "src/a"), "utf8"), "new");
});
