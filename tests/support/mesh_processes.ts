/**
 * A mesh of real processes in a folder of one test's own. Rule: roles and commands are started as people start them, and
 * find each other and their token by themselves; all of them are gone when the test ends.
 */
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { systemClock } from "../../protocol/base/clock.ts";
import { createCommandDoor } from "../../protocol/http/mesh_door.ts";
import { agentEndpoint } from "../../protocol/mesh/endpoint.ts";
import { GetRun, ListAgents, type RunDetail } from "../../protocol/mesh/methods.ts";
import type { RpcClient } from "../../protocol/rpc/client.ts";
import { type Outcome, type RunningProgram, startProgram } from "./run_program.ts";
import { createScene, type JsonLine, parseLines } from "./scene.ts";

/** As the issue of the mesh has them for tests: what takes half a minute in use takes seconds here. */
export const FAST = ["--heartbeat", "500ms", "--dead-after", "2s"];

/** A role may live as long as the longest test. */
const ROLE_DEADLINE_MS = 10 * 60_000;
/** Generous: a busy machine is slow, and whoever waits for what never comes still ends. */
const WITHIN_MS = 60_000;
const LOOK_EVERY_MS = 25;

/** One role of the mesh; its address stays the same when it is started again. */
export interface RoleProcess {
  readonly name: string;
  readonly url: string;
  readonly port: number;
  readonly agentId: string;
  readonly running: RunningProgram;
  kill(signal: Deno.Signal): void;
  /** `kill -9`, and waits until it is gone. */
  crash(): Promise<void>;
  /** The same words again, on the same port. */
  again(): Promise<RoleProcess>;
}

export interface MeshOptions {
  /** A program in place of ours from source, e.g. the packed executable. */
  program?: readonly string[];
  /** Where the mesh's folder is made; by default the temporary folder. */
  parent?: string;
}

export interface Mesh extends AsyncDisposable {
  readonly folder: string;
  readonly stateDir: string;
  /** @throws when none was started. */
  readonly coordinator: RoleProcess;
  startCoordinator(...words: string[]): Promise<RoleProcess>;
  startWorker(name: string, ...words: string[]): Promise<RoleProcess>;
  /** Any role; it serves on a free port. */
  startRole(
    role: string,
    call: { words: readonly string[]; before?: string[] },
  ): Promise<RoleProcess>;
  /** A command as a person gives it. */
  run(words: readonly string[]): Promise<Outcome>;
  start(words: readonly string[]): RunningProgram;
  /** A command for the coordinator, with `--json`; its lines. @throws when it fails */
  ask(words: readonly string[]): Promise<JsonLine[]>;
  /** As `submit WORDS --detach` gives it. */
  submit(words: readonly string[]): Promise<string>;
  /** What the coordinator says about a run, without starting a process. */
  runOf(runId: string): Promise<RunDetail>;
  /** Waits until the run is as asked for, asking again over whatever breaks. */
  untilRun(
    runId: string,
    is: (run: RunDetail) => boolean,
    options?: { withinMs?: number; what?: string },
  ): Promise<RunDetail>;
  /** Waits for its end. */
  ended(runId: string, withinMs?: number): Promise<RunDetail>;
  /** Waits until the coordinator has so many agents that it gives work to. */
  untilAlive(count: number): Promise<void>;
  /** Calls to any address, as a member of the mesh. */
  connect(url: string): RpcClient;
  readonly token: string;
  /** Everything the roles have logged. */
  logs(): string;
}

