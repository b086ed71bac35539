/**
 * One mesh, and in each round a backup during which one of its processes is killed. Rule: whatever is killed when, the run
 * completes by itself, and every destination is compared with the source by stock tools.
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { assertCopies } from "../support/compare_trees.ts";
import { noise } from "../support/fill_tree.ts";
import { createMesh, type Mesh, pause, type RoleProcess } from "../support/mesh_processes.ts";
import { createRandom } from "../support/random.ts";

const WORKERS = ["w1", "w2", "w3"];
const SOURCES = ["documents", "photos", "video", ".config"];
/** Copying and reading back take some seconds with it. */
const LIMIT = "10MB";
/** A coordinator that is away may be away for so long; a worker that comes back does so within it. */
const AWAY_MAX_MS = 3_000;
/** The share of the first, undisturbed run's time within which is killed: a later run has less to copy. */
const KILL_WITHIN = 0.6;
/** Kills of a run that was over by then do not count; with so many there is something wrong with the moments. */
const ROUNDS_PER_KILL_MAX = 2;

type Victim = "coordinator" | "busy worker" | "any worker";
const VICTIMS: readonly Victim[] = ["coordinator", "busy worker", "any worker"];

/** `program`: in place of ours from source. @throws when anything is lost, torn, or does not complete. */
export async function killRounds(
  kills: number,
  seed: number,
  say: (line: string) => void = () => {},
  program?: readonly string[],
): Promise<void> {
  const random = createRandom(seed);
  await using mesh = createMesh(program === undefined ? {} : { program });
  const roles = new Map<string, RoleProcess>();
  roles.set("coordinator", await mesh.startCoordinator());
  for (const name of WORKERS) roles.set(name, await mesh.startWorker(name, "--slots", "2"));
  await mesh.untilAlive(WORKERS.length);
  const destinations = ["one", "two"].map((name) => `${mesh.folder}/${name}`);
  const words = [
    ...SOURCES.map((name) => `${mesh.folder}/${name}`),
    ...destinations.flatMap((path) => ["--to", path]),
    ...["--limit", LIMIT],
  ];

  writeVersion(mesh, 0);
  const startedAtMs = performance.now();
  const first = await mesh.ended(await mesh.submit(words));
  const wholeMs = performance.now() - startedAtMs;
  assert.equal(first.exitCode, 0, JSON.stringify(first.report));
  await assertWhole(mesh, destinations);
  say(`undisturbed: ${Math.round(wholeMs)} ms`);

  for (let round = 1, killed = 0; killed < kills; round++) {
    assert.ok(round <= kills * ROUNDS_PER_KILL_MAX, `only ${killed} runs were going when killed`);
    writeVersion(mesh, round);
    const runId = await mesh.submit(words);
    const afterMs = Math.round(random() * KILL_WITHIN * wholeMs);
    await pause(afterMs);
    const victim = VICTIMS[killed % VICTIMS.length]!;
    const before = await mesh.runOf(runId);
    const name = choose(victim, before.tasks, random);
    const process = roles.get(name)!;
    await process.crash();
    const isCut = before.exitCode === null;
    if (isCut) killed++;
    const awayMs = Math.round(random() * AWAY_MAX_MS);
    const comesBack = victim === "coordinator" || random() < 0.5;
    const where = `round ${round} of seed ${seed}: ${name} (${victim}) after ${afterMs} ms` +
      `${isCut ? "" : ", when all was over"}, ` +
      (comesBack ? `back after ${awayMs} ms` : "not back during the run");
    try {
      if (comesBack) {
        await pause(awayMs);
        roles.set(name, await process.again());
      }
      const { exitCode, report, tasks } = await mesh.ended(runId);
      assert.equal(exitCode, 0, JSON.stringify(report));
      for (const { state, taskId } of tasks) assert.equal(state, "succeeded", taskId);
      await assertWhole(mesh, destinations);
      if (!comesBack) roles.set(name, await process.again());
      await mesh.untilAlive(WORKERS.length);
      say(`${where}: whole after ${Math.max(...tasks.map(({ epoch }) => epoch))} attempts at most`);
    } catch (thrown) {
      say(`${where}: FAILED`);
      throw new Error(`${where}\n${lastLines(mesh)}`, { cause: thrown });
    }
  }
}

/** Nothing of the runs is left behind, and the copies are what the sources are. */
async function assertWhole(mesh: Mesh, destinations: string[]): Promise<void> {
  for (const name of SOURCES) await assertCopies(`${mesh.folder}/${name}`, destinations);
  for (const destination of destinations) {
    const own = `${destination}/.backup-agent`;
    const staged = existsSync(`${own}/stage`) ? filesBelow(`${own}/stage`) : [];
    assert.deepEqual(staged, [], `${destination} has files on their way`);
    const lists = readdirSync(`${own}/manifests`).filter((name) => /\.p\d+\./.test(name));
    assert.deepEqual(lists, [], `${destination} has lists of parts`);
  }
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory()).map((e) => `${e.parentPath}/${e.name}`);
}

function choose(
  victim: Victim,
  tasks: readonly { state: string; agentName: string | null }[],
  random: () => number,
): string {
  if (victim === "coordinator") return "coordinator";
  const at = (names: readonly string[]) => names[Math.floor(random() * names.length)];
  const busy = tasks.filter(({ state }) => state === "running" || state === "assigned")
    .flatMap(({ agentName }) => agentName ?? []).filter((name) => WORKERS.includes(name));
  return (victim === "busy worker" ? at([...new Set(busy)].sort()) : undefined) ?? at(WORKERS)!;
}

/** A third of the files is new in each round, some with their size and time. */
function writeVersion(mesh: Mesh, version: number): void {
  const shapes = [[200, 9_000], [60, 60_000], [4, 2_500_000], [40, 500]] as const;
  SOURCES.forEach((name, source) => {
    const [count, sizeBytes] = shapes[source]!;
    for (let n = 0; n < count; n++) {
      if (version > 0 && (n + version) % 3 !== 0) continue;
      const folder = `${mesh.folder}/${name}/folder ${n % 9}/${n % 2 === 0 ? "even" : "odd"}`;
      mkdirSync(folder, { recursive: true });
      const bytes = noise(sizeBytes + (n % 2) * version * 8, version * 10_000 + source * 1_000 + n);
      writeFileSync(`${folder}/file ${n}`, bytes);
    }
  });
}

function lastLines(mesh: Mesh): string {
  const lines = mesh.logs().trimEnd().split("\n");
  return lines.toSorted().slice(-60).join("\n");
}
