/** XXH64 in manifest lines. Rule: it stays with the content: where the SHA-256 is another one, it is not taken over. */
import { NONE } from "../../../source/entry_table.ts";
import type { LaneTask } from "../lane_task.ts";
import type { ManifestLine } from "../manifest_file.ts";

/** What the line of a verified row says: what this run found, or what was known of the same content. */
export function xxh64OfRow(
  task: LaneTask,
  row: number,
  sha256: string,
  oldLine: ManifestLine | undefined,
): string | undefined {
  const first = task.table.columns.linkTo[row]!;
  const found = task.xxh64?.get(row) ?? (first === NONE ? undefined : task.xxh64?.get(first));
  if (found !== undefined || oldLine === undefined) return found;
  const { entry } = oldLine;
  return entry.sha256 === sha256 ? entry.xxh64 : undefined;
}

/** The line of an unchanged row; a further name of a file is not read itself and gets the hash of its first. */
export function withXxh64OfFirst(task: LaneTask, row: number, oldLine: ManifestLine): string {
  const first = task.table.columns.linkTo[row]!;
  const { text } = oldLine;
  if (first === NONE || task.xxh64 === undefined || oldLine.entry.xxh64 !== undefined) return text;
  const found = task.xxh64.get(first);
  return found === undefined ? text : `${text.slice(0, -1)},"xxh64":"${found}"}`;
}