export function createMesh(options: MeshOptions = {}): Mesh {
  const scene = createScene(options.parent);
  const { folder, stateDir } = scene;
  const started: RunningProgram[] = [];
  const door = createCommandDoor(systemClock);
  let coordinator: RoleProcess | undefined;

  function start(words: readonly string[], before: string[] = [], deadlineMs?: number) {
    if (options.program === undefined) {
      return scene.start(words, { before, ...(deadlineMs !== undefined && { deadlineMs }) });
    }
    const command = [...before, ...options.program, ...words];
    return startProgram(command[0]!, command.slice(1), {
      cwd: folder,
      env: { HOME: folder, PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin" },
      ...(deadlineMs !== undefined && { deadlineMs }),
    });
  }

  async function startRole(
    role: string,
    { words, before, port = 0 }: { words: readonly string[]; before?: string[]; port?: number },
  ): Promise<RoleProcess> {
    const own = words.includes("--state-dir") ? [] : ["--state-dir", stateDir];
    const all = ["--role", role, "--port", String(port), "--json", ...own, ...words];
    const running = start(all, before, ROLE_DEADLINE_MS);
    started.push(running);
    await running.saw("\n").catch(async (thrown) => {
      throw new Error(`${thrown}; it said: ${(await running.outcome).err}`);
    });
    const serving = parseLines(running.out())[0]!;
    const url = String(serving["url"]);
    const process: RoleProcess = {
      name: String(serving["name"] ?? role),
      url,
      port: Number(new URL(url).port),
      agentId: String(serving["agent_id"]),
      running,
      kill: (signal) => running.kill(signal),
      async crash() {
        running.kill("SIGKILL");
        await running.outcome;
      },
      again: () =>
        startRole(role, { words, ...(before !== undefined && { before }), port: process.port }),
    };
    if (role === "coordinator") coordinator = process;
    return process;
  }

  function theCoordinator(): RoleProcess {
    if (coordinator === undefined) throw new Error("No coordinator was started");
    return coordinator;
  }

  const connect = (url: string) =>
    door.connect({ url: agentEndpoint(url), stateDir, token: undefined, tls: {} });
  const here = () => ["--state-dir", stateDir, "--coordinator", theCoordinator().url];

  async function run(words: readonly string[]): Promise<Outcome> {
    await using running = start(words);
    return await running.outcome;
  }

  async function ask(words: readonly string[]): Promise<JsonLine[]> {
    const outcome = await run([...words, "--json", ...here()]);
    if (outcome.code !== 0) throw new Error(`${words.join(" ")}: ${JSON.stringify(outcome)}`);
    return parseLines(outcome.out);
  }

  const mesh: Mesh = {
    folder,
    stateDir,
    get coordinator() {
      return theCoordinator();
    },
    startCoordinator: (...words) =>
      startRole("coordinator", { words: ["--no-scan", "--no-dashboard", ...FAST, ...words] }),
    startWorker: (name, ...words) =>
      startRole("worker", {
        words: ["--name", name, "--coordinator", theCoordinator().url, ...words],
      }),
    startRole,
    run: (words) => run(words),
    start: (words) => {
      const running = start(words);
      started.push(running);
      return running;
    },
    ask,
    async submit(words) {
      const [line] = await ask(["submit", ...words, "--detach"]);
      return String(line!["run_id"]);
    },
    runOf: (runId) => connect(theCoordinator().url).call(GetRun, { runId }),
    untilRun: (runId, is, { withinMs = WITHIN_MS, what = "as asked for" } = {}) => {
      let last: RunDetail | undefined;
      return until(
        async () => {
          last = await mesh.runOf(runId);
          return is(last) ? last : undefined;
        },
        withinMs,
        () => `${runId} was not ${what} in time: ${describe(last)}`,
      );
    },
    ended: (runId, withinMs = 3 * WITHIN_MS) =>
      mesh.untilRun(runId, ({ exitCode }) => exitCode !== null, { withinMs, what: "at its end" }),
    async untilAlive(count) {
      await until(
        async () => {
          const { agents } = await connect(theCoordinator().url).call(ListAgents, {});
          return agents.filter(({ state }) => state === "alive").length >= count || undefined;
        },
        WITHIN_MS,
        () => `There were never ${count} agents at once`,
      );
    },
    connect,
    get token() {
      return readFileSync(`${stateDir}/mesh-token`, "utf8").trim();
    },
    logs: () =>
      readdirSync(`${stateDir}/logs`).map((name) =>
        readFileSync(`${stateDir}/logs/${name}`, "utf8")
      )
        .join(""),
    async [Symbol.asyncDispose]() {
      for (const running of started) await running[Symbol.asyncDispose]();
      await scene[Symbol.asyncDispose]();
    },
  };
  mkdirSync(stateDir, { mode: 0o700 });
  return mesh;
}

/** Asks until there is an answer; what is thrown on the way counts as none. @throws when it takes too long */
export async function until<T>(
  look: () => Promise<T | undefined> | T | undefined,
  withinMs: number,
  complaint: () => string,
): Promise<T> {
  const startedAtMs = performance.now();
  let thrown: unknown;
  for (;;) {
    try {
      const found = await look();
      if (found !== undefined) return found;
      thrown = undefined;
    } catch (error) {
      thrown = error;
    }
    if (performance.now() - startedAtMs > withinMs) {
      throw new Error(complaint(), thrown === undefined ? {} : { cause: thrown });
    }
    await pause(LOOK_EVERY_MS);
  }
}

/** For moments that are chosen, not waited for. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function describe(run: RunDetail | undefined): string {
  if (run === undefined) return "nothing was heard of it";
  const tasks = run.tasks.map((t) =>
    `${t.source.name}${t.part === undefined ? "" : `/${t.part.key}`} ${t.state} ${t.agentName} ` +
    `${t.epoch} ${t.reason ?? ""}`
  );
  return [run.state, ...run.notes, ...tasks].join("\n  ");
}
