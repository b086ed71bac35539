/**
 * What has to be copied: the source's list compared with the destination's manifest, then with what really stands there.
 * Rule: a file is unchanged only when size, mtime, ctime and inode equal the manifest's and the copy's own size and
 * mtime are still those we gave it.
 */
import { Buffer } from "node:buffer";
import type { Capabilities } from "../../destinations/capabilities.ts";
import {
  KIND_BLOCK_DEVICE,
  KIND_CHARACTER_DEVICE,
  KIND_DIRECTORY,
  KIND_FILE,
  KIND_SYMLINK,
  newStat,
  type Posix,
  type Stat,
} from "../../platform/posix.ts";
import {
  FLAG_ABOVE,
  FLAG_LISTING_FAILED,
  latin1OfUtf8,
  NONE,
  utf8OfLatin1,
} from "../../source/entry_table.ts";
import { compareWalkOrder } from "../../source/walk_order.ts";
import {
  STATUS_ADOPTED,
  STATUS_FAILED,
  STATUS_RECORDED,
  STATUS_UNCHANGED,
  STATUS_UNFINISHED,
  STATUS_WANTED,
} from "./entry_status.ts";
import { isClamped } from "./clamped_times.ts";
import type { LaneTask } from "./lane_task.ts";
import type { ManifestLine } from "./manifest_file.ts";
import {
  entryPathLatin1,
  inodeText,
  lineStart,
  type ManifestEntry,
  nanoseconds,
  recordedAsItIs,
  type RecordedContent,
} from "./manifest_line.ts";
import { recordsXattrs } from "./manifest_xattrs.ts";
import { recordedLine } from "./recorded_only.ts";
import { storedContent, storedPathLatin1 } from "./stored_form.ts";

export interface DiffResult {
  filesWanted: number;
  bytesWanted: number;
  filesUnchanged: number;
  bytesUnchanged: number;
  /** Published by an interrupted run; only to be verified. */
  filesAdopted: number;
  bytesAdopted: number;
  /** Files in the manifest that the source does not have any more. */
  filesGone: number;
  othersWanted: number;
  /** Oldest verification among the unchanged files; 0 when there are none. */
  oldestVerifiedAtMs: number;
  /** The manifest would come out the same: nothing was added, changed or lost. */
  manifestStands: boolean;
  /** Wanted rows under whose name something stands that neither the manifest nor a journal knows: made or altered by hand. */
  strangers: number[];
  /** What an interrupted run with another codec published: nobody's, once it is found to be that. */
  strays: { row: number; entry: ManifestEntry }[];
  /** Unchanged files, and files the source has lost, that are encrypted for other recipients than those of now. */
  filesForOthers: number;
  /** Entries whose recorded copy lies under another name than the next one gets. */
  oldForms: number;
  /** Unchanged further names that are files of their own here, since the destination has no hard links. */
  ownFiles: number[];
}

export interface DiffInput {
  posix: Posix;
  task: LaneTask;
  /** The old manifest's lines, or undefined when there is none. */
  oldLines: Iterator<ManifestLine> | undefined;
  /** Journal entries of interrupted runs, by path (one byte a character). */
  journal: ReadonlyMap<string, ManifestEntry>;
  /** The copy does not exist yet, so nothing needs to be looked at there. */
  isFresh: boolean;
  /** How far a stored mtime may differ: 0 on file systems that keep nanoseconds. */
  mtimeToleranceMs: number;
  /** What the destination can hold, as far as this run may find out. */
  capabilities: Capabilities;
  /** Owners can be set here, so a directory with another owner is unfinished. */
  keepsOwners: boolean;
  /** Whether a file here keeps the time it is given; asked only when a time is not the expected one. */
  keepsTimes(): boolean;
  /** The destination takes `Name` and `name` for one. */
  foldsCase?: boolean;
  /** Unchanged files are verified too, so their recorded hashes are needed. */
  readsAllBack: boolean;
  tick(): void;
}

