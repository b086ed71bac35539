/** A coordinator that only tells: 8 lanes and 50 agents that change with every tick. Rule: for the bench alone; nothing is copied. */
import { FollowConsole, GetConsole, GetPublicStatus } from "../../protocol/mesh/console_methods.ts";
import type {
  ConsoleEvent,
  ConsoleState,
  PublicStatus,
} from "../../protocol/mesh/console_state.ts";
import type { DestinationProgress } from "../../protocol/mesh/run.ts";
import type { RpcClient } from "../../protocol/rpc/client.ts";
import { pause } from "../support/mesh_processes.ts";

export const LANES = 8;
export const AGENTS = 50;
const TASKS = 120;
const TICK_MS = 250;
/** Every agent is heard every two seconds, five times as often as by default. */
const BEAT_TICKS = 8;
const BEGAN_MS = Date.now();
const RUN_ID = "run-of-the-bench";
const FILES = 1_000_000;
const BYTES = 4e12;
/** A lane needs so many ticks; each a little longer than the one before. */
const TICKS_OF_LANE = 600;

export function playedConsole(): RpcClient {
  const answers: Record<string, () => unknown> = {
    [GetPublicStatus.name]: publicStatus,
    [GetConsole.name]: () => ({ atMs: Date.now(), state: stateAt(0) }),
  };
  return {
    call({ name }) {
      const answer = answers[name];
      return answer === undefined
        ? Promise.reject(new Error(`The bench does not play ${name}`))
        : Promise.resolve(answer() as never);
    },
    stream({ name }, _params, { signal } = {}) {
      if (name !== FollowConsole.name) throw new Error(`The bench does not play ${name}`);
      return events(signal) as never;
    },
  };
}

async function* events(signal: AbortSignal | undefined): AsyncGenerator<ConsoleEvent> {
  yield { kind: "snapshot", seq: 1, atMs: Date.now(), state: stateAt(0) };
  for (let tick = 1; signal?.aborted !== true; tick++) {
    await pause(TICK_MS);
    const { live, agents, tasks } = stateAt(tick);
    const before = stateAt(tick - 1);
    const change = {
      put: { live, agents: changed(before.agents, agents), tasks: changed(before.tasks, tasks) },
      gone: {},
    };
    yield { kind: "change", seq: tick + 1, atMs: Date.now(), change };
  }
}

function beats(tick: number, agent: number): number {
  return Math.floor((tick + agent) / BEAT_TICKS);
}

/** As a coordinator tells it: only rows that are not as they were. */
function changed<T>(before: Record<string, T>, after: Record<string, T>): Record<string, T> {
  return Object.fromEntries(
    Object.entries(after).filter(([id, row]) => JSON.stringify(row) !== JSON.stringify(before[id])),
  );
}

