/**
 * The tables in one SQLite file. Rule: nothing is opened before the first call, because a person waits for the first
 * line of output; several processes may use one file at once.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { NEXT_RUN_STATES, RUN_STATES } from "../../../protocol/mesh/job.ts";
import type { Tables } from "../tables.ts";
import { MIGRATIONS } from "./migrations.ts";
import { openDatabase } from "./open_database.ts";
import { eventOf, runOf, taskOf } from "./rows.ts";
import { withSqliteErrors } from "./sqlite_errors.ts";

const ENDED = RUN_STATES.filter((s) => NEXT_RUN_STATES[s].length === 0);

const SQL = {
  getRun: "SELECT * FROM runs WHERE run_id = ?",
  listRuns: "SELECT * FROM runs ORDER BY created_no DESC LIMIT ?",
  putRun: `INSERT INTO runs (run_id, host_id, state, spec, created_at_ms, ended_at_ms, report)
    VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (run_id) DO UPDATE SET
      state = excluded.state, ended_at_ms = excluded.ended_at_ms, report = excluded.report`,
  dropEndedRuns: `DELETE FROM runs WHERE created_no IN (
    SELECT created_no FROM runs WHERE state IN (${ENDED.map((s) => `'${s}'`).join(", ")})
    ORDER BY created_no DESC LIMIT -1 OFFSET ?)`,
  getTask: "SELECT * FROM tasks WHERE task_id = ?",
  listTasks: "SELECT * FROM tasks WHERE run_id = ? ORDER BY created_no",
  putTask: `INSERT INTO tasks
    (task_id, run_id, source, requires, size_bytes, state, epoch, agent_id, reason)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (task_id) DO UPDATE SET
      state = excluded.state, epoch = excluded.epoch, agent_id = excluded.agent_id,
      reason = excluded.reason`,
  appendEvent: "INSERT INTO events (run_id, at_ms, event) VALUES (?, ?, ?)",
  events: "SELECT * FROM events WHERE seq > ? ORDER BY seq LIMIT ?",
  eventsOfRun: "SELECT * FROM events WHERE seq > ? AND run_id = ? ORDER BY seq LIMIT ?",
} as const;

export function createSqliteTables(path: string): Tables {
  let db: DatabaseSync | undefined;
  let closed = false;
  const statements = new Map<string, StatementSync>();

  function open(): DatabaseSync {
    if (closed) throw new TypeError("Cannot use a closed job store");
    return db ??= withSqliteErrors(path, () => openDatabase(path, MIGRATIONS));
  }

  function use<T>(sql: string, work: (statement: StatementSync) => T): T {
    const database = open();
    let statement = statements.get(sql);
    if (statement === undefined) statements.set(sql, statement = database.prepare(sql));
    const ready = statement;
    return withSqliteErrors(path, () => work(ready));
  }

  return {
    transact(work) {
      const database = open();
      // IMMEDIATE: the write lock is waited for here, where nothing has been read that could grow old.
      withSqliteErrors(path, () => database.exec("BEGIN IMMEDIATE"));
      try {
        const result = work();
        withSqliteErrors(path, () => database.exec("COMMIT"));
        return result;
      } catch (thrown) {
        // Some failures (a full disk) have rolled back already.
        if (database.isTransaction) database.exec("ROLLBACK");
        throw thrown;
      }
    },
    getRun: (runId) => use(SQL.getRun, (s) => mapped(s.get(runId), runOf)),
    listRuns: (limit) => use(SQL.listRuns, (s) => s.all(limit).map(runOf)),
    putRun: (r) =>
      use(SQL.putRun, (s) => {
        const spec = JSON.stringify(r.spec);
        const report = r.report === null ? null : JSON.stringify(r.report);
        s.run(r.runId, r.hostId, r.state, spec, r.createdAtMs, r.endedAtMs, report);
      }),
    dropEndedRuns: (keep) => use(SQL.dropEndedRuns, (s) => void s.run(keep)),
    getTask: (taskId) => use(SQL.getTask, (s) => mapped(s.get(taskId), taskOf)),
    listTasks: (runId) => use(SQL.listTasks, (s) => s.all(runId).map(taskOf)),
    putTask: (t) =>
      use(SQL.putTask, (s) => {
        const source = JSON.stringify(t.source);
        const requires = JSON.stringify(t.requires);
        const { taskId, runId, sizeBytes, state, epoch, agentId, reason } = t;
        s.run(taskId, runId, source, requires, sizeBytes, state, epoch, agentId, reason);
      }),
    appendEvent: (event, atMs) =>
      use(SQL.appendEvent, (s) => void s.run(event.runId, atMs, JSON.stringify(event))),
    eventsAfter: (seq, limit, runId) =>
      runId === undefined
        ? use(SQL.events, (s) => s.all(seq, limit).map(eventOf))
        : use(SQL.eventsOfRun, (s) => s.all(seq, runId, limit).map(eventOf)),
    close() {
      closed = true;
      statements.clear();
      db?.close();
      db = undefined;
    },
  };
}

function mapped<T, U>(value: T | undefined, map: (value: T) => U): U | undefined {
  return value === undefined ? undefined : map(value);
}
