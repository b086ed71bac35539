/**
 * Writes one generation of ASC MHL 2.0 into a verified copy. Rule: a hash in it is of bytes whose SHA-256 was right at
 * this destination; earlier generations are never touched; the file is whole and flushed before it has its name.
 */
import { createHash } from "node:crypto";
import { hostname } from "node:os";
import program from "../../../../deno.json" with { type: "json" };
import { EEXIST, posixError } from "../../../platform/errno.ts";
import {
  cName,
  type DirectoryHandle,
  KIND_DIRECTORY,
  KIND_FILE,
  newStat,
  type Posix,
} from "../../../platform/posix.ts";
import { latin1OfUtf8, NONE, utf8OfLatin1 } from "../../../source/entry_table.ts";
import { OldEntries } from "../diff.ts";
import {
  STATUS_REVERIFIED,
  STATUS_UNCHANGED,
  STATUS_UNFINISHED,
  STATUS_VERIFIED,
} from "../entry_status.ts";
import type { LaneTask } from "../lane_task.ts";
import type { CopyDestination } from "../list_keys.ts";
import { openManifest } from "../manifest_file.ts";
import type { FileVersion, ManifestEntry } from "../manifest_line.ts";
import { manifestName } from "../manifest_update.ts";
import { c4Of } from "./c4.ts";
import { addToChain, readChain, writeChain } from "./chain.ts";
import { DirectoryHasher, type DirectoryHashes } from "./directory_hashes.ts";
import {
  fitsXml,
  HASH_LIST_NAMESPACE,
  hashElement,
  pathElement,
  XML_START,
  xmlDate,
  xmlName,
  xmlText,
} from "./mhl_xml.ts";
import { generationName, MHL_DIRECTORY } from "./own_files.ts";
import { flushFolder, placeFile } from "./place_file.ts";
import { Xxh64 } from "./xxh64.ts";

export interface Generation {
  posix: Posix;
  destination: CopyDestination;
  task: LaneTask;
  versions: ReadonlyMap<number, FileVersion>;
  verifiedAtMs: number;
  createdAtMs: number;
  tick(): void;
}

const WRITE_CHARACTERS = 256 << 10;
const OWNER_WRITES = 0o300;

/**
 * Answers what a person should know, above all why there is none.
 * @throws {BackupError} when it cannot be written, or the chain there is damaged
 */
export function writeGeneration(input: Generation): string[] {
  const { posix, destination, task } = input;
  const { name } = task.share;
  const display = `${destination.display}/${name}/${MHL_DIRECTORY}`;
  const survey = surveyCopy(input);
  if (survey.hasOwnHistory) {
    return [
      `${name} has a folder ${MHL_DIRECTORY} of its own, which was copied as it is: no ASC MHL of this backup was added`,
    ];
  }
  const top = posix.openDirectory(destination.root, cName(name));
  if (top < 0) throw posixError(top, "open", `${destination.display}/${name}`);
  try {
    const folder = openFolder(posix, top, display, task);
    try {
      const chain = readChain(posix, folder, display, input.tick);
      const generation = chain.newest + 1;
      const file = generationName(generation, xmlName(name), input.createdAtMs);
      const stage = task.stage();
      if (stage < 0) throw posixError(stage, "create", display);
      const c4 = writeList(input, survey, generation, { stage, folder, file, display });
      addToChain(chain, generation, file, c4);
      writeChain(posix, stage, folder, chain, display);
    } finally {
      posix.closeDirectory(folder);
    }
  } finally {
    posix.closeDirectory(top);
  }
  return survey.leftOut.map((path) =>
    `${name}/${path}: XML cannot hold this name, so the file is not in the ASC MHL (it was copied and verified)`
  );
}

/** Makes the folder where it is missing, also in a folder that its owner may not write to. */
function openFolder(
  posix: Posix,
  top: DirectoryHandle,
  display: string,
  task: LaneTask,
): DirectoryHandle {
  const stat = newStat();
  const name = cName(MHL_DIRECTORY);
  if (posix.statAt(top, name, stat) < 0) {
    // What we add is not the source's: its folder is finished once more, and gets the source's mode and time again.
    task.status[0] = STATUS_UNFINISHED;
    const isLocked = posix.statDirectory(top, stat) === 0 &&
      (stat.mode & OWNER_WRITES) !== OWNER_WRITES;
    if (isLocked) posix.setFileMode(top, stat.mode | OWNER_WRITES);
    const made = posix.makeDirectory(top, name, 0o755);
    if (made < 0 && made !== -EEXIST) throw posixError(made, "create", display);
  }
  const folder = posix.openDirectory(top, name);
  if (folder < 0) throw posixError(folder, "open", display);
  // Also one that an interrupted run made: what goes into it lasts as long as its own name does.
  try {
    flushFolder(posix, top, display);
  } catch (thrown) {
    posix.closeDirectory(folder);
    throw thrown;
  }
  return folder;
}

