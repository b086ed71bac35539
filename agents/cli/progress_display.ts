/**
 * How a command that runs for a while shows how far it is. Rule: drawn in place on a terminal, a JSON line four times a
 * second for programs, and a plain line every ten seconds elsewhere.
 */
import type { CommandCall } from "../../protocol/cli/command.ts";
import { jsonLine } from "../../protocol/cli/error_line.ts";
import { createLiveArea } from "../../protocol/cli/live_area.ts";
import type { Style } from "../../protocol/cli/colours.ts";
import { visibleText } from "../../protocol/cli/visible_text.ts";

const REDRAW_MS = 250;
const LINE_MS = 10_000;

/** The same view in three forms; each call answers for the moment it is made. */
export interface ProgressForms {
  lane(columns: number, style: Style): string[];
  message(): Parameters<typeof jsonLine>[0];
  line(): string;
}

/** Shows the view now and on every tick, until it is closed. */
export function showProgress(
  { terminal, clock }: CommandCall,
  forms: ProgressForms,
  json: boolean,
): { close(): void } {
  if (!json && terminal.isLive) {
    const area = createLiveArea(terminal);
    const draw = () => area.draw(forms.lane(terminal.size().columns, terminal.errStyle));
    draw();
    const stop = clock.every(REDRAW_MS, draw);
    return {
      close() {
        stop();
        area.draw([]);
        area.close();
      },
    };
  }
  const print = json
    ? () => terminal.out(jsonLine(forms.message()))
    : () => terminal.err(`${visibleText(forms.line())}\n`);
  print();
  return { close: clock.every(json ? REDRAW_MS : LINE_MS, print) };
}
