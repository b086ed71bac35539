import assert from "node:assert/strict";
import { join } from "node:path";
import { openSnapshotJournal } from "./snapshot_journal.ts";

const SOURCE = { repository: "r", host: "h", path: "/p" };

function inFolder(run: (folder: string) => void): void {
  const folder = Deno.makeTempDirSync();
  try {
    run(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test("journal: checkpoints are by repository, host and path, and are seen by the next process", () =>
  inFolder((folder) => {
    const state = join(folder, "not/there");
    openSnapshotJournal(state, assert.fail).noteLeft(SOURCE, { tree: "t", atMs: 5 });
    const journal = openSnapshotJournal(state, assert.fail);
    assert.deepEqual(journal.left(SOURCE), { tree: "t", atMs: 5 });
    assert.equal(journal.left({ ...SOURCE, host: "other" }), undefined);
    journal.dropLeft(SOURCE);
    assert.equal(journal.left(SOURCE), undefined);
  }));

Deno.test("journal: a replica is owed each snapshot once, until it is paid, and nothing by another repository", () =>
  inFolder((folder) => {
    const journal = openSnapshotJournal(folder, assert.fail);
    for (const id of ["1", "2", "2", "3"]) journal.owe("/replica", "r", id);
    assert.deepEqual(journal.owed("/replica", "r"), ["1", "2", "3"]);
    assert.deepEqual(journal.owed("/replica", "another"), []);
    journal.paid("/replica", ["1", "3"]);
    assert.deepEqual(journal.owed("/replica", "r"), ["2"]);
    // Another disk under the same path owes nothing of the first.
    journal.owe("/replica", "another", "9");
    assert.deepEqual(journal.owed("/replica", "another"), ["9"]);
    assert.deepEqual(journal.owed("/replica", "r"), []);
  }));

Deno.test("journal: one that cannot be read or written is done without, and that is told", () =>
  inFolder((folder) => {
    Deno.writeTextFileSync(join(folder, "snapshots.json"), "{ not json");
    const told: string[] = [];
    const journal = openSnapshotJournal(folder, (message) => told.push(message));
    assert.equal(journal.left(SOURCE), undefined);
    journal.noteLeft(SOURCE, { tree: "t", atMs: 1 });
    assert.equal(told.length, 0);
    Deno.writeTextFileSync(join(folder, "file"), "");
    openSnapshotJournal(join(folder, "file/below"), (message) => told.push(message))
      .noteLeft(SOURCE, { tree: "t", atMs: 1 });
    assert.equal(told.length, 1);
  }));
