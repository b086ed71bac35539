/**
 * What a copy needs to be again what its manifest says. Rule: every line is looked at by name and without following links;
 * whether content is right is not decided here but by who read it back (`sound`).
 */
import { Buffer } from "node:buffer";
import { IntegrityError } from "../../../protocol/base/errors.ts";
import { ELOOP, ENOENT, ENOTDIR, errnoText } from "../../platform/errno.ts";
import {
  cName,
  type DirectoryHandle,
  KIND_BLOCK_DEVICE,
  KIND_CHARACTER_DEVICE,
  KIND_DIRECTORY,
  KIND_FIFO,
  KIND_FILE,
  KIND_SOCKET,
  KIND_SYMLINK,
  newStat,
  type Posix,
  type Stat,
} from "../../platform/posix.ts";
import { latin1OfUtf8 } from "../../source/entry_table.ts";
import type { CopyDestination } from "./list_keys.ts";
import { openManifest } from "./manifest_file.ts";
import { entryPathLatin1, type ManifestEntry } from "./manifest_line.ts";
import { manifestName } from "./manifest_update.ts";
import { type Kept, metadataDifference } from "./recorded_metadata.ts";
import { isConfined } from "./confined_path.ts";
import { storedContent, storedPathLatin1 } from "./stored_form.ts";
import { cNameOfLatin1, openPath } from "./tree_removal.ts";

/** `directory` and `other` (links, FIFOs, devices, further names) are made from the line alone, `content` needs another copy. */
export type DamageKind = "directory" | "content" | "other" | "metadata";

export interface Damage {
  /** The line's number in the manifest, from 0. */
  line: number;
  entry: ManifestEntry;
  kind: DamageKind;
  /** For people: what is wrong. */
  what: string;
  group: "damaged" | "missing" | "unreadable";
  /** It is to be made as a further name of this file: its stored path in the copy, one byte a character. */
  linkPath?: string;
}

export interface FindRequest {
  bindingKey: string;
  name: string;
  /** One byte per manifest line: 1 when the content was read back and is right. */
  sound: SharedArrayBuffer;
  /** Hard links can be made here; where not, each name has a content of its own. */
  keepsLinks: boolean;
  /** Lines before this one are passed over. */
  fromLine: number;
}

export interface Found {
  damages: Damage[];
  /** Where to go on; undefined at the end. */
  nextLine: number | undefined;
}

/** Damages answered at once: bounds the memory of a copy of which nothing is left. */
export const DAMAGES_MAX = 100_000;

const KIND_OF_TYPE: Readonly<Record<string, number>> = {
  file: KIND_FILE,
  directory: KIND_DIRECTORY,
  symlink: KIND_SYMLINK,
  fifo: KIND_FIFO,
  character: KIND_CHARACTER_DEVICE,
  block: KIND_BLOCK_DEVICE,
};
const TYPE_OF_KIND: Readonly<Record<number, string>> = {
  [KIND_SOCKET]: "socket",
  ...Object.fromEntries(Object.entries(KIND_OF_TYPE).map(([type, kind]) => [kind, type])),
};

