import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { RepositoryShell } from "../../tests/support/repository_commands.ts";
import { inScratch } from "../../tests/support/small_tree.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import { openPosix } from "../platform/open_posix.ts";
import { inspect, openDestination } from "../destinations/local_destination.ts";
import { openStoreThread } from "../strategies/snapshot/store_thread.ts";
import { openStoredLists } from "../strategies/mirror/restore/stored_lists.ts";

const posix = openPosix();

const says = (code: string, hint: RegExp) => (error: unknown) =>
  error instanceof BackupError && error.code === code && hint.test(error.hint ?? "");

Deno.test("a repository that is named as plain copies is recognised, and whoever reads is told its name", () =>
  inScratch(async (folder) => {
    const path = join(folder, "repository");
    assert.equal((await new RepositoryShell().type(["init", `restic:${path}`])).code, 0);
    assert.equal(inspect(posix, path, []).otherKind, "repository");
    const told = says("destination_missing", /name it as restic:\//);
    assert.throws(() => openStoredLists(posix, path, false), told);
    assert.throws(() => openDestination(posix, path, [], "reader", "", true), told);
    assert.ok(!fs.existsSync(join(path, ".backup-agent")));
    // A folder of somebody's that only has such names in it.
    fs.rmSync(join(path, "config"));
    assert.equal(inspect(posix, path, []).otherKind, undefined);
  }));

Deno.test("plain copies that are named as a repository are told, and none is made among them", () =>
  inScratch((folder) => {
    const path = join(folder, "copies");
    openDestination(posix, path, [], "maker", "2026-01-01T00:00:00Z").close();
    const cells = { operations: new Int32Array(1), cancelled: new Int32Array(1) };
    const thread = openStoreThread(posix, { path }, cells as never);
    assert.throws(
      () => thread["open"]!({ make: true }),
      says("usage", /Did you mean \/.*copies\?/),
    );
    assert.throws(
      () => thread["open"]!({ make: false }),
      says("destination_missing", /without restic:/),
    );
    assert.deepEqual(fs.readdirSync(path), [".backup-agent"]);
    // Whoever keeps both in one folder knows what it is.
    fs.writeFileSync(join(path, "config"), "");
    thread["open"]!({ make: false });
    thread["close"]!(undefined);
    assert.equal(inspect(posix, path, []).otherKind, undefined);
  }));
