/**
 * Checks a copy as it lies at a destination, with nothing but its manifest. Rule: what is recorded and differs – in kind,
 * content, or where a link points – is missing or cannot be read is named; what is there and not recorded is named too.
 */
import { BackupError } from "../../../protocol/base/errors.ts";
import type { FileFailure } from "../../../protocol/mesh/job.ts";
import { DirectoryCache } from "../../platform/directory_cache.ts";
import { errnoCode, errnoText, posixError } from "../../platform/errno.ts";
import { cName, KIND_DIRECTORY, KIND_FILE, newStat, type Posix } from "../../platform/posix.ts";
import { type EntryTable, utf8OfLatin1 } from "../../source/entry_table.ts";
import { walk, walkCancelled } from "../../source/walk.ts";
import type { ThreadCells } from "../../threads/thread_rpc.ts";
import { type CopyDestination, keysAsBefore } from "./list_keys.ts";
import type { FileVerifier } from "./file_verifier.ts";
import { writeWhole } from "./list_writer.ts";
import { openManifest } from "./manifest_file.ts";
import { linesOf } from "./version_lists.ts";
import { entryPathLatin1, lineOfRow, type ManifestEntry } from "./manifest_line.ts";
import { manifestName } from "./manifest_update.ts";
import { isMhlPath } from "./mhl/own_files.ts";
import { RowFinder } from "./row_finder.ts";
import { storedContent, storedPathLatin1 } from "./stored_form.ts";

export interface StoredCheck {
  /** Binding key and top name of the copy. */
  bindingKey: string;
  name: string;
  /** This thread checks every `parts`-th batch, beginning with number `part`. */
  part: number;
  parts: number;
  /** One byte per manifest line: 1 when the file is as recorded. */
  sound: SharedArrayBuffer;
  /** Files done, bytes done, and the current file's row; see `storedProgress`. */
  progress: SharedArrayBuffer;
}

export interface StoredResult {
  files: number;
  bytes: number;
  fromDisk: number;
  fromCache: number;
  damaged: FileFailure[];
  missing: FileFailure[];
  unreadable: FileFailure[];
  extra: string[];
  /** Entries that the destination cannot hold: only their lines are there. */
  recordedOnly: number;
}

export interface StoredTotals {
  lines: number;
  files: number;
  bytes: number;
}

const BATCH_FILES = 64;
const BATCH_BYTES = 4 << 20;
const EXTRA_NAMED_MAX = 10_000;

/**
 * Counts what a manifest records; `tick` is called for every line.
 * @throws {BackupError} `damaged` when it is, `not_found` when there is none: its first backup was interrupted
 */
export function countStored(
  posix: Posix,
  destination: CopyDestination,
  bindingKey: string,
  name: string,
  tick: () => void = () => {},
): StoredTotals {
  const manifest = openStored(posix, destination, bindingKey, name);
  const totals: StoredTotals = { lines: 0, files: 0, bytes: 0 };
  for (;;) {
    const next = manifest.lines.next();
    if (next.done) return totals;
    tick();
    totals.lines++;
    const { entry } = next.value;
    if (!isContent(entry)) continue;
    totals.files++;
    totals.bytes += entry.sizeBytes ?? 0;
  }
}

interface Waiting {
  line: number;
  row: number;
  entry: ManifestEntry;
}

