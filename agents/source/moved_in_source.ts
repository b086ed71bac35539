/**
 * What appeared in the source since it was listed. A file that moves while the source is walked, out of a folder that is
 * not listed yet into one that was, is in no row of the table, and its copy would be taken for gone. Rule: folders that
 * changed, or may have, are listed once more; what cannot be looked at again counts as changed.
 */
import { BackupError } from "../../protocol/base/errors.ts";
import type { ThreadCells } from "../threads/thread_rpc.ts";
import { EntryTable, type EntryTableShare, FLAG_LISTING_FAILED } from "./entry_table.ts";
import { openJudge, type SourceJudge } from "./gone_in_source.ts";
import { walkCancelled, type WalkOptions } from "./walk.ts";
import { ENOENT, posixError } from "../platform/errno.ts";
import { KIND_DIRECTORY, newStat, type Posix, type Stat } from "../platform/posix.ts";

export interface MovedRequest {
  /** Absolute path of the source. */
  path: string;
  options: WalkOptions;
  /** What the walk listed. */
  table: EntryTableShare;
  /** When the walk began, by this machine's clock. */
  listedAtMs: number;
}

/** Two marks of an entry: what it is, and what it looks like should it have got another inode on its way. */
export interface EntryMarks {
  inodeLow: number;
  inodeHigh: number;
  kind: number;
  /** Of a file, else 0. */
  sizeBytes: number;
  mtimeSec: number;
  mtimeNsec: number;
}

/**
 * A change in the same tick of a coarse clock leaves the time as it was: folders that were as young as this when the walk
 * began are always listed again. Generous, since a file server has a clock of its own.
 */
const YOUNG_SEC = 3600;
/** What moves once more meanwhile is found by the second look; to escape it would have to move in step with both. */
const LOOKS = 2;
/** With more than this the source is another one. */
const MARKS_MAX = 2_000_000;

/**
 * What is in the source and was not listed, or not as it is now. @throws {BackupError} when part of it cannot be looked at,
 * so that nobody knows
 */
export function movedInSource(
  posix: Posix,
  request: MovedRequest,
  cells: ThreadCells,
): EntryMarks[] {
  const table = EntryTable.fromShare(request.table);
  const found = new Map<string, EntryMarks>();
  for (let look = 0; look < LOOKS; look++) {
    new Look(posix, request, table, cells, found).run();
  }
  return [...found.values()];
}

class Look {
  readonly #posix: Posix;
  readonly #request: MovedRequest;
  readonly #table: EntryTable;
  readonly #cells: ThreadCells;
  readonly #found: Map<string, EntryMarks>;
  readonly #stat = newStat();

  constructor(
    posix: Posix,
    request: MovedRequest,
    table: EntryTable,
    cells: ThreadCells,
    found: Map<string, EntryMarks>,
  ) {
    this.#posix = posix;
    this.#request = request;
    this.#table = table;
    this.#cells = cells;
    this.#found = found;
  }