/** Sets the status of every row and counts. */
export function diff(input: DiffInput): DiffResult {
  const { posix, task, journal, isFresh, capabilities } = input;
  const { table, status } = task;
  const c = table.columns;
  const stat = newStat();
  const firstStat = newStat();
  const old = new OldEntries(input.oldLines);
  const result: DiffResult = {
    filesWanted: 0,
    bytesWanted: 0,
    filesUnchanged: 0,
    bytesUnchanged: 0,
    filesAdopted: 0,
    bytesAdopted: 0,
    filesGone: 0,
    othersWanted: 0,
    oldestVerifiedAtMs: 0,
    manifestStands: input.oldLines !== undefined,
    strangers: [],
    strays: [],
    filesForOthers: 0,
    oldForms: 0,
    ownFiles: [],
  };
  const copyStat = (i: number, out: Stat): boolean => {
    if (isFresh) return false;
    const parent = task.parentHandle(i);
    return parent >= 0 && posix.statAt(parent, task.storedName(i), out) === 0;
  };
  const sameTime = (i: number, s: Stat): boolean =>
    (s.mtimeSec === c.mtimeSec[i] && s.mtimeNsec === c.mtimeNsec[i]) ||
    (input.mtimeToleranceMs > 0 &&
      Math.abs(
          (s.mtimeSec - c.mtimeSec[i]!) * 1000 + (s.mtimeNsec - c.mtimeNsec[i]!) / 1e6,
        ) <= input.mtimeToleranceMs) ||
    (input.mtimeToleranceMs > 0 && isClamped(c.mtimeSec[i]!, s.mtimeSec));
  /** The copy has the size and time that a copy of this row would have been given. */
  const copyStands = (i: number, entry: ManifestEntry | undefined): boolean =>
    copyStat(i, stat) && stat.kind === KIND_FILE &&
    stat.sizeBytes === (entry?.storedSizeBytes ?? c.sizeBytes[i]) &&
    (sameTime(i, stat) || !input.keepsTimes());
  /** A further name that an interrupted run made of the first name's copy. */
  const isNameOfFirst = (i: number): boolean => {
    const first = c.linkTo[i]!;
    return task.encoded !== undefined && first !== NONE && copyStat(first, firstStat) &&
      stat.inodeLow === firstStat.inodeLow && stat.inodeHigh === firstStat.inodeHigh;
  };
  /** At the destination too it is one more name of its first one, which stays as it is. */
  const isLinked = (i: number): boolean => {
    const first = c.linkTo[i]!;
    return status[first] === STATUS_UNCHANGED && copyStat(i, stat) && copyStat(first, firstStat) &&
      stat.inodeLow === firstStat.inodeLow && stat.inodeHigh === firstStat.inodeHigh;
  };
  /** Wanted, but not to be written over: what stands there is not what a run of ours left there. */
  const noteStranger = (i: number, entry: ManifestEntry | undefined, path: string): void => {
    if (!copyStat(i, stat)) return;
    if (stat.kind !== KIND_FILE && stat.kind !== KIND_SYMLINK) return;
    if (isOfEntry(input, i, stat, entry) || isOfEntry(input, i, stat, journal.get(path))) return;
    if (isNameOfFirst(i)) return;
    // What has the source's own size and time was copied from it: a run of ours whose journal is gone.
    const isOfSource = stat.kind === c.kind[i] &&
      (stat.kind === KIND_SYMLINK
        ? sameTarget(posix, task, i)
        : task.encoded === undefined && stat.sizeBytes === c.sizeBytes[i] && sameTime(i, stat));
    if (!isOfSource) result.strangers.push(i);
  };

  /** A line without the field may be of the same recipients or not: nothing is claimed of it. */
  const noteRecipients = (entry: ManifestEntry): void => {
    if (entry.storedFor !== undefined && task.encoded?.isForSame(entry) === false) {
      result.filesForOthers++;
    }
  };
  const noteGone = ({ entry }: ManifestLine): void => {
    noteRecipients(entry);
    if (entry.type !== "file" || entry.goneAtMs !== undefined) return;
    result.filesGone++;
    result.manifestStands = false;
  };

  for (let i = 0; i < table.count; i++) {
    if ((i & 63) === 0) input.tick();
    const path = task.path(i);
    if ((c.flags[i]! & FLAG_ABOVE) !== 0) {
      // It is in another part's list, and only has to be there.
      const there = i === 0 ? topStat(input, stat) : copyStat(i, stat);
      if (status[i] === STATUS_FAILED) continue;
      status[i] = there && stat.kind === KIND_DIRECTORY ? STATUS_UNCHANGED : STATUS_UNFINISHED;
      continue;
    }
    const line = old.find(path, noteGone);
    if (line === undefined) result.manifestStands = false;
    const noteOldForm = (): void => {
      if (line !== undefined && storedPathLatin1(line.entry) !== task.storedPath(i)) {
        result.oldForms++;
      }
    };
    if (status[i] === STATUS_FAILED) continue;
    const kind = c.kind[i]!;
    if (kind === KIND_DIRECTORY) {
      const there = i === 0 ? topStat(input, stat) : copyStat(i, stat);
      const finished = there && stat.kind === KIND_DIRECTORY &&
        (!capabilities.modes || stat.mode === c.mode[i]) &&
        sameTime(i, stat) &&
        (!input.keepsOwners || (stat.uid === c.uid[i] && stat.gid === c.gid[i]));
      const hasXattrs = line === undefined
        ? !table.hasXattrs(i)
        : recordsXattrs(line.entry, table, i);
      // Where names fold it may stand there under the name it had.
      const isNamed = line !== undefined || input.foldsCase !== true;
      status[i] = finished && hasXattrs && isNamed ? STATUS_UNCHANGED : STATUS_UNFINISHED;
      noteOldForm();
      const isRecorded = line?.entry.type === "directory" && sameMetadata(table, i, line.entry);
      if (!finished || !isRecorded) {
        result.manifestStands = false;
      }
      continue;
    }
    if (kind === KIND_FILE && c.linkTo[i] === NONE) {
      const recorded = line === undefined ? undefined : recordedContent(task, i, path, line);
      const encoding = task.encoded === undefined ? undefined : line?.entry;
      const journaled = journal.get(path);
      if (isStray(task, i, journaled, line?.entry)) {
        result.strays.push({ row: i, entry: journaled! });
      }
      if (recorded !== undefined && copyStands(i, encoding)) {
        status[i] = STATUS_UNCHANGED;
        result.filesUnchanged++;
        result.bytesUnchanged += c.sizeBytes[i]!;
        const { verifiedAtMs } = recorded;
        if (result.oldestVerifiedAtMs === 0 || verifiedAtMs < result.oldestVerifiedAtMs) {
          result.oldestVerifiedAtMs = verifiedAtMs;
        }
        const isHashed = task.xxh64 === undefined || task.xxh64.adopt(i, recorded.xxh64);
        if (input.readsAllBack || !isHashed) task.setKnownSha256(i, recorded.sha256);
        if (encoding !== undefined) task.encoded!.setFrom(i, encoding);
        noteRecipients(line!.entry);
        continue;
      }
      result.manifestStands = false;
      noteOldForm();
      if (
        journaled !== undefined && task.hasKnownSha256 && sameFile(table, i, journaled) &&
        task.isStoredSo(i, journaled) && task.encoded?.isForSame(journaled) !== false &&
        copyStands(i, journaled)
      ) {
        status[i] = STATUS_ADOPTED;
        task.encoded?.setFrom(i, journaled);
        task.setKnownSha256(i, journaled.sha256!);
        result.filesAdopted++;
        result.bytesAdopted += c.sizeBytes[i]!;
        continue;
      }
      status[i] = STATUS_WANTED;
      noteStranger(i, line?.entry, path);
      result.filesWanted++;
      result.bytesWanted += c.sizeBytes[i]!;
      continue;
    }
    if (kind === KIND_FILE) {
      const first = c.linkTo[i]!;
      const stray = strayName(task, i, journal.get(task.path(first)), path, line?.entry);
      if (stray !== undefined) result.strays.push({ row: i, entry: stray });
      const linked = line?.entry.type === "file" && line.entry.goneAtMs === undefined &&
        namesSameFirst(table, i, line.entry) && isLinked(i);
      const mayBeAlone = !capabilities.hardLinks || status[first] === STATUS_FAILED;
      if (linked) {
        status[i] = STATUS_UNCHANGED;
        result.filesUnchanged++;
      } else if (
        mayBeAlone && line !== undefined && isFurtherName(table, i, line.entry) &&
        task.isStoredSo(i, line.entry) && copyStands(i, line.entry)
      ) {
        status[i] = STATUS_UNCHANGED;
        result.filesUnchanged++;
        result.ownFiles.push(i);
        task.encoded?.setFrom(i, line.entry);
        const isHashed = task.xxh64 === undefined || task.xxh64.adopt(i, line.entry.xxh64);
        if (input.readsAllBack || !isHashed) task.setKnownSha256(i, line.entry.sha256!);
      } else {
        status[i] = STATUS_WANTED;
        noteOldForm();
        noteStranger(i, line?.entry, path);
        result.filesWanted++;
        result.manifestStands = false;
      }
      continue;
    }
    if (
      line?.entry.recordedOnly === true && !capabilities.holds(kind) &&
      line.text === recordedLine(table, i, path) && !copyStat(i, stat)
    ) {
      status[i] = STATUS_RECORDED;
      continue;
    }
    const stands = line !== undefined && line.entry.recordedOnly !== true &&
      sameMetadata(table, i, line.entry) && namesSameFirst(table, i, line.entry) &&
      copyStat(i, stat) &&
      stat.kind === kind && sameTime(i, stat) &&
      (kind !== KIND_SYMLINK || sameTarget(posix, task, i)) &&
      (!isDevice(kind) || stat.rdev === c.sizeBytes[i]) &&
      (c.linkTo[i] === NONE || !capabilities.hardLinks || isLinked(i));
    status[i] = stands ? STATUS_UNCHANGED : STATUS_WANTED;
    if (!stands) {
      noteOldForm();
      noteStranger(i, line?.entry, path);
      result.othersWanted++;
      result.manifestStands = false;
    }
  }
  old.finish(noteGone);
  // Below a directory that could not be listed nothing is known, so nothing there is gone.
  for (let i = 0; i < table.count; i++) {
    if ((c.flags[i]! & FLAG_LISTING_FAILED) !== 0) {
      result.manifestStands = false;
      break;
    }
  }
  return result;
}

