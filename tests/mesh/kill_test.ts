/** `kill -9` of each role in turn. The same 50 times is `deno task soak:mesh`. */
import { fileURLToPath } from "node:url";
import { STOCK_TOOLS } from "../support/compare_trees.ts";
import { needs } from "../support/tools.ts";
import { killRounds } from "./kill_rounds.ts";

const EXECUTABLE = fileURLToPath(new URL("../../dist/backup-agent", import.meta.url));
const KILLS = 5;
const SEED = 20_261_126;

Deno.test({
  ...needs(
    `with one of its processes killed at ${KILLS} seeded moments a mesh completes every run, byte for byte`,
    "linux",
    ...STOCK_TOOLS,
  ),
  fn: () => killRounds(KILLS, SEED, () => {}, [EXECUTABLE]),
});
