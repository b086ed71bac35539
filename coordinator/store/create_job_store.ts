/** The job store over any engine's tables. Rule: the one place where stored states move. */
import * as v from "valibot";
import {
  DOCUMENT_KINDS,
  type DocumentKind,
  type DocumentOf,
} from "../../protocol/mesh/console_documents.ts";
import type { Clock } from "../../protocol/base/clock.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import { moveRun, moveTask, NEXT_RUN_STATES } from "../../protocol/mesh/job.ts";
import {
  ENDED_RUNS_KEPT,
  type JobStore,
  NOTES_MAX,
  type StoreChanges,
  type StoreReader,
} from "./job_store.ts";
import type { JobEvent, StoredRun, StoredTask } from "./records.ts";
import type { Tables } from "./tables.ts";

export function createJobStore(tables: Tables, clock: Pick<Clock, "nowMs">): JobStore {
  const reader: StoreReader = {
    run: (runId) => tables.getRun(runId),
    runByKey: (key) => tables.getRunByKey(key),
    runs: (limit) => tables.listRuns(limit),
    unfinishedRuns: (owner) => tables.listUnfinished(owner),
    task: (taskId) => tables.getTask(taskId),
    tasks: (runId) => tables.listTasks(runId),
    taskCounts: (runId) => tables.countTasks(runId),
    result: (taskId) => tables.getResult(taskId),
    results: (runId) => tables.listResults(runId),
    scans: (runId) => tables.listScans(runId),
    destinations: (runId) => tables.listDestinations(runId),
    knownDestinations: (path) => tables.listKnownDestinations(path),
    agents: () => tables.listAgents(),
    document(kind, id) {
      const body = tables.getDocument(kind, id);
      return body === undefined ? undefined : parseDocument(kind, body);
    },
    documents: (kind) => tables.listDocuments(kind).map((body) => parseDocument(kind, body)),
    eventsAfter: (seq, limit, runId) => tables.eventsAfter(seq, limit, runId),
  };
  const changes = changesOver(tables, reader, clock);
  let busy = false;
  return {
    ...reader,
    transact(work) {
      if (busy) throw new TypeError("Cannot start a transaction inside a transaction");
      busy = true;
      try {
        return tables.transact(() => work(changes));
      } finally {
        busy = false;
      }
    },
    flush: () => tables.flush(),
    close: () => tables.close(),
  };
}

