/**
 * Entries that changed only the case or the Unicode form of their name, or that lie where an encoded file lies now. Rule:
 * where a destination takes the old name for the new one, removing the old would remove what was just verified under the
 * new: it is not removed.
 */
import type { OpenDestination } from "../../destinations/local_destination.ts";
import { foldName } from "../../destinations/name_folding.ts";
import { cName, newStat, type Posix, type Stat } from "../../platform/posix.ts";
import { utf8OfLatin1 } from "../../source/entry_table.ts";
import type { LaneTask } from "./lane_task.ts";
import { LastDirectory } from "./last_directory.ts";
import { lastName, parentPath } from "./recorded_state.ts";
import { cNameOfLatin1 } from "./tree_removal.ts";

/**
 * Those of `gone` that are, or may be, the same place as an entry that the source has. Where both lie counts, so that two
 * forms of one name are two places. Paths of what is stored, one byte a character.
 */
export function samePlaces(
  posix: Posix,
  destination: OpenDestination,
  task: LaneTask,
  gone: readonly string[],
  tick: () => void,
): Set<string> {
  const same = new Set<string>();
  if (gone.length === 0) return same;
  const byFolded = new Map<string, string[]>();
  for (const path of gone) {
    const folded = foldName(utf8OfLatin1(path));
    const others = byFolded.get(folded);
    if (others === undefined) byFolded.set(folded, [path]);
    else others.push(path);
  }
  const copy = posix.openDirectory(destination.root, cName(task.share.name));
  const last = new LastDirectory(posix, copy, false);
  try {
    for (let i = 0; i < task.table.count; i++) {
      if ((i & 255) === 0) tick();
      const path = task.storedPath(i);
      for (const other of byFolded.get(foldName(utf8OfLatin1(path))) ?? []) {
        const isSame = other === path || destination.foldsCase || copy < 0 ||
          isOneFile(posix, last, path, other);
        if (isSame) same.add(other);
      }
    }
  } finally {
    last.close();
    if (copy >= 0) posix.closeDirectory(copy);
  }
  return same;
}

/** What cannot be looked at counts as the same. */
function isOneFile(posix: Posix, copy: LastDirectory, a: string, b: string): boolean {
  const [left, right] = [newStat(), newStat()];
  if (!look(posix, copy, a, left) || !look(posix, copy, b, right)) return true;
  return left.device === right.device && left.inodeLow === right.inodeLow &&
    left.inodeHigh === right.inodeHigh;
}

function look(posix: Posix, copy: LastDirectory, path: string, out: Stat): boolean {
  const at = copy.open(parentPath(path));
  return at >= 0 && posix.statAt(at, cNameOfLatin1(lastName(path)), out) === 0;
}