function stateAt(tick: number): ConsoleState {
  const destinations = Array.from({ length: LANES }, (_, at) => laneAt(tick, at));
  const verdict = {
    text: `1 of ${LANES} copies verified, lane-7 ${tick % 100} %, 12 min left`,
    verified: 1,
    total: LANES,
    open: [],
    leftMs: { low: 600_000, high: 800_000 },
    tone: "working" as const,
  };
  const agents = Array.from({ length: AGENTS }, (_, at) => ({
    agentId: `agent-${at}`,
    name: `worker-${at}`,
    ...{ url: "http://w/rpc", version: "1", hostId: "h", roots: [], slots: 4 },
    capabilities: ["mirror", "compress", "encrypt"],
    load: ((beats(tick, at) * 7 + at * 13) % 100) / 100,
    state: at === 7 ? "dead" as const : "alive" as const,
    tasks: [],
    totals: { bytes: beats(tick, at) * 1e7, files: beats(tick, at) * 10, tasks: tick >> 5 },
    heardAtMs: BEGAN_MS + (beats(tick, at) * BEAT_TICKS - at) * TICK_MS,
    isOwn: false,
  }));
  const tasks = Array.from({ length: TASKS }, (_, at) => ({
    taskId: `task-${at}`,
    source: { path: `/home/d${at}`, name: `d${at}` },
    state: "running" as const,
    epoch: 1,
    // One of them moves with each tick.
    agent: `agent-${(at + Math.max(0, Math.ceil((tick - at) / TASKS))) % AGENTS}`,
    agentName: `worker-${at % AGENTS}`,
    ...{ requires: [], files: 10_000, sizeBytes: 1e10, reason: null, runId: RUN_ID },
  }));
  return {
    coordinator: {
      name: "bench",
      version: "1",
      hostId: "h",
      startedAtMs: 0,
      verdict,
      activeRunIds: [RUN_ID],
    },
    runs: {
      [RUN_ID]: {
        runId: RUN_ID,
        state: "running",
        ...{ isPaused: false, isDryRun: false, createdAtMs: Date.now(), endedAtMs: null },
        exitCode: null,
        sources: [{ name: "home", path: "/home" }],
        destinations: destinations.map(({ destination }) => ({
          key: destination,
          path: `/mnt/${destination}`,
        })),
        notes: [],
        tasks: {
          ...{ queued: 0, assigned: 0, running: TASKS },
          ...{ succeeded: 0, failed: 0, cancelled: 0 },
        },
        failureCount: 0,
      },
    },
    live: {
      [RUN_ID]: {
        verdict,
        progress: {
          runId: RUN_ID,
          state: "running",
          elapsedMs: tick * TICK_MS,
          scan: {
            files: FILES,
            directories: 1,
            others: 0,
            bytes: BYTES,
            unreadable: 0,
            excluded: 0,
          },
          destinations,
          statusLine: `${LANES} copying, 0 verifying`,
        },
        directories: { lastCompleted: null, now: [], next: null },
        recentFiles: Array.from({ length: 15 }, (_, at) => ({
          path: `home/photos/2026/IMG_${tick * 15 + at}.jpg`,
          sizeBytes: 4_000_000 + at,
          atMs: Date.now(),
          marks: Object.fromEntries(
            destinations.map(({ destination }, lane) => [
              destination,
              lane % 2 === 0 ? "verified" as const : "copied" as const,
            ]),
          ),
        })),
      },
    },
    agents: Object.fromEntries(agents.map((agent) => [agent.agentId, agent])),
    tasks: Object.fromEntries(tasks.map((task) => [task.taskId, task])),
    ...{ places: {}, schedules: {}, restores: {} },
  };
}

function laneAt(tick: number, at: number): DestinationProgress {
  const done = Math.min(1, tick / (TICKS_OF_LANE * (1 + at / 4)));
  return {
    destination: `lane-${at}`,
    state: "copy",
    pills: {
      analyze: "done",
      manifest: "done",
      copy: "active",
      flush: "pending",
      verify: "pending",
    },
    counters: {
      filesTotal: FILES,
      bytesTotal: BYTES,
      filesDone: Math.floor(FILES * done),
      bytesDone: Math.floor(BYTES * done),
      ...{ filesUnchanged: 0, bytesUnchanged: 0, filesFailed: 0 },
      ...{ verifyFilesTotal: 0, verifyBytesTotal: 0, verifyFilesDone: 0, verifyBytesDone: 0 },
    },
    gauges: {
      workers: 1 + (tick + at) % 8,
      workersTarget: 8,
      bytesPerSecond: 1e8 * (1 + Math.sin(tick / 5 + at) / 2),
      queueDepth: 10_000 - tick,
      stalledForMs: 0,
      currentFiles: [`home/photos/2026/IMG_${tick}.jpg`],
    },
    etaMs: 600_000,
    etaRangeMs: { low: 500_000, high: 700_000 },
    freeBytes: 1e12 - tick * 1e6,
    fastest: at === 0,
    elapsedMs: tick * TICK_MS,
  };
}

function publicStatus(): PublicStatus {
  return {
    status: "ok",
    version: "1",
    atMs: Date.now(),
    agents: { alive: AGENTS - 1, total: AGENTS },
    runs: [{
      runId: RUN_ID,
      state: "running",
      isPaused: false,
      copies: { verified: 1, total: LANES },
      percent: 10,
      leftMs: null,
    }],
  };
}
