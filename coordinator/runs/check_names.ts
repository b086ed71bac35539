/** What is wrong with a job that can be seen without touching a disk. */
import { BackupError } from "../../protocol/base/errors.ts";
import type { JobSpec } from "../../protocol/mesh/job.ts";

/** @throws {BackupError} `usage` when two destinations or two copies have one name */
export function checkNames(job: JobSpec): void {
  for (
    const [what, names] of [
      ["destination", job.destinations.map((d) => d.key)],
      ["source name", job.sources.map((s) => s.name)],
    ] as const
  ) {
    const twice = names.find((name, i) => names.indexOf(name) !== i);
    if (twice !== undefined) {
      throw new BackupError("usage", `The ${what} ${twice} is given twice`, { path: twice });
    }
  }
}
