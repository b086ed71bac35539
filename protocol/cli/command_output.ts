/** What a person's own command prints, such as a password. Rule: neither the command nor its output stands in a message. */
import { BackupError } from "../base/errors.ts";
import { readFailure } from "./read_failure.ts";

/**
 * Its errors go to the terminal, where it may also ask. It is not repeated in messages: it may hold a secret itself.
 * `what` names it there. @throws {BackupError} `usage`
 */
export async function outputOfCommand(command: string, what: string): Promise<Uint8Array> {
  let ended: Deno.CommandOutput;
  try {
    ended = await new Deno.Command("sh", {
      args: ["-c", command],
      stdin: "inherit",
      stdout: "piped",
      stderr: "inherit",
    }).output();
  } catch (cause) {
    throw new BackupError("usage", `The ${what} cannot be started: ${readFailure(cause)}`);
  }
  if (ended.success) return ended.stdout;
  throw new BackupError("usage", `The ${what} failed with exit code ${ended.code}`);
}
