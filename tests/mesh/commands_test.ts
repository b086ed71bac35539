/**
 * What a person can tell a mesh to do, with the packed executable. Rule: each command is judged by what it changes, not by
 * what it says; and whatever is asked wrongly, the coordinator goes on.
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, symlinkSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import type { RunDetail } from "../../protocol/mesh/methods.ts";
import { assertCopies, STOCK_TOOLS } from "../support/compare_trees.ts";
import { fillFiles } from "../support/fill_tree.ts";
import { createMesh, type Mesh } from "../support/mesh_processes.ts";
import { needs } from "../support/tools.ts";

const EXECUTABLE = fileURLToPath(new URL("../../dist/backup-agent", import.meta.url));
/** With it copying and reading back take some seconds. */
const SLOW = ["--limit", "2MB"];
const FILES = 40;
const FILE_BYTES = 40_000;

Deno.test({
  ...needs(
    "D8: submit, run --follow, handoff, drain and cancel change what they name; what is asked wrongly changes nothing",
    "linux",
    ...STOCK_TOOLS,
  ),
  async fn(t) {
    await using mesh = createMesh({ program: [EXECUTABLE] });
    const roots = ["--root", `${mesh.folder}/home`, "--dest-root", `${mesh.folder}/copies`];
    for (const name of ["home", "copies"]) mkdirSync(`${mesh.folder}/${name}`);
    await mesh.startCoordinator(...roots);
    for (const name of ["w1", "w2"]) await mesh.startWorker(name, ...roots);
    await mesh.untilAlive(2);
    const here = ["--state-dir", mesh.stateDir, "--coordinator", mesh.coordinator.url];
    const call = (...words: string[]) => mesh.run([...words, ...here]);
    const isRunning = ({ tasks }: RunDetail) => tasks[0]?.state === "running";

    await t.step("submit --detach returns at once, and another terminal follows it", async () => {
      const { words, source, destinations } = prepareJob(mesh, "followed", ["a"]);
      const submitted = await call("submit", ...words, ...SLOW, "--detach");
      const runId = submitted.out.trim();
      assert.match(runId, /^run-[\w-]+$/);
      assert.equal((await mesh.runOf(runId)).exitCode, null, "it has only begun");
      const followed = await call("run", runId, "--follow");
      assert.equal(followed.code, 0, followed.err);
      assert.match(followed.out, /1 copy is verified|verified/);
      await assertCopies(source, destinations);
      const runs = await mesh.ask(["runs"]);
      assert.equal(runs.find((r) => r["run_id"] === runId)!["state"], "completed");
    });

    await t.step("handoff gives the task to the agent it names, or says why not", async () => {
      const { words, source, destinations } = prepareJob(mesh, "handed", ["a"]);
      const runId = await mesh.submit([...words, ...SLOW, "--sequential", "handed"]);
      const before = (await mesh.untilRun(runId, isRunning)).tasks[0]!;
      const other = before.agentName === "w1" ? "w2" : "w1";
      for (
        const [agent, why] of [
          [before.agentName!, /has the task already/],
          ["nobody", /No agent nobody is known/],
        ] as const
      ) {
        const refused = await call("handoff", before.taskId, agent);
        assert.deepEqual([refused.code, why.test(refused.out)], [1, true], refused.out);
      }
      const [answer] = await mesh.ask(["handoff", before.taskId, other]);
      assert.deepEqual([answer!["accepted"], answer!["epoch"]], [true, before.epoch + 1]);
      const { exitCode, tasks } = await mesh.ended(runId);
      assert.equal(exitCode, 0);
      assert.deepEqual([tasks[0]!.agentName, tasks[0]!.epoch], [other, before.epoch + 1]);
      await assertCopies(source, destinations);
      assert.equal((await call("handoff", before.taskId, other)).code, 1, "it has ended");
    });

    await t.step("drain empties an agent and keeps it empty until --undo", async () => {
      const { words, source, destinations } = prepareJob(mesh, "drained", ["a"]);
      const runId = await mesh.submit([...words, ...SLOW, "--sequential", "drained"]);
      const name = (await mesh.untilRun(runId, isRunning)).tasks[0]!.agentName!;
      const drained = await call("drain", name);
      assert.equal(drained.code, 0, drained.err);
      const { exitCode, tasks } = await mesh.ended(runId);
      assert.deepEqual([exitCode, tasks[0]!.agentName === name], [0, false]);
      await assertCopies(source, destinations);
      const stateOf = async () =>
        (await mesh.ask(["agents"])).find((a) => a["name"] === name)!["state"];
      assert.equal(await stateOf(), "draining");
      assert.equal((await call("drain", name, "--undo")).code, 0);
      await mesh.untilAlive(2);
      assert.equal((await call("drain", "nobody")).code, 2);
    });

    await t.step(
      "cancel ends one destination and leaves the other, or ends the whole run",
      async () => {
        const { words, source, destinations: [kept, dropped] } = prepareJob(mesh, "cancelled", [
          "a",
          "b",
        ]);
        const slow = ["--limit", `${dropped}=200KB`, "--sequential", "cancelled"];
        const runId = await mesh.submit([...words, ...slow]);
        await mesh.untilRun(runId, isRunning);
        const wrong = await call("cancel", runId, "--destination", "/nowhere");
        assert.deepEqual([wrong.code, /no destination of/.test(wrong.err)], [2, true], wrong.err);
        const one = await call("cancel", runId, "--destination", dropped!);
        assert.equal(one.code, 0, one.err);
        const { report } = await mesh.ended(runId);
        assert.deepEqual(report!.destinations.map((d) => d.state), ["verified", "cancelled"]);
        await assertCopies(source, [kept!]);

        const again = prepareJob(mesh, "stopped", ["a"]);
        const stopped = await mesh.submit([...again.words, "--limit", "200KB"]);
        await mesh.untilRun(stopped, isRunning);
        await using follower = mesh.start(["run", stopped, "--follow", ...here]);
        assert.equal((await call("cancel", stopped)).code, 0);
        assert.equal((await mesh.ended(stopped)).exitCode, 130);
        assert.equal((await follower.outcome).code, 130);
        assert.equal((await call("cancel", stopped)).code, 0, "a second time changes nothing");
        assert.equal((await call("cancel", "run-none")).code, 2);
        // Nobody holds the destination any more.
        assert.equal((await call("submit", ...again.words)).code, 0);
        await assertCopies(again.source, again.destinations);
      },
    );

    await t.step(
      "what lies outside the roots is refused by name, and nothing is made",
      async () => {
        const inside = `${mesh.folder}/home/followed`;
        const outside = `${mesh.folder}/outside`;
        mkdirSync(`${outside}/source`, { recursive: true });
        fillFiles(`${outside}/source`, 3, 100);
        symlinkSync(`${outside}/source`, `${mesh.folder}/home/led`);
        const copies = `${mesh.folder}/copies`;
        for (
          const [source, to] of [
            [`${outside}/source`, `${copies}/out1`],
            [`${mesh.folder}/home/led`, `${copies}/out2`],
            [inside, `${outside}/copy`],
          ] as const
        ) {
          const { code, out, err } = await call("submit", source, "--to", to);
          const said = `${source} → ${to}: ${code} ${out} ${err}`;
          assert.equal(code, 1, said);
          assert.match(out + err, /outside|not allowed|root/i, said);
          assert.ok(!existsSync(`${to}/source`) && !existsSync(`${to}/led`), said);
        }
        assert.ok(!existsSync(`${outside}/copy`));
      },
    );

    await t.step(
      "a port in use, an unknown role and state of a newer version or in use are refused at once",
      async () => {
        const stateDir = `${mesh.folder}/newer`;
        mkdirSync(stateDir, { mode: 0o700 });
        const database = new DatabaseSync(`${stateDir}/mesh.sqlite`);
        database.exec("PRAGMA user_version = 9999");
        database.close();
        const port = String(mesh.coordinator.port);
        const role = (name: string, ...words: string[]) => ["--role", name, "--no-scan", ...words];
        for (
          const [words, expected, says] of [
            [role("coordinator", "--port", port, "--state-dir", `${mesh.folder}/s2`), 2, /in use/],
            [role("boss", "--port", "0"), 2, /boss/],
            [role("coordinator", "--port", "0", "--state-dir", stateDir), 1, /newer version/],
            [role("coordinator", "--port", "0", "--state-dir", mesh.stateDir), 2, /is running/],
          ] as const
        ) {
          const outcome = await mesh.run(words);
          const { code, err } = outcome;
          const said = `${words.join(" ")}: ${JSON.stringify(outcome)}`;
          assert.deepEqual([code, says.test(err)], [expected, true], said);
          assert.doesNotMatch(err, /\n\s+at /, "no stack trace");
        }
        const kept = new DatabaseSync(`${stateDir}/mesh.sqlite`, { readOnly: true });
        assert.deepEqual({ ...kept.prepare("PRAGMA user_version").get() }, { user_version: 9999 });
        kept.close();
        // After all of this the coordinator serves as before.
        const { words, source, destinations } = prepareJob(mesh, "last", ["a"]);
        assert.equal((await call("submit", ...words)).code, 0);
        await assertCopies(source, destinations);
      },
    );
  },
});

/** A directory below the root, and what asks for copies of it. */
function prepareJob(mesh: Mesh, name: string, to: readonly string[]) {
  const source = `${mesh.folder}/home/${name}`;
  mkdirSync(source);
  fillFiles(source, FILES, FILE_BYTES);
  const destinations = to.map((which) => `${mesh.folder}/copies/${name} ${which}`);
  return { source, destinations, words: [source, ...destinations.flatMap((d) => ["--to", d])] };
}
