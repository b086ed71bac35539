/**
 * What real workers do: how soon a job begins, how soon a killed worker's task goes on elsewhere, what three gain over one.
 * Rule: everything is a process of its own, and a time ends with what stands on the disk or in a stored state.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { SubmitJob } from "../../protocol/mesh/methods.ts";
import { noise } from "../support/fill_tree.ts";
import { createMesh, FAST, type Mesh, pause, type RoleProcess } from "../support/mesh_processes.ts";
import { findProgram } from "../support/tools.ts";
import { median, type Part } from "./part.ts";
import type { Processes } from "./processes.ts";

export interface WorkersSize {
  readonly submits: number;
  readonly kills: number;
  readonly compressedBytes: number;
  readonly latencyFiles: number;
}

interface Asked {
  size: WorkersSize;
  rounds: number;
  say(line: string): void;
}

const WORKERS = ["w1", "w2", "w3"] as const;
const LOOK_EVERY_MS = 1;
const WITHIN_MS = 10 * 60_000;
/** Those of FAST, and what the target allows beyond. */
const DEAD_AFTER_MS = 2_000;
const TAKEOVER_TARGET_MS = DEAD_AFTER_MS + 2_000;
const DIRECTORIES = 6;
/** "Three times faster" was asked for. */
const SHARE_TARGET = 0.33;
const DELAY_MS = 20;
/** What changes a destination goes through one of these. */
const DELAYED_CALLS = "pwrite64,renameat,renameat2,linkat,mkdirat,unlinkat,fsync,syncfs";

export async function assignPart(processes: Processes, { size, rounds }: Asked): Promise<Part> {
  const p50: number[] = [];
  const p99: number[] = [];
  await using mesh = createMesh();
  await startMesh(mesh, ["--heartbeat", "10s", "--dead-after", "30s"], WORKERS);
  writeFileSync(`${mesh.folder}/source/file`, noise(1_000, 0));
  const first = await mesh.submit([`${mesh.folder}/source`, "--to", `${mesh.folder}/one`]);
  const { spec } = await mesh.ended(first);
  const client = mesh.connect(mesh.coordinator.url);
  for (let round = 0; round < rounds; round++) {
    const times: number[] = [];
    for (let n = 0; n < size.submits; n++) {
      processes.throwIfStopped();
      const name = `assign-${round}-${n}`;
      const [source, destination] = [`${mesh.folder}/${name}`, `${mesh.folder}/to-${name}`];
      for (const folder of [source, destination]) mkdirSync(folder);
      writeFileSync(`${source}/file`, noise(1_000_000, n));
      const job = {
        ...spec,
        sources: [{ ...spec.sources[0]!, path: source, name }],
        destinations: [{ ...spec.destinations[0]!, key: destination, path: destination }],
      };
      const startMs = performance.now();
      const submitted = client.call(SubmitJob, { job });
      const beganMs = await untilByte(destination, `${destination}/${name}/file`);
      times.push(beganMs - startMs);
      const run = await mesh.ended((await submitted).runId);
      if (run.exitCode !== 0) throw new Error(`A run has failed: ${JSON.stringify(run.report)}`);
      rmSync(destination, { recursive: true });
    }
    times.sort((a, b) => a - b);
    p50.push(quantile(times, 0.5));
    p99.push(quantile(times, 0.99));
  }
  return {
    title: `from the submission to the first byte at the destination, 3 workers`,
    unit: "ms",
    rows: [{ name: "p50", values: p50 }, { name: "p99", values: p99 }],
    verdicts: [],
    notes: [`${size.submits} runs of one file a round, one after the other, new destinations`],
  };
}

