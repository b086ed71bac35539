/** Tables that live as long as the process. Rule: rows are copied in and out, so nobody holds what is stored. */
import { NEXT_RUN_STATES, type TaskState } from "../../../protocol/mesh/job.ts";
import type { MirrorResult } from "../../../protocol/mesh/task.ts";
import type {
  KnownDestination,
  ScanOutcome,
  StoredAgent,
  StoredDestination,
  StoredEvent,
  StoredRun,
  StoredTask,
} from "../records.ts";
import type { Tables } from "../tables.ts";
import { createUndoLog, UndoMap } from "./undo_log.ts";

interface OfRun<T> {
  readonly runId: string;
  readonly name: string;
  readonly value: T;
}

export function createMemoryTables(): Tables {
  const log = createUndoLog();
  const runs = new UndoMap<StoredRun>(log);
  const tasks = new UndoMap<StoredTask>(log);
  const tasksByRun = new Map<string, Set<string>>();
  const results = new UndoMap<OfRun<MirrorResult>>(log);
  const scans = new UndoMap<OfRun<ScanOutcome>>(log);
  const destinations = new UndoMap<OfRun<StoredDestination>>(log);
  const known = new UndoMap<KnownDestination>(log);
  const agents = new UndoMap<StoredAgent>(log);
  const documents = new UndoMap<{ kind: string; body: unknown }>(log);
  let events: StoredEvent[] = [];
  let lastSeq = 0;
  let closed = false;

  function open(): void {
    if (closed) throw new TypeError("Cannot use a closed job store");
  }

  function read<T>(work: () => T): T {
    open();
    return work();
  }

  const isEnded = (run: StoredRun): boolean => NEXT_RUN_STATES[run.state].length === 0;
  const keyOf = (runId: string, name: string): string => JSON.stringify([runId, name]);
  const listed = <T>(map: UndoMap<OfRun<T>>, runId: string): Map<string, T> =>
    read(() => new Map(map.filter((r) => r.runId === runId).map((r) => [r.name, r.value])));

  return {
    transact(work) {
      open();
      return log.transact(work);
    },
    getRun: (runId) => read(() => runs.get(runId)),
    getRunByKey: (key) => read(() => runs.filter((r) => r.idempotencyKey === key)[0]),
    listRuns: (limit) => read(() => runs.filter(() => true).reverse().slice(0, limit)),
    listUnfinished: (owner) => read(() => runs.filter((r) => r.owner === owner && !isEnded(r))),
    putRun: (run) => runs.set(run.runId, run),
    dropEndedRuns(keep) {
      const ended = runs.filter(isEnded);
      const gone = new Set(ended.slice(0, Math.max(0, ended.length - keep)).map((r) => r.runId));
      if (gone.size === 0) return;
      const isGone = (row: { runId: string }) => gone.has(row.runId);
      for (const rows of [runs, tasks, results, scans, destinations]) rows.deleteWhere(isGone);
      for (const runId of gone) {
        const ids = tasksByRun.get(runId);
        if (ids === undefined || !tasksByRun.delete(runId)) continue;
        log.note(() => tasksByRun.set(runId, ids));
      }
      const before = events;
      events = events.filter((e) => !gone.has(e.event.runId));
      log.note(() => events = before);
    },
    getTask: (taskId) => read(() => tasks.get(taskId)),
    listTasks: (runId) =>
      read(() =>
        [...tasksByRun.get(runId) ?? []].map((id) => tasks.get(id)).filter((t) => t !== undefined)
      ),
    putTask(task) {
      const { runId, taskId } = task;
      const ids = tasksByRun.get(runId);
      if (ids === undefined) tasksByRun.set(runId, new Set([taskId]));
      else ids.add(taskId);
      tasks.set(taskId, task);
    },
    putResult(taskId, result) {
      const { runId } = tasks.get(taskId)!;
      results.set(taskId, { runId, name: taskId, value: result });
    },
    countTasks: (runId) =>
      read(() => {
        const counts: Partial<Record<TaskState, number>> = {};
        for (const { state } of tasks.filter((t) => t.runId === runId)) {
          counts[state] = (counts[state] ?? 0) + 1;
        }
        return counts;
      }),
    getResult: (taskId) => read(() => results.get(taskId)?.value),
    listResults: (runId) => listed(results, runId),
    putScan: (runId, source, value) =>
      scans.set(keyOf(runId, source), { runId, name: source, value }),
    listScans: (runId) => listed(scans, runId),
    putDestination: (runId, value) =>
      destinations.set(keyOf(runId, value.destination), { runId, name: value.destination, value }),
    getDestination: (runId, name) => read(() => destinations.get(keyOf(runId, name))?.value),
    listDestinations: (runId) => [...listed(destinations, runId).values()],
    putKnownDestination: (one) => known.set(keyOf(one.path, one.hostId), one),
    listKnownDestinations: (path) =>
      read(() =>
        known.filter((one) => one.path === path)
          .sort((a, b) => a.hostId < b.hostId ? -1 : a.hostId > b.hostId ? 1 : 0)
      ),
    listAgents: () => read(() => agents.filter(() => true)),
    putAgent: (agent) => agents.set(agent.agentId, agent),
    dropAgent: (agentId) => agents.deleteWhere((a) => a.agentId === agentId),
    getDocument: (kind, id) => read(() => documents.get(keyOf(kind, id))?.body),
    listDocuments: (kind) =>
      read(() => documents.filter((d) => d.kind === kind).map(({ body }) => body)),
    putDocument: (kind, id, body) => documents.set(keyOf(kind, id), { kind, body }),
    dropDocument(kind, id) {
      const key = keyOf(kind, id);
      const isThere = documents.has(key);
      if (isThere) documents.delete(key);
      return isThere;
    },
    appendEvent(event, atMs) {
      events.push({ seq: ++lastSeq, atMs, event: structuredClone(event) });
      log.note(() => {
        events.pop();
        lastSeq--;
      });
    },
    eventsAfter: (seq, limit, runId) =>
      read(() => {
        const isOfRun = (e: StoredEvent) => runId === undefined || e.event.runId === runId;
        return structuredClone(events.filter((e) => e.seq > seq && isOfRun(e)).slice(0, limit));
      }),
    flush: () => {},
    close: () => void (closed = true),
  };
}
