/** What pictures of the page are taken of: states of a coordinator, made by hand. Rule: the same to the last number each time. */
import { sampleLane, sampleProgress } from "../../coordinator/cli/sample_run.ts";
import { CAPABILITIES } from "../../protocol/mesh/capability.ts";
import type {
  AgentCardView,
  ConsoleState,
  PlaceCard,
  RunCard,
  RunLive,
  TaskCard,
} from "../../protocol/mesh/console_state.ts";
import type { DestinationProgress, RecentFile } from "../../protocol/mesh/run.ts";
import { EMPTY_CONSOLE_STATE } from "../support/empty_console_state.ts";

/** Now, in all of them: a summer's morning. */
export const SCENE_MS = Date.UTC(2026, 6, 4, 8, 30);
const RUN_ID = "run-V1StGXR8Z5jd";
const HOST = "host-1";
const DIRECTORIES = ["Documents", "Mail", "Music", "Photos", "Projects"];

export function agentCard(name: string, more: Partial<AgentCardView> = {}): AgentCardView {
  return {
    agentId: `agent-${name}`,
    name,
    ...{ url: "http://127.0.0.1:8801/rpc", version: "1.0.0", hostId: HOST, roots: [], slots: 2 },
    capabilities: [...CAPABILITIES],
    ...{ load: 0.25, state: "alive" as const, tasks: [] },
    totals: { bytes: 41e9, files: 120_400, tasks: 31 },
    heardAtMs: SCENE_MS - 4_000,
    isOwn: false,
    ...more,
  };
}

function taskCard(
  name: string,
  agent: AgentCardView | null,
  more: Partial<TaskCard> = {},
): TaskCard {
  return {
    taskId: `task-${name}`,
    runId: RUN_ID,
    source: { path: `/home/ada/${name}`, name, hostId: HOST },
    state: agent === null ? "queued" : "running",
    epoch: 1,
    agent: agent?.agentId ?? null,
    agentName: agent?.name ?? null,
    requires: ["mirror"],
    files: 4_210,
    sizeBytes: 18.4e9,
    reason: null,
    ...more,
  };
}

const OWN = agentCard("coordinator", {
  ...{ agentId: "coordinator", load: 0, isOwn: true, heardAtMs: null },
  totals: { bytes: 0, files: 0, tasks: 0 },
});

const COUNTERS = {
  ...{ filesTotal: 21_050, bytesTotal: 92e9, filesUnchanged: 1_200, bytesUnchanged: 2e9 },
  ...{ verifyFilesTotal: 19_850, verifyBytesTotal: 90e9 },
};

const LANES: DestinationProgress[] = [
  sampleLane("SSD", "verified", {
    ...{ fastest: true, elapsedMs: 412_000, freeBytes: 812e9 },
    counters: {
      ...COUNTERS,
      ...{ filesDone: 21_050, bytesDone: 92e9, verifyFilesDone: 19_850, verifyBytesDone: 90e9 },
    },
  }),
  sampleLane("USB disk", "verify", {
    ...{ elapsedMs: 630_000, freeBytes: 220e9, etaMs: 95_000 },
    etaRangeMs: { low: 80_000, high: 120_000 },
    counters: {
      ...COUNTERS,
      ...{ filesDone: 21_050, bytesDone: 92e9, verifyFilesDone: 9_400, verifyBytesDone: 41e9 },
    },
    gauges: { workers: 2, workersTarget: 3, bytesPerSecond: 182e6, queueDepth: 10_450 },
  }),
  sampleLane("NAS", "copy", {
    ...{ elapsedMs: 630_000, freeBytes: 3.2e12, etaMs: 720_000 },
    etaRangeMs: { low: 660_000, high: 900_000 },
    counters: { ...COUNTERS, filesDone: 12_800, bytesDone: 58e9 },
    gauges: {
      ...{ workers: 5, workersTarget: 6, bytesPerSecond: 61e6, queueDepth: 8_250 },
      currentFiles: ["Photos/2026/IMG_4021.jpg"],
    },
  }),
  sampleLane("Cellar", "failed", {
    pills: {
      ...{ analyze: "done", manifest: "done", copy: "failed" },
      ...{ flush: "pending", verify: "pending" },
    },
    elapsedMs: 88_000,
    counters: { ...COUNTERS, filesDone: 900, bytesDone: 1.4e9, filesFailed: 3 },
  }),
];

