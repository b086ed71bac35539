/**
 * The folders of a restore: made first, writable for us; finished last, each when everything in it is there. Rule: a
 * folder that stood there stays as it is but for what was asked for, and nothing else in its place is ever removed.
 */
import { EEXIST, EINVAL, EOPNOTSUPP, EPERM } from "../../../platform/errno.ts";
import { KIND_DIRECTORY, newStat, type Posix } from "../../../platform/posix.ts";
import { utf8OfLatin1 } from "../../../source/entry_table.ts";
import type { Identity } from "../codec/age_keys.ts";
import { entryPathLatin1, type ManifestEntry } from "../manifest_line.ts";
import { metadataOf } from "./entry_metadata.ts";
import type { FileRestorer } from "./file_restorer.ts";
import { LINE_FAILED, LINE_FOLDER, LINE_IDLE, LINE_PARENT } from "./line_status.ts";
import { splitPath } from "./path_chain.ts";
import { addFailure, type RestoreReport } from "./restore_report.ts";
import { dropInheritedAcl, type RestoreTarget } from "./restore_target.ts";

export interface PassContext {
  posix: Posix;
  target: RestoreTarget;
  restorer: FileRestorer;
  report: RestoreReport;
  /** The copy's name, one byte a character. */
  top: string;
  status: Uint8Array;
  /** The keys given for what is encrypted. */
  identities: readonly Identity[];
  tick(): void;
  stopped(): boolean;
}

/** A line's place below the target. */
export function fullPath(top: string, path: string): string {
  return path === "" ? top : `${top}/${path}`;
}

/** Makes the folder of one line. A parent that stood there already needs nothing more. */
export function makeFolder(context: PassContext, line: number, entry: ManifestEntry): void {
  const { posix, target, restorer, report, status } = context;
  const path = fullPath(context.top, entryPathLatin1(entry));
  const { folder, name } = splitPath(path);
  const fail = (result: number) => {
    status[line] = LINE_FAILED;
    const { code, message } = restorer.targetFailure("make the folder", result);
    addFailure(report, utf8OfLatin1(path), code, message);
  };
  const at = restorer.chain.folder(folder);
  if (at < 0) return fail(at);
  const made = posix.makeDirectory(at, name, 0o700);
  if (made >= 0) {
    report.counts.folders++;
    status[line] = LINE_FOLDER;
    if (target.inheritsAcl) dropInheritedAcl(posix, at, name);
    return;
  }
  if (made !== -EEXIST) return fail(made);
  const stat = newStat();
  const found = posix.statAt(at, name, stat);
  if (found < 0) return fail(found);
  if (stat.kind !== KIND_DIRECTORY) return fail(-20);
  if (status[line] === LINE_PARENT) status[line] = LINE_IDLE;
  else if ((stat.mode & 0o700) !== 0o700) posix.setModeAt(at, name, stat.mode | 0o700);
}

/** Folders in walk order, finished when the first line comes that is not below them. */
export class FolderFinisher {
  readonly #context: PassContext;
  readonly #open: { path: string; entry: ManifestEntry }[] = [];

  constructor(context: PassContext) {
    this.#context = context;
  }

  enter(path: string, entry: ManifestEntry): void {
    this.#open.push({ path, entry });
  }

  /** Finishes what `path` is not in; without a path everything. */
  leaveFor(path?: string): void {
    for (let last = this.#open.at(-1); last !== undefined; last = this.#open.at(-1)) {
      if (path !== undefined && path.startsWith(`${last.path}/`)) return;
      this.#open.pop();
      this.#finish(last.path, last.entry);
    }
  }

  #finish(path: string, entry: ManifestEntry): void {
    const { posix, target, restorer, report } = this.#context;
    this.#context.tick();
    const handle = restorer.chain.folder(path);
    let result: number = handle;
    if (handle >= 0) {
      result = restorer.setter.setOpen(handle, metadataOf(entry)!, false);
      if (result >= 0 && !target.batchFlush) {
        const flushed = posix.flushDirectory(handle);
        if (flushed !== -EPERM && flushed !== -EOPNOTSUPP && flushed !== -EINVAL) result = flushed;
      }
    }
    if (result >= 0) return;
    const { code, message } = restorer.targetFailure("finish the folder", result);
    addFailure(report, utf8OfLatin1(path), code, message);
  }
}
