/** Small meshes of several seeds; `deno task soak:simulation` plays 1,000 agents and 100,000 tasks. */
import assert from "node:assert/strict";
import { simulate } from "./simulated_mesh.ts";

const SCALE = { agents: 60, tasks: 3_000, runs: 5 };

for (const seed of [1, 2, 3, 4]) {
  Deno.test(`simulated mesh, seed ${seed}: one live lease, epochs grow, every task ends or waits with a reason, nothing is lost`, async () => {
    const story = await simulate(SCALE, seed);
    assert.equal(story.succeeded + story.failed + story.waiting, SCALE.tasks);
    assert.equal(story.waiting, SCALE.runs);
    // The faults have come, or nothing was shown.
    assert.ok(story.kills > 5 && story.cuts > 5, JSON.stringify(story));
    assert.ok(story.takeovers > 20, JSON.stringify(story));
    assert.ok(story.lateWords > 20, JSON.stringify(story));
  });
}

Deno.test("simulated mesh: a seed tells the same story each time", async () => {
  const small = { agents: 10, tasks: 200, runs: 2 };
  assert.deepEqual(await simulate(small, 9), await simulate(small, 9));
});
