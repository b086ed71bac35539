/**
 * Several workers of one mesh in this thread, each with its own state folder and platform ports, and what a coordinator
 * would ask of them. Rule: the real worker answers; only sockets, threads and time are missing.
 */
import { join } from "node:path";
import type { Posix } from "../../agents/platform/posix.ts";
import { THREAD_ROLES } from "./thread_roles.ts";
import type { Roots } from "../../agents/worker/roots.ts";
import { createWorker, type Worker } from "../../agents/worker/worker_agent.ts";
import { silentLog } from "../../protocol/base/log.ts";
import type { SecretSource } from "../../protocol/cli/secret_source.ts";
import type { DestinationSpec, MirrorOptions, SourceSpec } from "../../protocol/mesh/job.ts";
import type { TaskProgress } from "../../protocol/mesh/progress.ts";
import type {
  FinishResult,
  JoinResult,
  MirrorResult,
  PartSpec,
  PrepareResult,
  ResultOf,
  ScanResult,
  TaskSpec,
} from "../../protocol/mesh/task.ts";
import { inThreadWorker } from "./in_thread_worker.ts";
import { ManualClock } from "./manual_clock.ts";
import { MIRROR_OPTIONS } from "./mirror_engine.ts";

type ThreadWorker = ReturnType<typeof inThreadWorker>;

export interface TestAgentOptions {
  name: string;
  /** Its state lies in here. */
  folder: string;
  clock: ManualClock;
  posix: Posix;
  /** The port of a destination's threads, when not `posix`. */
  posixAt?: (path: string) => Posix | undefined;
  hostId?: string;
  roots?: Roots;
  /** By the names that jobs use. */
  secrets?: ReadonlyMap<string, SecretSource>;
  /** Asked before each call into a thread of that destination (undefined: of a reader); the call waits for the answer. */
  gate?: (method: string, path: string | undefined) => Promise<void> | undefined;
}

/** Longer than any retry: whoever is not done by then waits for something that never comes. */
const HOURS_MAX = 10;
const STEP_MS = 250;
const STEPS_A_TURN = 10;

/** Moves time on until `work` is done. */
export async function inTime<T>(clock: ManualClock, work: Promise<T>): Promise<T> {
  let isOver = false;
  work.catch(() => {}).finally(() => isOver = true);
  const startMs = clock.monotonicMs();
  for (let step = 1; !isOver; step++) {
    await clock.advance(STEP_MS);
    // What is read in other ways than by a thread of ours takes a turn of the real loop.
    if (step % STEPS_A_TURN === 0) await new Promise((resolve) => setTimeout(resolve, 0));
    if (clock.monotonicMs() - startMs > HOURS_MAX * 3_600_000) {
      throw new Error("It waits for something that never comes");
    }
  }
  return await work;
}

export class TestAgent {
  readonly name: string;
  readonly worker: Worker;
  readonly #clock: ManualClock;

  constructor(
    { name, folder, clock, posix, posixAt, hostId, roots, secrets, gate }: TestAgentOptions,
  ) {
    this.name = name;
    this.#clock = clock;
    this.worker = createWorker({
      clock,
      log: silentLog,
      stateDir: join(folder, `state-${name}`),
      hostId: hostId ?? "host-of-tests",
      ...(roots !== undefined && { roots }),
      ...(secrets !== undefined && { secrets }),
      spawn: (role) => {
        let path: string | undefined;
        const thread = inThreadWorker((argument, cells, ask) => {
          ({ path } = argument as { path?: string });
          const own = path === undefined ? undefined : posixAt?.(path);
          return THREAD_ROLES[role]!(own ?? posix, argument, cells, ask);
        });
        return gate === undefined ? thread : gated(thread, (method) => gate(method, path));
      },
    });
  }

  /** Asks without moving time. */
  ask<T extends TaskSpec>(
    spec: T,
    options: { signal?: AbortSignal; progress?: (progress: TaskProgress) => void } = {},
  ): Promise<ResultOf<T>> {
    const { signal = new AbortController().signal, progress = () => {} } = options;
    return this.worker.handler(spec, { signal, progress }) as Promise<ResultOf<T>>;
  }

