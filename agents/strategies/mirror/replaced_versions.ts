/**
 * Earlier versions of replaced files, from the stage's `kept/` to `versions/`. Rule: their lines are written and flushed in
 * the stage before the new manifest stands, and the stage is not removed before they are moved: a crash in between is made
 * good by the next run, whatever options it has.
 */
import { IntegrityError } from "../../../protocol/base/errors.ts";
import { EEXIST, ENOENT, ENOTDIR, posixError } from "../../platform/errno.ts";
import { cName, type DirectoryHandle, newStat, type Posix } from "../../platform/posix.ts";
import { type CopyDestination, type ListKeys, nameFor, removeList, sealFor } from "./list_keys.ts";
import { LastDirectory } from "./last_directory.ts";
import {
  type ManifestHeader,
  type ManifestLine,
  ManifestWriter,
  openManifest,
} from "./manifest_file.ts";
import type { ManifestEntry } from "./manifest_line.ts";
import {
  isConfined,
  lastName,
  parentPath,
  standsAsRecorded,
  type TimeTrust,
} from "./recorded_state.ts";
import { storedPathLatin1 } from "./stored_form.ts";
import { KEPT_DIRECTORY } from "./recovery.ts";
import { cNameOfLatin1 } from "./tree_removal.ts";
import {
  isFolderName,
  linesOf,
  openVersions,
  replaceList,
  versionsDisplay,
} from "./version_lists.ts";

/** In a stage: lines of what this run replaced, with the dated folder they go to. */
export const REPLACED_FILE = "replaced.jsonl";

/** Writes the lines of what a run replaced, once there is one. */
export class ReplacedLines {
  readonly #posix: Posix;
  readonly #stage: () => DirectoryHandle;
  readonly #keys: ListKeys;
  readonly #header: ManifestHeader;
  readonly #display: string;
  #fd = -1;
  #writer: ManifestWriter | undefined;

  constructor(
    posix: Posix,
    stage: () => DirectoryHandle,
    keys: ListKeys,
    header: ManifestHeader,
    display: string,
  ) {
    this.#posix = posix;
    this.#stage = stage;
    this.#keys = keys;
    this.#header = header;
    this.#display = display;
  }

  /** `sha256` is that of the file that stands there now: the same content is no other version. */
  add({ entry, text }: ManifestLine, sha256: string | undefined): void {
    if (entry.type !== "file" || entry.sha256 === undefined || entry.sha256 === sha256) return;
    this.#open().add(text);
  }

  get isEmpty(): boolean {
    return this.#writer === undefined;
  }

