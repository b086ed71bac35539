/** Tables that live as long as the process. Rule: rows are copied in and out, so nobody holds what is stored. */
import { NEXT_RUN_STATES } from "../../../protocol/mesh/job.ts";
import type { StoredEvent, StoredRun, StoredTask } from "../records.ts";
import type { Tables } from "../tables.ts";

export function createMemoryTables(): Tables {
  let runs = new Map<string, StoredRun>();
  let tasks = new Map<string, StoredTask>();
  let events: StoredEvent[] = [];
  let lastSeq = 0;
  let closed = false;

  function open<T>(read: () => T): T {
    if (closed) throw new TypeError("Cannot use a closed job store");
    return structuredClone(read());
  }

  return {
    transact(work) {
      if (closed) throw new TypeError("Cannot use a closed job store");
      const before = { runs: new Map(runs), tasks: new Map(tasks), events: [...events], lastSeq };
      try {
        return work();
      } catch (thrown) {
        ({ runs, tasks, events, lastSeq } = before);
        throw thrown;
      }
    },
    getRun: (runId) => open(() => runs.get(runId)),
    listRuns: (limit) => open(() => [...runs.values()].reverse().slice(0, limit)),
    putRun: (run) => void runs.set(run.runId, structuredClone(run)),
    dropEndedRuns(keep) {
      const ended = [...runs.values()].filter((r) => NEXT_RUN_STATES[r.state].length === 0);
      const gone = new Set(ended.slice(0, Math.max(0, ended.length - keep)).map((r) => r.runId));
      for (const runId of gone) runs.delete(runId);
      for (const task of [...tasks.values()]) if (gone.has(task.runId)) tasks.delete(task.taskId);
      events = events.filter((e) => !gone.has(e.event.runId));
    },
    getTask: (taskId) => open(() => tasks.get(taskId)),
    listTasks: (runId) => open(() => [...tasks.values()].filter((t) => t.runId === runId)),
    putTask: (task) => void tasks.set(task.taskId, structuredClone(task)),
    appendEvent(event, atMs) {
      events.push({ seq: ++lastSeq, atMs, event: structuredClone(event) });
    },
    eventsAfter: (seq, limit, runId) =>
      open(() =>
        events.filter((e) => e.seq > seq && (runId === undefined || e.event.runId === runId))
          .slice(0, limit)
      ),
    close: () => void (closed = true),
  };
}
