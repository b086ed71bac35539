import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BackupError } from "../base/errors.ts";
import { takeIdentity } from "./agent_identity.ts";

function withFolder(work: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "identity-"));
  try {
    work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

Deno.test("an agent keeps its id over restarts, and another name is another agent", () =>
  withFolder((folder) => {
    const first = takeIdentity(folder, "worker-8801");
    const other = takeIdentity(folder, "worker-8802");
    assert.notEqual(first.agentId, other.agentId);
    first.release();
    first.release();
    assert.equal(takeIdentity(folder, "worker-8801").agentId, first.agentId);
  }));

Deno.test("two processes are never the same agent", () =>
  withFolder((folder) => {
    takeIdentity(folder, "w");
    assert.throws(
      () => takeIdentity(folder, "w"),
      (e) => e instanceof BackupError && e.code === "config" && e.hint!.includes("--name"),
    );
  }));

Deno.test("half an id is made anew, and a name cannot leave its folder", () =>
  withFolder((folder) => {
    const { agentId, release } = takeIdentity(folder, "w");
    release();
    writeFileSync(join(folder, "agents", "w", "id"), "agent-");
    assert.notEqual(takeIdentity(folder, "w").agentId, agentId);
    for (const name of ["../x", "", ".hidden", "a/b", "x".repeat(101)]) {
      assert.throws(() => takeIdentity(folder, name), /is not a name/);
    }
  }));
