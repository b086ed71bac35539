/** What all commands on repositories say in the same way. */
import type { CommandCall } from "../../protocol/cli/command.ts";
import { jsonLine } from "../../protocol/cli/error_line.ts";
import { visibleText } from "../../protocol/cli/visible_text.ts";
import type { OpenOptions } from "./use_repositories.ts";

/** Something that could not be done, or is wrong. */
export function tellProblem({ settings, terminal }: CommandCall, message: string): void {
  const json = settings.get("json").value;
  terminal.err(json ? jsonLine({ message_type: "error", message }) : `${visibleText(message)}\n`);
}

export function tellWarning({ settings, terminal }: CommandCall, message: string): void {
  if (settings.get("json").value) terminal.err(jsonLine({ message_type: "warning", message }));
  else terminal.err(`Warning: ${visibleText(message)}\n`);
}

/** For programs, after a command that did not end well. */
export function tellExit(call: CommandCall, code: number, message: string): void {
  if (!call.settings.get("json").value) return;
  call.terminal.err(jsonLine({ message_type: "exit_error", code, message }));
}

/** Who only reads shares the repository, or touches nothing at all. */
export function lockOfReader({ settings }: CommandCall): OpenOptions {
  return { lock: settings.get("noLock").value ? "none" : "shared" };
}
