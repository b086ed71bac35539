import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BackupError } from "../base/errors.ts";
import { existingToken, meshTokenIn, readTokenFile, TOKEN_FILE } from "./mesh_token.ts";

function withFolder(work: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "token-"));
  try {
    work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

Deno.test("a token is made once, for its owner only, and nothing else is left", () =>
  withFolder((folder) => {
    const state = join(folder, "new", "state");
    const token = meshTokenIn(state);
    assert.match(token, /^[\w-]{43}$/);
    assert.equal(meshTokenIn(state), token);
    assert.equal(statSync(join(state, TOKEN_FILE)).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(state), [TOKEN_FILE]);
    assert.notEqual(meshTokenIn(join(folder, "other")), token);
  }));

Deno.test("a token that others can read, a damaged one and one that is not there are told apart", () =>
  withFolder((folder) => {
    const path = join(folder, TOKEN_FILE);
    assert.equal(existingToken(path), undefined);
    meshTokenIn(folder);
    chmodSync(path, 0o644);
    assert.throws(
      () => meshTokenIn(folder),
      (e) => e instanceof BackupError && e.code === "config" && e.hint!.includes("chmod 600"),
    );
    writeFileSync(path, "a b c\n");
    assert.throws(() => readTokenFile(path), /does not hold a mesh token/);
    assert.throws(() => readTokenFile(join(folder, "none")), /Cannot read the mesh token/);
  }));