/** @throws {BackupError} `damaged` when the manifest is, or when a path in it leads out of the copy */
export function findDamage(
  posix: Posix,
  destination: CopyDestination,
  kept: Kept,
  request: FindRequest,
  tick: () => void,
): Found {
  const places = new Places(posix, destination.root, request.name);
  const sound = new Uint8Array(request.sound);
  const firsts = firstNamesOf(posix, destination, request.bindingKey, tick);
  const found: Found = { damages: [], nextLine: undefined };
  const stat = newStat();
  try {
    eachLine(posix, destination, request.bindingKey, (entry, line) => {
      tick();
      const path = storedPathLatin1(entry);
      if (!isConfined(path)) throw leadsOut(destination, request.bindingKey, entry);
      const first = firsts.get(entryPathLatin1(entry));
      if (first !== undefined) {
        first.isSound = sound[line] === 1;
        first.sha256 = storedContent(entry).sha256;
        first.storedPath = path;
      }
      if (line < request.fromLine || entry.recordedOnly === true) return true;
      if (KIND_OF_TYPE[entry.type] === undefined) return true;
      const { at, name, result } = places.find(path, stat);
      const differs = result < 0
        ? absent(entry, result)
        : difference(posix, at, name, entry, stat, kept, sound[line] === 1);
      const linkTo = request.keepsLinks ? linkTargetOf(entry) : undefined;
      const linkedFirst = linkTo === undefined ? undefined : firsts.get(linkTo);
      let damage: Damage | undefined = differs === undefined
        ? undefined
        : { line, entry, ...differs };
      // A further name is made from its first, when that one is right and records the same content.
      if (
        linkTo !== undefined && linkedFirst?.isSound === true &&
        linkedFirst.sha256 === storedContent(entry).sha256 && damage?.group !== "unreadable"
      ) {
        const linkPath = linkedFirst.storedPath;
        if (damage !== undefined && damage.kind !== "metadata") {
          damage = { ...damage, kind: "other", linkPath };
        } else if (!places.isSameFile(linkPath, stat)) {
          const what = `It is not the same file as ${entry.hardLinkTo}`;
          damage = { line, entry, kind: "other", group: "damaged", what, linkPath };
        }
      }
      if (damage !== undefined) found.damages.push(damage);
      if (found.damages.length < DAMAGES_MAX) return true;
      found.nextLine = line + 1;
      return false;
    });
    return found;
  } finally {
    places.close();
  }
}

/** The path of the file's first name, one byte a character; undefined when this is no further name. */
export function linkTargetOf(entry: ManifestEntry): string | undefined {
  if (entry.type !== "file" || entry.hardLinkTo === undefined) return undefined;
  return entry.hardLinkToBase64 === undefined
    ? latin1OfUtf8(entry.hardLinkTo)
    : Buffer.from(entry.hardLinkToBase64, "base64").toString("latin1");
}

type Difference = Pick<Damage, "kind" | "what" | "group">;

function absent(entry: ManifestEntry, result: number): Difference {
  const kind = makingKind(entry);
  if (result === -ENOENT || result === -ENOTDIR || result === -ELOOP) {
    return { kind, group: "missing", what: `Recorded as a ${entry.type}, but not there` };
  }
  return { kind, group: "unreadable", what: errnoText(-result) };
}

function makingKind(entry: ManifestEntry): DamageKind {
  if (entry.type === "directory") return "directory";
  return entry.type === "file" ? "content" : "other";
}

function difference(
  posix: Posix,
  at: DirectoryHandle,
  name: Uint8Array,
  entry: ManifestEntry,
  stat: Stat,
  kept: Kept,
  isSound: boolean,
): Difference | undefined {
  const kind = makingKind(entry);
  const damaged = (what: string): Difference => ({ kind, group: "damaged", what });
  if (stat.kind !== KIND_OF_TYPE[entry.type]) {
    return damaged(`Recorded as a ${entry.type}, but it is a ${TYPE_OF_KIND[stat.kind]}`);
  }
  const stored = storedContent(entry);
  if (kind === "content" && stored.sha256 !== undefined) {
    if (stat.sizeBytes !== stored.sizeBytes) {
      return damaged(`The size is ${stat.sizeBytes} bytes instead of ${stored.sizeBytes}`);
    }
    if (!isSound) return damaged("The checksum is not the recorded one");
  }
  if (entry.type === "symlink") {
    const target = posix.readLink(at, name);
    if (typeof target === "number") {
      return { kind, group: "unreadable", what: errnoText(-target) };
    }
    if (!Buffer.from(target).equals(symlinkTarget(entry))) {
      return damaged(
        `Recorded as a link to ${entry.target}, but it points to ${Buffer.from(target).toString()}`,
      );
    }
  }
  if (entry.rdev !== undefined && stat.rdev !== entry.rdev) {
    return damaged("The device is not the recorded one");
  }
  const wrong = metadataDifference(posix, at, name, entry, stat, kept);
  return wrong === undefined ? undefined : { kind: "metadata", group: "damaged", what: wrong };
}

