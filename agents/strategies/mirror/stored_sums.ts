/**
 * A copy whose list is encrypted, checked without a key: by SHA256SUMS, which names every stored file and its hash. Rule:
 * what that cannot tell – links, folders, modes, times – is not claimed to be checked.
 */
import { Buffer } from "node:buffer";
import { BackupError, IntegrityError } from "../../../protocol/base/errors.ts";
import { CHECKSUMS_FILE, CHECKSUMS_STALE_FILE, OWN_DIRECTORY } from "../../destinations/layout.ts";
import { ENOENT, ENOTDIR, errnoCode, errnoText, posixError } from "../../platform/errno.ts";
import { cName, KIND_DIRECTORY, KIND_FILE, newStat, type Posix } from "../../platform/posix.ts";
import { readSmallFile } from "../../platform/small_file.ts";
import { latin1OfUtf8, utf8OfLatin1 } from "../../source/entry_table.ts";
import { walk, walkCancelled } from "../../source/walk.ts";
import type { ThreadCells } from "../../threads/thread_rpc.ts";
import { isConfined } from "./confined_path.ts";
import type { FileVerifier } from "./file_verifier.ts";
import type { CopyDestination } from "./list_keys.ts";
import { LastDirectory } from "./last_directory.ts";
import { isMhlPath } from "./mhl/own_files.ts";
import { lastName, parentPath } from "./recorded_state.ts";
import type { StoredResult } from "./stored_copy.ts";
import { cNameOfLatin1 } from "./tree_removal.ts";

/** Two million names of 250 bytes. */
const SUMS_BYTES_MAX = 640 << 20;
const EXTRA_NAMED_MAX = 10_000;

export interface SumsCheck {
  /** Top name of the copy. */
  name: string;
  /** This thread checks every `parts`-th file, beginning with number `part`. */
  part: number;
  parts: number;
  /** Files done and bytes done, added to what is there. */
  progress: SharedArrayBuffer;
}

export interface SumsTotals {
  files: number;
  /** A backup that was cut off has not brought it up to date. */
  isStale: boolean;
}

/** @throws {BackupError} `wrong_key` where there is no SHA256SUMS to do without the list */
export function countSums(posix: Posix, destination: CopyDestination, name: string): SumsTotals {
  const { own } = destination;
  const isStale = posix.statAt(own, cName(CHECKSUMS_STALE_FILE), newStat()) >= 0;
  return { files: sumsOf(posix, destination, name).size, isStale };
}

/** Reads the files back. Part 0 also reports what is missing and which files are in no line. */
export function checkSums(
  posix: Posix,
  destination: CopyDestination,
  verifier: FileVerifier,
  cells: ThreadCells,
  { name, part, parts, progress }: SumsCheck,
): StoredResult {
  const result: StoredResult = {
    files: 0,
    bytes: 0,
    fromDisk: 0,
    fromCache: 0,
    damaged: [],
    missing: [],
    unreadable: [],
    extra: [],
    recordedOnly: 0,
  };
  const sums = sumsOf(posix, destination, name);
  const done = new Float64Array(progress);
  const display = (path: string) => `${name}/${utf8OfLatin1(path)}`;
  const isCancelled = () => Atomics.load(cells.cancelled, 0) !== 0;
  const top = posix.openDirectory(destination.root, cName(name));
  if (top < 0) throw posixError(top, "read", `${destination.display}/${name}`);
  const last = new LastDirectory(posix, top, false);
  const stat = newStat();
  try {
    let number = 0;
    for (const [path, sha256] of sums) {
      if (isCancelled()) return result;
      Atomics.add(cells.operations, 0, 1);
      if (number++ % parts !== part) continue;
      const at = last.open(parentPath(path));
      const fd = at < 0 ? at : posix.openRead(at, cNameOfLatin1(lastName(path)));
      done[0]! += 1;
      const shown = { path: display(path), attempts: 1 };
      if (fd === -ENOENT || fd === -ENOTDIR) {
        const message = "In SHA256SUMS, but not there";
        result.missing.push({ ...shown, code: "not_found", message });
        continue;
      }
      const found = fd < 0 ? fd : posix.stat(fd, stat);
      if (found < 0) {
        if (fd >= 0) posix.close(fd);
        result.unreadable.push({ ...shown, code: errnoCode(-found), message: errnoText(-found) });
        continue;
      }
      const { sizeBytes } = stat;
      const dropped = verifier.dropCache(fd, sizeBytes);
      const verdict = stat.kind === KIND_FILE
        ? verifier.verify({ fd, sizeBytes, sha256 }, dropped)
        : { ok: false as const, kind: "size" as const };
      posix.close(fd);
      done[1]! += sizeBytes;
      if (verdict.ok) {
        result.files++;
        result.bytes += sizeBytes;
        if (verdict.fromDisk) result.fromDisk++;
        else result.fromCache++;
      } else if (verdict.kind === "error") {
        const { result: errno } = verdict;
        result.unreadable.push({ ...shown, code: errnoCode(-errno), message: errnoText(-errno) });
      } else if (verdict.kind !== "cancelled") {
        const message = "The checksum is not that of SHA256SUMS";
        result.damaged.push({ ...shown, code: "damaged", message });
      }
    }
    if (part === 0) addUnlisted(posix, destination, cells, name, sums, result);
    return result;
  } finally {
    last.close();
    posix.closeDirectory(top);
  }
}