export async function takeoverPart(processes: Processes, { size, say }: Asked): Promise<Part> {
  const values: number[] = [];
  await using mesh = createMesh();
  const workers = await startMesh(mesh, FAST, WORKERS);
  const source = `${mesh.folder}/source`;
  for (let n = 0; n < 50; n++) writeFileSync(`${source}/file-${n}`, noise(100_000, n));
  for (let kill = 0; kill < size.kills; kill++) {
    processes.throwIfStopped();
    const to = `${mesh.folder}/to-${kill}`;
    const words = ["--to", to, "--limit", "100KB", "--sequential", "source"];
    const runId = await mesh.submit([source, ...words]);
    const before = (await mesh.untilRun(runId, ({ tasks }) => tasks[0]?.state === "running"))
      .tasks[0]!;
    const victim = workers.get(before.agentName!)!;
    const startMs = performance.now();
    victim.kill("SIGKILL");
    await mesh.untilRun(
      runId,
      ({ tasks: [task] }) =>
        task?.state === "running" && task.epoch > before.epoch && task.agentName !== victim.name,
    );
    values.push(performance.now() - startMs);
    say(`  takeover ${kill + 1}: ${Math.round(values.at(-1)!)} ms`);
    await mesh.run(["cancel", runId, ...here(mesh)]);
    await mesh.ended(runId);
    await victim.running.outcome;
    workers.set(victim.name, await victim.again());
    await mesh.untilAlive(WORKERS.length);
  }
  return {
    title: "from kill -9 of a worker to its task running elsewhere",
    unit: "ms",
    rows: [{ name: `dead after ${DEAD_AFTER_MS} ms`, values }],
    verdicts: [{
      measure: "the slowest",
      measured: Math.max(...values),
      target: TAKEOVER_TARGET_MS,
      unit: "ms",
    }],
    notes: ["the victim has the run's only task; sometimes it is also the run's home"],
  };
}

/** Work for the processor: on few cores one worker uses all of them already. */
export function compressPart(processes: Processes, asked: Asked): Promise<Part> {
  const { compressedBytes } = asked.size;
  const files = 20;
  const text = new TextEncoder().encode(
    Array.from({ length: 4_000 }, (_, n) => `${(n * 7_919) % 10_007} some words ${n % 97}\n`)
      .join(""),
  );
  const fileBytes = Math.round(compressedBytes / DIRECTORIES / files);
  const fill = (folder: string, seed: number) => {
    for (let n = 0; n < files; n++) {
      const bytes = noise(fileBytes, seed * files + n);
      // Half noise, half text: neither trivial nor hopeless.
      for (let at = 0; at + text.length < bytes.length; at += 2 * text.length) bytes.set(text, at);
      writeFileSync(`${folder}/file-${n}`, bytes);
    }
  };
  return oneAgainstThree(processes, asked, {
    title: `${Math.round(compressedBytes / 1e6)} MB in ${DIRECTORIES} directories, --compress`,
    fill,
    words: ["--compress"],
    notes: [`${navigator.hardwareConcurrency} cores; one worker's threads use all of them already`],
  });
}

/** Work that waits: each changing call takes 20 ms more, in each thread alone. */
export function latencyPart(processes: Processes, asked: Asked): Promise<Part> {
  const strace = findProgram("strace");
  if (strace === undefined) throw new Error("strace is not installed");
  const files = Math.round(asked.size.latencyFiles / DIRECTORIES);
  return oneAgainstThree(processes, asked, {
    title: `${files * DIRECTORIES} small files to a destination with ${DELAY_MS} ms a change`,
    fill(folder, seed) {
      for (let n = 0; n < files; n++) writeFileSync(`${folder}/f-${n}`, noise(2_000, seed * n + n));
    },
    before: [
      ...[strace, "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", `trace=${DELAYED_CALLS}`],
      ...["-e", `inject=${DELAYED_CALLS}:delay_enter=${DELAY_MS * 1_000}`],
    ],
    words: [],
    notes: [`strace holds back ${DELAYED_CALLS}, of the workers only`],
  });
}