interface Survey {
  /** The source has, or had, a folder of that name at its top. */
  hasOwnHistory: boolean;
  /** Paths, as people read them, that XML cannot hold. */
  leftOut: string[];
  /** By row; undefined where the copy holds more than the list, so that nobody could compute the same. */
  directories: Map<number, DirectoryHashes> | undefined;
}

/** Looks at everything once before anything is written. */
function surveyCopy(input: Generation): Survey {
  const { task } = input;
  const { table } = task;
  const survey: Survey = { hasOwnHistory: false, leftOut: [], directories: undefined };
  let isAll = true;
  const isHistory = (path: string) =>
    path === MHL_DIRECTORY || path.startsWith(`${MHL_DIRECTORY}/`);
  withOldEntries(input, (entries) => {
    const onGone = (_line: unknown, path: string) => {
      isAll = false;
      if (isHistory(path)) survey.hasOwnHistory = true;
    };
    for (let row = 0; row < table.count; row++) {
      if ((row & 255) === 0) input.tick();
      const path = task.path(row);
      entries.find(path, onGone);
      if (isHistory(path)) survey.hasOwnHistory = true;
      const kind = table.columns.kind[row]!;
      if (isIgnored(path)) continue;
      if (kind !== KIND_FILE && kind !== KIND_DIRECTORY) isAll = false;
      else if (!isListable(path)) {
        isAll = false;
        if (kind === KIND_FILE) survey.leftOut.push(table.pathText(row));
      } else if (kind === KIND_FILE && hashOf(task, row) === undefined) isAll = false;
    }
    entries.finish(onGone);
  });
  if (isAll) survey.directories = directoryHashes(task);
  return survey;
}

/** Rows come in walk order, a folder before what is in it: backwards, all of a folder is known when its turn comes. */
function directoryHashes(task: LaneTask): Map<number, DirectoryHashes> {
  const { table } = task;
  const { kind, parent } = table.columns;
  const hash = new Xxh64();
  const open = new Map<number, DirectoryHasher>();
  const found = new Map<number, DirectoryHashes>();
  const hasherOf = (row: number): DirectoryHasher => {
    const there = open.get(row) ?? new DirectoryHasher(hash);
    open.set(row, there);
    return there;
  };
  for (let row = table.count - 1; row >= 0; row--) {
    if (isIgnored(task.path(row))) continue;
    const cNameOfRow = table.cName(row);
    const name = cNameOfRow.subarray(0, cNameOfRow.length - 1);
    if (kind[row] === KIND_FILE) hasherOf(parent[row]!).addFile(name, hashOf(task, row)!);
    else {
      const hashes = hasherOf(row).finish();
      open.delete(row);
      found.set(row, hashes);
      if (parent[row] !== NONE) hasherOf(parent[row]!).addDirectory(name, hashes);
    }
  }
  return found;
}

/** Puts the list into its folder; answers its C4. */
function writeList(
  input: Generation,
  survey: Survey,
  generation: number,
  to: { stage: DirectoryHandle; folder: DirectoryHandle; file: string; display: string },
): string {
  const { posix, task } = input;
  const sha512 = createHash("sha512");
  placeFile(posix, to.stage, to.folder, to.file, `${to.display}/${to.file}`, (write) => {
    let text = head(input, survey);
    const drain = () => {
      const bytes = new TextEncoder().encode(text);
      text = "";
      sha512.update(bytes);
      write(bytes);
    };
    let isEmpty = true;
    withOldEntries(input, (entries) => {
      for (let row = 0; row < task.table.count; row++) {
        if ((row & 255) === 0) input.tick();
        const old = entries.find(task.path(row), () => {})?.entry;
        const element = elementOf(input, survey, generation, row, old);
        if (element === undefined) continue;
        if (isEmpty) text += "  <hashes>\n";
        isEmpty = false;
        text += element;
        if (text.length >= WRITE_CHARACTERS) drain();
      }
    });
    text += isEmpty ? "</hashlist>\n" : "  </hashes>\n</hashlist>\n";
    drain();
  });
  return c4Of(sha512);
}

