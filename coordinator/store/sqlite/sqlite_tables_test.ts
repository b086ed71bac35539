/** The SQLite engine passes the suite of all job stores, and what only a file can do is tested here. */
import assert from "node:assert/strict";
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { BackupError } from "../../../protocol/base/errors.ts";
import { ManualClock } from "../../../tests/support/manual_clock.ts";
import { createJobStore } from "../create_job_store.ts";
import type { StoreChanges } from "../job_store.ts";
import { jobStoreSuite, SPEC } from "../job_store_suite.ts";
import { MIGRATIONS } from "./migrations.ts";
import { openDatabase } from "./open_database.ts";
import { createSqliteTables } from "./sqlite_tables.ts";

jobStoreSuite("sqlite", () => {
  const folder = mkdtempSync(join(tmpdir(), "job-store-"));
  const tables = createSqliteTables(join(folder, "jobs.db"));
  return {
    ...tables,
    close() {
      tables.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
});

function inFolder(body: (path: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "job-store-"));
  try {
    body(join(folder, "state", "jobs.db"));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function storeAt(path: string) {
  return createJobStore(createSqliteTables(path), new ManualClock());
}

Deno.test("sqlite: nothing is opened or made before the first call", () =>
  inFolder((path) => {
    const store = storeAt(path);
    assert.ok(!existsSync(path));
    store.runs(1);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    store.close();
  }));

Deno.test("sqlite: what was stored is there after closing and opening, and event numbers go on", () =>
  inFolder((path) => {
    const first = storeAt(path);
    first.transact((tx) => tx.insertRun({ runId: "run-1", hostId: "host-1", spec: SPEC }));
    const seq = first.eventsAfter(0, 9).at(-1)!.seq;
    first.close();
    const second = storeAt(path);
    assert.deepEqual(second.run("run-1")!.spec, SPEC);
    second.transact((tx) => tx.moveRun("run-1", "planning"));
    assert.deepEqual(second.eventsAfter(seq, 9).map((e) => e.seq), [seq + 1]);
    second.close();
  }));

Deno.test("sqlite: what was flushed is in the file itself, without its log", () =>
  inFolder((path) => {
    const store = storeAt(path);
    store.transact((tx) => tx.insertRun({ runId: "run-1", hostId: "host-1", spec: SPEC }));
    store.flush();
    const copy = `${path}.copy`;
    copyFileSync(path, copy);
    const left = storeAt(copy);
    assert.equal(left.run("run-1")?.state, "queued");
    left.close();
    store.close();
  }));

Deno.test("sqlite: two processes' worth of connections see each other's commits", () =>
  inFolder((path) => {
    const one = storeAt(path);
    const two = storeAt(path);
    one.transact((tx) => tx.insertRun({ runId: "run-1", hostId: "host-1", spec: SPEC }));
    two.transact((tx) => tx.moveRun("run-1", "planning"));
    assert.equal(one.run("run-1")!.state, "planning");
    one.close();
    two.close();
  }));

Deno.test("sqlite: a folder that cannot be made is named, with what to do", () =>
  inFolder((path) => {
    writeFileSync(dirname(path), "");
    assert.throws(() => storeAt(path).runs(1), (error) => {
      assert.ok(error instanceof BackupError);
      assert.equal(error.code, "config");
      assert.ok(error.message.startsWith(`Cannot use the state folder ${dirname(path)}: `));
      assert.match(error.hint!, /--state-dir/);
      return true;
    });
  }));

Deno.test("sqlite: a file of a newer version is refused and left as it is", () =>
  inFolder((path) => {
    openDatabase(path, [...MIGRATIONS, "CREATE TABLE later (x TEXT) STRICT"])
      .close();
    assert.throws(() => storeAt(path).runs(1), { code: "newer_version" });
    const db = new DatabaseSync(path);
    assert.equal(db.prepare("PRAGMA user_version").get()!["user_version"], MIGRATIONS.length + 1);
    db.close();
  }));

Deno.test("sqlite: an older file is brought up to date with its rows kept", () =>
  inFolder((path) => {
    const store = storeAt(path);
    store.transact((tx) => tx.insertRun({ runId: "run-1", hostId: "host-1", spec: SPEC }));
    store.close();
    const db = openDatabase(path, [
      ...MIGRATIONS,
      "ALTER TABLE runs ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'",
    ]);
    assert.equal(db.prepare("SELECT colour FROM runs").get()!["colour"], "red");
    db.close();
  }));

Deno.test("sqlite: an older file is backed up before it is changed, and the backup can be used", () =>
  inFolder((path) => {
    const [first] = MIGRATIONS;
    const old = openDatabase(path, [first!]);
    old.exec(`INSERT INTO runs (run_id, host_id, state, spec, created_at_ms)
      VALUES ('run-1', 'h', 'queued', '${JSON.stringify(SPEC)}', 5)`);
    old.close();
    const store = storeAt(path);
    const run = store.run("run-1")!;
    assert.deepEqual([run.owner, run.runEpoch, run.notes, run.isPaused], ["command", 0, [], false]);
    store.close();
    const backup = `${path}.v1.bak`;
    assert.equal(statSync(backup).mode & 0o777, 0o600);
    const opened = openDatabase(backup, [first!]);
    assert.equal(opened.prepare("SELECT count(*) n FROM runs").get()!["n"], 1);
    assert.equal(opened.prepare("PRAGMA user_version").get()!["user_version"], 1);
    opened.close();
    assert.deepEqual(readdirSync(dirname(path)).filter((n) => n.includes("tmp")), []);
  }));

Deno.test("sqlite: a full disk is a clear error, loses nothing, and what is stored can be read", () =>
  inFolder((path) => {
    // The limit is one of the connection, and stands for the disk.
    const full = [...MIGRATIONS, "PRAGMA max_page_count = 40"];
    const open = () => createJobStore(createSqliteTables(path, full), new ManualClock());
    const store = open();
    store.transact((tx) => tx.insertRun({ runId: "run-1", hostId: "h", spec: SPEC }));
    const fill = (changes: StoreChanges) => {
      changes.moveRun("run-1", "planning");
      for (let i = 0; i < 500; i++) {
        const source = { path: "x".repeat(900), name: "x" };
        changes.insertTask({ taskId: `t${i}`, runId: "run-1", source, requires: [], sizeBytes: 1 });
      }
    };
    assert.throws(() => store.transact(fill), {
      code: "no_space",
      path,
      retry: "later",
      message: /Cannot use the job store/,
    });
    assert.equal(store.run("run-1")!.state, "queued");
    assert.deepEqual(store.tasks("run-1"), []);
    store.close();
    // It is opened again as the disk has room: a schema that is up to date sets no limit.
    const roomy = open();
    roomy.transact(fill);
    assert.equal(roomy.tasks("run-1").length, 500);
    roomy.close();
  }));

Deno.test("sqlite: a migration that fails leaves the old version whole", () =>
  inFolder((path) => {
    openDatabase(path, MIGRATIONS).close();
    const broken = [
      ...MIGRATIONS,
      "CREATE TABLE half (a TEXT) STRICT; SELECT nonsense FROM nowhere",
    ];
    assert.throws(() => openDatabase(path, broken));
    const db = openDatabase(path, MIGRATIONS);
    assert.equal(
      db.prepare("SELECT count(*) n FROM sqlite_master WHERE name = 'half'").get()!["n"],
      0,
    );
    db.close();
  }));

Deno.test("sqlite: a file that is no database is reported as damaged, by name", () =>
  inFolder((path) => {
    openDatabase(path, MIGRATIONS).close();
    writeFileSync(path, "this is no database, and long enough to be read as a header\n".repeat(99));
    assert.throws(() => storeAt(path).runs(1), { code: "damaged", path, hint: /Move it away/ });
  }));

Deno.test("sqlite: a row that does not fit its schema is reported as damaged", () =>
  inFolder((path) => {
    const store = storeAt(path);
    store.transact((tx) => tx.insertRun({ runId: "run-1", hostId: "host-1", spec: SPEC }));
    const db = new DatabaseSync(path);
    db.exec("UPDATE runs SET spec = '{}'");
    db.close();
    assert.throws(() => store.run("run-1"), { code: "damaged", message: /run-1/ });
    store.close();
  }));
