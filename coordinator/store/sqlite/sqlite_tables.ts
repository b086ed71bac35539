/**
 * The tables in one SQLite file. Rule: nothing is opened before the first call, because a person waits for the first
 * line of output; several processes may use one file at once.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { NEXT_RUN_STATES, RUN_STATES } from "../../../protocol/mesh/job.ts";
import type { Tables } from "../tables.ts";
import { MIGRATIONS } from "./migrations.ts";
import { openDatabase } from "./open_database.ts";
import {
  agentOf,
  bodyOf,
  destinationOf,
  eventOf,
  knownDestinationOf,
  resultOf,
  type Row,
  runOf,
  scanOf,
  taskOf,
} from "./rows.ts";
import { withSqliteErrors } from "./sqlite_errors.ts";

const ENDED = RUN_STATES.filter((s) => NEXT_RUN_STATES[s].length === 0);

const ENDED_LIST = ENDED.map((s) => `'${s}'`).join(", ");

const SQL = {
  // As statements: what `exec` throws has no result code.
  begin: "BEGIN IMMEDIATE",
  commit: "COMMIT",
  getRun: "SELECT * FROM runs WHERE run_id = ?",
  getRunByKey: "SELECT * FROM runs WHERE idempotency_key = ?",
  listRuns: "SELECT * FROM runs ORDER BY created_no DESC LIMIT ?",
  listUnfinished: `SELECT * FROM runs WHERE owner = ? AND state NOT IN (${ENDED_LIST})
    ORDER BY created_no`,
  putRun: `INSERT INTO runs (run_id, host_id, state, spec, created_at_ms, ended_at_ms, report,
      owner, run_epoch, home_agent_id, paused, idempotency_key, notes)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (run_id) DO UPDATE SET
      state = excluded.state, ended_at_ms = excluded.ended_at_ms, report = excluded.report,
      run_epoch = excluded.run_epoch, home_agent_id = excluded.home_agent_id,
      paused = excluded.paused, notes = excluded.notes`,
  dropEndedRuns: `DELETE FROM runs WHERE created_no IN (
    SELECT created_no FROM runs WHERE state IN (${ENDED_LIST})
    ORDER BY created_no DESC LIMIT -1 OFFSET ?)`,
  getTask: "SELECT * FROM tasks WHERE task_id = ?",
  listTasks: "SELECT * FROM tasks WHERE run_id = ? ORDER BY created_no",
  putTask: `INSERT INTO tasks
    (task_id, run_id, source, requires, size_bytes, state, epoch, agent_id, reason, part, files)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (task_id) DO UPDATE SET
      size_bytes = excluded.size_bytes, state = excluded.state, epoch = excluded.epoch,
      agent_id = excluded.agent_id, reason = excluded.reason, part = excluded.part,
      files = excluded.files`,
  putResult: `INSERT INTO task_results (task_id, result) VALUES (?, ?)
    ON CONFLICT (task_id) DO UPDATE SET result = excluded.result`,
  countTasks: "SELECT state, count(*) AS n FROM tasks WHERE run_id = ? GROUP BY state",
  getResult: "SELECT * FROM task_results WHERE task_id = ?",
  listResults: `SELECT r.* FROM task_results r JOIN tasks t ON t.task_id = r.task_id
    WHERE t.run_id = ?`,
  putScan: `INSERT INTO scans (run_id, source, outcome) VALUES (?, ?, ?)
    ON CONFLICT (run_id, source) DO UPDATE SET outcome = excluded.outcome`,
  listScans: "SELECT * FROM scans WHERE run_id = ?",
  putDestination:
    `INSERT INTO destinations (run_id, destination, is_cancelled, warnings, ending, destination_id)
    VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (run_id, destination) DO UPDATE SET
      is_cancelled = excluded.is_cancelled, warnings = excluded.warnings, ending = excluded.ending,
      destination_id = excluded.destination_id`,
  getDestination: "SELECT * FROM destinations WHERE run_id = ? AND destination = ?",
  listDestinations: "SELECT * FROM destinations WHERE run_id = ?",
  putKnownDestination: `INSERT INTO known_destinations (path, host_id, destination_id)
    VALUES (?, ?, ?)
    ON CONFLICT (path, host_id) DO UPDATE SET destination_id = excluded.destination_id`,
  listKnownDestinations: "SELECT * FROM known_destinations WHERE path = ? ORDER BY host_id",
  putAgent: `INSERT INTO agents (agent_id, agent) VALUES (?, ?)
    ON CONFLICT (agent_id) DO UPDATE SET agent = excluded.agent`,
  dropAgent: "DELETE FROM agents WHERE agent_id = ?",
  listAgents: "SELECT * FROM agents ORDER BY registered_no",
  getDocument: "SELECT body FROM documents WHERE kind = ? AND id = ?",
  listDocuments: "SELECT body FROM documents WHERE kind = ? ORDER BY created_no",
  putDocument: `INSERT INTO documents (kind, id, body) VALUES (?, ?, ?)
    ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body`,
  dropDocument: "DELETE FROM documents WHERE kind = ? AND id = ?",
  appendEvent: "INSERT INTO events (run_id, at_ms, event) VALUES (?, ?, ?)",
  events: "SELECT * FROM events WHERE seq > ? ORDER BY seq LIMIT ?",
  eventsOfRun: "SELECT * FROM events WHERE seq > ? AND run_id = ? ORDER BY seq LIMIT ?",
} as const;

export function createSqliteTables(path: string, migrations = MIGRATIONS): Tables {
  let db: DatabaseSync | undefined;
  let closed = false;
  const statements = new Map<string, StatementSync>();

  function open(): DatabaseSync {
    if (closed) throw new TypeError("Cannot use a closed job store");
    return db ??= withSqliteErrors(path, () => openDatabase(path, migrations));
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
      use(SQL.begin, (s) => void s.run());
      try {
        const result = work();
        use(SQL.commit, (s) => void s.run());
        return result;
      } catch (thrown) {
        // Some failures (a full disk) have rolled back already.
        if (database.isTransaction) database.exec("ROLLBACK");
        throw thrown;
      }
    },
    getRun: (runId) => use(SQL.getRun, (s) => mapped(s.get(runId), runOf)),
    listRuns: (limit) => use(SQL.listRuns, (s) => s.all(limit).map(runOf)),
    getRunByKey: (key) => use(SQL.getRunByKey, (s) => mapped(s.get(key), runOf)),
    listUnfinished: (owner) => use(SQL.listUnfinished, (s) => s.all(owner).map(runOf)),
    putRun: (r) =>
      use(SQL.putRun, (s) => {
        const { runId, hostId, state, createdAtMs, endedAtMs } = r;
        const { owner, runEpoch, homeAgentId, idempotencyKey } = r;
        s.run(
          ...[runId, hostId, state, JSON.stringify(r.spec), createdAtMs, endedAtMs],
          ...[jsonOrNull(r.report), owner, runEpoch, homeAgentId, r.isPaused ? 1 : 0],
          ...[idempotencyKey, JSON.stringify(r.notes)],
        );
      }),
    dropEndedRuns: (keep) => use(SQL.dropEndedRuns, (s) => void s.run(keep)),
    getTask: (taskId) => use(SQL.getTask, (s) => mapped(s.get(taskId), taskOf)),
    listTasks: (runId) => use(SQL.listTasks, (s) => s.all(runId).map(taskOf)),
    putTask: (t) =>
      use(SQL.putTask, (s) => {
        const source = JSON.stringify(t.source);
        const requires = JSON.stringify(t.requires);
        const { taskId, runId, sizeBytes, state, epoch, agentId, reason, files } = t;
        s.run(
          ...[taskId, runId, source, requires, sizeBytes, state, epoch, agentId, reason],
          ...[jsonOrNull(t.part), files],
        );
      }),
    putResult: (taskId, result) =>
      use(SQL.putResult, (s) => void s.run(taskId, JSON.stringify(result))),
    countTasks: (runId) =>
      use(
        SQL.countTasks,
        (s) => Object.fromEntries(s.all(runId).map((row) => [row["state"], Number(row["n"])])),
      ),
    getResult: (taskId) => use(SQL.getResult, (s) => mapped(s.get(taskId), resultOf)?.[1]),
    listResults: (runId) => use(SQL.listResults, (s) => mapOf(s.all(runId), resultOf)),
    putScan: (runId, source, outcome) =>
      use(SQL.putScan, (s) => void s.run(runId, source, JSON.stringify(outcome))),
    listScans: (runId) => use(SQL.listScans, (s) => mapOf(s.all(runId), scanOf)),
    putDestination: (runId, { destination, isCancelled, destinationId, warnings, end }) =>
      use(SQL.putDestination, (s) => {
        s.run(
          ...[runId, destination, isCancelled ? 1 : 0, JSON.stringify(warnings), jsonOrNull(end)],
          destinationId,
        );
      }),
    getDestination: (runId, destination) =>
      use(SQL.getDestination, (s) => mapped(s.get(runId, destination), destinationOf)),
    listDestinations: (runId) => use(SQL.listDestinations, (s) => s.all(runId).map(destinationOf)),
    putKnownDestination: ({ path, hostId, destinationId }) =>
      use(SQL.putKnownDestination, (s) => void s.run(path, hostId, destinationId)),
    listKnownDestinations: (path) =>
      use(SQL.listKnownDestinations, (s) => s.all(path).map(knownDestinationOf)),
    listAgents: () => use(SQL.listAgents, (s) => s.all().map(agentOf)),
    putAgent: (agent) => use(SQL.putAgent, (s) => void s.run(agent.agentId, JSON.stringify(agent))),
    dropAgent: (agentId) => use(SQL.dropAgent, (s) => void s.run(agentId)),
    getDocument: (kind, id) => use(SQL.getDocument, (s) => mapped(s.get(kind, id), bodyOf)),
    listDocuments: (kind) => use(SQL.listDocuments, (s) => s.all(kind).map(bodyOf)),
    putDocument: (kind, id, body) =>
      use(SQL.putDocument, (s) => void s.run(kind, id, JSON.stringify(body))),
    dropDocument: (kind, id) => use(SQL.dropDocument, (s) => Number(s.run(kind, id).changes) > 0),
    appendEvent: (event, atMs) =>
      use(SQL.appendEvent, (s) => void s.run(event.runId, atMs, JSON.stringify(event))),
    eventsAfter: (seq, limit, runId) =>
      runId === undefined
        ? use(SQL.events, (s) => s.all(seq, limit).map(eventOf))
        : use(SQL.eventsOfRun, (s) => s.all(seq, runId, limit).map(eventOf)),
    flush: () =>
      // It flushes the log first, which is what a power cut could take.
      withSqliteErrors(path, () => open().exec("PRAGMA wal_checkpoint(PASSIVE)")),
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

function mapOf<V>(rows: readonly Row[], entry: (row: Row) => [string, V]): Map<string, V> {
  return new Map(rows.map(entry));
}

function jsonOrNull(value: unknown): string | null {
  return value === null ? null : JSON.stringify(value);
}
