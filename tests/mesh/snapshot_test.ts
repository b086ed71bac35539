/** Snapshots by the agents of a mesh. Rule: real processes, and stock restic says what is there. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { assertCopies, STOCK_TOOLS } from "../support/compare_trees.ts";
import { fillFiles } from "../support/fill_tree.ts";
import { createMesh } from "../support/mesh_processes.ts";
import { PASSWORD, restic } from "../support/restic.ts";
import { needs } from "../support/tools.ts";

/** Of one repository alone. */
const OTHER = "quite another";

Deno.test({
  ...needs(
    "submit: snapshots by agents that have the password, one of which dies in the middle",
    "linux",
    "restic",
    ...STOCK_TOOLS,
  ),
  async fn() {
    await using mesh = createMesh();
    const [source, a, b, mirror, key, other] = [
      ...["source", "a", "b", "mirror", "password", "other"],
    ].map((name) => `${mesh.folder}/${name}`) as [string, string, string, string, string, string];
    writeFileSync(key, `${PASSWORD}\n`, { mode: 0o600 });
    writeFileSync(other, `${OTHER}\n`, { mode: 0o600 });
    mkdirSync(source, { recursive: true });
    fillFiles(source, 60, 500_000);
    await mesh.startCoordinator();
    const secret = ["--secret", `repositories=file:${key}`, "--secret", `nas=file:${other}`];
    const workers = [
      await mesh.startWorker("w1", ...secret),
      await mesh.startWorker("w2", ...secret),
    ];
    await mesh.untilAlive(2);
    const runId = await mesh.submit([
      source,
      ...["--to", `restic:${a}`, "--to", `restic:${b}`, "--to", mirror],
      ...["--password-name", "repositories", "--password-name", `restic:${b}=nas`],
      ...["--limit", `restic:${b}=10MB`],
    ]);
    const { tasks: [task] } = await mesh.untilRun(
      runId,
      ({ tasks }) => tasks[0]?.state === "running",
    );
    await workers.find(({ name }) => name === task!.agentName)!.crash();
    const { exitCode, tasks, report } = await mesh.ended(runId);
    assert.equal(exitCode, 0, JSON.stringify(report));
    assert.notEqual(tasks[0]!.agentName, task!.agentName);
    await assertCopies(source, [mirror]);
    for (const [repository, password] of [[a, PASSWORD], [b, OTHER]] as const) {
      // The lock of the agent that died is restic's to remove, or our next run's there.
      await restic(repository, ["unlock"], { password });
      await restic(repository, ["check", "--read-data"], { password });
      const [snapshot] = JSON.parse(
        await restic(repository, ["snapshots", "--json"], { password }),
      );
      assert.deepEqual(snapshot.paths, [source]);
    }
    assert.ok(![PASSWORD, OTHER].some((password) => mesh.logs().includes(password)));
  },
});
