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
    const seen = new Set<string>();
    const twice = names.find((name) => seen.size === seen.add(name).size);
    if (twice !== undefined) {
      throw new BackupError("usage", `The ${what} ${twice} is given twice`, { path: twice });
    }
  }
  checkOrder(job);
}

/** A source that waits for itself, or for a name that nobody has, would wait for ever. A chain may be as long as it likes. */
function checkOrder({ sources }: JobSpec): void {
  const after = new Map(sources.map((s) => [s.name, s.after ?? []]));
  const done = new Set<string>();
  const path: { name: string; others: Iterator<string> }[] = [];
  const onPath = new Set<string>();
  const enter = (name: string): void => {
    if (done.has(name)) return;
    if (onPath.has(name)) {
      const names = path.map((step) => step.name);
      const circle = [...names.slice(names.indexOf(name)), name];
      throw new BackupError("usage", `Sources wait for each other in a circle: ${told(circle)}`);
    }
    const others = after.get(name);
    if (others === undefined) {
      throw new BackupError("usage", `${path.at(-1)!.name} waits for ${name}, which is no source`);
    }
    onPath.add(name);
    path.push({ name, others: others.values() });
  };
  for (const first of after.keys()) {
    enter(first);
    for (let last = path.at(-1); last !== undefined; last = path.at(-1)) {
      const next = last.others.next();
      if (next.done !== true) {
        enter(next.value);
        continue;
      }
      done.add(last.name);
      onPath.delete(last.name);
      path.pop();
    }
  }
}

const NAMES_TOLD_MAX = 20;

function told(names: readonly string[]): string {
  if (names.length <= NAMES_TOLD_MAX) return names.join(", after ");
  return [...names.slice(0, NAMES_TOLD_MAX), `${names.length - NAMES_TOLD_MAX} more`]
    .join(", after ");
}