async function oneAgainstThree(
  processes: Processes,
  { rounds, say }: Asked,
  work: {
    title: string;
    fill(folder: string, seed: number): void;
    words: readonly string[];
    before?: string[];
    notes: readonly string[];
  },
): Promise<Part> {
  const seconds: Record<1 | 3, number[]> = { 1: [], 3: [] };
  for (let round = 0; round < rounds; round++) {
    for (const count of round % 2 === 0 ? [1, 3] as const : [3, 1] as const) {
      processes.throwIfStopped();
      await using mesh = createMesh();
      const names = WORKERS.slice(0, count);
      const workers = await startMesh(mesh, [], names, work.before);
      try {
        const sources = Array.from({ length: DIRECTORIES }, (_, n) => `${mesh.folder}/d${n}`);
        sources.forEach((source, n) => {
          mkdirSync(source);
          work.fill(source, n + 1);
        });
        const { atMs, runId } = submitted(mesh, [...sources, ...work.words], `${mesh.folder}/one`);
        const { exitCode, report } = await mesh.ended(await runId, WITHIN_MS);
        if (exitCode !== 0) throw new Error(`A run has failed: ${JSON.stringify(report)}`);
        seconds[count].push((performance.now() - atMs) / 1_000);
        say(`  round ${round + 1}, ${count} of them: ${seconds[count].at(-1)!.toFixed(2)} s`);
      } finally {
        // What strace has started would outlive it.
        if (work.before !== undefined) {
          for (const w of workers.values()) killBelow(w.running.pid);
        }
      }
    }
  }
  const share = median(seconds[3]) / median(seconds[1]);
  return {
    title: `three workers against one: ${work.title}`,
    unit: "s",
    rows: [
      { name: "one worker", values: seconds[1] },
      {
        name: "three workers",
        values: seconds[3],
        detail: `${(1 / share).toFixed(2)} times as fast; 3 was asked for`,
      },
    ],
    baseline: "one worker",
    verdicts: [{
      measure: "three workers' time ÷ one worker's",
      measured: share,
      target: SHARE_TARGET,
      unit: "×",
    }],
    notes: ["from the submission to the end, verified", ...work.notes],
  };
}

async function startMesh(
  mesh: Mesh,
  words: readonly string[],
  names: readonly string[],
  before?: string[],
): Promise<Map<string, RoleProcess>> {
  await mesh.startCoordinator(...words);
  const workers = new Map<string, RoleProcess>();
  for (const name of names) {
    const own = ["--name", name, "--coordinator", mesh.coordinator.url];
    workers.set(
      name,
      await mesh.startRole("worker", { words: own, ...(before !== undefined && { before }) }),
    );
  }
  await mesh.untilAlive(names.length);
  return workers;
}

/** Submits by the command, and says when: a person's clock starts with the key that is pressed. */
function submitted(
  mesh: Mesh,
  words: readonly string[],
  destination: string,
): { atMs: number; runId: Promise<string> } {
  const atMs = performance.now();
  return { atMs, runId: mesh.submit([...words, "--to", destination]) };
}

/** When the first byte of a file stands at a destination, on its way or in its place. */
async function untilByte(destination: string, file: string): Promise<number> {
  const startMs = performance.now();
  while (performance.now() - startMs < WITHIN_MS) {
    if (sizeOf(file) > 0 || hasStagedByte(`${destination}/.backup-agent/stage`)) {
      return performance.now();
    }
    await pause(LOOK_EVERY_MS);
  }
  throw new Error(`Nothing came to ${destination}`);
}

function hasStagedByte(stage: string): boolean {
  try {
    return readdirSync(stage, { recursive: true, withFileTypes: true }).some((entry) =>
      entry.isFile() && /^t\d+/.test(entry.name) && sizeOf(`${entry.parentPath}/${entry.name}`) > 0
    );
  } catch {
    // Not made yet, or gone in between.
    return false;
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * q) - 1)]!;
}

function here(mesh: Mesh): string[] {
  return ["--state-dir", mesh.stateDir, "--coordinator", mesh.coordinator.url];
}

function killBelow(pid: number): void {
  for (const child of readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ")) {
    if (child !== "") Deno.kill(Number(child), "SIGKILL");
  }
}
