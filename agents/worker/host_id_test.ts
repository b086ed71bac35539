import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BackupError } from "../../protocol/base/errors.ts";
import { hostIdIn } from "./host_id.ts";

function withFolder(work: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "host-state-"));
  try {
    work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

Deno.test("a host id is made once and stays", () =>
  withFolder((folder) => {
    const state = join(folder, "new", "state");
    const id = hostIdIn(state);
    assert.match(id, /^host-[\w-]{16}$/);
    assert.equal(hostIdIn(state), id);
    assert.deepEqual(readdirSync(state), ["host-id"]);
  }));

Deno.test("a damaged host id and an unusable folder are errors that say what to do", () =>
  withFolder((folder) => {
    writeFileSync(join(folder, "host-id"), "\0\0\0");
    assert.throws(() => hostIdIn(folder), (e) => e instanceof BackupError && e.code === "config");
    writeFileSync(join(folder, "file"), "");
    assert.throws(
      () => hostIdIn(join(folder, "file", "state")),
      (e) => e instanceof BackupError && e.code === "config" && e.hint!.includes("--state-dir"),
    );
  }));
