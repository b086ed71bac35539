/**
 * What the parts of a source leave at a destination, put together: their lists become one with the manifest, the folders
 * that several parts lay in get their final metadata, and what interrupted attempts left is put right. Rule: the lists of
 * parts go last, so that after a crash the same is done again.
 */
import { BackupError } from "../../../protocol/base/errors.ts";
import { EEXIST, ENOENT, posixError } from "../../platform/errno.ts";
import { cName, cNameOfLatin1, type DirectoryHandle, type Posix } from "../../platform/posix.ts";
import { utf8OfLatin1 } from "../../source/entry_table.ts";
import { foldersAbove } from "../../source/stretch.ts";
import { attemptOf } from "./attempt_names.ts";
import { isConfined } from "./confined_path.ts";
import { addToJournal, jsonLines } from "./journal.ts";
import { setXattrsOfDirectory } from "./keep_xattrs.ts";
import { type CopyDestination, dropShadowed, keysAsBefore, removeList } from "./list_keys.ts";
import { NewList } from "./list_writer.ts";
import { ManifestLine } from "./manifest_file.ts";
import type { ManifestEntry } from "./manifest_line.ts";
import { xattrsOfEntry } from "./manifest_xattrs.ts";
import {
  listDisplay,
  manifestName,
  type OpenedList,
  openList,
  partListNames,
  partNames,
  stretchOf,
} from "./part_list.ts";
import { mergeParts } from "./part_merge.ts";
import { DONE_PREFIX, recover } from "./recovery.ts";
import { openPath, removeTree } from "./tree_removal.ts";
import { isUnsupported } from "./unsupported_metadata.ts";

export interface Settling {
  posix: Posix;
  destination: CopyDestination;
  /** SHA256SUMS will have to be made anew. */
  markStale(): void;
  tick(): void;
}

export interface SettledSource {
  /** Top name of the copy. */
  name: string;
  key: string;
}

/**
 * Whose lists and stages are meant: everybody's, or those of all runs but one that goes on, whose agents may be at work.
 */
export type Whose = { all: true } | { butRun: string };

/** Folders in `stage/<key>/` that hold only journals of attempts that were put right: parts of any division adopt from them. */
const LEFT_SUFFIX = ".left";

/** @throws {BackupError} when something cannot be put right; it is then tried again when the destination is next used */
export function settleParts(context: Settling, source: SettledSource, whose: Whose): void {
  const lists = openPartLists(context, source, whose);
  try {
    for (const { header, partKey } of lists) {
      settleStages(context, source, partKey, whose, header.stage);
    }
    for (const partKey of stagedParts(context, source)) {
      // Of a run that ends now, what a part has not finished waits for the next run, as it does for a whole source.
      if (lists.some((list) => list.partKey === partKey)) continue;
      if ("all" in whose) {
        context.posix.removeDirectory(
          context.destination.stage,
          cName(`${source.key}.${partKey}`),
        );
        continue;
      }
      settleStages(context, source, partKey, whose, undefined);
    }
    if (lists.length === 0) return;
    context.markStale();
    mergeLists(context, source, lists);
  } finally {
    for (const list of lists) list.close();
  }
  const { posix, destination } = context;
  for (const { name } of lists) {
    const removed = removeList(posix, destination.manifests, name);
    if (removed < 0) throw posixError(removed, "remove", listDisplay(destination, name));
  }
  posix.flushDirectory(destination.manifests);
}

/** Something of parts of the source is there. */
export function hasParts({ posix, destination }: Settling, source: SettledSource): boolean {
  return partNames(posix, destination.manifests, source.key).length > 0 ||
    partNames(posix, destination.stage, source.key).length > 0;
}

interface PartList extends OpenedList {
  name: string;
  partKey: string;
}

function openPartLists(context: Settling, source: SettledSource, whose: Whose): PartList[] {
  const { posix, destination } = context;
  const opened: PartList[] = [];
  try {
    for (const name of partListNames(posix, destination.manifests, source.key)) {
      context.tick();
      const list = openList(posix, destination, name);
      if (list === undefined) continue;
      const { part } = list.header;
      if (part === undefined || isOf(whose, list.header.runId) === false) {
        list.close();
        continue;
      }
      opened.push({ ...list, name, partKey: part.key });
    }
    return opened;
  } catch (thrown) {
    for (const list of opened) list.close();
    throw thrown;
  }
}

function isOf(whose: Whose, runId: string): boolean {
  return "all" in whose || whose.butRun !== runId;
}

function stagedParts({ posix, destination }: Settling, { key }: SettledSource): string[] {
  return partNames(posix, destination.stage, key).map((name) => name.slice(key.length + 1));
}

/** Puts back what attempts at one part had replaced and not verified, and keeps their journals for whoever comes next. */
function settleStages(
  context: Settling,
  source: SettledSource,
  partKey: string,
  whose: Whose,
  completedStage: string | undefined,
): void {
  const { posix, destination, tick } = context;
  const stageKey = `${source.key}.${partKey}`;
  recover(posix, destination.root, destination.stage, {
    name: source.name,
    stageKey,
    completedStage,
    isMeant: (stageName) => {
      const name = stageName.startsWith(DONE_PREFIX)
        ? stageName.slice(DONE_PREFIX.length)
        : stageName;
      return isOf(whose, attemptOf(name)?.runId ?? "");
    },
    keep: (journal) => keepJournal(context, source, journal, stageKey),
    tick,
  });
  // Only when nothing is in it any more.
  posix.removeDirectory(destination.stage, cName(stageKey));
}

