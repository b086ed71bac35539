/** How far a command is that goes over packs or other files of a repository, a number at a time. */
import type { CommandCall } from "../../protocol/cli/command.ts";
import { formatCount } from "../../protocol/cli/format.ts";
import { fitStart, visibleText } from "../../protocol/cli/visible_text.ts";
import { showProgress } from "../cli/progress_display.ts";

export function showPackProgress(
  call: CommandCall,
  title: string,
): { set(done: number, total: number): void; close(): void } {
  let [done, total] = [0, 0];
  const set = (nextDone: number, nextTotal: number) => {
    done = nextDone;
    total = nextTotal;
  };
  if (call.settings.get("quiet").value) return { set, close() {} };
  const line = () =>
    total === 0 ? title : `${title}, ${formatCount(done)}/${formatCount(total)} packs`;
  const shown = showProgress(call, {
    lane: (columns) => [fitStart(visibleText(line()), columns)],
    message: () => ({
      message_type: "status",
      percent_done: total === 0 ? 0 : done / total,
      packs_done: done,
      total_packs: total,
    }),
    line,
  }, call.settings.get("json").value);
  return { set, close: () => shown.close() };
}
