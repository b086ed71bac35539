/** `deno task soak:mesh [KILLS] [SEED]`: what `tests/mesh/kill_test.ts` does, 50 times. Rule: exit code 0 only if all was whole. */
import { killRounds } from "../tests/mesh/kill_rounds.ts";

const KILLS_DEFAULT = 50;

if (import.meta.main) {
  const kills = Number(Deno.args[0] ?? KILLS_DEFAULT);
  const seed = Number(Deno.args[1] ?? Date.now() % 1_000_000_000);
  console.log(`${kills} kills, seed ${seed}`);
  const startedAtMs = performance.now();
  await killRounds(kills, seed, (line) => console.log(line));
  console.log(`All whole, ${Math.round((performance.now() - startedAtMs) / 1000)} s`);
}
