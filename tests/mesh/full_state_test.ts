/** A coordinator whose state folder has no room left. Rule: a real file system, filled to its last byte. */
import assert from "node:assert/strict";
import { mkdirSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { assertCopies, STOCK_TOOLS } from "../support/compare_trees.ts";
import { fillFiles } from "../support/fill_tree.ts";
import { withTmpfs } from "../support/loop_fs.ts";
import { createMesh, until } from "../support/mesh_processes.ts";
import { needs } from "../support/tools.ts";

const EXECUTABLE = fileURLToPath(new URL("../../dist/backup-agent", import.meta.url));
const STATE_BYTES = 8_000_000;
const DEADLINE_MS = 60_000;

Deno.test({
  ...needs(
    "a coordinator whose state folder is full says so, goes on serving, and ends its run when there is room",
    "linux",
    "root",
    "mount",
    ...STOCK_TOOLS,
  ),
  fn: () =>
    withTmpfs({ sizeBytes: STATE_BYTES }, async (parent) => {
      await using mesh = createMesh({ program: [EXECUTABLE], parent });
      await mesh.startCoordinator();
      await using elsewhere = createMesh({ program: [EXECUTABLE] });
      const own = ["--state-dir", `${elsewhere.folder}/state`];
      const token = ["--token-file", `${mesh.stateDir}/mesh-token`];
      await mesh.startWorker("w1", ...own, ...token);
      await mesh.untilAlive(1);
      const [source, one] = ["source", "one"].map((name) => `${elsewhere.folder}/${name}`);
      mkdirSync(source!, { recursive: true });
      fillFiles(source!, 60, 50_000);
      const here = ["--state-dir", mesh.stateDir, "--coordinator", mesh.coordinator.url];
      const submit = (to: string, ...more: string[]) =>
        mesh.start(["submit", source!, "--to", to, ...more, ...here]);
      const first = submit(one!, "--limit", "2MB");
      const runId = await until(
        async () => {
          const [run] = await mesh.ask(["runs"]);
          if (run === undefined) return undefined;
          const { tasks } = await mesh.runOf(String(run["run_id"]));
          return tasks[0]?.state === "running" ? String(run["run_id"]) : undefined;
        },
        DEADLINE_MS,
        () => "the run does not begin",
      );

      const filler = `${parent}/filler`;
      fill(filler);
      const refused = await submit(`${elsewhere.folder}/two`).outcome;
      assert.equal(refused.code, 1, JSON.stringify(refused));
      assert.match(refused.err, /cannot do it: .*disk is full/);
      assert.match(refused.err, /Make room/);
      // The run has copied everything and cannot store that.
      await until(
        () => /cannot go on: .*disk is full; trying again/.test(first.err()) || undefined,
        DEADLINE_MS,
        () => `whoever follows is not told: ${first.err()}`,
      );
      assert.equal((await mesh.ask(["agents"])).length, 1);
      assert.equal((await mesh.runOf(runId)).exitCode, null, "it is not over");

      rmSync(filler);
      assert.equal((await first.outcome).code, 0, JSON.stringify(await first.outcome));
      assert.equal((await mesh.ended(runId)).state, "completed");
      await assertCopies(source!, [one!]);
    }),
});

function fill(path: string): void {
  using file = Deno.openSync(path, { create: true, write: true });
  for (const size of [65_536, 4_096, 1]) {
    try {
      for (;;) file.writeSync(new Uint8Array(size));
    } catch {
      // No room for so many any more.
    }
  }
}