function head(input: Generation, survey: Survey): string {
  const root = survey.directories?.get(0);
  const host = xmlText(xmlName(hostname()));
  const rootHash = root === undefined
    ? ""
    : `    <roothash>\n${directoryParts(root, input.verifiedAtMs, "      ")}    </roothash>\n`;
  return `${XML_START}<hashlist version="2.0" xmlns="${HASH_LIST_NAMESPACE}">\n` +
    `  <creatorinfo>\n    <creationdate>${xmlDate(input.createdAtMs)}</creationdate>\n` +
    `    <hostname>${host}</hostname>\n` +
    `    <tool version="${program.version}">backup-agent</tool>\n  </creatorinfo>\n` +
    `  <processinfo>\n    <process>transfer</process>\n${rootHash}` +
    `    <ignore>\n      <pattern>${MHL_DIRECTORY}</pattern>\n` +
    `      <pattern>${MHL_DIRECTORY}/</pattern>\n    </ignore>\n  </processinfo>\n`;
}

function elementOf(
  input: Generation,
  survey: Survey,
  generation: number,
  row: number,
  old: ManifestEntry | undefined,
): string | undefined {
  const { task } = input;
  const c = task.table.columns;
  const path = task.path(row);
  if (row === 0 || isIgnored(path) || !isListable(path)) return undefined;
  if (c.kind[row] === KIND_DIRECTORY) {
    const hashes = survey.directories?.get(row);
    if (hashes === undefined) return undefined;
    const element = pathElement(utf8OfLatin1(path), c.mtimeSec[row]!);
    return `    <directoryhash>\n      ${element}\n${
      directoryParts(hashes, input.verifiedAtMs, "      ")
    }    </directoryhash>\n`;
  }
  const hex = hashOf(task, row);
  if (hex === undefined) return undefined;
  const first = firstOf(task, row);
  const version = input.versions.get(first);
  const wasRead = task.status[first] !== STATUS_UNCHANGED;
  const hashedAtMs = wasRead ? input.verifiedAtMs : old?.verifiedAtMs ?? input.verifiedAtMs;
  const isKnown = generation > 1 && old?.xxh64 === hex;
  const action = !isKnown ? "original" : wasRead ? "verified" : undefined;
  const element = pathElement(
    utf8OfLatin1(path),
    version?.mtimeSec ?? c.mtimeSec[first]!,
    version?.sizeBytes ?? c.sizeBytes[first]!,
  );
  return `    <hash>\n      ${element}\n      ${
    hashElement(hex, hashedAtMs, action)
  }\n    </hash>\n`;
}

function directoryParts(hashes: DirectoryHashes, atMs: number, indent: string): string {
  const part = (name: keyof DirectoryHashes) =>
    `${indent}<${name}>\n${indent}  ${hashElement(hashes[name], atMs)}\n${indent}</${name}>\n`;
  return part("content") + part("structure");
}

/** The hash of a file that stands at the destination as it should, under whichever of its names. */
function hashOf(task: LaneTask, row: number): string | undefined {
  const { kind } = task.table.columns;
  if (kind[row] !== KIND_FILE || !isSound(task.status[row]!)) return undefined;
  return task.xxh64?.get(firstOf(task, row));
}

/** The row whose content was read: a further name that had to become a file of its own was read itself. */
function firstOf(task: LaneTask, row: number): number {
  const first = task.table.columns.linkTo[row]!;
  return first === NONE || task.xxh64?.has(row) === true ? row : first;
}

function isSound(status: number): boolean {
  return status === STATUS_VERIFIED || status === STATUS_REVERIFIED || status === STATUS_UNCHANGED;
}

/** What the patterns in the list leave out: histories of folders further down. */
function isIgnored(path: string): boolean {
  return path.includes(MHL_DIRECTORY) && path.split("/").includes(MHL_DIRECTORY);
}

/** `path` is one byte a character. */
function isListable(path: string): boolean {
  const text = utf8OfLatin1(path);
  return fitsXml(text) && latin1OfUtf8(text) === path;
}

function withOldEntries(input: Generation, use: (entries: OldEntries) => void): void {
  const { posix, destination, task } = input;
  const name = manifestName(task.share.bindingKey);
  const display = `${destination.display}/.backup-agent/manifests/${name}`;
  const old = openManifest(posix, destination.manifests, name, display, destination.keys);
  try {
    use(new OldEntries(old?.lines));
  } finally {
    old?.close();
  }
}
