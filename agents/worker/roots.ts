/** The folders a worker may touch. Rule: empty means anywhere; a label is known by its name alone to others. */
import { BackupError } from "../../protocol/base/errors.ts";
import type { Roots } from "../../protocol/cli/read_roots.ts";
import type { SourceSpec } from "../../protocol/mesh/job.ts";
import { isInRoots } from "../platform/confined_posix.ts";

export type { Roots };

export const EVERYWHERE: Roots = { sources: [], destinations: [], labels: new Map() };

/**
 * Where a source is on this machine.
 * @throws {BackupError} `rejected` when it is another machine's, or nothing this worker may touch
 */
export function placeOf(source: SourceSpec, hostId: string, roots: Roots): string {
  const refuse = (why: string): never => {
    throw new BackupError("rejected", why, { path: source.path, retry: "elsewhere" });
  };
  if (source.root !== undefined) {
    const root = roots.labels.get(source.root);
    if (root === undefined) return refuse(`This worker has no root ${source.root}`);
    const below = source.path.replace(/^\/+/, "");
    return below === "" || below === "." ? root : `${root}/${below}`;
  }
  if (source.hostId !== undefined && source.hostId !== hostId) {
    return refuse(`${source.name} is on another machine`);
  }
  if (isInRoots(source.path, roots.sources)) return source.path;
  return refuse(`${source.path} is outside the roots of this worker`);
}

/** @throws {BackupError} `rejected` */
export function refuseOutside(path: string, roots: readonly string[]): void {
  if (isInRoots(path, roots)) return;
  throw new BackupError("rejected", `${path} is outside the roots of this worker`, {
    path,
    hint: "Start it with --root or --dest-root for the folders it may use",
  });
}