  /** Asks, and moves time on until that is answered. */
  run<T extends TaskSpec>(spec: T): Promise<ResultOf<T>> {
    return inTime(this.#clock, this.ask(spec));
  }

  close(): Promise<void> {
    return inTime(this.#clock, this.worker.close());
  }
}

/** Messages keep their order: what comes after one that waits, waits too. */
function gated(
  thread: ThreadWorker,
  gate: (method: string) => Promise<void> | undefined,
): ThreadWorker {
  const post = thread.postMessage.bind(thread) as (message: unknown) => void;
  let before: Promise<void> | undefined;
  thread.postMessage = (message: unknown) => {
    const wait = gate((message as { method?: string }).method ?? "");
    if (wait === undefined && before === undefined) return post(message);
    before = Promise.all([before, wait]).then(() => post(message));
  };
  return thread;
}

/** One run as its coordinator sees it. */
export class TestRun {
  readonly runId: string;
  readonly sources: SourceSpec[];
  readonly destinations: DestinationSpec[];
  readonly options: MirrorOptions;
  /** By path, once prepared. */
  readonly ids = new Map<string, string>();

  constructor(run: {
    runId: string;
    sources: SourceSpec[];
    destinations: string[];
    options?: Partial<MirrorOptions>;
  }) {
    this.runId = run.runId;
    this.sources = run.sources;
    this.destinations = run.destinations.map((path) => ({
      key: path,
      kind: "local",
      path,
      isNew: false,
    }));
    this.options = { ...MIRROR_OPTIONS, ...run.options };
  }

  async prepare(agent: TestAgent, runEpoch = 1): Promise<PrepareResult> {
    const { runId, sources, destinations, options } = this;
    const prepared = await agent.run({
      op: "prepare",
      runId,
      runEpoch,
      sources,
      destinations,
      options,
    });
    for (const { destination, destinationId } of prepared.destinations) {
      if (destinationId !== undefined) this.ids.set(destination, destinationId);
    }
    return prepared;
  }

  join(agent: TestAgent, runEpoch = 1): Promise<JoinResult> {
    const { runId, sources, options } = this;
    const destinations = this.destinations.map((spec) => ({
      spec,
      destinationId: this.ids.get(spec.key) ?? "none",
    }));
    return agent.run({ op: "join", runId, runEpoch, sources, destinations, options });
  }

  scan(agent: TestAgent, source = this.sources[0]!, partsMax?: number): Promise<ScanResult> {
    const { runId, options } = this;
    return agent.run({
      op: "scan",
      runId,
      source,
      options,
      ...(partsMax !== undefined && { partsMax }),
    });
  }

  /** A task of one source or a part of it; the part's key is its id. */
  mirrorSpec(
    source: SourceSpec,
    more: { part?: PartSpec; epoch?: number; leaseMs?: number } = {},
  ): Extract<TaskSpec, { op: "mirror" }> {
    const { runId, options } = this;
    const { part, epoch = 1, leaseMs } = more;
    return {
      op: "mirror",
      runId,
      taskId: `task-${source.name}${part === undefined ? "" : `-${part.key}`}`,
      epoch,
      source,
      destinations: this.destinations.map(({ key }) => key),
      options,
      ...(part !== undefined && { part }),
      ...(leaseMs !== undefined && { leaseMs }),
    };
  }

  mirror(
    agent: TestAgent,
    source: SourceSpec,
    more: { part?: PartSpec; epoch?: number } = {},
  ): Promise<MirrorResult> {
    return agent.run(this.mirrorSpec(source, more));
  }

  async finish(agent: TestAgent): Promise<FinishResult[]> {
    const results: FinishResult[] = [];
    for (const { key } of this.destinations) {
      results.push(await agent.run({ op: "finish", runId: this.runId, destination: key }));
    }
    return results;
  }

  async release(...agents: TestAgent[]): Promise<void> {
    for (const agent of agents) await agent.run({ op: "release", runId: this.runId });
  }
}
