/** Why a destination cannot be used by this agent, as a reason to ask another one. */
import { BackupError } from "../../protocol/base/errors.ts";
import type { PreparedDestination } from "../../protocol/mesh/task.ts";

/** Under the path of the destination is something else on this machine, or nothing that this agent may use. */
const ELSEWHERE: ReadonlySet<string> = new Set([
  "destination_missing",
  "destination_lost",
  "destination_changed",
  "not_found",
  "not_a_directory",
  "permission",
  "read_only",
]);

export function notHere(error: BackupError): BackupError {
  if (!ELSEWHERE.has(error.code)) return error;
  const { message, path } = error;
  return new BackupError("rejected", message, { path, retry: "elsewhere", cause: error });
}

export function elsewhereIfNotHere(prepared: PreparedDestination): PreparedDestination {
  const { error } = prepared;
  if (error === undefined || !ELSEWHERE.has(error.code)) return prepared;
  return { ...prepared, error: { ...error, code: "rejected", retry: "elsewhere" } };
}