function addUnlisted(
  posix: Posix,
  destination: CopyDestination,
  cells: ThreadCells,
  name: string,
  sums: ReadonlyMap<string, string>,
  result: StoredResult,
): void {
  const rules = {
    excludes: [],
    ignoreFiles: false,
    excludeCaches: false,
    oneFileSystem: false,
    skipXattrs: true,
  };
  const { table, unreadable } = walk(posix, `${destination.display}/${name}`, name, rules, () => {
    Atomics.add(cells.operations, 0, 1);
    if (Atomics.load(cells.cancelled, 0) !== 0) throw walkCancelled();
  });
  result.unreadable.push(...unreadable);
  for (let row = 1; row < table.count && result.extra.length < EXTRA_NAMED_MAX; row++) {
    // Only the list knows links and nodes.
    if (table.columns.kind[row] === KIND_DIRECTORY || table.columns.kind[row] !== KIND_FILE) {
      continue;
    }
    const path = table.pathLatin1(row);
    if (!sums.has(path) && !isMhlPath(path)) result.extra.push(`${name}/${utf8OfLatin1(path)}`);
  }
}

/** Hash by path below the copy's top folder, one byte a character. @throws {BackupError} */
function sumsOf(posix: Posix, destination: CopyDestination, name: string): Map<string, string> {
  const display = `${destination.display}/${OWN_DIRECTORY}/${CHECKSUMS_FILE}`;
  const bytes = readSmallFile(posix, destination.own, CHECKSUMS_FILE, display, SUMS_BYTES_MAX);
  if (bytes === undefined) {
    throw new BackupError("wrong_key", `The list of ${name} is encrypted, and no key is given`, {
      path: display,
      hint: "Give --passphrase-file or --identity: there is no SHA256SUMS to check it by",
    });
  }
  const top = `${latin1OfUtf8(name)}/`;
  const sums = new Map<string, string>();
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
  let at = 0;
  while (at < text.length) {
    const end = text.indexOf("\n", at);
    const line = end < 0 ? undefined : text.slice(at, end);
    const found = line === undefined ? null : LINE.exec(line);
    if (found === null) {
      throw new IntegrityError(`${display} is damaged: a line of it is not valid`, {
        path: display,
        hint: "Give --passphrase-file or --identity, and the list of the copy is used",
      });
    }
    at = end + 1;
    const path = found[1] === "" ? found[3]! : found[3]!.replace(/\\[\\nr]/g, (c) => PLAIN[c]!);
    if (!path.startsWith(top)) continue;
    const below = path.slice(top.length);
    if (below !== "" && isConfined(below)) sums.set(below, found[2]!);
  }
  return sums;
}

/** As `checksumLine` writes it: a backslash before a name with escapes, the hash, the path. */
const LINE = /^(\\?)([0-9a-f]{64}) {2}(.+)$/s;
const PLAIN: Readonly<Record<string, string>> = { "\\\\": "\\", "\\n": "\n", "\\r": "\r" };
