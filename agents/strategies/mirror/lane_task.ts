/** One source at one destination, as a thread of that destination sees it. */
import { Buffer } from "node:buffer";
import { DirectoryCache } from "../../platform/directory_cache.ts";
import { EEXIST, ENOENT } from "../../platform/errno.ts";
import { cName, type DirectoryHandle, newStat, type Posix } from "../../platform/posix.ts";
import { EntryTable, type EntryTableShare } from "../../source/entry_table.ts";
import { AttemptGuard, superseded } from "./attempt_guard.ts";
import { displayOf } from "./entry_display.ts";
import { dropDefaultAcl } from "./keep_xattrs.ts";
import type { FileVersion, ManifestEntry } from "./manifest_line.ts";
import { Xxh64Column } from "./mhl/xxh64_column.ts";
import { NOT_KEPT_BYTES } from "./not_kept.ts";
import { nameOfStored } from "./codec/stored_name.ts";
import { RowFinder } from "./row_finder.ts";
import { nameOf } from "./stored_form.ts";
import type { SourcePart } from "./source_parts.ts";
import { type EncodingShare, StoredRows } from "./stored_rows.ts";

export interface LaneTaskShare {
  task: string;
  /** Top name at the destination. */
  name: string;
  /** Marker key of the binding: names the manifest and the stage. */
  bindingKey: string;
  sourcePath: string;
  runId: string;
  /** Name of this attempt's folder in the stage. */
  stageName: string;
  /** Only this part of the source. */
  part?: SourcePart;
  /**
   * Other agents may have tried the task, or try it later: the stage is made once, when the attempt begins, and a
   * successor that removes it has the last word.
   */
  isShared?: boolean;
  /** See `AttemptGuard`. */
  guard?: SharedArrayBuffer;
  table: EntryTableShare;
  /** One byte per entry, see entry_status.ts. */
  status: SharedArrayBuffer;
  /** 32 bytes per entry: hashes this destination's manifest or journal knows; empty unless they are needed. */
  knownSha256: SharedArrayBuffer;
  /** How files are stored, where not as they are. */
  encoding?: EncodingShare;
  /** With `--mhl`: see `Xxh64Column`. */
  xxh64?: SharedArrayBuffer;
  /** Four counters: what could not be set as it is in the source, see not_kept.ts. */
  notKept?: SharedArrayBuffer;
}

/** Ends the name of a stage that holds only earlier versions which could not be put back: the next run tries again. */
const ASIDE_SUFFIX = "-kept";

export function stageKeyOf(
  { bindingKey, part }: Pick<LaneTaskShare, "bindingKey" | "part">,
): string {
  return part === undefined ? bindingKey : `${bindingKey}.${part.key}`;
}

/** "t", ten digits and NUL. */
const STAGED_NAME_BYTES = 12;
const T = 116;

export class LaneTask {
  readonly share: LaneTaskShare;
  readonly table: EntryTable;
  readonly status: Uint8Array;
  /** With `--mhl`, else undefined; let go of when no generation came of it, so that the next one calls them original. */
  xxh64: Xxh64Column | undefined;
  /** Owners, modes, times and extended attributes that this destination did not take, counted by all of its threads. */
  readonly notKept: Int32Array;
  /** Of files that are stored encoded; undefined in a task without a codec. */
  readonly encoded: StoredRows | undefined;
  /** The copy's directories. Only valid once the top directory exists. */
  #finals: DirectoryCache | undefined;
  #finalRoot: DirectoryHandle = -1;
  #stage: DirectoryHandle = -1;
  readonly #posix: Posix;
  readonly #root: DirectoryHandle;
  readonly #stages: DirectoryHandle;
  readonly #stagedName = new Uint8Array(STAGED_NAME_BYTES);
  readonly #knownSha256: Buffer;
  readonly #tableSha256: Buffer;
  readonly #guard: AttemptGuard | undefined;
  readonly #aboutStage = newStat();
  #finder: RowFinder | undefined;
  /** Paths of directories by row: siblings ask for the same one again and again. */
  #pathRow = -1;
  #path = "";

