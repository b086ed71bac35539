/**
 * Every file of a run at every destination, page by page. Rule: while agents work on it they are asked; afterwards the lists
 * at the destinations are, and what failed by name is said from the report.
 */
import type { Clock } from "../../protocol/base/clock.ts";
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import type { RunFailure } from "../../protocol/mesh/console_methods.ts";
import { CompareStored, type FileRow, ListTaskFiles } from "../../protocol/mesh/place_methods.ts";
import type { RunReport } from "../../protocol/mesh/run.ts";
import type { AgentReach } from "../mesh/mesh_coordinator.ts";
import type { JobStore } from "../store/job_store.ts";
import type { StoredRun, StoredTask } from "../store/records.ts";
import { askAgent } from "./asking.ts";
import { chooseAgent } from "./choose_agent.ts";

export interface FilesPage {
  destinations: string[];
  rows: FileRow[];
  total: number;
  unlisted: number;
  isLive: boolean;
  notes: string[];
}

export interface RunFiles {
  /** @throws {BackupError} `not_found` */
  page(runId: string, offset: number, limit: number): Promise<FilesPage>;
}

export function createRunFiles(deps: {
  store: JobStore;
  clock: Clock;
  reach(): AgentReach;
}): RunFiles {
  const { store, clock } = deps;

  /** Tasks in hand, one after the other: each agent knows its own. What no agent can name has no place in the order. */
  async function live(run: StoredRun, tasks: readonly StoredTask[], offset: number, limit: number) {
    const reach = deps.reach();
    const keys = run.spec.destinations.map((d) => d.key);
    const page: FilesPage = {
      ...{ destinations: keys, rows: [], total: 0, unlisted: 0, isLive: true, notes: [] },
    };
    for (const task of tasks) {
      const { agentId, state, taskId, source } = task;
      const label = task.part === null ? source.name : `${source.name} (${task.part.label})`;
      const start = page.total;
      const wanted = limit - page.rows.length;
      const from = Math.max(0, offset - start);
      if (state === "running" && agentId !== null) {
        const agent = reach.views().find((view) => view.agentId === agentId);
        try {
          if (agent === undefined) throw new BackupError("not_found", "its agent is gone");
          const found = await askAgent({ reach, clock }, agent, ListTaskFiles, {
            taskId,
            offset: from,
            limit: Math.max(1, wanted),
          });
          page.total += found.total;
          if (wanted > 0) {
            page.rows.push(
              ...found.rows.map((row) => ({
                ...row,
                marks: inOrder(row.marks, found.destinations, keys),
              })),
            );
          }
          continue;
        } catch (thrown) {
          page.notes.push(`${label}: ${asBackupError(thrown).message}`);
        }
      } else page.notes.push(`${label}: ${state}, ${task.files} files`);
      page.unlisted += task.files;
    }
    return page;
  }

  async function recorded(run: StoredRun, offset: number, limit: number): Promise<FilesPage> {
    const { spec, report, hostId } = run;
    const reach = deps.reach();
    const keys = spec.destinations.map((d) => d.key);
    const at = spec.sources.find((s) => s.hostId !== undefined)?.hostId ?? hostId;
    const agent = chooseAgent(reach.views(), { hostId: at });
    const folders = spec.destinations.filter(({ kind }) => kind === "local");
    const repositories = spec.destinations.filter(({ kind }) => kind !== "local");
    const notes = repositories.map(({ key }) =>
      `${key} is a repository; its snapshots list its files`
    );
    const page = { destinations: keys, unlisted: 0, isLive: false };
    if (folders.length === 0) return { ...page, rows: [], total: 0, notes };
    const compared = await askAgent({ reach, clock }, agent, CompareStored, {
      destinations: folders.map((d) => d.path),
      copies: spec.sources.map((s) => s.name),
      offset,
      limit,
      ...(spec.options.keys === undefined ? {} : { keys: spec.options.keys }),
    });
    const failed = failedMarks(report, keys);
    const own = folders.map(({ key }) => key);
    return {
      ...page,
      rows: compared.rows.map((row) =>
        withFailures({ ...row, marks: inOrder(row.marks, own, keys) }, failed.get(row.path))
      ),
      total: compared.total,
      notes: [...notes, ...compared.problems],
    };
  }

  return {
    async page(runId, offset, limit) {
      const run = store.run(runId);
      if (run === undefined) throw new BackupError("not_found", `No run ${runId} is stored`);
      if (run.endedAtMs === null) return await live(run, store.tasks(runId), offset, limit);
      return await recorded(run, offset, limit);
    },
  };
}

/** Letters in the order of `keys`; `.` for one that the agent has not. */
function inOrder(marks: string, own: readonly string[], keys: readonly string[]): string {
  return keys.map((key) => marks[own.indexOf(key)] ?? ".").join("");
}

/** By path: which destinations have failed it. */
function failedMarks(
  report: RunReport | null,
  keys: readonly string[],
): Map<string, ReadonlySet<number>> {
  const marks = new Map<string, Set<number>>();
  for (const failure of report === null ? [] : failuresOf(report)) {
    if (failure.destination === null) continue;
    const set = marks.get(failure.path) ?? new Set();
    set.add(keys.indexOf(failure.destination));
    marks.set(failure.path, set);
  }
  return marks;
}

function withFailures(row: FileRow, failed: ReadonlySet<number> | undefined): FileRow {
  if (failed === undefined) return row;
  return { ...row, marks: [...row.marks].map((m, at) => failed.has(at) ? "x" : m).join("") };
}

/** What of a run is not safe, by name: sources first, then each destination's own. */
export function failuresOf(report: RunReport): RunFailure[] {
  return [
    ...report.sources.flatMap(({ source, error, unreadable }) => [
      ...(error === undefined ? [] : [{
        destination: null,
        source: source.name,
        path: error.path ?? source.path,
        code: error.code,
        message: error.message,
        attempts: 1,
      }]),
      ...unreadable.map((failure) => ({ destination: null, source: source.name, ...failure })),
    ]),
    ...report.destinations.flatMap(({ destination, error, lanes }) => [
      ...(error === undefined ? [] : [{
        destination,
        source: "",
        path: error.path ?? destination,
        code: error.code,
        message: error.message,
        attempts: 1,
      }]),
      ...lanes.flatMap(({ source, report }) =>
        report.failures.map((failure) => ({ destination, source, ...failure }))
      ),
    ]),
  ];
}
