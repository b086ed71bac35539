import assert from "node:assert/strict";
import type { FileRow } from "../../protocol/mesh/place_methods.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import type { AgentReach } from "../mesh/mesh_coordinator.ts";
import { jobOf } from "../runs/testing/harness_suite.ts";
import type { AgentView } from "../scheduler/view.ts";
import { openMemoryStore } from "../store/open_store.ts";
import { createRunFiles } from "./run_files.ts";

const RUN = "run-1";
const FILES = 5;

Deno.test("while a run goes on, its files are paged through without gap or repetition, and others are counted apart", async () => {
  const clock = new ManualClock();
  const store = openMemoryStore(clock);
  const sources = ["ended", "first", "waiting", "silent", "second"];
  store.transact((tx) => {
    tx.insertRun({ runId: RUN, hostId: "h", spec: jobOf(sources, ["/d"]), owner: "mesh" });
    for (const name of sources) {
      const source = { name, path: `/home/me/${name}` };
      tx.insertTask({ taskId: name, runId: RUN, source, requires: [], files: FILES, sizeBytes: 1 });
      if (name === "waiting") continue;
      tx.assignTask(name, name === "silent" ? "gone" : "a");
      tx.moveTask(name, 1, "running");
      if (name === "ended") tx.moveTask(name, 1, "succeeded");
    }
  });
  const call = (_: unknown, params: { taskId: string; offset: number; limit: number }) => {
    const all = Array.from({ length: FILES }, (_, at): FileRow => ({
      ...{ path: `${params.taskId}/${at}`, sizeBytes: 1, marks: "c" },
    }));
    const rows = all.slice(params.offset, params.offset + params.limit);
    return Promise.resolve({ destinations: ["/d"], rows, total: all.length });
  };
  const reach = {
    views: () => [{ agentId: "a", capabilities: [], slots: 1, load: 0 } satisfies AgentView],
    nameOf: (id: string) => id,
    rpc: () => ({ call }),
  } as unknown as AgentReach;
  const files = createRunFiles({ store, clock, reach: () => reach });
  for (const limit of [1, 3, 5, 7, 100]) {
    const paths: string[] = [];
    for (let total = Infinity; paths.length < total;) {
      const page = await files.page(RUN, paths.length, limit);
      assert.deepEqual([page.total, page.unlisted, page.isLive], [2 * FILES, 3 * FILES, true]);
      assert.ok(page.rows.length > 0, `nothing from ${paths.length} on`);
      paths.push(...page.rows.map((row) => row.path));
      total = page.total;
    }
    const wanted = ["first", "second"].flatMap((name) =>
      Array.from({ length: FILES }, (_, at) => `${name}/${at}`)
    );
    assert.deepEqual(paths, wanted);
  }
  const { notes } = await files.page(RUN, 0, 10);
  assert.deepEqual(notes, [
    "ended: succeeded, 5 files",
    "waiting: queued, 5 files",
    "silent: its agent is gone",
  ]);
});
