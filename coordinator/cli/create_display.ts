/** Chooses how a run is shown: JSON lines, problems only, lanes on a terminal, plain lines elsewhere. */
import type { CommandCall } from "../../protocol/cli/command.ts";
import type { RunProgress } from "../../protocol/mesh/run.ts";
import { createJsonDisplay } from "./json_display.ts";
import { createLanesDisplay } from "./lanes_display.ts";
import { createLinesDisplay } from "./lines_display.ts";
import { createQuietDisplay } from "./quiet_display.ts";
import type { RunDisplay } from "./run_display.ts";

/** Shows `first` before it returns. */
export function createDisplay(call: CommandCall, first: RunProgress): RunDisplay {
  const { terminal, clock, settings } = call;
  const quiet = settings.get("quiet").value;
  const verbose = settings.get("verbose").value;
  if (settings.get("json").value) return createJsonDisplay(terminal, first, { quiet });
  if (quiet) return createQuietDisplay(terminal);
  if (terminal.isLive) return createLanesDisplay(terminal, clock, first, { verbose });
  return createLinesDisplay(terminal, clock, first, { verbose });
}
