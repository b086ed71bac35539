/**
 * `deno task soak:simulation [--agents N] [--tasks N] [--runs N] [--seed N]`: the simulated mesh at the size that the
 * suite has no time for. Rule: it prints the story of its seed, and an invariant that breaks ends it with its message.
 */
import { parseArgs } from "node:util";
import { simulate } from "../tests/simulation/simulated_mesh.ts";

const { values } = parseArgs({
  options: {
    agents: { type: "string", default: "1000" },
    tasks: { type: "string", default: "100000" },
    runs: { type: "string", default: "50" },
    seed: { type: "string", default: "1" },
  },
});
const [agents, tasks, runs, seed] = [values.agents, values.tasks, values.runs, values.seed]
  .map(Number) as [number, number, number, number];
const startMs = performance.now();
const story = await simulate({ agents, tasks, runs }, seed);
console.log(JSON.stringify({ agents, tasks, runs, seed, ...story }));
console.log(`${((performance.now() - startMs) / 1000).toFixed(1)} s`);
