/** What is wrong with a job that can be seen without touching a disk. */
import { BackupError } from "../../protocol/base/errors.ts";
import type { JobSpec } from "../../protocol/mesh/job.ts";

/** @throws {BackupError} `usage` when two destinations or copies have one name, or sources wait for what never comes */
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
  checkOrder(job);
}

/** A source that waits for itself, or for a name that nobody has, would wait for ever. */
function checkOrder({ sources }: JobSpec): void {
  const after = new Map(sources.map((s) => [s.name, s.after ?? []]));
  const done = new Set<string>();
  const visit = (name: string, path: readonly string[]): void => {
    if (path.includes(name)) {
      const circle = [...path.slice(path.indexOf(name)), name].join(", after ");
      throw new BackupError("usage", `Sources wait for each other in a circle: ${circle}`);
    }
    if (done.has(name)) return;
    const others = after.get(name);
    if (others === undefined) {
      throw new BackupError("usage", `${path.at(-1)} waits for ${name}, which is no source`);
    }
    for (const other of others) visit(other, [...path, name]);
    done.add(name);
  };
  for (const name of after.keys()) visit(name, []);
}