function topStat(input: DiffInput, out: Stat): boolean {
  const finals = input.isFresh ? undefined : input.task.finals();
  return finals !== undefined && input.posix.statDirectory(finals.handle(0), out) === 0;
}

/** What the manifest knows of the content of row `i`, when it is still the file that was recorded. */
function recordedContent(
  task: LaneTask,
  i: number,
  path: string,
  line: ManifestLine,
): RecordedContent | undefined {
  const { table } = task;
  const recorded = task.encoded === undefined
    ? recordedAsItIs(table, i, path, line.text)
    : undefined;
  if (recorded !== undefined) return recorded;
  const { entry } = line;
  return sameFile(table, i, entry) && task.isStoredSo(i, entry)
    ? { sha256: entry.sha256!, verifiedAtMs: entry.verifiedAtMs ?? 0, xxh64: entry.xxh64 }
    : undefined;
}

function sameFile(table: LaneTask["table"], i: number, entry: ManifestEntry): boolean {
  return entry.hardLinkTo === undefined && sameContent(table, i, entry);
}

/** The further name that row `i` is now, of the same file. */
function isFurtherName(table: LaneTask["table"], i: number, entry: ManifestEntry): boolean {
  return namesSameFirst(table, i, entry) && sameContent(table, i, entry);
}

