/** Stored runs and tasks as they are told. Rule: pure; names of agents are looked up by whoever tells. */
import type { RunInfo, TaskInfo } from "../../protocol/mesh/methods.ts";
import type { StoredRun, StoredTask } from "../store/records.ts";

export function taskInfoOf(task: StoredTask, nameOf: (agentId: string) => string): TaskInfo {
  const { taskId, source, part, state, epoch, agentId, requires, files, sizeBytes, reason } = task;
  return {
    taskId,
    source,
    ...(part === null ? {} : { part }),
    state,
    epoch,
    agent: agentId,
    agentName: agentId === null ? null : nameOf(agentId),
    requires,
    files: Math.round(files),
    sizeBytes: Math.round(sizeBytes),
    reason,
  };
}

export function runInfoOf(run: StoredRun): RunInfo {
  const { runId, state, createdAtMs, endedAtMs, spec, report, notes } = run;
  return {
    runId,
    state,
    createdAtMs: Math.round(createdAtMs),
    endedAtMs: endedAtMs === null ? null : Math.round(endedAtMs),
    sources: spec.sources,
    destinations: spec.destinations.map((d) => d.key),
    exitCode: report?.exitCode ?? WITHOUT_REPORT[state] ?? null,
    notes,
  };
}

/** Of runs that ended before there was anything to report. */
const WITHOUT_REPORT: Partial<Record<StoredRun["state"], number>> = { failed: 1, cancelled: 130 };