  /** Flushes what was added. @throws {BackupError} when it cannot be written */
  finish(): void {
    this.#writer?.finish();
    if (this.#fd >= 0) this.#posix.close(this.#fd);
    this.#fd = -1;
    if (this.#writer !== undefined) this.#posix.flushDirectory(this.#stage());
  }

  close(): void {
    if (this.#fd >= 0) this.#posix.close(this.#fd);
    this.#fd = -1;
  }

  #open(): ManifestWriter {
    if (this.#writer !== undefined) return this.#writer;
    const stage = this.#stage();
    if (stage < 0) throw posixError(stage, "write to", this.#display);
    const name = cName(nameFor(REPLACED_FILE, this.#keys));
    this.#posix.unlink(stage, name);
    this.#fd = this.#posix.createFile(stage, name);
    if (this.#fd < 0) throw posixError(this.#fd, "create", this.#display);
    return this.#writer = new ManifestWriter(
      this.#posix,
      this.#fd,
      this.#display,
      this.#header,
      sealFor(this.#keys),
    );
  }
}

export interface SettleContext {
  posix: Posix;
  destination: CopyDestination;
  bindingKey: string;
  trust: TimeTrust;
  /** One flush for all, where the destination allows that; else each folder is flushed by itself. */
  batchFlush: boolean;
  tick(): void;
}

/**
 * Moves what a completed stage keeps and lists to its dated folder, then writes that folder's list. Safe to repeat after a
 * crash at any point. Answers how many versions the folder got.
 * @throws {BackupError} when something could not be moved; it is then still in the stage
 */
export function settleReplaced(context: SettleContext, stage: DirectoryHandle): number {
  const { posix, destination, bindingKey, batchFlush } = context;
  const display = versionsDisplay(destination, bindingKey);
  const stageDisplay = `${destination.display}/.backup-agent/stage/${bindingKey}`;
  const pending = openManifest(
    posix,
    stage,
    REPLACED_FILE,
    `${stageDisplay}/…/${REPLACED_FILE}`,
    destination.keys,
  );
  if (pending === undefined) return 0;
  const { header } = pending;
  const folder = header.versionsAt;
  let versions = -1;
  const open: { close(): void }[] = [pending];
  try {
    if (folder === undefined || !isFolderName(folder)) {
      throw new IntegrityError(
        `${stageDisplay}/…/${REPLACED_FILE} names no folder to keep them in`,
        {
          path: stageDisplay,
          hint:
            "What it lists is in kept/ beside it: move it where you want it, then remove that stage",
        },
      );
    }
    versions = openVersions(posix, destination, bindingKey, true);
    if (versions < 0) throw posixError(versions, "create", display);
    const kept = posix.openDirectory(stage, cName(KEPT_DIRECTORY));
    if (kept < 0 && kept !== -ENOENT) throw posixError(kept, "open", stageDisplay);
    if (kept >= 0) open.push({ close: () => posix.closeDirectory(kept) });
    const made = posix.makeDirectory(versions, cName(folder), 0o700);
    if (made < 0 && made !== -EEXIST) throw posixError(made, "create", `${display}/${folder}`);
    const into = posix.openDirectory(versions, cName(folder));
    if (into < 0) throw posixError(into, "open", `${display}/${folder}`);
    open.push({ close: () => posix.closeDirectory(into) });
    const flushes = {
      onLeaving: (handle: number) => {
        if (!batchFlush) posix.flushDirectory(handle);
      },
    };
    const from = kept < 0 ? undefined : new LastDirectory(posix, kept, false);
    const to = new LastDirectory(posix, into, true, flushes);
    open.push({ close: () => from?.close() }, { close: () => to.close() });
    const mover = new Mover(context, from, to, `${display}/${folder}`);
    const count = replaceList(posix, versions, folder, display, destination.keys, header, (add) => {
      for (const { entry, text } of linesOf(pending)) {
        context.tick();
        if (mover.move(entry)) add(text);
      }
      to.close();
      // The list must not be older than what it lists.
      if (batchFlush) flushAll(posix, destination);
    });
    if (count === 0) posix.removeDirectory(versions, cName(folder));
    const removed = removeList(posix, stage, REPLACED_FILE);
    if (removed < 0) {
      throw posixError(removed, "remove", `${stageDisplay}/…/${REPLACED_FILE}`);
    }
    return count;
  } finally {
    for (const one of open.reverse()) one.close();
    if (versions >= 0) posix.closeDirectory(versions);
  }
}

class Mover {
  readonly #context: SettleContext;
  readonly #from: LastDirectory | undefined;
  readonly #to: LastDirectory;
  readonly #display: string;

  constructor(
    context: SettleContext,
    from: LastDirectory | undefined,
    to: LastDirectory,
    display: string,
  ) {
    this.#context = context;
    this.#from = from;
    this.#to = to;
    this.#display = display;
  }

  /** True when the version stands in the dated folder now. What was kept and is not the recorded file is no version. */
  move(entry: ManifestEntry): boolean {
    const { posix, trust } = this.#context;
    const path = storedPathLatin1(entry);
    if (path === "" || !isConfined(path)) return false;
    const name = cNameOfLatin1(lastName(path));
    const folder = parentPath(path);
    const from = this.#from?.open(folder) ?? -ENOENT;
    if (from < 0 && !isMissing(from)) throw this.#failed(from, entry);
    const stands = from < 0 ? from : standsAsRecorded(posix, from, name, entry, trust);
    if (stands < 0 && !isMissing(stands)) throw this.#failed(stands, entry);
    if (stands === 0) return false;
    if (stands < 0) return this.#isThere(folder, name, entry);
    const to = this.#to.open(folder);
    if (to < 0) throw this.#failed(to, entry);
    // Never over something: what is there was put there as a version too.
    const taken = posix.statAt(to, name, newStat());
    const result = taken === -ENOENT
      ? posix.rename(from, name, to, name)
      : taken < 0
      ? taken
      : -EEXIST;
    if (result < 0) throw this.#failed(result, entry);
    return true;
  }

  /** Moved already, before a crash. */
  #isThere(folder: string, name: Uint8Array, entry: ManifestEntry): boolean {
    const { posix, trust } = this.#context;
    const to = this.#to.open(folder);
    return to >= 0 && standsAsRecorded(posix, to, name, entry, trust) === 1;
  }

  #failed(result: number, { path }: ManifestEntry): Error {
    return posixError(result, "keep the earlier version of", `${this.#display}/${path}`);
  }
}

function flushAll(posix: Posix, destination: CopyDestination): void {
  const result = posix.flushFileSystem(destination.root);
  if (result < 0) throw posixError(result, "flush", destination.display);
}

function isMissing(result: number): boolean {
  return result === -ENOENT || result === -ENOTDIR;
}