/** The line says of row `i` what is so now: a name of its own, or a further name of the same entry. */
function namesSameFirst(table: LaneTask["table"], i: number, entry: ManifestEntry): boolean {
  const first = table.columns.linkTo[i]!;
  return entry.hardLinkTo ===
    (first === NONE ? undefined : utf8OfLatin1(table.pathLatin1(first)));
}

function sameContent(table: LaneTask["table"], i: number, entry: ManifestEntry): boolean {
  const c = table.columns;
  return entry.type === "file" && entry.goneAtMs === undefined && entry.sha256 !== undefined &&
    entry.sizeBytes === c.sizeBytes[i] &&
    entry.mtimeNs === nanoseconds(c.mtimeSec[i]!, c.mtimeNsec[i]!) &&
    entry.ctimeNs === nanoseconds(c.ctimeSec[i]!, c.ctimeNsec[i]!) &&
    entry.inode === inodeText(c.inodeLow[i]!, c.inodeHigh[i]!) && recordsXattrs(entry, table, i);
}

function isDevice(kind: number): boolean {
  return kind === KIND_CHARACTER_DEVICE || kind === KIND_BLOCK_DEVICE;
}

function sameMetadata(table: LaneTask["table"], i: number, entry: ManifestEntry): boolean {
  const c = table.columns;
  return entry.goneAtMs === undefined && entry.mode === c.mode[i] && entry.uid === c.uid[i] &&
    entry.gid === c.gid[i] &&
    entry.mtimeNs === nanoseconds(c.mtimeSec[i]!, c.mtimeNsec[i]!) &&
    recordsXattrs(entry, table, i);
}

