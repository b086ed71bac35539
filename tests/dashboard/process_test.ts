/** The dashboard of real processes: over sockets, through a handoff, a pause and a coordinator that is killed. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { createApiClient } from "../../dashboard/api_client.ts";
import { SocketMessage } from "../../dashboard/socket_messages.ts";
import { applyChange } from "../../protocol/mesh/apply_change.ts";
import type { ConsoleState } from "../../protocol/mesh/console_state.ts";
import { createMesh, FAST, type RoleProcess, until } from "../support/mesh_processes.ts";
import { createNetns, NETNS_TOOLS } from "../support/netns.ts";
import { type RunningProgram, startProgram } from "../support/run_program.ts";
import { createScene, parseLines } from "../support/scene.ts";
import { needs } from "../support/tools.ts";

const WITHIN_MS = 60_000;
const FILES = 12;
const FILE_BYTES = 1 << 20;

/** Where the dashboard of a coordinator's process is, and how to log in. */
async function dashboardOf(running: RunningProgram): Promise<{ url: string; login: string }> {
  await running.saw("login_url");
  const line = parseLines(running.out()).find((l) => l["role"] === "dashboard")!;
  return { url: String(line["url"]), login: String(line["login_url"]) };
}

async function logIn(login: string): Promise<string> {
  const response = await fetch(login, { redirect: "manual" });
  await response.body?.cancel();
  assert.equal(response.status, 303);
  return response.headers.get("set-cookie")!.split(";")[0]!;
}

function clientOf(url: string, cookie: string) {
  const own: typeof fetch = (input, init = {}) =>
    fetch(input, {
      ...init,
      headers: { ...Object.fromEntries(new Headers(init.headers)), cookie },
    });
  return createApiClient(url, { fetch: own }).api;
}

/** Reads the socket as the page does, and checks every number on its way. */
class Reader {
  readonly socket: WebSocket;
  state: ConsoleState | undefined;
  messages = 0;
  readonly faults: string[] = [];
  #seq = 0;
  readonly #done = new Map<string, number>();

  constructor(url: string, cookie: string) {
    const options = { headers: { cookie } } as unknown as string[];
    this.socket = new WebSocket(`${url.replace("http", "ws")}/ws`, options);
    this.socket.onmessage = ({ data }) => this.#take(v.parse(SocketMessage, JSON.parse(data)));
  }

