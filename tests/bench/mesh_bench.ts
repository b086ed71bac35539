/**
 * `deno task bench mesh`: what a coordinator costs, and what workers gain (`mesh_workers.ts`). Rule: the coordinator is the
 * real process, and its CPU time is the kernel's count; agents that only answer are played by the bench's own process.
 */
import { readFileSync } from "node:fs";
import { systemClock } from "../../protocol/base/clock.ts";
import { FollowRun, SubmitJob } from "../../protocol/mesh/methods.ts";
import type { RpcClient } from "../../protocol/rpc/client.ts";
import { createMesh } from "../support/mesh_processes.ts";
import { playedAgents } from "./played_agents.ts";
import type { MachineFacts } from "./machine_facts.ts";
import {
  assignPart,
  compressPart,
  latencyPart,
  takeoverPart,
  type WorkersSize,
} from "./mesh_workers.ts";
import { median, type Part } from "./part.ts";
import type { Processes } from "./processes.ts";

export const MESH_PARTS = [
  "tasks",
  "heartbeats",
  "assign",
  "takeover",
  "compress",
  "latency",
] as const;
export type MeshPartName = typeof MESH_PARTS[number];

export interface MeshBenchOptions {
  size: MeshSize;
  rounds: number;
  parts: readonly MeshPartName[];
  say(line: string): void;
  onStart(facts: MachineFacts): void;
  onPart(part: Part): void;
}

export interface MeshSize extends WorkersSize {
  readonly tasks: number;
  readonly agents: number;
  readonly heartbeatSeconds: number;
}

export const MESH_SIZES = {
  full: {
    tasks: 10_000,
    agents: 1_000,
    heartbeatSeconds: 60,
    submits: 100,
    kills: 10,
    compressedBytes: 300_000_000,
    latencyFiles: 600,
  },
  quick: {
    tasks: 500,
    agents: 100,
    heartbeatSeconds: 12,
    submits: 5,
    kills: 2,
    compressedBytes: 30_000_000,
    latencyFiles: 60,
  },
} as const satisfies Record<string, MeshSize>;

const TASK_TARGET_MS = 2;
const HEARTBEATS_TARGET_PERCENT = 5;
const WORKERS = 4;
const RUN_WITHIN_MS = 15 * 60_000;
/** As people run it. */
const AS_SHIPPED = ["--heartbeat", "10s", "--dead-after", "30s"];

export async function meshBench(
  processes: Processes,
  options: MeshBenchOptions,
): Promise<{ facts: MachineFacts; parts: Part[] }> {
  const facts = meshFacts();
  options.onStart(facts);
  const parts: Part[] = [];
  for (const name of options.parts) {
    processes.throwIfStopped();
    options.say(`measuring: ${name}`);
    const part = await PART_OF[name](processes, options);
    parts.push(part);
    options.onPart(part);
  }
  return { facts, parts };
}

const PART_OF: Record<
  MeshPartName,
  (processes: Processes, options: MeshBenchOptions) => Promise<Part>
> = {
  tasks: tasksPart,
  heartbeats: heartbeatsPart,
  assign: assignPart,
  takeover: takeoverPart,
  compress: compressPart,
  latency: latencyPart,
};

async function tasksPart(processes: Processes, options: MeshBenchOptions): Promise<Part> {
  const { size: { tasks }, rounds } = options;
  const values: number[] = [];
  let detail = "";
  for (let round = 0; round < rounds; round++) {
    processes.throwIfStopped();
    await using mesh = createMesh();
    const coordinator = await mesh.startCoordinator(...AS_SHIPPED);
    await using agents = await playedAgents(mesh, { count: WORKERS, slots: 8, parts: tasks });
    await mesh.untilAlive(WORKERS);
    const beforeMs = cpuMs(coordinator.running.pid);
    const startMs = performance.now();
    const { runId } = await mesh.connect(coordinator.url).call(SubmitJob, {
      job: agents.job(),
    });
    await followed(mesh.connect(coordinator.url), runId);
    const spentMs = cpuMs(coordinator.running.pid) - beforeMs;
    const run = await mesh.ended(runId, RUN_WITHIN_MS);
    const succeeded = run.tasks.filter((t) => t.state === "succeeded").length;
    if (run.state !== "completed" || succeeded !== tasks) {
      throw new Error(`The run is ${run.state} with ${succeeded} of ${tasks} tasks done`);
    }
    values.push(spentMs / tasks);
    detail = `${((performance.now() - startMs) / 1000).toFixed(1)} s from submit to report`;
  }
  return {
    title: `${tasks} tiny tasks through one coordinator, ${WORKERS} agents with 8 slots`,
    unit: "ms of CPU a task",
    rows: [{ name: "coordinator", values, detail }],
    verdicts: [{
      measure: "coordinator's CPU time a task",
      measured: median(values),
      target: TASK_TARGET_MS,
      unit: "ms",
    }],
    notes: [
      "all threads of the process count, from submit to the report of the run, which one reader follows",
    ],
  };
}

async function heartbeatsPart(processes: Processes, options: MeshBenchOptions): Promise<Part> {
  const { size: { agents, heartbeatSeconds }, rounds } = options;
  const values: number[] = [];
  await using mesh = createMesh();
  const coordinator = await mesh.startCoordinator(...AS_SHIPPED);
  await using _played = await playedAgents(mesh, { count: agents, slots: 2, parts: 1 });
  await mesh.untilAlive(agents);
  for (let round = 0; round < rounds; round++) {
    processes.throwIfStopped();
    const beforeMs = cpuMs(coordinator.running.pid);
    const startMs = performance.now();
    await systemClock.sleep(heartbeatSeconds * 1000);
    const spentMs = cpuMs(coordinator.running.pid) - beforeMs;
    values.push(spentMs / (performance.now() - startMs) * 100);
    // Whoever was not heard would be suspect by now.
    await mesh.untilAlive(agents);
  }
  return {
    title: `heartbeats of ${agents} agents, every 10 s`,
    unit: "% of one core",
    rows: [{ name: "coordinator", values }],
    verdicts: [{
      measure: "coordinator's CPU time",
      measured: median(values),
      target: HEARTBEATS_TARGET_PERCENT,
      unit: "%",
    }],
    notes: [],
  };
}

/** As `submit` does: one reader to the end of the run. */
async function followed(client: RpcClient, runId: string): Promise<void> {
  for await (const event of client.stream(FollowRun, { runId })) {
    if (event.kind === "end") return;
  }
}

/** Of the process and all its threads, so far. */
export function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // After the name, which may hold blanks, `utime` and `stime` are the 12th and 13th field, in ticks of 10 ms.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

export function meshFacts(): MachineFacts {
  const cpu = /^model name\s*:\s*(.+)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1];
  return {
    cpu: `${navigator.hardwareConcurrency} × ${cpu ?? Deno.build.arch}`,
    kernel: Deno.osRelease(),
    "load before": Deno.loadavg().map((load) => load.toFixed(2)).join(" "),
    deno: Deno.version.deno,
  };
}