/** What was published for row `i` lies under another name than it would get now, and the manifest does not have it. */
function isStray(
  task: LaneTask,
  i: number,
  journaled: ManifestEntry | undefined,
  recorded: ManifestEntry | undefined,
): boolean {
  if (journaled === undefined) return false;
  const path = storedPathLatin1(journaled);
  return path !== task.storedPath(i) &&
    (recorded?.type !== "file" || storedPathLatin1(recorded) !== path);
}

/** What a further name of a stray would be; the journal has first names only. */
function strayName(
  task: LaneTask,
  i: number,
  first: ManifestEntry | undefined,
  path: string,
  recorded: ManifestEntry | undefined,
): ManifestEntry | undefined {
  if (first === undefined) return undefined;
  const name = utf8OfLatin1(task.table.nameLatin1(i));
  const stray: ManifestEntry = { ...first, path: utf8OfLatin1(path) };
  delete stray.pathBase64;
  delete stray.storedAsBase64;
  if (first.codec !== undefined) stray.storedAs = `${name}.${first.codec}`;
  // Names that are not UTF-8 are left alone.
  if (latin1OfUtf8(stray.path) !== path) return undefined;
  return isStray(task, i, stray, recorded) ? stray : undefined;
}

/** What stands under row `i`'s name is what `entry` says was put there. */
function isOfEntry(
  input: DiffInput,
  i: number,
  stat: Stat,
  entry: ManifestEntry | undefined,
): boolean {
  if (entry === undefined || storedPathLatin1(entry) !== input.task.storedPath(i)) return false;
  if (stat.kind === KIND_SYMLINK) {
    if (entry.type !== "symlink") return false;
    const { posix, task } = input;
    const target = posix.readLink(task.parentHandle(i), task.storedName(i));
    if (typeof target === "number") return false;
    const bytes = Buffer.from(target);
    return entry.targetBase64 === undefined
      ? bytes.toString("utf8") === entry.target
      : bytes.toString("base64") === entry.targetBase64;
  }
  if (entry.type !== "file" || storedContent(entry).sizeBytes !== stat.sizeBytes) {
    return false;
  }
  const foundNs = nanoseconds(stat.mtimeSec, stat.mtimeNsec);
  if (foundNs === entry.mtimeNs) return true;
  const recordedNs = BigInt(entry.mtimeNs ?? "0");
  const apartMs = Math.abs(Number(BigInt(foundNs) - recordedNs)) / 1e6;
  const isNear = apartMs <= input.mtimeToleranceMs ||
    isClamped(Number(recordedNs / 1_000_000_000n), stat.mtimeSec);
  return (input.mtimeToleranceMs > 0 && isNear) || !input.keepsTimes();
}

function sameTarget(posix: Posix, task: LaneTask, i: number): boolean {
  const target = posix.readLink(task.parentHandle(i), task.table.cName(i));
  if (typeof target === "number") return false;
  const wanted = task.table.cLinkTarget(i);
  return target.length === wanted.length - 1 && target.every((byte, at) => byte === wanted[at]);
}

/** The old manifest read alongside the table: both are in walk order, so neither has to be held. */
export class OldEntries {
  readonly #lines: Iterator<ManifestLine> | undefined;
  #current: ManifestLine | undefined;

  constructor(lines: Iterator<ManifestLine> | undefined) {
    this.#lines = lines;
    this.#advance();
  }

  /** The line of `path`; those before it that the table does not have go to `onGone`, with their paths. */
  find(
    path: string,
    onGone: (line: ManifestLine, path: string) => void,
  ): ManifestLine | undefined {
    const start = lineStart(path);
    while (this.#current !== undefined) {
      const line = this.#current;
      if (line.text.startsWith(start)) {
        this.#advance();
        return line;
      }
      const found = entryPathLatin1(line.entry);
      if (found !== path && compareWalkOrder(found, path) > 0) return undefined;
      this.#advance();
      if (found === path) return line;
      onGone(line, found);
    }
    return undefined;
  }

  finish(onGone: (line: ManifestLine, path: string) => void): void {
    while (this.#current !== undefined) {
      const line = this.#current;
      onGone(line, entryPathLatin1(line.entry));
      this.#advance();
    }
  }

  #advance(): void {
    const next = this.#lines?.next();
    this.#current = next === undefined || next.done ? undefined : next.value;
  }
}
