/** `run ID`: one run with its tasks, or shown until it ends. */
import { BackupError } from "../../../protocol/base/errors.ts";
import type { Command, CommandCall } from "../../../protocol/cli/command.ts";
import { jsonLine } from "../../../protocol/cli/error_line.ts";
import { formatBytes, formatCount, formatDate } from "../../../protocol/cli/format.ts";
import { GetRun, type RunDetail, type TaskInfo } from "../../../protocol/mesh/methods.ts";
import { firstProgress } from "../first_progress.ts";
import { renderResult } from "../render_result.ts";
import { columns } from "./columns.ts";
import { COORDINATOR_OPTIONS, linkOf } from "./coordinator_call.ts";
import type { MeshDoor } from "./mesh_door.ts";
import { showRun } from "./submit.ts";

export function createRunCommand(door: MeshDoor): Command {
  return {
    name: "run",
    summary: "Show one run of a coordinator with its tasks",
    synopsis: ["run ID [--follow] [OPTIONS]"],
    about: [
      "Each task is a source, or a part of one, with its state, the agent that has it and the number of its attempt. " +
      "--json prints one object: run_id, state, exit_code, tasks[] with state, agent and epoch, progress and report.",
    ],
    options: ["follow", "quiet", "verbose", ...COORDINATOR_OPTIONS],
    examples: [
      { says: "who does what", words: "run run-V1StGXR8_Z5jdHi6" },
      { says: "the lanes, from another terminal", words: "run run-V1StGXR8_Z5jdHi6 --follow" },
    ],
    exitCodes: [0, 1, 2, 3, 4, 10, 11, 12, 130],
    exitMeanings: { 0: "shown; with --follow: the run's own exit code" },
    run: (call) => showOne(call, door),
  };
}

async function showOne(call: CommandCall, door: MeshDoor): Promise<number> {
  const { settings, terminal } = call;
  const runId = onlyWord(call, "run ID", "run");
  const link = linkOf(call, door);
  const run = await link.ask(GetRun, { runId });
  if (settings.get("follow").value) {
    return await showRun(call, link, runId, run.progress ?? firstProgress(run.spec), "leaves");
  }
  if (settings.get("json").value) terminal.out(jsonLine(jsonOf(run)));
  else {
    terminal.out(textOf(run));
    if (run.report !== null) {
      const verbose = settings.get("verbose").value;
      terminal.out(
        renderResult(run.report, { style: terminal.outStyle, verbose }).join("\n") + "\n",
      );
    }
  }
  return 0;
}

/** The command's one word. @throws {BackupError} `usage` */
export function onlyWord({ positionals }: CommandCall, synopsis: string, what: string): string {
  const [word, ...more] = positionals;
  if (word !== undefined && word !== "" && more.length === 0) return word;
  const found = more.length > 0 ? `More than one ${what} is given` : `No ${what} is given`;
  throw new BackupError("usage", found, { hint: `backup-agent ${synopsis}` });
}

function jsonOf(run: RunDetail): Record<string, unknown> {
  const { tasks, spec, progress, report, notes } = run;
  return {
    message_type: "run",
    run_id: run.runId,
    state: run.state,
    exit_code: run.exitCode,
    created_at: new Date(run.createdAtMs).toISOString(),
    ended_at: run.endedAtMs === null ? null : new Date(run.endedAtMs).toISOString(),
    sources: spec.sources,
    destinations: run.destinations,
    notes,
    tasks: tasks.map((task) => ({
      task_id: task.taskId,
      source: task.source.name,
      path: task.source.path,
      ...(task.part === undefined ? {} : { part: task.part.label }),
      state: task.state,
      agent: task.agent,
      agent_name: task.agentName,
      epoch: task.epoch,
      requires: task.requires,
      total_files: task.files,
      total_bytes: task.sizeBytes,
      reason: task.reason,
    })),
    progress,
    report,
  };
}

function textOf(run: RunDetail): string {
  const lines = [
    `${run.runId}  ${run.state}  since ${formatDate(run.createdAtMs)}`,
    ...run.notes,
  ];
  const table = columns(
    ["TASK", "SOURCE", "STATE", "AGENT", "ATTEMPT", "FILES", "SIZE", "REASON"],
    run.tasks.map(rowOf),
  );
  const none = run.report === null
    ? "No task is planned yet.\n"
    : "It ended before a task was planned.\n";
  return `${lines.join("\n")}\n${table === "" ? none : `\n${table}`}`;
}

function rowOf(task: TaskInfo): string[] {
  const part = task.part === undefined ? "" : ` (${task.part.label})`;
  return [
    task.taskId,
    task.source.name + part,
    task.state,
    task.agentName ?? task.agent ?? "-",
    String(task.epoch),
    formatCount(task.files),
    formatBytes(task.sizeBytes),
    task.reason ?? "",
  ];
}