/** Reads every `parts`-th batch of files back. Part 0 also reports what is missing and what is extra. */
export function checkStored(
  posix: Posix,
  destination: CopyDestination,
  verifier: FileVerifier,
  cells: ThreadCells,
  check: StoredCheck,
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
  const { name, part, parts } = check;
  const isFirst = part === 0;
  const display = (path: string) => path === "" ? name : `${name}/${utf8OfLatin1(path)}`;
  const tick = () => Atomics.add(cells.operations, 0, 1);
  const isCancelled = () => Atomics.load(cells.cancelled, 0) !== 0;
  const damaged = (path: string, message: string) =>
    result.damaged.push({ path: display(path), code: "damaged", message, attempts: 1 });
  const top = newStat();
  const found = posix.statAt(destination.root, cName(name), top);
  if (found < 0) throw posixError(found, "read", `${destination.display}/${name}`);
  if (top.kind !== KIND_DIRECTORY) {
    // Above all a link: what it leads to is no copy of ours.
    if (isFirst) damaged("", "Recorded as a directory, but it is something else");
    return result;
  }
  const listed = walk(
    posix,
    `${destination.display}/${name}`,
    name,
    {
      excludes: [],
      ignoreFiles: false,
      excludeCaches: false,
      oneFileSystem: false,
      skipXattrs: true,
    },
    () => {
      tick();
      if (isCancelled()) throw walkCancelled();
    },
  );
  const { table } = listed;
  if (isFirst) result.unreadable.push(...listed.unreadable);
  const manifest = openStored(posix, destination, check.bindingKey, name);
  const root = posix.openRoot(cName(`${destination.display}/${name}`));
  if (root < 0) {
    manifest.close();
    throw posixError(root, "read", `${destination.display}/${name}`);
  }
  const directories = new DirectoryCache(posix, {
    parent: (row) => table.columns.parent[row]!,
    cName: (row) => table.cName(row),
  }, root);
  const sound = new Uint8Array(check.sound);
  const progress = new Float64Array(check.progress);

  let waiting: Waiting[] = [];
  let waitingBytes = 0;
  let batch = 0;
  const drain = () => {
    const mine = batch++ % parts === part;
    const items = waiting;
    waiting = [];
    waitingBytes = 0;
    if (!mine) return;
    const fds = items.map(({ row }) => {
      tick();
      const parent = directories.handle(table.columns.parent[row]!);
      return parent < 0 ? parent : posix.openRead(parent, table.cName(row));
    });
    const dropped = fds.map((fd, k) =>
      fd >= 0 && verifier.dropCache(fd, storedContent(items[k]!.entry).sizeBytes)
    );
    if (items.length > 1) {
      fds.forEach((fd, k) =>
        fd >= 0 && verifier.readAhead(fd, storedContent(items[k]!.entry).sizeBytes)
      );
    }
    items.forEach(({ line, row, entry }, k) => {
      const fd = fds[k]!;
      const path = table.pathLatin1(row);
      if (fd < 0) return result.unreadable.push(failure(display(path), -fd));
      const sizeBytes = entry.sizeBytes ?? 0;
      // What stands there is checked as it stands: that needs no key.
      const stored = storedContent(entry);
      const file = { fd, sizeBytes: stored.sizeBytes, sha256: stored.sha256 ?? "" };
      const verdict = verifier.verify(file, dropped[k]!);
      posix.close(fd);
      if (verdict.ok) {
        sound[line] = 1;
        result.files++;
        result.bytes += sizeBytes;
        if (verdict.fromDisk) result.fromDisk++;
        else result.fromCache++;
      } else if (verdict.kind === "error") {
        result.unreadable.push(failure(display(path), -verdict.result));
      } else if (verdict.kind !== "cancelled") {
        damaged(
          path,
          verdict.kind === "size"
            ? "The size is not the recorded one"
            : "The checksum is not the recorded one",
        );
      }
      progress[0]! += 1;
      progress[1]! += sizeBytes;
      return undefined;
    });
  };

  const onMissing = (entry: ManifestEntry) => {
    if (!isFirst) return;
    if (entry.recordedOnly === true) {
      result.recordedOnly++;
      return;
    }
    result.missing.push({
      path: display(entryPathLatin1(entry)),
      code: "not_found",
      message: `Recorded as a ${entry.type}, but not there`,
      attempts: 1,
    });
  };
  try {
    const finder = new RowFinder(table);
    const seen = new Uint8Array(table.count);
    for (let line = 0; !isCancelled(); line++) {
      tick();
      const next = manifest.lines.next();
      if (next.done) break;
      const { entry } = next.value;
      const path = storedPathLatin1(entry);
      const row = finder.find(path);
      if (row === undefined) {
        onMissing(entry);
        continue;
      }
      if (entry.recordedOnly === true) {
        // What stands where only a line should be is nobody's copy.
        if (isFirst) result.recordedOnly++;
        continue;
      }
      seen[row] = 1;
      if (isContent(entry) && table.columns.kind[row] === KIND_FILE) {
        waiting.push({ line, row, entry });
        waitingBytes += entry.sizeBytes ?? 0;
        if (waiting.length >= BATCH_FILES || waitingBytes >= BATCH_BYTES) drain();
      } else if (isFirst) {
        const wrong = differenceOf(entry, table, row, path);
        if (wrong !== undefined) damaged(path, wrong);
      }
    }
    if (!isCancelled()) {
      drain();
      if (isFirst) addExtra(result.extra, table, seen, display);
    }
    return result;
  } finally {
    manifest.close();
    directories.close();
    posix.closeDirectory(root);
  }
}

