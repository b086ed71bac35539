/**
 * Entries without content of their own: symbolic links, FIFOs, device nodes, further names of files. Rule: made under a
 * temporary name with all their metadata first, as files are; a further name is only given to a file that is right.
 */
import {
  EEXIST,
  EINVAL,
  EMLINK,
  ENODEV,
  ENOENT,
  ENOSYS,
  EOPNOTSUPP,
  EPERM,
  EXDEV,
} from "../../../platform/errno.ts";
import {
  type DirectoryHandle,
  KIND_BLOCK_DEVICE,
  KIND_CHARACTER_DEVICE,
  KIND_FIFO,
  KIND_SYMLINK,
  newStat,
} from "../../../platform/posix.ts";
import { utf8OfLatin1 } from "../../../source/entry_table.ts";
import type { ManifestEntry } from "../manifest_line.ts";
import { metadataOf } from "./entry_metadata.ts";
import { fullPath, type PassContext } from "./folders_pass.ts";
import { splitPath } from "./path_chain.ts";
import { addFailure, addKept } from "./restore_report.ts";
import { linkedPath, targetBytes } from "./stored_lists.ts";

const KINDS: Readonly<Record<string, number>> = {
  symlink: KIND_SYMLINK,
  fifo: KIND_FIFO,
  character: KIND_CHARACTER_DEVICE,
  block: KIND_BLOCK_DEVICE,
};

/** Makes one symbolic link, FIFO or device node; true when it stands there now as it is recorded. */
export function makeOther(
  context: PassContext,
  path: string,
  entry: ManifestEntry,
  overwrite: boolean,
): boolean {
  const { posix, target, restorer, report } = context;
  const full = fullPath(context.top, path);
  const fail = (result: number) => {
    const { code, message } = restorer.targetFailure("make it", result);
    addFailure(report, utf8OfLatin1(full), code, message);
    return false;
  };
  const { folder, name } = splitPath(full);
  const at = restorer.chain.folder(folder);
  if (at < 0) return fail(at);
  const kind = KINDS[entry.type]!;
  const standing = standsThere(context, at, name, entry, kind);
  if (standing === "same") {
    report.counts.alreadyThere++;
    return true;
  }
  if (standing === "other" && !overwrite) {
    addKept(report, utf8OfLatin1(full));
    return false;
  }
  const staged = restorer.stagedName();
  const metadata = metadataOf(entry)!;
  let result = kind === KIND_SYMLINK
    ? posix.symlink(targetBytes(entry)!, target.stage, staged)
    : posix.makeNode(target.stage, staged, kind, 0o600, entry.rdev ?? 0);
  if (result < 0) {
    if (result !== -EPERM && result !== -ENOSYS && result !== -EOPNOTSUPP) return fail(result);
    addFailure(
      report,
      utf8OfLatin1(full),
      "permission",
      kind === KIND_SYMLINK
        ? "This file system has no symbolic links"
        : "Only root can make it, and only where the file system can hold it",
    );
    return false;
  }
  result = restorer.setter.setAt(target.stage, staged, metadata, kind === KIND_SYMLINK);
  if (result >= 0) result = restorer.moveIntoPlace(staged, at, name);
  if (result >= 0) {
    report.counts.others++;
    return true;
  }
  posix.unlink(target.stage, staged);
  if (result !== -EEXIST) return fail(result);
  addKept(report, utf8OfLatin1(full));
  return false;
}

function standsThere(
  { posix }: PassContext,
  at: DirectoryHandle,
  name: Uint8Array,
  entry: ManifestEntry,
  kind: number,
): "nothing" | "same" | "other" {
  const stat = newStat();
  const found = posix.statAt(at, name, stat);
  if (found === -ENOENT) return "nothing";
  const metadata = metadataOf(entry)!;
  if (
    found < 0 || stat.kind !== kind || stat.mtimeSec !== metadata.mtimeSec ||
    stat.mtimeNsec !== metadata.mtimeNsec
  ) return "other";
  if (kind !== KIND_SYMLINK) {
    const isDevice = kind !== KIND_FIFO;
    return !isDevice || stat.rdev === entry.rdev ? "same" : "other";
  }
  const target = posix.readLink(at, name);
  const wanted = targetBytes(entry)!;
  return typeof target !== "number" && target.length === wanted.length - 1 &&
      target.every((byte, k) => byte === wanted[k])
    ? "same"
    : "other";
}

/**
 * Further names of links and nodes become what they were in the source: one thing. `made` has, by the first name, one of its
 * names that stands; without one, and where there are no such links, the name gets a thing of its own.
 */
export function makeNameOfOther(
  context: PassContext,
  path: string,
  entry: ManifestEntry,
  overwrite: boolean,
  made: Map<string, string>,
): void {
  const first = linkedPath(entry) ?? path;
  const stands = made.get(first);
  if (stands !== undefined && makeLink(context, stands, path, overwrite) === "done") return;
  const isGood = makeOther(context, path, entry, overwrite);
  if (isGood && stands === undefined) made.set(first, path);
}

/**
 * Gives the file at `first`, which is restored and right, the further name `path`. "no links": this file system cannot,
 * and the content has to be written again.
 */
export function makeLink(
  context: PassContext,
  first: string,
  path: string,
  overwrite: boolean,
): "done" | "no links" {
  const { posix, target, restorer, report } = context;
  const full = fullPath(context.top, path);
  const shown = utf8OfLatin1(full);
  const fail = (result: number) => {
    const { code, message } = restorer.targetFailure("link it", result);
    addFailure(report, shown, code, message);
    return "done" as const;
  };
  const staged = restorer.stagedName();
  const from = splitPath(fullPath(context.top, first));
  const fromFolder = restorer.chain.folder(from.folder);
  if (fromFolder < 0) return fail(fromFolder);
  const one = newStat();
  const found = posix.statAt(fromFolder, from.name, one);
  if (found < 0) return fail(found);
  const linked = posix.link(fromFolder, from.name, target.stage, staged);
  if ([-EPERM, -EOPNOTSUPP, -EMLINK, -EXDEV, -ENOSYS, -EINVAL, -ENODEV].includes(linked)) {
    return "no links";
  }
  if (linked < 0) return fail(linked);
  // The chain may have closed the first folder: only now is the other one opened.
  const to = splitPath(full);
  const at = restorer.chain.folder(to.folder);
  let result: number = at;
  if (at >= 0) {
    const other = newStat();
    const stands = posix.statAt(at, to.name, other);
    const isSame = stands === 0 && one.inodeLow === other.inodeLow &&
      one.inodeHigh === other.inodeHigh && one.device === other.device;
    if (isSame) {
      posix.unlink(target.stage, staged);
      report.counts.alreadyThere++;
      return "done";
    }
    result = stands === 0 && !overwrite ? -EEXIST : restorer.moveIntoPlace(staged, at, to.name);
  }
  if (result >= 0) {
    report.counts.others++;
    return "done";
  }
  posix.unlink(target.stage, staged);
  if (result !== -EEXIST) return fail(result);
  addKept(report, shown);
  return "done";
}
