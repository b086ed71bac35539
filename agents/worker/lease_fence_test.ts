/** An attempt whose lease is over, in a process that was told nothing. */
import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { kernelBootMs } from "../../protocol/base/boot_time.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import {
  inScratch,
  writeFirstVersion,
  writeSecondVersion,
} from "../../tests/support/small_tree.ts";
import { inTime, TestAgent, TestRun } from "../../tests/support/test_agents.ts";
import { needs } from "../../tests/support/tools.ts";
import { treeState } from "../../tests/support/tree_state.ts";
import { AttemptGuard } from "../strategies/mirror/attempt_guard.ts";
import { openPosix } from "../platform/open_posix.ts";

const posix = openPosix();
const HOUR_MS = 3_600_000;

Deno.test("an attempt is over when it is told so, when its lease ends, and never before", () => {
  let nowMs: number | undefined = 1000;
  const guard = new AttemptGuard(undefined, () => nowMs);
  const elsewhere = new AttemptGuard(guard.shared, () => nowMs);
  assert.equal(elsewhere.isOver, false, "without a lease it has no end");
  guard.endAt(1001);
  assert.equal(elsewhere.isOver, false);
  nowMs = 1001;
  assert.equal(elsewhere.isOver, true);
  guard.endAt(2000);
  assert.equal(elsewhere.isOver, false, "renewed in time");
  nowMs = undefined;
  assert.equal(elsewhere.isOver, false, "nobody knows the time: it goes on until it is told");
  guard.stop();
  guard.endAt(Infinity);
  assert.equal(elsewhere.isOver, true, "for good");
});

/** What a destination's threads are asked that changes it. */
for (const step of ["compare", "makeDirectories", "publish", "makeOthers", "finishTask"]) {
  Deno.test({
    ...needs(`a lease that ended before ${step} keeps the attempt from changing anything`, "linux"),
    fn: () =>
      inScratch(async (folder) => {
        const source = { name: "copy", path: join(folder, "source") };
        fs.mkdirSync(source.path);
        writeFirstVersion(source.path);
        const destination = join(folder, "destination");
        const clock = new ManualClock();
        const { promise: woken, resolve: wake } = Promise.withResolvers<void>();
        let mayStop = false;
        let isStopped = false;
        const agent = new TestAgent({
          name: "worker",
          folder,
          clock,
          posix,
          gate: (method, path) => {
            isStopped ||= mayStop && path === destination && method === step;
            return isStopped ? woken : undefined;
          },
        });
        const first = new TestRun({
          runId: "run-1",
          sources: [source],
          destinations: [destination],
        });
        await first.prepare(agent);
        await first.mirror(agent, source);
        await first.finish(agent);
        await first.release(agent);
        writeSecondVersion(source.path);

        mayStop = true;
        const run = new TestRun({ runId: "run-2", sources: [source], destinations: [destination] });
        await run.prepare(agent);
        const task = run.mirrorSpec(source, { leaseMs: HOUR_MS });
        const ended = agent.ask(task).then(() => "done", (error) => error.code as string);
        agent.worker.setLease(task, kernelBootMs()! + HOUR_MS);
        while (!isStopped) await clock.advance(250);
        const copy = () => [...treeState(join(destination, "copy"))];
        const lists = () => treeState(join(destination, ".backup-agent/manifests"));
        const before = [copy(), lists()];
        // Meanwhile its time ran out; nobody has said a word to it.
        agent.worker.setLease(task, kernelBootMs()!);
        wake();
        assert.equal(await inTime(clock, ended), "superseded");
        assert.deepEqual([copy(), lists()], before);

        // The agent itself is as well as ever.
        isStopped = mayStop = false;
        const again = await run.mirror(agent, source, { epoch: 2 });
        assert.deepEqual(again.lanes.map(({ state, failures }) => [state, failures]), [[
          "verified",
          [],
        ]]);
        assert.deepEqual(await run.finish(agent), [{ op: "finish" }]);
        await agent.close();
      }),
  });
}
