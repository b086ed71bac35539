/**
 * Reads back what a lane has at its destination, by the same paths it was written to. Rule: a row becomes verified here
 * and nowhere else.
 */
import { errnoCode, errnoText } from "../../platform/errno.ts";
import {
  KIND_BLOCK_DEVICE,
  KIND_CHARACTER_DEVICE,
  KIND_FILE,
  KIND_SYMLINK,
  newStat,
  type Posix,
} from "../../platform/posix.ts";
import { NONE } from "../../source/entry_table.ts";
import type { ThreadCells } from "../../threads/thread_rpc.ts";
import {
  STATUS_ADOPTED,
  STATUS_REVERIFIED,
  STATUS_UNCHANGED,
  STATUS_VERIFIED,
} from "./entry_status.ts";
import type { FileVerifier } from "./file_verifier.ts";
import type { ItemProblem } from "./item_problem.ts";
import type { LaneTask } from "./lane_task.ts";
import type { FileVersion } from "./manifest_line.ts";

export interface Verified {
  files: number;
  bytes: number;
  fromDisk: number;
  fromCache: number;
  problems: ItemProblem[];
}

/** Verifies a batch; rows not reached when cancelled are simply not counted. */
export function verifyRows(
  posix: Posix,
  verifier: FileVerifier,
  cells: ThreadCells,
  task: LaneTask,
  rows: Uint32Array,
  versions: ReadonlyMap<number, FileVersion>,
): Verified {
  const done: Verified = { files: 0, bytes: 0, fromDisk: 0, fromCache: 0, problems: [] };
  const { table } = task;
  const c = table.columns;
  const fds = new Int32Array(rows.length);
  const dropped = new Uint8Array(rows.length);
  const sizes = new Float64Array(rows.length);
  for (let k = 0; k < rows.length; k++) {
    Atomics.add(cells.operations, 0, 1);
    const row = rows[k]!;
    const version = versions.get(row);
    const parent = task.parentHandle(row);
    const fd = parent < 0 ? parent : posix.openRead(parent, task.storedName(row));
    fds[k] = fd;
    sizes[k] = task.encoded?.sizeBytes(row) ?? version?.sizeBytes ?? c.sizeBytes[row]!;
    if (fd >= 0) dropped[k] = verifier.dropCache(fd, sizes[k]!) ? 1 : 0;
  }
  if (rows.length > 1) {
    for (let k = 0; k < rows.length; k++) {
      if (fds[k]! >= 0) verifier.readAhead(fds[k]!, sizes[k]!);
    }
  }
  for (let k = 0; k < rows.length; k++) {
    const row = rows[k]!;
    const version = versions.get(row);
    const fd = fds[k]!;
    if (fd < 0) {
      done.problems.push({
        row,
        code: errnoCode(-fd),
        message: `Cannot read back: ${errnoText(-fd)}`,
        retry: "later",
      });
      continue;
    }
    const before = task.status[row];
    const useKnown = before === STATUS_ADOPTED || before === STATUS_UNCHANGED;
    const sha256 = task.encoded?.sha256(row) ?? task.expectedHex(row, useKnown, version);
    const verdict = verifier.verify({
      isOver: () => task.isOver,
      fd,
      sizeBytes: sizes[k]!,
      sha256,
      withXxh64: task.xxh64 !== undefined,
    }, dropped[k] === 1);
    posix.close(fd);
    if (verdict.ok) {
      if (verdict.xxh64 !== undefined) task.xxh64?.set(row, verdict.xxh64);
      task.status[row] = useKnown ? STATUS_REVERIFIED : STATUS_VERIFIED;
      done.files++;
      // Of the content, as in all other counts.
      done.bytes += version?.sizeBytes ?? c.sizeBytes[row]!;
      if (verdict.fromDisk) done.fromDisk++;
      else done.fromCache++;
    } else if (verdict.kind === "error") {
      done.problems.push({
        row,
        code: errnoCode(-verdict.result),
        message: `Cannot read back: ${errnoText(-verdict.result)}`,
        retry: "later",
      });
    } else if (verdict.kind !== "cancelled") {
      done.problems.push({ row, code: "damaged", message: DAMAGE[verdict.kind], retry: "later" });
    }
  }
  return done;
}

const DAMAGE = {
  differs: "What was read back is not what was written: the checksum differs",
  size: "What was read back is not what was written: the size differs",
  type: "What stands under the name is not a file",
} as const;

/** Links and nodes: they are what they should be, without reading content. */
export function verifyOthers(
  posix: Posix,
  cells: ThreadCells,
  task: LaneTask,
  rows: Uint32Array,
): Verified {
  const done: Verified = { files: 0, bytes: 0, fromDisk: 0, fromCache: 0, problems: [] };
  const { table } = task;
  const c = table.columns;
  const stat = newStat();
  const first = newStat();
  for (const row of rows) {
    Atomics.add(cells.operations, 0, 1);
    const parent = task.parentHandle(row);
    const name = task.storedName(row);
    let ok = parent >= 0 && posix.statAt(parent, name, stat) === 0 && stat.kind === c.kind[row];
    if (ok && c.kind[row] === KIND_SYMLINK) {
      const target = posix.readLink(parent, name);
      const wanted = table.cLinkTarget(row);
      ok = typeof target !== "number" && target.length === wanted.length - 1 &&
        target.every((byte, at) => byte === wanted[at]);
    }
    if (ok && isDevice(c.kind[row]!)) ok = stat.rdev === c.sizeBytes[row];
    if (ok && c.kind[row] === KIND_FILE && c.linkTo[row] !== NONE) {
      const firstRow = c.linkTo[row]!;
      const firstParent = task.parentHandle(firstRow);
      ok = firstParent >= 0 && posix.statAt(firstParent, task.storedName(firstRow), first) === 0 &&
        first.inodeLow === stat.inodeLow && first.inodeHigh === stat.inodeHigh;
      if (ok) done.files++;
    }
    if (ok) task.status[row] = STATUS_VERIFIED;
    else {
      done.problems.push({
        row,
        code: "damaged",
        message: "What stands under the name is not what was made there",
        retry: "no",
      });
    }
  }
  return done;
}

function isDevice(kind: number): boolean {
  return kind === KIND_CHARACTER_DEVICE || kind === KIND_BLOCK_DEVICE;
}