const FILES: RecentFile[] = Array.from({ length: 15 }, (_, at) => ({
  path: `Photos/2026/IMG_${4021 - at}.jpg`,
  sizeBytes: 4_100_000 + at * 37_000,
  atMs: SCENE_MS - 1_000 - at * 400,
  marks: { "SSD": "verified", "USB disk": at % 3 === 0 ? "copied" : "verified", "NAS": "copied" },
}));

const CARD: RunCard = {
  runId: RUN_ID,
  state: "running",
  ...{ isPaused: false, isDryRun: false, endedAtMs: null, exitCode: null, failureCount: 3 },
  createdAtMs: SCENE_MS - 630_000,
  sources: DIRECTORIES.map((name) => ({ name, path: `/home/ada/${name}` })),
  destinations: LANES.map(({ destination: key }) => ({ key, path: `/mnt/${key}` })),
  notes: [],
  tasks: { queued: 1, assigned: 0, running: 3, succeeded: 1, failed: 0, cancelled: 0 },
};

const LIVE: RunLive = {
  verdict: {
    text: "1 of 4 copies verified, Cellar failed, NAS 63 %, 12 min left",
    ...{ verified: 1, total: 4, tone: "working" },
    open: [{ destination: "NAS", phase: "copy", percent: 63 }],
    leftMs: { low: 660_000, high: 900_000 },
  },
  progress: sampleProgress(LANES, { runId: RUN_ID, elapsedMs: 630_000 }),
  directories: {
    lastCompleted: {
      ...{ taskId: "task-Mail", label: "/home/ada/Mail", files: 812, sizeBytes: 2.1e9 },
      ...{ isEstimate: false, startedAtMs: SCENE_MS - 300_000, endedAtMs: SCENE_MS - 240_000 },
      ...{ durationMs: 60_000, bytesPerSecond: 35e6, agentName: "cellar" },
    },
    now: ["Documents", "Photos"].map((name) => ({
      ...{ taskId: `task-${name}`, label: `/home/ada/${name}`, files: 4_210, sizeBytes: 18.4e9 },
      ...{ isEstimate: true, startedAtMs: SCENE_MS - 200_000, endedAtMs: null },
      ...{ durationMs: null, bytesPerSecond: null, agentName: "attic" },
    })),
    next: {
      ...{ taskId: "task-Projects", label: "/home/ada/Projects", files: 9_100, sizeBytes: 8e9 },
      ...{ isEstimate: true, startedAtMs: null, endedAtMs: null, durationMs: null },
      ...{ bytesPerSecond: null, agentName: null },
    },
  },
  recentFiles: FILES,
};

function byId<T>(rows: readonly T[], idOf: (row: T) => string): Record<string, T> {
  return Object.fromEntries(rows.map((row) => [idOf(row), row]));
}

function scene(agents: readonly AgentCardView[], tasks: readonly TaskCard[]): ConsoleState {
  return {
    ...EMPTY_CONSOLE_STATE,
    coordinator: {
      ...{ name: "hallway", version: "1.0.0", hostId: HOST, startedAtMs: SCENE_MS - 86_400_000 },
      ...{ verdict: LIVE.verdict, activeRunIds: [RUN_ID] },
    },
    runs: { [RUN_ID]: CARD },
    live: { [RUN_ID]: LIVE },
    agents: byId([...agents, OWN], (agent) => agent.agentId),
    tasks: byId(tasks, (task) => task.taskId),
  };
}

const NOTHING = scene([], []);
const attic = agentCard("attic", { load: 0.82 });
const cellar = agentCard("cellar", { load: 0.4 });
const study = agentCard("study", { state: "dead", heardAtMs: SCENE_MS - 95_000 });
const MANY = Array.from({ length: 50 }, (_, at) =>
  agentCard(`worker-${at + 1}`, {
    load: ((at * 37) % 100) / 100,
    state: at === 7 ? "dead" : at === 21 ? "draining" : at === 33 ? "suspect" : "alive",
  }));