/**
 * Writes a journal where tasks of the source look for it.
 * @throws {BackupError} when it cannot be written
 */
export function keepJournal(
  { posix, destination, tick }: Settling,
  { key }: SettledSource,
  journal: ReadonlyMap<string, ManifestEntry>,
  label: string,
): void {
  if (journal.size === 0) return;
  const display = `${destination.display}/.backup-agent/stage/${key}`;
  const above = openPath(posix, destination.stage, key, true);
  if (above < 0) throw posixError(above, "write to", display);
  try {
    let name = cName(`${label}${LEFT_SUFFIX}`);
    let made = posix.makeDirectory(above, name, 0o700);
    for (let n = 2; made === -EEXIST; n++) {
      name = cName(`${label}${LEFT_SUFFIX}${n}`);
      made = posix.makeDirectory(above, name, 0o700);
    }
    const at = made < 0 ? made : posix.openDirectory(above, name);
    const added = at < 0 ? at : addToJournal(posix, at, jsonLines(journal.values()), true, tick);
    if (at >= 0) posix.closeDirectory(at);
    if (added < 0) throw posixError(added, "write to", display);
    posix.flushDirectory(above);
  } finally {
    posix.closeDirectory(above);
  }
}

/** After a run that has used them. */
export function removeKeptJournals(
  { posix, destination, tick }: Settling,
  { key }: SettledSource,
): void {
  const above = posix.openDirectory(destination.stage, cName(key));
  if (above < 0) return;
  const names = posix.list(above);
  for (const name of typeof names === "number" ? [] : names) {
    if (/\.left[0-9]*$/.test(name)) removeTree(posix, above, cNameOfLatin1(name), tick);
  }
  posix.closeDirectory(above);
}

function mergeLists(context: Settling, source: SettledSource, lists: PartList[]): void {
  const { posix, destination, tick } = context;
  const { manifests: at } = destination;
  const name = manifestName(source.key);
  const display = listDisplay(destination, name);
  // For those whom the run has chosen, whoever puts its lists together.
  const keys = keysAsBefore(lists[0]!, destination.keys) ?? destination.keys;
  dropShadowed(posix, at, name);
  const base = openList(posix, destination, name);
  const divided = new Set(lists.flatMap(({ header }) => {
    const { from, to } = stretchOf(header.part!);
    return [...foldersAbove(from ?? ""), ...foldersAbove(to ?? "")];
  }));
  const folders = new Map<string, ManifestEntry>();
  let list: NewList | undefined;
  try {
    const { part: _, ...header } = lists[0]!.header;
    const writer = list = new NewList({ posix, at, name, display, keys, isContested: true }, {
      ...header,
      // What its stage kept is settled by what the manifest says of it, whatever parts have done since.
      stage: base?.header.stage ?? "",
    });
    let count = 0;
    for (const { path, text } of mergeParts(base?.lines, lists)) {
      if ((count++ & 255) === 0) tick();
      writer.add(text);
      if (divided.has(path)) folders.set(path, new ManifestLine(text, display).entry);
    }
    writer.finish();
  } catch (thrown) {
    list?.abandon();
    throw thrown;
  } finally {
    base?.close();
  }
  list.commit();
  finishFolders(context, source, folders);
}

/** Deepest first, since the time of a folder moves with what is in it. */
function finishFolders(
  { posix, destination, tick }: Settling,
  { name }: SettledSource,
  folders: ReadonlyMap<string, ManifestEntry>,
): void {
  const copy = posix.openDirectory(destination.root, cName(name));
  if (copy === -ENOENT) return;
  const display = (path: string) =>
    `${destination.display}/${name}${path === "" ? "" : `/${utf8OfLatin1(path)}`}`;
  if (copy < 0) throw posixError(copy, "open", display(""));
  let failed: BackupError | undefined;
  try {
    for (const [path, entry] of [...folders].reverse()) {
      tick();
      if (entry.type !== "directory" || entry.goneAtMs !== undefined) continue;
      if (!isConfined(path)) continue;
      const handle = openPath(posix, copy, path, false);
      // Somebody put something else there: the next comparison sees that.
      if (handle < 0) continue;
      const result = finishFolder(posix, handle, entry);
      if (result >= 0 && !destination.batchFlush) posix.flushDirectory(handle);
      posix.closeDirectory(handle);
      if (result < 0) failed ??= posixError(result, "finish the folder", display(path));
    }
  } finally {
    posix.closeDirectory(copy);
  }
  if (destination.batchFlush) posix.flushFileSystem(destination.root);
  if (failed !== undefined) throw failed;
}

function finishFolder(posix: Posix, handle: DirectoryHandle, entry: ManifestEntry): number {
  if (entry.uid !== undefined && entry.gid !== undefined) {
    // What only root may is left undone without a word, as for every folder.
    posix.setFileOwner(handle, entry.uid, entry.gid);
  }
  const attributed = setXattrsOfDirectory(posix, handle, xattrsOfEntry(entry));
  if (attributed < 0) return attributed;
  const moded = entry.mode === undefined ? 0 : posix.setFileMode(handle, entry.mode);
  if (moded < 0 && !isUnsupported(moded)) return moded;
  const total = BigInt(entry.mtimeNs ?? "0");
  const nsec = ((total % NS_PER_SECOND) + NS_PER_SECOND) % NS_PER_SECOND;
  const timed = posix.setFileTimes(
    handle,
    Number((total - nsec) / NS_PER_SECOND),
    Number(nsec),
  );
  return timed < 0 && !isUnsupported(timed) ? timed : 0;
}

const NS_PER_SECOND = 1_000_000_000n;
