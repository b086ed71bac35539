/** Compressed and encrypted copies, their lists encrypted too, made in parts by several agents. */
import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import {
  inScratch,
  writeFirstVersion,
  writeSecondVersion,
} from "../../tests/support/small_tree.ts";
import { partsOfSource } from "../../tests/support/source_parts.ts";
import { inTime, TestAgent, TestRun } from "../../tests/support/test_agents.ts";
import {
  checksumProblems,
  sameCopy,
  stagedFiles,
  treeState,
} from "../../tests/support/tree_state.ts";
import { openPosix } from "../platform/open_posix.ts";
import { encodingOf, me, recordedCopy } from "../strategies/mirror/encoded_copy_suite.ts";

const posix = openPosix();

for (const codec of ["zst", "age", "zst.age"] as const) {
  Deno.test(`a source in parts stored as ${codec} over three agents is whole, also after changes, and then back to plain`, () =>
    inScratch(async (folder) => {
      const clock = new ManualClock();
      const source = { name: "copy", path: join(folder, "source") };
      const destination = join(folder, "destination");
      fs.mkdirSync(source.path);
      writeFirstVersion(source.path);
      // What a file beside it must not be stored as.
      fs.mkdirSync(join(source.path, `same.txt.${codec}`));
      fs.writeFileSync(join(source.path, `same.txt.${codec}`, "in"), "inside");
      const keyFile = join(folder, "keys.txt");
      fs.writeFileSync(keyFile, `${me.secretText()}\n`, { mode: 0o600 });
      const secrets = new Map([["mine", { file: keyFile }]]);
      const agents = ["a", "b", "c"].map((name) =>
        new TestAgent({ name, folder, clock, posix, secrets })
      );
      const keys = { identities: ["mine"] };
      try {
        for (const [at, write] of [undefined, writeSecondVersion, undefined, undefined].entries()) {
          write?.(source.path);
          const isPlain = at === 3;
          const run = new TestRun({
            runId: `run-${at}`,
            // The job says plain, the source says how: it has the last word.
            sources: [{ ...source, ...(!isPlain && { encoding: encodingOf(codec) }) }],
            destinations: [destination],
            options: { keys },
          });
          const [spec] = run.sources;
          const prepared = await run.prepare(agents[0]!);
          assert.equal(prepared.destinations[0]!.error, undefined);
          for (const agent of agents.slice(1)) {
            assert.equal((await run.join(agent)).destinations[0]!.error, undefined);
          }
          const parts = partsOfSource(source.path, 6, isPlain ? undefined : codec);
          assert.ok(parts.length > 2, `${parts.length}`);
          const results = await inTime(
            clock,
            Promise.all(
              parts.map((part, k) => agents[k % 3]!.ask(run.mirrorSpec(spec!, { part }))),
            ),
          );
          let copied = 0;
          for (const { lanes: [lane] } of results) {
            assert.deepEqual([lane!.state, lane!.failures], ["verified", []]);
            copied += lane!.bytesCopied;
          }
          assert.equal(copied === 0, at === 2, "only what changed is stored anew");
          assert.deepEqual(await run.finish(agents[0]!), [{ op: "finish" }]);
          await run.release(...agents);
          const copy = recordedCopy(destination);
          for (const [path, state] of treeState(source.path)) {
            assert.ok(sameCopy(copy.get(path)!, state), `${path} in run ${at}`);
          }
          assert.deepEqual(checksumProblems(destination, "copy"), []);
          assert.deepEqual(stagedFiles(destination), []);
          const lists = fs.readdirSync(join(destination, ".backup-agent/manifests"));
          assert.equal(lists.length, 1, `${lists}`);
        }
      } finally {
        for (const agent of agents) await agent.close();
      }
    }));
}
