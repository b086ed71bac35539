/**
 * `deno task bench dashboard`: what readers cost the coordinator, and what the page costs a browser. Rule: readers follow a real
 * run of real processes; only the browser's frames are counted over a feed that is made up, of 8 lanes and 50 agents.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { createDashboard } from "../../dashboard/dashboard_app.ts";
import { systemClock } from "../../protocol/base/clock.ts";
import { openBrowser } from "../support/browser.ts";
import { type DashboardMesh, startDashboardMesh } from "../support/dashboard_mesh.ts";
import { pause, until } from "../support/mesh_processes.ts";
import { AGENTS, LANES, playedConsole } from "./played_console.ts";
import { cpuMs, meshFacts } from "./mesh_bench.ts";
import type { MachineFacts } from "./machine_facts.ts";
import { median, type Part, type Row } from "./part.ts";
import type { Processes } from "./processes.ts";

export const DASHBOARD_PARTS = ["bundle", "readers", "page"] as const;
export type DashboardPartName = (typeof DASHBOARD_PARTS)[number];

export interface DashboardSize {
  /** How long each number of readers is measured, and the frames are counted. */
  readonly seconds: number;
  readonly loads: number;
}
export const DASHBOARD_SIZES = {
  full: { seconds: 15, loads: 7 },
  quick: { seconds: 4, loads: 2 },
} as const satisfies Record<string, DashboardSize>;

export interface DashboardBenchOptions {
  size: DashboardSize;
  parts: readonly DashboardPartName[];
  say(line: string): void;
  onStart(facts: MachineFacts): void;
  onPart(part: Part): void;
}

const READERS = [0, 1, 50, 200] as const;
const READERS_TARGET_PERCENT = 10;
const BUNDLE_TARGET_KB = 120;
const PAINT_TARGET_MS = 500;
const FRAME_TARGET_MS = 1000 / 60;
/** A frame is in time when it comes no later than half a frame after it was due. */
const LATE_MS = 25;
const WITHIN_MS = 60_000;

export async function dashboardBench(
  processes: Processes,
  options: DashboardBenchOptions,
): Promise<{ facts: MachineFacts; parts: Part[] }> {
  const facts = meshFacts();
  options.onStart(facts);
  const parts: Part[] = [];
  for (const name of options.parts) {
    processes.throwIfStopped();
    options.say(`measuring: ${name}`);
    const part = await PART_OF[name](processes, options.size);
    parts.push(part);
    options.onPart(part);
  }
  return { facts, parts };
}

const PART_OF: Record<
  DashboardPartName,
  (processes: Processes, size: DashboardSize) => Part | Promise<Part>
> = { bundle: bundlePart, readers: readersPart, page: pagePart };

function bundlePart(): Part {
  const rows = ["page.js", "page.css"].map((name): Row => {
    const bytes = readFileSync(new URL(`../../dashboard/assets/${name}`, import.meta.url));
    return {
      name,
      values: [gzipSync(bytes, { level: 9 }).length / 1000],
      detail: `${(bytes.length / 1000).toFixed(1)} kB plain`,
    };
  });
  return {
    title: "what a browser loads",
    unit: "kB with gzip",
    rows,
    verdicts: [{
      measure: "script and style",
      measured: rows.reduce((sum, row) => sum + median(row.values), 0),
      target: BUNDLE_TARGET_KB,
      unit: "kB",
    }],
    notes: [],
  };
}

async function readersPart(processes: Processes, { seconds }: DashboardSize): Promise<Part> {
  await using desk = await startDashboardMesh(["worker-1", "worker-2"]);
  await startSlowRun(desk);
  const rows: Row[] = [];
  for (const count of READERS) {
    processes.throwIfStopped();
    using readers = await openReaders(desk, count);
    await pause(1_000);
    const before = { cpuMs: cpuMs(desk.mesh.coordinator.running.pid), heard: readers.heard() };
    const startMs = performance.now();
    await pause(seconds * 1000);
    const elapsedMs = performance.now() - startMs;
    const spentMs = cpuMs(desk.mesh.coordinator.running.pid) - before.cpuMs;
    const ticks = count === 0 ? 0 : (readers.heard() - before.heard) / count;
    rows.push({
      name: `${count} reader${count === 1 ? "" : "s"}`,
      values: [spentMs / elapsedMs * 100],
      ...(count === 0 ? {} : {
        detail: `${(ticks / elapsedMs * 1000).toFixed(1)} ticks/s, ` +
          `${(spentMs / ticks).toFixed(2)} ms of CPU a tick`,
      }),
    });
  }
  return {
    title: "a run that goes on, followed by browsers",
    unit: "% of one core, the whole coordinator",
    rows,
    verdicts: [{
      measure: `coordinator's CPU time with ${READERS.at(-1)} readers`,
      measured: median(rows.at(-1)!.values),
      target: READERS_TARGET_PERCENT,
      unit: "%",
    }],
    notes: ["two workers, eight destinations, each held to 60 kB/s; heartbeats every half second"],
  };
}