function addExtra(
  extra: string[],
  table: EntryTable,
  seen: Uint8Array,
  display: (path: string) => string,
): void {
  for (let row = 0; row < table.count && extra.length < EXTRA_NAMED_MAX; row++) {
    if (seen[row] === 1 || table.columns.kind[row] === KIND_DIRECTORY) continue;
    const path = table.pathLatin1(row);
    if (table.columns.kind[row] === KIND_FILE && isMhlPath(path)) continue;
    extra.push(display(path));
  }
}

/** How what stands there differs from its line, but for the content of files; undefined when it does not. */
function differenceOf(
  entry: ManifestEntry,
  table: EntryTable,
  row: number,
  path: string,
): string | undefined {
  const stands = JSON.parse(lineOfRow(table, row, path, {})) as ManifestEntry;
  if (stands.type !== entry.type) return `Recorded as a ${entry.type}, but it is a ${stands.type}`;
  if (stands.target !== entry.target || stands.targetBase64 !== entry.targetBase64) {
    return `Recorded as a link to ${entry.target}, but it points to ${stands.target}`;
  }
  return stands.rdev === entry.rdev ? undefined : "The device is not the recorded one";
}

/** Writes today's date to the lines of files that were found sound. */
export function stampVerified(
  posix: Posix,
  destination: CopyDestination,
  request: { bindingKey: string; name: string; sound: SharedArrayBuffer; verifiedAtMs: number },
  tick: () => void = () => {},
): void {
  const { bindingKey, verifiedAtMs } = request;
  const manifest = openStored(posix, destination, bindingKey, request.name);
  const sound = new Uint8Array(request.sound);
  const name = manifestName(bindingKey);
  const display = `${destination.display}/.backup-agent/manifests/${name}`;
  const { manifests: at } = destination;
  const keys = keysAsBefore(manifest, destination.keys);
  if (keys === undefined) {
    manifest.close();
    return;
  }
  writeWhole({ posix, at, name, display, keys }, manifest.header, (add) => {
    let line = 0;
    for (const { text, entry } of linesOf(manifest)) {
      tick();
      add(sound[line++] === 1 ? JSON.stringify({ ...entry, verifiedAtMs }) : text);
    }
  });
}

function openStored(
  posix: Posix,
  destination: CopyDestination,
  bindingKey: string,
  name: string,
): NonNullable<ReturnType<typeof openManifest>> {
  const file = manifestName(bindingKey);
  const display = `${destination.display}/.backup-agent/manifests/${file}`;
  const manifest = openManifest(posix, destination.manifests, file, display, destination.keys);
  if (manifest === undefined) {
    throw new BackupError(
      "not_found",
      `There is no list of ${name}: its first backup was interrupted, or ${display} was deleted`,
      { path: display, hint: "Run its backup again: what is there already is not lost" },
    );
  }
  return manifest;
}

function isContent(entry: ManifestEntry): boolean {
  return entry.type === "file" && entry.sha256 !== undefined;
}

function failure(path: string, errno: number): FileFailure {
  return { path, code: errnoCode(errno), message: errnoText(errno), attempts: 1 };
}