/** The bytes a recorded symbolic link points to. */
export function symlinkTarget(entry: ManifestEntry): Buffer {
  return entry.targetBase64 === undefined
    ? Buffer.from(entry.target ?? "", "utf8")
    : Buffer.from(entry.targetBase64, "base64");
}

/** Calls `use` for every line until it answers false. @throws {BackupError} when there is no manifest or it is damaged */
export function eachLine(
  posix: Posix,
  destination: CopyDestination,
  bindingKey: string,
  use: (entry: ManifestEntry, line: number) => boolean,
): void {
  const file = manifestName(bindingKey);
  const display = `${destination.display}/.backup-agent/manifests/${file}`;
  const manifest = openManifest(posix, destination.manifests, file, display, destination.keys);
  if (manifest === undefined) throw new IntegrityError(`${display} is not there`);
  try {
    for (let line = 0;; line++) {
      const next = manifest.lines.next();
      if (next.done || !use(next.value.entry, line)) return;
    }
  } finally {
    manifest.close();
  }
}

interface FirstName {
  isSound: boolean;
  sha256: string | undefined;
  /** Known from its line on, which comes before those of its further names. */
  storedPath: string;
}

/** Paths that other lines are further names of. */
function firstNamesOf(
  posix: Posix,
  destination: CopyDestination,
  bindingKey: string,
  tick: () => void,
): Map<string, FirstName> {
  const firsts = new Map<string, FirstName>();
  eachLine(posix, destination, bindingKey, (entry) => {
    tick();
    const path = linkTargetOf(entry);
    if (path !== undefined) firsts.set(path, { isSound: false, sha256: undefined, storedPath: "" });
    return true;
  });
  return firsts;
}

function leadsOut(
  destination: CopyDestination,
  bindingKey: string,
  entry: ManifestEntry,
): IntegrityError {
  const display = `${destination.display}/.backup-agent/manifests/${manifestName(bindingKey)}`;
  return new IntegrityError(
    `${display} names ${JSON.stringify(entry.path)}, which is outside the copy`,
    { path: display, hint: "Nothing of this copy is repaired: run its backup again" },
  );
}

/** Finds entries by path; the folder of the last one stays open, since lines come folder by folder. */
class Places {
  readonly #posix: Posix;
  readonly #root: DirectoryHandle;
  readonly #top: string;
  readonly #other = newStat();
  #path: string | undefined;
  #handle: DirectoryHandle = -1;

  constructor(posix: Posix, root: DirectoryHandle, name: string) {
    this.#posix = posix;
    this.#root = root;
    this.#top = name;
  }

  /** `at` and `name` are valid until the next call. */
  find(path: string, stat: Stat): { at: DirectoryHandle; name: Uint8Array; result: number } {
    const { at, name } = this.#place(path);
    return { at, name, result: at < 0 ? at : this.#posix.statAt(at, name, stat) };
  }

  isSameFile(path: string, as: Stat): boolean {
    const { result } = this.find(path, this.#other);
    return result >= 0 && this.#other.inodeLow === as.inodeLow &&
      this.#other.inodeHigh === as.inodeHigh;
  }

  close(): void {
    if (this.#handle >= 0) this.#posix.closeDirectory(this.#handle);
    this.#handle = -1;
    this.#path = undefined;
  }

  #place(path: string): { at: DirectoryHandle; name: Uint8Array } {
    if (path === "") return { at: this.#root, name: cName(this.#top) };
    const cut = path.lastIndexOf("/");
    const folder = cut < 0 ? "" : path.slice(0, cut);
    if (folder !== this.#path) {
      this.close();
      this.#handle = openFolder(this.#posix, this.#root, this.#top, folder);
      this.#path = folder;
    }
    return { at: this.#handle, name: cNameOfLatin1(path.slice(cut + 1)) };
  }
}

/** The folder `path` of a copy, opened level by level; the caller closes it. -errno when it is not there. */
export function openFolder(
  posix: Posix,
  root: DirectoryHandle,
  top: string,
  path: string,
): DirectoryHandle {
  const copy = posix.openDirectory(root, cName(top));
  if (copy < 0) return copy;
  const handle = openPath(posix, copy, path, false);
  posix.closeDirectory(copy);
  return handle;
}
