/** Workers that take another's place. Rule: real processes, stock judges. */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { assertCopies, snapshotOf, STOCK_TOOLS } from "../support/compare_trees.ts";
import { fillFiles } from "../support/fill_tree.ts";
import { createMesh, type Mesh, type RoleProcess, until } from "../support/mesh_processes.ts";
import { needs } from "../support/tools.ts";

const EXECUTABLE = fileURLToPath(new URL("../../dist/backup-agent", import.meta.url));
/** Copying and reading back take some seconds with it. */
const LIMIT = "3MB";
const DEADLINE_MS = 60_000;

Deno.test({
  ...needs(
    "D5: a worker that wakes up after its directory was given away changes nothing any more",
    "linux",
    ...STOCK_TOOLS,
  ),
  async fn() {
    await using mesh = createMesh({ program: [EXECUTABLE] });
    const { runId, owner, source, one } = await busyMesh(mesh);
    owner.kill("SIGSTOP");
    const { exitCode, tasks, report } = await mesh.ended(runId);
    assert.equal(exitCode, 0, JSON.stringify(report));
    assert.notEqual(tasks[0]!.agentName, owner.name);
    assert.ok(tasks[0]!.epoch >= 2);
    await assertCopies(source, [one]);
    const sums = () => readFileSync(`${one}/.backup-agent/SHA256SUMS`, "utf8");
    const [copies, list] = [await snapshotOf(`${one}/source`), sums()];
    owner.kill("SIGCONT");
    await mesh.untilAlive(2);
    // Its attempt is over once it holds nothing any more.
    await until(
      async () =>
        (await mesh.ask(["agents"])).every((a) => (a["tasks"] as []).length === 0) || undefined,
      DEADLINE_MS,
      () => "the worker that woke up still holds its task",
    );
    assert.equal(await snapshotOf(`${one}/source`), copies);
    assert.equal(sums(), list);
  },
});

Deno.test({
  ...needs(
    "a worker that knows nothing yet does not fill the mount point of a disk that another has used",
    "linux",
    ...STOCK_TOOLS,
  ),
  async fn() {
    await using mesh = createMesh({ program: [EXECUTABLE] });
    await mesh.startCoordinator();
    const first = await mesh.startWorker("w1");
    await mesh.untilAlive(1);
    const [source, disk, away] = ["source", "disk", "away"].map((n) => `${mesh.folder}/${n}`);
    mkdirSync(source!, { recursive: true });
    fillFiles(source!, 3, 1_000);
    const submit = () =>
      mesh.run([
        ...["submit", source!, "--to", disk!],
        ...["--state-dir", mesh.stateDir, "--coordinator", mesh.coordinator.url],
      ]);
    assert.equal((await submit()).code, 0);
    first.kill("SIGTERM");
    await first.running.outcome;
    renameSync(disk!, away!);
    mkdirSync(disk!);
    const token = ["--token-file", `${mesh.stateDir}/mesh-token`];
    await mesh.startWorker("w2", "--state-dir", `${mesh.folder}/state of w2`, ...token);
    await mesh.untilAlive(1);
    const refused = await submit();
    assert.equal(refused.code, 10, JSON.stringify(refused));
    assert.match(refused.out + refused.err, /its marker is gone[\s\S]*--init/);
    assert.deepEqual(readdirSync(disk!), []);
    rmdirSync(disk!);
    renameSync(away!, disk!);
    assert.equal((await submit()).code, 0);
    await assertCopies(source!, [disk!]);
  },
});

/** Two workers, one of which has begun to copy the only directory of a run. */
async function busyMesh(
  mesh: Mesh,
): Promise<{ runId: string; owner: RoleProcess; source: string; one: string }> {
  await mesh.startCoordinator();
  const workers = [await mesh.startWorker("w1"), await mesh.startWorker("w2")];
  await mesh.untilAlive(2);
  const [source, one] = [`${mesh.folder}/source`, `${mesh.folder}/one`];
  mkdirSync(source, { recursive: true });
  fillFiles(source, 120, 50_000);
  const runId = await mesh.submit([
    source,
    "--to",
    one,
    "--limit",
    LIMIT,
    "--sequential",
    "source",
  ]);
  const run = await mesh.untilRun(runId, ({ tasks }) => tasks[0]?.state === "running");
  const owner = workers.find(({ name }) => name === run.tasks[0]!.agentName)!;
  return { runId, owner, source, one };
}
