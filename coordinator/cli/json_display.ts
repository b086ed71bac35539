/** `--json`: one JSON object a line on standard output, the exit error on standard error as restic has it. */
import type { RunProgress } from "../../protocol/mesh/run.ts";
import { jsonLine } from "../../protocol/cli/error_line.ts";
import type { Terminal } from "../../protocol/cli/terminal.ts";
import {
  destinationMessage,
  errorMessages,
  exitErrorOf,
  statusMessage,
  summaryMessage,
} from "./json_messages.ts";
import type { RunDisplay } from "./run_display.ts";

/** Prints the status of every destination at once. With `quiet` there are no status lines. */
export function createJsonDisplay(
  terminal: Terminal,
  first: RunProgress,
  options: { quiet: boolean },
): RunDisplay {
  const showStatus = (progress: RunProgress) => {
    if (options.quiet) return;
    const messages = progress.destinations.map((lane) => statusMessage(lane, progress));
    terminal.out(messages.map(jsonLine).join(""));
  };
  showStatus(first);
  return {
    progress: showStatus,
    destinationEnded: (end) => terminal.out(jsonLine(destinationMessage(end))),
    note() {},
    close() {},
    report(report) {
      for (const message of errorMessages(report)) terminal.out(jsonLine(message));
      terminal.out(jsonLine(summaryMessage(report)));
      if (report.exitCode !== 0) terminal.err(jsonLine(exitErrorOf(report)));
    },
  };
}
