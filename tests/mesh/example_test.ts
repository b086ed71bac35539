/** The example that the mesh was asked for, S1-21, with the packed executable. Rule: real processes, stock judges. */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createMesh } from "../support/mesh_processes.ts";
import { needs } from "../support/tools.ts";

const EXECUTABLE = fileURLToPath(new URL("../../dist/backup-agent", import.meta.url));
const FILES = 30;

/** What a stock program prints. */
function output(program: string, ...args: string[]): Uint8Array {
  const result = new Deno.Command(program, { args }).outputSync();
  assert.ok(result.success, new TextDecoder().decode(result.stderr));
  return result.stdout;
}

Deno.test({
  ...needs(
    "S1-21, D3: each directory goes to the worker that can do it, .ssh after Documents, and stock tools read every copy",
    "linux",
    "age",
    "age-keygen",
    "zstd",
    "sha256sum",
  ),
  async fn() {
    await using mesh = createMesh({ program: [EXECUTABLE] });
    const { folder } = mesh;
    await mesh.startCoordinator("--no-scan");
    await mesh.startWorker("worker-1", "--capabilities", "sequential,compress");
    await mesh.startWorker("worker-2", "--capabilities", "parallel,encrypt");
    await mesh.startWorker("worker-3", "--capabilities", "sequential");
    await mesh.untilAlive(3);
    const sources = ["Documents", "Downloads", "Projects", ".ssh"].map((name) => {
      mkdirSync(`${folder}/home/${name}`, { recursive: true });
      for (let i = 0; i < FILES; i++) {
        writeFileSync(`${folder}/home/${name}/file-${i}`, `${name} ${i}\n`.repeat(1_000 + i));
      }
      return `${folder}/home/${name}`;
    });
    const keygen = `${folder}/key.txt`;
    output("age-keygen", "-o", keygen);
    const recipient = new TextDecoder().decode(output("age-keygen", "-y", keygen)).trim();
    const [one, two] = [`${folder}/one`, `${folder}/two`];
    const runId = await mesh.submit([
      ...sources,
      ...["--to", one, "--to", two],
      ...["--sequential", "Documents", "--requires", "Documents=compress"],
      ...["--parallel", "Downloads", "--requires", "Downloads=encrypt", "--recipient", recipient],
      ...["--sequential", "Projects"],
      ...["--sequential", ".ssh", "--requires", ".ssh=compress", "--after", ".ssh=Documents"],
    ]);
    const { exitCode, report } = await mesh.ended(runId);
    assert.equal(exitCode, 0, JSON.stringify(report));

    const [run] = await mesh.ask(["run", runId]);
    const tasks = run!["tasks"] as {
      source: string;
      state: string;
      agent_name: string;
      epoch: number;
    }[];
    const ownerOf = (source: string) => tasks.find((t) => t.source === source)!.agent_name;
    assert.ok(tasks.every((t) => t.state === "succeeded" && t.epoch >= 1));
    assert.equal(ownerOf("Documents"), "worker-1");
    assert.equal(ownerOf("Downloads"), "worker-2");
    assert.ok(["worker-1", "worker-3"].includes(ownerOf("Projects")));
    assert.equal(ownerOf(".ssh"), "worker-1");

    for (const copy of [one, two]) {
      output("sh", "-c", `cd '${copy}' && sha256sum --quiet -c .backup-agent/SHA256SUMS`);
      for (let i = 0; i < FILES; i++) {
        const original = (name: string) => readFileSync(`${folder}/home/${name}/file-${i}`);
        const same = (name: string, bytes: Uint8Array) =>
          assert.deepEqual(Buffer.from(bytes), original(name), `${copy}/${name}/file-${i}`);
        same("Documents", output("zstd", "-dcq", `${copy}/Documents/file-${i}.zst`));
        same("Downloads", output("age", "-d", "-i", keygen, `${copy}/Downloads/file-${i}.age`));
        same("Projects", readFileSync(`${copy}/Projects/file-${i}`));
        same(".ssh", output("zstd", "-dcq", `${copy}/.ssh/file-${i}.zst`));
      }
      assert.equal(readdirSync(`${copy}/Documents`).length, FILES);
    }
  },
});