  #take(message: SocketMessage): void {
    this.messages++;
    if (this.#seq !== 0 && message.seq !== this.#seq + 1) {
      this.faults.push(`${this.#seq} → ${message.seq}`);
    }
    this.#seq = message.seq;
    if (message.kind === "away") return;
    this.state = message.kind === "snapshot"
      ? message.state
      : applyChange(this.state!, message.change);
    for (const [runId, { progress }] of Object.entries(this.state.live)) {
      for (const { destination, counters: c } of progress?.destinations ?? []) {
        if (c.filesDone > c.filesTotal || c.bytesDone > c.bytesTotal) {
          this.faults.push(`${destination}: ${c.filesDone} of ${c.filesTotal}`);
        }
        const key = `${runId} ${destination}`;
        if (c.bytesDone < (this.#done.get(key) ?? 0)) this.faults.push(`${key} went back`);
        this.#done.set(key, c.bytesDone);
      }
    }
  }
}

Deno.test("over the API and socket of real processes a task is handed on, and a pause outlives a killed coordinator", async () => {
  await using mesh = createMesh();
  const words = ["--no-scan", "--dashboard-port", "0", ...FAST];
  const coordinator = await mesh.startRole("coordinator", { words });
  const source = join(mesh.folder, "films");
  mkdirSync(source);
  for (let k = 0; k < FILES; k++) {
    writeFileSync(join(source, `film ${k}`), new Uint8Array(FILE_BYTES).fill(k + 1));
  }
  for (const name of ["one", "two"]) await mesh.startWorker(name, "--slots", "1");
  await mesh.untilAlive(2);
  const first = await dashboardOf(coordinator.running);
  const cookie = await logIn(first.login);
  const api = clientOf(first.url, cookie);
  const reader = new Reader(first.url, cookie);

  const target = join(mesh.folder, "copies");
  const started = await api.runs.$post({
    json: {
      job: {
        sources: [{ path: source }],
        destinations: [{ path: target, key: "slow", limitBytesPerSecond: 4e6 }],
      },
    },
  });
  const { runId } = await started.json();
  const seen = <T>(look: (state: ConsoleState) => T | undefined, what: string) =>
    until(() => reader.state && look(reader.state), WITHIN_MS, () => `never seen: ${what}`);
  const bytesDone = (state: ConsoleState | undefined): number =>
    state?.live[runId]?.progress?.destinations[0]?.counters.bytesDone ?? 0;

  const task = await seen(
    (state) =>
      bytesDone(state) > 0
        ? Object.values(state.tasks).find((t) => t.runId === runId && t.state === "running")
        : undefined,
    "a task that copies",
  );
  const other = Object.values(reader.state!.agents)
    .find((a) => !a.isOwn && a.agentId !== task.agent)!;
  const handed = await api.tasks[":taskId"].handoff.$post({
    param: { taskId: task.taskId },
    json: { agent: other.name },
  });
  assert.deepEqual(await handed.json(), { accepted: true, epoch: task.epoch + 1 });
  await seen((state) => {
    const now = state.tasks[task.taskId];
    return now?.agent === other.agentId && now.state === "running" ? now : undefined;
  }, "the task at the other agent");

  const paused = await api.runs[":runId"].pause.$post({ param: { runId } });
  assert.deepEqual(await paused.json(), { isPaused: true });
  await seen((state) => state.runs[runId]?.isPaused || undefined, "the pause");
  assert.deepEqual(reader.faults, []);

  await coordinator.crash();
  const again = await coordinator.again();
  const second = await dashboardOf(again.running);
  const newCookie = await logIn(second.login);
  const now = clientOf(second.url, newCookie);
  // The old address is worth nothing at a dashboard that was started since.
  const old = await fetch(new URL(new URL(first.login).search, `${second.url}/login`));
  await old.body?.cancel();
  assert.equal(old.status, 401);
  const statusOf = async () => {
    const run = await (await now.runs[":runId"].$get({ param: { runId } })).json();
    return { epochs: run.tasks.map((t) => t.epoch), state: run.state };
  };
  await mesh.untilAlive(2);
  const before = await statusOf();
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  assert.deepEqual(await statusOf(), before);
  assert.equal(before.state, "running");
  const resumed = await now.runs[":runId"].resume.$post({ param: { runId } });
  assert.equal(resumed.status, 200);
  const end = await mesh.ended(runId);
  assert.equal(end.state, "completed");
  for (let k = 0; k < FILES; k++) {
    const name = `films/film ${k}`;
    assert.deepEqual(
      readFileSync(join(target, name)),
      Buffer.from(new Uint8Array(FILE_BYTES).fill(k + 1)),
    );
  }

  // What only another page could have sent.
  const foreign = new Headers({ cookie: newCookie, origin: "http://127.0.0.1:1" });
  const refused = await fetch(`${second.url}/api/runs`, { headers: foreign });
  await refused.body?.cancel();
  assert.equal(refused.status, 403);
  assert.ok(!mesh.logs().includes(new URL(second.login).searchParams.get("code")!));
});

Deno.test("a dashboard on its own shows its coordinator, and says so when that is gone", async () => {
  await using mesh = createMesh();
  const coordinator = await mesh.startCoordinator();
  const role = await startDashboard(mesh, coordinator);
  const { url, login } = await dashboardOf(role.running);
  const cookie = await logIn(login);
  const reader = new Reader(url, cookie);
  await until(() => reader.state, WITHIN_MS, () => "no snapshot came");
  assert.equal(reader.state!.coordinator.name, coordinator.name);
  const quiet = reader.messages;
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  assert.equal(reader.messages, quiet, "nothing is told while nothing changes");
  await coordinator.crash();
  const status = async (path: string) => {
    const response = await fetch(url + path, { headers: { cookie } });
    await response.body?.cancel();
    return response.status;
  };
  assert.deepEqual(
    [await status("/api/health"), await status("/health"), await status("/")],
    [503, 200, 200],
  );
  assert.equal(await status("/api/agents"), 503);
  await coordinator.again();
  await until(
    async () => await status("/api/health") === 200 || undefined,
    WITHIN_MS,
    () => "it does not come back",
  );
  reader.socket.close();
  role.kill("SIGTERM");
  assert.equal((await role.running.outcome).code, 0);
});

Deno.test("a dashboard that other machines can reach has its socket too", async () => {
  await using mesh = createMesh();
  const token = join(mesh.folder, "token");
  writeFileSync(token, `${"t".repeat(40)}\n`, { mode: 0o600 });
  const words = ["--no-scan", "--dashboard-port", "0", "--host", "0.0.0.0", "--insecure"];
  const coordinator = await mesh.startRole("coordinator", {
    words: [
      ...words,
      "--token-file",
      token,
      "--root",
      mesh.folder,
      "--dest-root",
      mesh.folder,
      ...FAST,
    ],
  });
  const { url, login } = await dashboardOf(coordinator.running);
  const reader = new Reader(url, await logIn(login));
  await until(() => reader.state, WITHIN_MS, () => "no snapshot came");
  assert.equal(reader.state!.coordinator.name, coordinator.name);
  const foreign = new Reader(url, "not a session");
  await new Promise((resolve) => foreign.socket.onclose = resolve);
  assert.equal(foreign.messages, 0);
  // Whoever ends does not wait for its readers.
  coordinator.kill("SIGTERM");
  assert.equal((await coordinator.running.outcome).code, 0);
});

function startDashboard(mesh: ReturnType<typeof createMesh>, coordinator: RoleProcess) {
  return mesh.startRole("dashboard", { words: ["--coordinator", coordinator.url] });
}

Deno.test({
  ...needs(
    "with no words at all the program starts coordinator, worker and dashboard, and prints where they are",
    ...NETNS_TOOLS,
    "curl",
  ),
  async fn() {
    await using scene = createScene();
    await using netns = await createNetns();
    const [program, ...before] = netns.before();
    const options = { env: { PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin" } };
    await using running = scene.start([], { before: [program!, ...before] });
    await running.saw("/login?code=");
    const out = running.out();
    for (const address of ["127.0.0.1:8800", "127.0.0.1:8801", "127.0.0.1:8888"]) {
      assert.ok(out.includes(`http://${address}`), out);
    }
    const curl = async (path: string) => {
      const words = [...before, "curl", "-sf", `http://127.0.0.1:8888${path}`];
      await using asked = startProgram(program!, words, options);
      return (await asked.outcome).out;
    };
    const status = await until(
      async () => {
        const told = JSON.parse(await curl("/api/status")) as { agents: { alive: number } };
        return told.agents.alive === 1 ? told : undefined;
      },
      WITHIN_MS,
      () => "the worker never came",
    );
    assert.equal(status.agents.alive, 1);
    assert.match(await curl("/"), /1 of 1 agents are there/);
    running.kill("SIGTERM");
    assert.equal((await running.outcome).code, 0);
  },
});