/** It changes as long as anybody looks. */
async function startSlowRun(desk: DashboardMesh): Promise<void> {
  const { folder } = desk.mesh;
  mkdirSync(`${folder}/home/files`, { recursive: true });
  for (let file = 0; file < 1_500; file++) {
    writeFileSync(`${folder}/home/files/file-${file}`, new Uint8Array(20_000).fill(file));
  }
  await desk.api("POST", "/runs", {
    job: {
      sources: [{ path: `${folder}/home/files` }],
      destinations: Array.from({ length: 8 }, (_, at) => ({
        path: `${folder}/lane-${at}`,
        key: `lane-${at}`,
        limitBytesPerSecond: 60_000,
      })),
    },
  });
  await until(
    async () => {
      const { state } = await desk.api("GET", "/status") as {
        state: { live: Record<string, { progress: { destinations: { state: string }[] } | null }> };
      };
      const [live] = Object.values(state.live);
      return live?.progress?.destinations.every((lane) => lane.state === "copy") || undefined;
    },
    WITHIN_MS,
    () => "The run never began to copy",
  );
}

async function openReaders(desk: DashboardMesh, count: number) {
  let heard = 0;
  const headers = { authorization: `Bearer ${desk.mesh.token}` };
  const sockets = Array.from({ length: count }, () => {
    const options = { headers } as unknown as string[];
    const socket = new WebSocket(`${desk.origin.replace("http", "ws")}/ws`, options);
    socket.onmessage = () => heard++;
    return socket;
  });
  await until(() => heard >= count || undefined, WITHIN_MS, () => `${heard} of ${count} readers`);
  return {
    heard: () => heard,
    [Symbol.dispose]() {
      for (const socket of sockets) socket.close();
    },
  };
}

async function pagePart(processes: Processes, { seconds, loads }: DashboardSize): Promise<Part> {
  const token = "token-of-the-bench";
  // Its own address is known only once it listens.
  const served: { fetch?: (request: Request) => Promise<Response> } = {};
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    (request) => served.fetch!(request),
  );
  const origin = `http://127.0.0.1:${server.addr.port}`;
  const dashboard = createDashboard({
    coordinator: playedConsole(),
    clock: systemClock,
    log: () => {},
    token,
    version: "1",
    origin,
    hosts: [],
    origins: [],
    upgrade: (request) => Deno.upgradeWebSocket(request),
  });
  served.fetch = (request) => dashboard.fetch(request);
  try {
    await using browser = await openBrowser();
    const paints: number[] = [];
    for (let load = 0; load < loads; load++) {
      processes.throwIfStopped();
      // A new profile each time: nothing is cached.
      const context = await browser.newContext({ viewport: { width: 1280, height: 1800 } });
      const page = await context.newPage();
      await page.goto(dashboard.mintLogin());
      await page.locator(".lane").first().waitFor();
      paints.push(await page.evaluate(FIRST_PAINT) as number);
      await context.close();
    }
    const context = await browser.newContext({ viewport: { width: 1280, height: 1800 } });
    const page = await context.newPage();
    await page.goto(dashboard.mintLogin());
    await page.locator(".task-dot").first().waitFor();
    await pause(1_000);
    const gaps = await page.evaluate(countFrames(seconds)) as number[];
    const late = gaps.filter((gap) => gap > LATE_MS).length;
    const rate = 1000 * gaps.length / gaps.reduce((sum, gap) => sum + gap, 0);
    return {
      title:
        `the page in Chromium, ${LANES} lanes and ${AGENTS} agents, lanes change four times a second`,
      unit: "ms",
      rows: [
        { name: "first contentful paint", values: paints },
        {
          name: "between two frames",
          values: [median(gaps)],
          detail: `${rate.toFixed(1)} frames/s, ${late} of ${gaps.length} frames came late, ` +
            `the latest after ${Math.max(...gaps).toFixed(0)} ms`,
        },
      ],
      verdicts: [
        {
          measure: "first contentful paint",
          measured: median(paints),
          target: PAINT_TARGET_MS,
          unit: "ms",
        },
        {
          measure: "between two frames",
          measured: 1000 / rate,
          // Timers of the browser count in tenths.
          target: FRAME_TARGET_MS + 0.1,
          unit: "ms",
        },
      ],
      notes: ["drawn by the processor, without a graphics card"],
    };
  } finally {
    dashboard.close();
    await server.shutdown();
  }
}

/** These run in the browser. */
const FIRST_PAINT = 'performance.getEntriesByName("first-contentful-paint")[0].startTime';

function countFrames(seconds: number): string {
  return `new Promise((resolve) => {
    const gaps = [];
    let last;
    const end = performance.now() + ${seconds * 1000};
    const frame = (now) => {
      if (last !== undefined) gaps.push(now - last);
      last = now;
      if (now < end) requestAnimationFrame(frame);
      else resolve(gaps);
    };
    requestAnimationFrame(frame);
  })`;
}
