/**
 * Traps that earlier attempts at such a mesh fell into, with the packed executable. Rule: real processes, and every copy is
 * compared by stock tools.
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as v from "valibot";
import { AgentCard } from "../../protocol/a2a/agent_card.ts";
import { DrainAgent } from "../../protocol/mesh/methods.ts";
import { agentEndpoint } from "../../protocol/mesh/endpoint.ts";
import { assertCopies, STOCK_TOOLS } from "../support/compare_trees.ts";
import { fillFiles } from "../support/fill_tree.ts";
import { createMesh, type Mesh, type RoleProcess } from "../support/mesh_processes.ts";
import { runProgram } from "../support/run_program.ts";
import { needs } from "../support/tools.ts";

const EXECUTABLE = fileURLToPath(new URL("../../dist/backup-agent", import.meta.url));
/** Copying and reading back take some seconds with it. */
const LIMIT = "3MB";
/** From SIGTERM to the end of a worker whose work another takes. */
const ENDS_WITHIN_MS = 10_000;

interface Job {
  source: string;
  destinations: string[];
  /** What follows `submit`. */
  words: string[];
}

Deno.test({
  ...needs(
    "D2, D4, D6, D7: cards, lost and leaving workers, and a lost coordinator, with real processes",
    "linux",
    "curl",
    "jq",
    ...STOCK_TOOLS,
  ),
  async fn(t) {
    await using mesh = createMesh({ program: [EXECUTABLE] });
    await mesh.startCoordinator();
    const workers = new Map<string, RoleProcess>();
    workers.set("w1", await mesh.startWorker("w1", "--capabilities", "parallel"));
    for (const name of ["w2", "w3"]) {
      workers.set(name, await mesh.startWorker(name, "--capabilities", "sequential"));
    }
    await mesh.untilAlive(3);
    const drain = (name: string, undo: boolean) =>
      mesh.connect(mesh.coordinator.url)
        .call(DrainAgent, { agentId: workers.get(name)!.agentId, undo });

    await t.step("D2: every card is JSON that curl and jq read and the schema takes", async () => {
      for (const { url, name, agentId } of [mesh.coordinator, ...workers.values()]) {
        const pipe = `curl -sSf ${url}/agent-card | jq -e .`;
        const { code, out, err } = await runProgram("/bin/sh", ["-c", pipe], {
          env: { PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin" },
        });
        assert.equal(code, 0, err);
        const card = v.parse(AgentCard, JSON.parse(out));
        assert.equal(card.supportedInterfaces[0]!.url, agentEndpoint(url));
        assert.ok(out.includes(agentId) && (card.name === name || name === "coordinator"), out);
      }
    });

    await t.step(
      "D6: what is reported as done is there, byte for byte, at every destination",
      async () => {
        const { source, destinations, words } = prepareJob(mesh, "whole", [80, 4_000]);
        const { exitCode, report } = await mesh.ended(await mesh.submit(words));
        assert.equal(exitCode, 0, JSON.stringify(report));
        await assertCopies(source, destinations);
        for (const { lanes } of report!.destinations) {
          assert.equal(lanes.reduce((sum, l) => sum + l.report.filesVerified, 0), 80);
        }
      },
    );

    await t.step(
      "D4: what a worker was given and has not begun when it is killed goes to another",
      async () => {
        const job = prepareJob(mesh, "unstarted", [20, 4_000]);
        for (const name of ["w2", "w3"]) assert.ok((await drain(name, false)).accepted);
        const runId = await mesh.submit([...job.words, "--sequential", "unstarted"]);
        const waiting = await mesh.untilRun(runId, ({ tasks }) => tasks[0]?.reason != null);
        assert.deepEqual([waiting.tasks[0]!.state, waiting.tasks[0]!.epoch], ["queued", 0]);
        // It is thought alive, and cannot begin anything.
        workers.get("w2")!.kill("SIGSTOP");
        await drain("w2", true);
        const given = await mesh.untilRun(runId, ({ tasks }) => tasks[0]!.epoch === 1);
        assert.deepEqual([given.tasks[0]!.state, given.tasks[0]!.agentName], ["assigned", "w2"]);
        await workers.get("w2")!.crash();
        await drain("w3", true);
        const { exitCode, tasks, report } = await mesh.ended(runId);
        assert.equal(exitCode, 0, JSON.stringify(report));
        assert.deepEqual([tasks[0]!.agentName, tasks[0]!.state], ["w3", "succeeded"]);
        await assertCopies(job.source, job.destinations);
        workers.set("w2", await workers.get("w2")!.again());
        await mesh.untilAlive(3);
      },
    );

    await t.step(
      "D4: a busy worker that gets SIGTERM ends with 0 in time, and others finish what it had",
      async () => {
        const job = prepareJob(mesh, "leaving", [80, 50_000]);
        const runId = await mesh.submit([
          ...job.words,
          ...["--limit", LIMIT, "--sequential", "leaving"],
        ]);
        const before = await mesh.untilRun(runId, hasPublished(mesh, job));
        const owner = workers.get(before.tasks[0]!.agentName!)!;
        const startedAtMs = performance.now();
        owner.kill("SIGTERM");
        const { code, err } = await owner.running.outcome;
        assert.equal(code, 0, err);
        assert.ok(performance.now() - startedAtMs < ENDS_WITHIN_MS);
        assert.equal((await mesh.runOf(runId)).exitCode, null, "it did not wait for its own end");
        const { exitCode, tasks, report } = await mesh.ended(runId);
        assert.equal(exitCode, 0, JSON.stringify(report));
        assert.notEqual(tasks[0]!.agentName, owner.name);
        await assertCopies(job.source, job.destinations);
        workers.set(owner.name, await owner.again());
        await mesh.untilAlive(3);
      },
    );

    await t.step(
      "D7: a coordinator that is killed in the middle and started again finishes the run, and whoever follows it sees the end",
      async () => {
        const job = prepareJob(mesh, "restarted", [60, 50_000]);
        const follower = mesh.start([
          ...["submit", ...job.words, "--limit", LIMIT, "--json"],
          ...["--state-dir", mesh.stateDir, "--coordinator", mesh.coordinator.url],
        ]);
        await follower.saw('"phase":"copy"');
        await mesh.coordinator.crash();
        await mesh.coordinator.again();
        const { code, out, err } = await follower.outcome;
        assert.equal(code, 0, err);
        const [last] = out.trimEnd().split("\n").slice(-1);
        assert.deepEqual(
          [JSON.parse(last!).message_type, JSON.parse(last!).exit_code],
          ["summary", 0],
        );
        await assertCopies(job.source, job.destinations);
      },
    );
  },
});

/** A directory with so many files of that size, and what asks for two copies of it. */
function prepareJob(mesh: Mesh, name: string, [count, sizeBytes]: [number, number]): Job {
  const source = `${mesh.folder}/${name}`;
  mkdirSync(source);
  fillFiles(source, count, sizeBytes);
  const destinations = ["one", "two"].map((to) => `${mesh.folder}/${name} ${to}`);
  return { source, destinations, words: [source, ...destinations.flatMap((to) => ["--to", to])] };
}

/** The task is running and files of it stand at a destination. */
function hasPublished(mesh: Mesh, { source, destinations }: Job) {
  const name = source.slice(mesh.folder.length + 1);
  return ({ tasks }: { tasks: readonly { state: string }[] }) =>
    tasks[0]?.state === "running" &&
    destinations.some((to) => existsSync(`${to}/${name}/folder 0/file 0`));
}