  constructor(
    posix: Posix,
    root: DirectoryHandle,
    stages: DirectoryHandle,
    share: LaneTaskShare,
  ) {
    this.#posix = posix;
    this.#root = root;
    this.#stages = stages;
    this.share = share;
    this.table = EntryTable.fromShare(share.table);
    this.status = new Uint8Array(share.status);
    this.encoded = share.encoding === undefined
      ? undefined
      : new StoredRows(this.table, share.encoding);
    this.xxh64 = share.xxh64 === undefined ? undefined : new Xxh64Column(share.xxh64);
    this.notKept = new Int32Array(share.notKept ?? new SharedArrayBuffer(NOT_KEPT_BYTES));
    this.#guard = share.guard === undefined ? undefined : new AttemptGuard(share.guard);
    this.#knownSha256 = Buffer.from(share.knownSha256);
    this.#tableSha256 = Buffer.from(share.table.sha256);
  }

  /** Directories of the copy, or undefined while its top directory does not exist. */
  finals(): DirectoryCache | undefined {
    if (this.#finals !== undefined) return this.#finals;
    const root = this.#posix.openDirectory(this.#root, cName(this.share.name));
    if (root < 0) return undefined;
    this.#finalRoot = root;
    const table = this.table;
    this.#finals = new DirectoryCache(this.#posix, {
      parent: (row) => table.columns.parent[row]!,
      cName: (row) => table.cName(row),
    }, root);
    return this.#finals;
  }

  /** The handle of the directory that row `i` lies in, at the destination; or -errno. */
  parentHandle(i: number): DirectoryHandle {
    const finals = this.finals();
    return finals === undefined ? -ENOENT : finals.handle(this.table.columns.parent[i]!);
  }

  /** Names the folder of the source's, or part's, stages. No binding key has a dot. */
  get stageKey(): string {
    return stageKeyOf(this.share);
  }

  /** The folder for this attempt's temporary files, made when missing and nobody else may have removed it; or -errno. */
  stage(): DirectoryHandle {
    if (this.#stage >= 0) return this.#stage;
    return this.#stage = this.share.isShared === true ? this.#openStage() : this.makeStage();
  }

  /** The same, made in any case: when an attempt begins. */
  makeStage(): DirectoryHandle {
    if (this.#stage < 0) this.#stage = this.#makeStage(this.share.stageName);
    return this.#stage;
  }

  /** The attempt was ended, or its lease is over. Asked before every change. */
  get isOver(): boolean {
    return this.#guard?.isOver === true;
  }

  /**
   * Before anything is changed in the copy. @throws {BackupError} `superseded` when the attempt is over, or a successor has
   * removed its stage
   */
  assertMayChange(): void {
    if (this.isOver) throw superseded();
    if (this.share.isShared !== true) return;
    const above = this.openStages();
    const found = above < 0
      ? above
      : this.#posix.statAt(above, cName(this.share.stageName), this.#aboutStage);
    if (above >= 0) this.#posix.closeDirectory(above);
    if (found === -ENOENT) throw superseded();
  }

  #openStage(): DirectoryHandle {
    const above = this.openStages();
    if (above < 0) return above;
    const stage = this.#posix.openDirectory(above, cName(this.share.stageName));
    this.#posix.closeDirectory(above);
    return stage;
  }

  /** A stage of its own for earlier versions that could not be put back; or -errno. The caller closes it. */
  openAside(): DirectoryHandle {
    return this.#makeStage(this.share.stageName + ASIDE_SUFFIX);
  }

  /** The folder that holds this source's stages, or -errno. The caller closes it. */
  openStages(): DirectoryHandle {
    return this.#posix.openDirectory(this.#stages, cName(this.stageKey));
  }

  #makeStage(stageName: string): DirectoryHandle {
    const key = cName(this.stageKey);
    let made = this.#posix.makeDirectory(this.#stages, key, 0o700);
    if (made < 0 && made !== -EEXIST) return made;
    const above = this.openStages();
    if (above < 0) return above;
    const name = cName(stageName);
    made = this.#posix.makeDirectory(above, name, 0o700);
    const stage = made < 0 && made !== -EEXIST ? made : this.#posix.openDirectory(above, name);
    this.#posix.closeDirectory(above);
    // A destination may have one, for whatever people put there: the copies are to have the source's ACLs only.
    if (stage >= 0) dropDefaultAcl(this.#posix, stage);
    return stage;
  }

  /**
   * Temporary name of row `i`: short, so that a name of 255 bytes needs no room for a suffix. The bytes are good until
   * the next call.
   */
  stagedName(i: number): Uint8Array {
    let at = STAGED_NAME_BYTES - 1;
    let rest = i;
    do {
      this.#stagedName[--at] = 48 + rest % 10;
      rest = Math.floor(rest / 10);
    } while (rest > 0);
    this.#stagedName[--at] = T;
    return this.#stagedName.subarray(at);
  }

  /** The name that stands for row `i` at the destination, with its closing NUL. */
  storedName(i: number): Uint8Array {
    if (this.encoded === undefined || !this.encoded.has(i)) return this.table.cName(i);
    return Buffer.from(`${this.encoded.name(i)}\0`, "latin1");
  }

  /** What stands for row `i` was stored as `entry` says, and would be stored so again. */
  isStoredSo(i: number, entry: ManifestEntry): boolean {
    return this.encoded === undefined || !this.encoded.has(i)
      ? entry.codec === undefined
      : this.encoded.isStoredSo(i, entry);
  }

  /** The row whose file or other thing stands under `path`, one byte a character, below the top; undefined: nobody's. */
  rowStoredAt(path: string): number | undefined {
    this.#finder ??= new RowFinder(this.table);
    const row = this.#finder.find(path);
    if (row !== undefined && !this.encoded?.has(row)) return row;
    if (this.encoded === undefined) return undefined;
    const name = nameOf(path);
    const own = nameOfStored(name, this.encoded.codec);
    if (own === undefined) return undefined;
    const owner = this.#finder.find(path.slice(0, path.length - name.length) + own);
    const isOwner = owner !== undefined && this.encoded.has(owner) &&
      this.encoded.name(owner) === name;
    return isOwner ? owner : undefined;
  }

  /** Where what stands for row `i` lies below the top, one byte a character. */
  storedPath(i: number): string {
    const path = this.path(i);
    if (this.encoded === undefined || !this.encoded.has(i)) return path;
    return path.slice(0, path.length - nameOf(path).length) + this.encoded.name(i);
  }

  path(i: number): string {
    const parent = this.table.columns.parent[i]!;
    if (parent === 0xffffffff) return "";
    if (parent !== this.#pathRow) {
      this.#pathRow = parent;
      this.#path = this.table.pathLatin1(parent);
    }
    const name = this.table.nameLatin1(i);
    return this.#path === "" ? name : `${this.#path}/${name}`;
  }

  display(i: number): string {
    return displayOf(this.table, this.share.name, i);
  }

  get hasKnownSha256(): boolean {
    return this.#knownSha256.length > 0;
  }

  setKnownSha256(i: number, hex: string): void {
    this.#knownSha256.write(hex, i * 32, 32, "hex");
  }

  /** The hash that the bytes at this destination must have, in hex. */
  expectedHex(i: number, useKnown: boolean, version: FileVersion | undefined): string {
    if (version !== undefined) return version.sha256;
    const from = useKnown ? this.#knownSha256 : this.#tableSha256;
    return from.toString("hex", i * 32, i * 32 + 32);
  }

  /** After a folder of the copy got another name. */
  reopenFinals(): void {
    this.#finals?.close();
    this.#finals = undefined;
    if (this.#finalRoot >= 0) this.#posix.closeDirectory(this.#finalRoot);
    this.#finalRoot = -1;
  }

  close(): void {
    this.reopenFinals();
    if (this.#stage >= 0) this.#posix.closeDirectory(this.#stage);
    this.#stage = -1;
  }
}
