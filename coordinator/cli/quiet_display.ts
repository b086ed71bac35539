/** `-q`: nothing but what went wrong, on standard error. */
import type { Terminal } from "../../protocol/cli/terminal.ts";
import { renderProblems } from "./render_result.ts";
import type { RunDisplay } from "./run_display.ts";

export function createQuietDisplay(terminal: Terminal): RunDisplay {
  return {
    progress() {},
    destinationEnded() {},
    note() {},
    close() {},
    report(report) {
      const lines = renderProblems(report, terminal.errStyle);
      if (lines.length > 0) terminal.err(`${lines.join("\n")}\n`);
    },
  };
}
