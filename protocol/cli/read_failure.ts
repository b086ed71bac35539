/** Why a file that a person named could not be read. Rule: plain words for what happens often, never the name of a call. */
import { asBackupError } from "../base/errors.ts";

/** Completes the sentence "Cannot read PATH: …". */
export function readFailure(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "there is no such file";
  if (error instanceof Deno.errors.IsADirectory) return "it is a folder";
  if (error instanceof Deno.errors.NotADirectory) return "a folder on the way to it is a file";
  if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
  return asBackupError(error).message;
}
