/** `runs`: what a coordinator has done and does, the newest first. */
import type { Command } from "../../../protocol/cli/command.ts";
import { jsonLine } from "../../../protocol/cli/error_line.ts";
import { formatDate, formatDuration } from "../../../protocol/cli/format.ts";
import { ListRuns } from "../../../protocol/mesh/methods.ts";
import { columns } from "./columns.ts";
import { COORDINATOR_OPTIONS, linkOf } from "./coordinator_call.ts";
import type { MeshDoor } from "./mesh_door.ts";

const SHOWN_MAX = 100;

export function createRunsCommand(door: MeshDoor): Command {
  return {
    name: "runs",
    summary: "List the runs of a coordinator",
    synopsis: ["runs [OPTIONS]"],
    about: [`The ${SHOWN_MAX} newest, with their state and exit code.`],
    options: COORDINATOR_OPTIONS,
    examples: [{ says: "on this machine", words: "runs" }],
    exitCodes: [0, 1, 2],
    exitMeanings: { 0: "listed" },
    async run(call) {
      const { terminal, settings } = call;
      const { runs } = await linkOf(call, door).ask(ListRuns, { limit: SHOWN_MAX });
      if (settings.get("json").value) {
        const messages = runs.map((run) => ({
          message_type: "run",
          run_id: run.runId,
          state: run.state,
          exit_code: run.exitCode,
          created_at: new Date(run.createdAtMs).toISOString(),
          ended_at: run.endedAtMs === null ? null : new Date(run.endedAtMs).toISOString(),
          sources: run.sources,
          destinations: run.destinations,
          notes: run.notes,
        }));
        terminal.out(messages.map(jsonLine).join(""));
        return 0;
      }
      const rows = runs.map((run) => [
        run.runId,
        run.state,
        run.exitCode === null ? "-" : String(run.exitCode),
        formatDate(run.createdAtMs),
        run.endedAtMs === null ? "-" : formatDuration(run.endedAtMs - run.createdAtMs),
        run.sources.map(({ name }) => name).join(" "),
        run.destinations.join(" "),
      ]);
      const heading = ["RUN", "STATE", "EXIT", "STARTED", "TOOK", "SOURCES", "DESTINATIONS"];
      terminal.out(columns(heading, rows) || "No run yet.\n");
      return 0;
    },
  };
}