  run(): void {
    const changed = this.#changedFolders();
    if (changed.size === 0) return;
    const { parent } = this.#table.columns;
    for (let i = 1; i < this.#table.count; i++) {
      changed.get(parent[i]!)?.set(this.#table.nameLatin1(i), i);
    }
    const judge = openJudge(this.#posix, this.#request.path, this.#request.options);
    try {
      for (const [row, rows] of changed) this.#list(judge, this.#table.pathLatin1(row), rows);
    } finally {
      judge.close();
    }
  }

  /** Rows of folders that may hold something new, in walk order. */
  #changedFolders(): Map<number, Map<string, number>> {
    const { kind, flags } = this.#table.columns;
    const found = new Map<number, Map<string, number>>();
    const judge = openJudge(this.#posix, this.#request.path, this.#request.options);
    try {
      for (let i = 0; i < this.#table.count; i++) {
        if (kind[i] !== KIND_DIRECTORY || (flags[i]! & FLAG_LISTING_FAILED) !== 0) continue;
        this.#tick();
        const handle = this.#open(judge, this.#table.pathLatin1(i));
        if (handle === undefined) continue;
        const result = this.#posix.statDirectory(handle, this.#stat);
        if (result < 0) throw this.#unknown(result, this.#table.pathLatin1(i));
        if (this.#mayHaveChanged(i)) found.set(i, new Map());
      }
    } finally {
      judge.close();
    }
    return found;
  }

  #mayHaveChanged(i: number): boolean {
    const c = this.#table.columns;
    const s = this.#stat;
    const youngSec = this.#request.listedAtMs / 1000 - YOUNG_SEC;
    return s.mtimeSec !== c.mtimeSec[i] || s.mtimeNsec !== c.mtimeNsec[i] || !this.#isSame(i, s) ||
      Math.max(s.mtimeSec, s.ctimeSec) >= youngSec;
  }

  /** The entry of row `i`, as it was. */
  #isSame(i: number, s: Stat): boolean {
    const c = this.#table.columns;
    return s.kind === c.kind[i] && s.inodeLow === c.inodeLow[i] && s.inodeHigh === c.inodeHigh[i] &&
      s.ctimeSec === c.ctimeSec[i] && s.ctimeNsec === c.ctimeNsec[i];
  }

  /** `rows`: what the folder had, by name; of a folder that is new, nothing. */
  #list(judge: SourceJudge, path: string, rows: ReadonlyMap<string, number>): void {
    const handle = this.#open(judge, path);
    if (handle === undefined) return;
    const names = this.#posix.list(handle);
    if (typeof names === "number") throw this.#unknown(names, path);
    const folders: string[] = [];
    for (const name of names.sort()) {
      this.#tick();
      const below = path === "" ? name : `${path}/${name}`;
      const stat = newStat();
      const result = judge.stat(below, stat);
      if (result === undefined || result === -ENOENT) continue;
      if (result < 0) throw this.#unknown(result, below);
      const row = rows.get(name);
      const isKnown = row !== undefined && this.#isSame(row, stat);
      if (stat.kind !== KIND_DIRECTORY) {
        if (!isKnown) this.#add(stat);
        continue;
      }
      const c = this.#table.columns;
      // A folder that was listed is looked at for itself.
      const isListed = row !== undefined && c.kind[row] === KIND_DIRECTORY &&
        c.inodeLow[row] === stat.inodeLow && c.inodeHigh[row] === stat.inodeHigh;
      if (!isListed) folders.push(below);
    }
    for (const folder of folders) this.#list(judge, folder, new Map());
  }

  #add({ inodeLow, inodeHigh, kind, sizeBytes, mtimeSec, mtimeNsec }: Stat): void {
    const key = `${inodeHigh}:${inodeLow}:${sizeBytes}:${mtimeSec}:${mtimeNsec}`;
    this.#found.set(key, { inodeLow, inodeHigh, kind, sizeBytes, mtimeSec, mtimeNsec });
    if (this.#found.size <= MARKS_MAX) return;
    const { path } = this.#request;
    throw new BackupError("rejected", `Nothing was deleted: most of ${path} changed meanwhile`, {
      path,
      hint: "Run the same command again",
    });
  }

  /** Undefined where the walk would not look either, and for a folder that is gone. */
  #open(judge: SourceJudge, path: string): number | undefined {
    const handle = judge.folder(path);
    if (handle === undefined || handle === -ENOENT) return undefined;
    if (handle < 0) throw this.#unknown(handle, path);
    return handle;
  }

  #unknown(result: number, path: string): BackupError {
    const { path: top } = this.#request;
    return posixError(result, "look again at", path === "" ? top : `${top}/${path}`);
  }

  #tick(): void {
    Atomics.add(this.#cells.operations, 0, 1);
    if (Atomics.load(this.#cells.cancelled, 0) !== 0) throw walkCancelled();
  }
}