/** Three files at each of four destinations that failed there, among many that did not. */
export function sceneFiles(offset: number, limit: number) {
  const total = 3_000;
  const rows = Array.from({ length: Math.max(0, Math.min(limit, total - offset)) }, (_, at) => {
    const file = offset + at;
    const nas = file < 1_850 ? "c" : ".";
    return {
      path: `Photos/2026/IMG_${file}.jpg`,
      sizeBytes: 4_100_000,
      marks: `v${file < 1_400 ? "v" : "c"}${nas}${file < 40 ? "c" : file % 999 === 0 ? "x" : "."}`,
    };
  });
  return {
    destinations: LANES.map((l) => l.destination),
    rows,
    total,
    unlisted: 0,
    isLive: true,
    notes: [],
  };
}

export function sceneSelection() {
  return {
    directories: DIRECTORIES.map((name) => ({
      ...{ directoryId: `folder-${name}`, path: `/home/ada/${name}`, hostId: HOST },
      addedAtMs: SCENE_MS,
    })),
  };
}

function placeCard(label: string, path: string): PlaceCard {
  return {
    ...{ placeId: `place-${label}`, label, path, hostId: HOST, addedAtMs: SCENE_MS },
    ...{ freeBytes: 812e9, totalBytes: 2e12, lookedAtMs: SCENE_MS },
    ...{ lastVerifiedAtMs: SCENE_MS - 3_600_000, lastState: "verified" },
  };
}

/** The same run with other lanes. */
function withLanes(
  state: ConsoleState,
  lanes: DestinationProgress[],
  card: Partial<RunCard>,
  verdict: Partial<RunLive["verdict"]>,
): ConsoleState {
  const live = {
    ...LIVE,
    verdict: { ...LIVE.verdict, ...verdict },
    progress: sampleProgress(lanes, { runId: RUN_ID, elapsedMs: 630_000 }),
  };
  return { ...state, runs: { [RUN_ID]: { ...CARD, ...card } }, live: { [RUN_ID]: live } };
}

const DONE = {
  ...COUNTERS,
  ...{ filesDone: 21_050, bytesDone: 92e9, verifyFilesDone: 19_850, verifyBytesDone: 90e9 },
};
const ENDED = ["SSD", "USB disk", "NAS"].map((name, at) =>
  sampleLane(name, "verified", {
    ...{ fastest: at === 0, elapsedMs: 412_000 * (at + 1), freeBytes: 812e9, counters: DONE },
  })
);

const RACE = scene([attic, cellar, study], [
  taskCard("Documents", attic),
  taskCard("Photos", attic, { sizeBytes: 41e9, files: 9_800 }),
  taskCard("Music", cellar),
  taskCard("Projects", null, { reason: "Waiting for a place at an agent" }),
]);

export const SCENES = {
  /** Nothing was copied yet. */
  empty: { ...NOTHING, runs: {}, live: {}, coordinator: { ...NOTHING.coordinator, verdict: null } },
  /** Four destinations, each somewhere else; an agent has died. */
  race: RACE,
  /** The same, but the first one has failed. */
  otherEnd: withLanes(
    RACE,
    [{ ...LANES[0]!, state: "failed", counters: { ...DONE, filesFailed: 2 } }, ...LANES.slice(1)],
    {},
    {},
  ),
  /** The same, but an agent is not heard. */
  silent: withLanes(
    RACE,
    LANES.map((lane) =>
      lane.destination === "NAS"
        ? { ...lane, waitsFor: [{ agent: "cellar", silentForMs: 12_000 }] }
        : lane
    ),
    {},
    {},
  ),
  /** All of it is verified. */
  end: withLanes(
    scene([attic, cellar], []),
    ENDED,
    {
      ...{ state: "completed", endedAtMs: SCENE_MS - 60_000, exitCode: 0, failureCount: 0 },
      destinations: ENDED.map(({ destination: key }) => ({ key, path: `/mnt/${key}` })),
    },
    { text: "3 of 3 copies verified", verified: 3, total: 3, open: [], leftMs: null, tone: "good" },
  ),
  /** A disk and a repository to choose from. */
  repository: {
    ...NOTHING,
    ...{ runs: {}, live: {}, coordinator: { ...NOTHING.coordinator, verdict: null } },
    places: byId(
      [placeCard("SSD", "/mnt/ssd"), placeCard("Vault", "restic:/mnt/nas/vault")],
      (place) => place.placeId,
    ),
  },
  /** As many agents as one house may have. */
  many: scene(
    MANY,
    Array.from({ length: 90 }, (_, at) => taskCard(`Shelf ${at + 1}`, MANY[(at * 7) % 43]!)),
  ),
} satisfies Record<string, ConsoleState>;
