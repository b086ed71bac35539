/** Lanes redrawn in place, for a terminal. Rule: at most four pictures a second, and none while nothing changes. */
import type { Clock } from "../../protocol/base/clock.ts";
import type { RunProgress } from "../../protocol/mesh/run.ts";
import { createLiveArea } from "../../protocol/cli/live_area.ts";
import type { Terminal } from "../../protocol/cli/terminal.ts";
import { visibleText } from "../../protocol/cli/visible_text.ts";
import { isActive } from "./lane_numbers.ts";
import { renderLanes } from "./render_lanes.ts";
import { renderResult } from "./render_result.ts";
import type { RunDisplay } from "./run_display.ts";

const REDRAW_MS = 250;

/** Draws `first` at once, then the newest progress on each tick. */
export function createLanesDisplay(
  terminal: Terminal,
  clock: Clock,
  first: RunProgress,
  options: { verbose: boolean },
): RunDisplay {
  const area = createLiveArea(terminal);
  let latest = first;
  let latestAtMs = clock.monotonicMs();
  let drawn = "";

  const draw = () => {
    // Between two reports the clock runs on; a run that is over keeps the time it took.
    const sinceMs = latest.destinations.some(isActive) ? clock.monotonicMs() - latestAtMs : 0;
    const shown = { ...latest, elapsedMs: latest.elapsedMs + sinceMs };
    const lines = renderLanes(shown, { ...terminal.size(), style: terminal.errStyle });
    // The size counts as part of the picture: after a resize the same lines are drawn anew.
    const picture = `${terminal.size().columns} ${lines.join("\n")}`;
    if (picture !== drawn) area.draw(lines);
    drawn = picture;
  };
  draw();
  const stopTicking = clock.every(REDRAW_MS, draw);

  return {
    progress(progress) {
      latest = progress;
      latestAtMs = clock.monotonicMs();
    },
    destinationEnded() {},
    note: (text) => area.printAbove([visibleText(text)]),
    close() {
      stopTicking();
      draw();
      area.close();
    },
    report: (report) =>
      terminal.out(
        renderResult(report, { style: terminal.outStyle, verbose: options.verbose }).join("\n") +
          "\n",
      ),
  };
}
