/** Everything a file is, copied in parts by several agents. Rule: stock programs make the tree and judge the copies. */
import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import type { PartSpec } from "../../protocol/mesh/task.ts";
import { EVERY_KIND_TOOLS, makeEveryKind, stock } from "../../tests/support/every_kind.ts";
import { assertSameInEverything, FIDELITY_TOOLS } from "../../tests/support/judge_fidelity.ts";
import { needsLoopFs, withLoopFs } from "../../tests/support/loop_fs.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { partsOfSource } from "../../tests/support/source_parts.ts";
import { inTime, TestAgent, TestRun } from "../../tests/support/test_agents.ts";
import { openPosix } from "../platform/open_posix.ts";

const posix = openPosix();
const EXT4_BYTES = 1 << 30;
const PARTS = 8;

/** One run of all parts, in turn over the agents; what was copied. */
async function backUpInParts(
  clock: ManualClock,
  run: TestRun,
  agents: TestAgent[],
  parts: PartSpec[],
): Promise<{ files: number; bytes: number }> {
  await run.prepare(agents[0]!);
  for (const agent of agents.slice(1)) await run.join(agent);
  await run.scan(agents[0]!, run.sources[0], PARTS);
  const results = await inTime(
    clock,
    Promise.all(
      parts.map((part, at) =>
        agents[at % agents.length]!.ask(run.mirrorSpec(run.sources[0]!, { part }))
      ),
    ),
  );
  const copied = { files: 0, bytes: 0 };
  for (const { lanes, unreadable } of results) {
    assert.deepEqual(unreadable, []);
    for (const { state, failures, error, warnings, filesCopied, bytesCopied } of lanes) {
      assert.deepEqual([state, failures, error, warnings], ["verified", [], undefined, []]);
      copied.files += filesCopied;
      copied.bytes += bytesCopied;
    }
  }
  for (const { error } of await run.finish(agents[0]!)) assert.equal(error, undefined);
  await run.release(...agents);
  return copied;
}

Deno.test({
  ...needsLoopFs(
    "everything a file is reaches its destination in eight parts over three agents, and a second run copies only what changed",
    "ext4",
    ...EVERY_KIND_TOOLS,
    ...FIDELITY_TOOLS,
  ),
  fn: () =>
    withLoopFs({ type: "ext4", sizeBytes: EXT4_BYTES }, async (folder) => {
      const clock = new ManualClock();
      const source = { name: "copy", path: join(folder, "source") };
      const destinations = [join(folder, "one")];
      fs.mkdirSync(source.path);
      await makeEveryKind(source.path);
      const agents = ["a", "b", "c"].map((name) => new TestAgent({ name, folder, clock, posix }));
      const backup = async (runId: string) => {
        const run = new TestRun({ runId, sources: [source], destinations });
        // Two files are most of it, so that not every even cut can be made.
        let parts: PartSpec[] = [];
        for (let max = PARTS; parts.length < PARTS; max++) parts = partsOfSource(source.path, max);
        const copied = await backUpInParts(clock, run, agents, parts);
        for (const destination of destinations) {
          await assertSameInEverything(source.path, join(destination, "copy"));
          await stock("sha256sum", ["--quiet", "-c", ".backup-agent/SHA256SUMS"], destination);
        }
        return copied;
      };
      try {
        const files = await stock("find", [source.path, "-type", "f", "-printf", "x"]);
        assert.equal((await backup("run-1")).files, files.length);
        assert.deepEqual(await backup("run-2"), { files: 0, bytes: 0 });
        const at = (path: string) => join(source.path, path);
        fs.writeFileSync(at("plain"), "changed");
        fs.chmodSync(at("modes"), 0o711);
        fs.mkdirSync(at("names/zz/new"), { recursive: true });
        fs.writeFileSync(at("names/zz/new/file"), "new");
        await stock("setfattr", ["-n", "user.folder", "-v", "2", at("attributes/folder")]);
        await stock("setfacl", ["-m", "u:9:r", at("acl/defaults/plain")]);
        await stock("ln", [at("links/third"), at("links/zfourth")]);
        // Besides these, names of the file that has one more now are linked anew: its time of change has moved.
        const { bytes } = await backup("run-3");
        assert.ok(bytes <= "changed".length + "new".length + "one".length, `${bytes}`);
      } finally {
        for (const agent of agents) await agent.close();
      }
    }),
});
