/** Which snapshot a backup compares with. Rule: restic's: the newest of the same host that holds all the paths. */
import { compareTimes, type Instant } from "./go_time.ts";
import { type StoredSnapshot, timeOf } from "./snapshot_file.ts";

export function findParent(
  snapshots: Iterable<StoredSnapshot>,
  hostname: string,
  paths: readonly string[],
  notAfter: Instant,
): StoredSnapshot | undefined {
  let found: StoredSnapshot | undefined;
  for (const snapshot of snapshots) {
    if (snapshot.hostname !== hostname) continue;
    if (!paths.every((path) => snapshot.paths.includes(path))) continue;
    if (compareTimes(timeOf(snapshot), notAfter) > 0) continue;
    if (found === undefined || compareTimes(timeOf(snapshot), timeOf(found)) >= 0) found = snapshot;
  }
  return found;
}