function changesOver(
  tables: Tables,
  reader: StoreReader,
  clock: Pick<Clock, "nowMs">,
): StoreChanges {
  const note = (event: JobEvent): void => tables.appendEvent(event, clock.nowMs());

  function knownRun(runId: string): StoredRun {
    const run = tables.getRun(runId);
    if (run === undefined) throw new BackupError("not_found", `No run ${runId} is stored`);
    return run;
  }

  function knownTask(taskId: string): StoredTask {
    const task = tables.getTask(taskId);
    if (task === undefined) throw new BackupError("not_found", `No task ${taskId} is stored`);
    return task;
  }

  function putTask(from: StoredTask | undefined, task: StoredTask): StoredTask {
    tables.putTask(task);
    const { runId, taskId, state, epoch, agentId, reason } = task;
    const fromState = from?.state ?? null;
    note({ kind: "task_state", runId, taskId, from: fromState, to: state, epoch, agentId, reason });
    return task;
  }

  return {
    ...reader,
    note,
    insertRun({ runId, hostId, spec, owner = "command", idempotencyKey = null }) {
      if (tables.getRun(runId) !== undefined) {
        throw new BackupError("rejected", `A run ${runId} exists already`);
      }
      if (idempotencyKey !== null && tables.getRunByKey(idempotencyKey) !== undefined) {
        throw new BackupError("rejected", `A run with the key ${idempotencyKey} exists already`);
      }
      tables.dropEndedRuns(ENDED_RUNS_KEPT);
      const createdAtMs = clock.nowMs();
      const run: StoredRun = {
        runId,
        hostId,
        owner,
        idempotencyKey,
        state: "queued",
        spec,
        createdAtMs,
        endedAtMs: null,
        report: null,
        runEpoch: 0,
        homeAgentId: null,
        isPaused: false,
        notes: [],
      };
      tables.putRun(run);
      note({ kind: "run_state", runId, from: null, to: "queued" });
      return run;
    },
    moveRun(runId, to, report) {
      const before = knownRun(runId);
      const state = moveRun(before.state, to);
      const ended = NEXT_RUN_STATES[state].length === 0;
      const run: StoredRun = {
        ...before,
        state,
        endedAtMs: ended ? clock.nowMs() : null,
        report: report ?? before.report,
      };
      tables.putRun(run);
      note({ kind: "run_state", runId, from: before.state, to: state });
      return run;
    },
    rehomeRun(runId, agentId) {
      const before = knownRun(runId);
      const runEpoch = before.runEpoch + 1;
      const run: StoredRun = { ...before, runEpoch, homeAgentId: agentId };
      tables.putRun(run);
      note({ kind: "run_home", runId, runEpoch, agentId });
      return run;
    },
    pauseRun(runId, isPaused) {
      tables.putRun({ ...knownRun(runId), isPaused });
    },
    noteRun(runId, text) {
      const run = knownRun(runId);
      if (run.notes.includes(text) || run.notes.length >= NOTES_MAX) return false;
      tables.putRun({ ...run, notes: [...run.notes, text] });
      note({ kind: "note", runId, text });
      return true;
    },
    insertTask({ taskId, runId, source, part = null, requires, files = 0, sizeBytes }) {
      knownRun(runId);
      if (tables.getTask(taskId) !== undefined) {
        throw new BackupError("rejected", `A task ${taskId} exists already`);
      }
      return putTask(undefined, {
        taskId,
        runId,
        source,
        part,
        requires: [...requires],
        files,
        sizeBytes,
        state: "queued",
        epoch: 0,
        agentId: null,
        reason: null,
      });
    },
    planTask(taskId, { part = null, files, sizeBytes }) {
      const before = knownTask(taskId);
      if (before.state !== "queued" || before.epoch > 0) {
        throw new BackupError("superseded", `Task ${taskId} has been begun and cannot be planned`);
      }
      const task: StoredTask = { ...before, part, files, sizeBytes };
      tables.putTask(task);
      return task;
    },
    assignTask(taskId, agentId) {
      const before = knownTask(taskId);
      const state = moveTask(before.state, "assigned");
      return putTask(before, { ...before, state, agentId, epoch: before.epoch + 1, reason: null });
    },
    moveTask(taskId, epoch, to, reason) {
      const before = knownTask(taskId);
      if (before.epoch !== epoch) {
        throw new BackupError(
          "superseded",
          `Attempt ${epoch} of task ${taskId} is over: attempt ${before.epoch} has taken its place`,
        );
      }
      const state = moveTask(before.state, to);
      const agentId = state === "queued" ? null : before.agentId;
      return putTask(before, { ...before, state, agentId, reason: reason ?? null });
    },
    explainTask(taskId, reason) {
      const before = knownTask(taskId);
      if (before.reason === reason) return;
      tables.putTask({ ...before, reason });
      note({ kind: "task_waits", runId: before.runId, taskId, reason });
    },
    putResult: (taskId, result) => {
      knownTask(taskId);
      tables.putResult(taskId, result);
    },
    putScan: (runId, source, outcome) => tables.putScan(runId, source, outcome),
    changeDestination(runId, destination, change) {
      const before = tables.getDestination(runId, destination) ??
        { destination, isCancelled: false, destinationId: null, warnings: [], end: null };
      tables.putDestination(runId, { ...before, ...change });
    },
    rememberDestination: (known) => tables.putKnownDestination(known),
    putAgent: (agent) => tables.putAgent(agent),
    dropAgent: (agentId) => tables.dropAgent(agentId),
    putDocument: (kind, id, body) => tables.putDocument(kind, id, body),
    dropDocument: (kind, id) => tables.dropDocument(kind, id),
  };
}

/** @throws {BackupError} `damaged` when it is not what its kind must be. */
function parseDocument<K extends DocumentKind>(kind: K, body: unknown): DocumentOf<K> {
  const parsed = v.safeParse(DOCUMENT_KINDS[kind], body);
  if (parsed.success) return parsed.output as DocumentOf<K>;
  throw new BackupError("damaged", `Cannot read a stored ${kind}: ${parsed.issues[0].message}`);
}
