import assert from "node:assert/strict";
import { needs } from "../support/tools.ts";
import { codecBench } from "./codec_bench.ts";
import type { Part } from "./part.ts";
import { createProcesses } from "./processes.ts";

const TOOLS = ["age", "age-keygen", "linux", "tar", "taskset", "zstd"];

Deno.test(
  needs("the codec bench measures every contender and leaves nothing behind", ...TOOLS),
  async () => {
    const folder = Deno.makeTempDirSync();
    const source = import.meta.dirname!;
    const env = { PATH: Deno.env.get("PATH")!, DENO_DIR: Deno.env.get("DENO_DIR") ?? "" };
    if (env.DENO_DIR === "") Object.assign(env, { HOME: Deno.env.get("HOME") ?? "/root" });
    try {
      const seen: Part[] = [];
      const result = await codecBench(createProcesses(env), {
        sizeBytes: 1 << 20,
        rounds: 1,
        folder,
        from: [source],
        say: () => {},
        onStart: () => {},
        onPart: (part) => seen.push(part),
      });
      assert.deepEqual(result.parts, seen);
      assert.deepEqual(seen.map(({ rows }) => rows.length), [3, 2]);
      for (const row of seen.flatMap(({ rows }) => rows)) assert.ok(row.values[0]! > 0, row.name);
      assert.deepEqual([...Deno.readDirSync(folder)], []);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
);
