/**
 * The list of a source from its manifest and the lists of its parts. Rule: within the stretch of a part its list counts,
 * elsewhere the manifest; every entry that is there has the folders it is in before it. Doing it again changes nothing.
 * Pure.
 */
import { IntegrityError } from "../../../protocol/base/errors.ts";
import { utf8OfLatin1 } from "../../source/entry_table.ts";
import { isBefore, isBehind, isBelow, type Stretch } from "../../source/stretch.ts";
import { compareWalkOrder } from "../../source/walk_order.ts";
import { type ManifestHeader, ManifestLine } from "./manifest_file.ts";
import { linePathLatin1, stretchOf } from "./part_list.ts";
import { storedPathLatin1 } from "./stored_form.ts";

export interface PartLines {
  header: ManifestHeader;
  lines: Iterator<ManifestLine>;
}

export interface MergedLine {
  /** One byte a character. */
  path: string;
  text: string;
}

/** @throws {IntegrityError} when two of the lists are about the same entries */
export function* mergeParts(
  base: Iterator<ManifestLine> | undefined,
  parts: readonly PartLines[],
): Generator<MergedLine> {
  const sorted = inOrder(parts);
  const above = foldersAboveParts(sorted);
  const folders = new OpenFolders();
  const rest = new Lines(base);
  /** Ends a part: what lies below it is in the lists of others, which were made before it was no folder. */
  let last: ManifestLine | undefined;
  let lastAtMs = 0;

  const emit = (line: ManifestLine, path: string, isOld: boolean): MergedLine | undefined => {
    let { text } = line;
    const folder = above.get(path);
    // A later part has found the folder there, and put it there. That a part has put something else in its place since is
    // for that part to say.
    const isStale = isGone(text) || (isOld && !isFolder(text));
    if (folder !== undefined && isStale) text = folder;
    if (last !== undefined) {
      const below = linePathLatin1(last);
      if (!isBelow(path, below)) last = undefined;
      else if (storedPathLatin1(last.entry) === below) return undefined;
      else if (!isGone(text)) text = `${text.slice(0, -1)},"goneAtMs":${lastAtMs}}`;
    }
    folders.note(path, isFolder(text) && !isGone(text));
    return { path, text };
  };

  /** A part has found something else in the place of this folder, or of one above it. */
  const isTaken = (folder: string): boolean => {
    const taken = last === undefined ? undefined : linePathLatin1(last);
    return taken !== undefined && (folder === taken || isBelow(folder, taken));
  };

  for (const { stretch, header, lines } of sorted) {
    for (; rest.path !== undefined && isBefore(stretch, rest.path); rest.advance()) {
      const merged = emit(rest.line!, rest.path, true);
      if (merged !== undefined) yield merged;
    }
    while (rest.path !== undefined && !isBehind(stretch, rest.path)) rest.advance();
    if (stretch.from !== undefined) {
      for (const text of header.part!.above) {
        const line = new ManifestLine(text, PARTS);
        const path = linePathLatin1(line);
        if (folders.has(path, stretch.from) || isTaken(path)) continue;
        const merged = emit(line, path, false);
        if (merged !== undefined) yield merged;
      }
    }
    let own: ManifestLine | undefined;
    for (let next = lines.next(); !next.done; next = lines.next()) {
      own = next.value;
      const merged = emit(own, linePathLatin1(own), false);
      if (merged !== undefined) yield merged;
    }
    if (own !== undefined && !isFolder(own.text) && !isGone(own.text)) {
      last = own;
      lastAtMs = Date.parse(header.createdAt);
    }
  }
  for (; rest.path !== undefined; rest.advance()) {
    const merged = emit(rest.line!, rest.path, true);
    if (merged !== undefined) yield merged;
  }
}

const PARTS = "The list of a part";

interface OrderedPart extends PartLines {
  stretch: Stretch;
}

function inOrder(parts: readonly PartLines[]): OrderedPart[] {
  const sorted = parts.map((part): OrderedPart => {
    if (part.header.part === undefined) throw new TypeError("The list of no part");
    return { ...part, stretch: stretchOf(part.header.part) };
  }).sort((a, b) => compareWalkOrder(a.stretch.from ?? "", b.stretch.from ?? ""));
  sorted.forEach(({ stretch }, at) => {
    const next = sorted[at + 1];
    if (next === undefined) return;
    const from = next.stretch.from ?? "";
    if (stretch.to !== undefined && compareWalkOrder(stretch.to, from) <= 0) return;
    throw new IntegrityError(
      `Two lists of parts of ${next.header.name} are about ${utf8OfLatin1(from) || "its begin"}`,
      { hint: "Move the lists of its parts in .backup-agent/manifests away and back it up again" },
    );
  });
  return sorted;
}

function foldersAboveParts(parts: readonly OrderedPart[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const { header } of parts) {
    for (const text of header.part!.above) {
      found.set(linePathLatin1(new ManifestLine(text, PARTS)), text);
    }
  }
  return found;
}

/** In a line no quote stands for itself but those around its fields. */
function isFolder(text: string): boolean {
  return text.includes('","type":"directory"');
}

function isGone(text: string): boolean {
  return text.includes(',"goneAtMs":');
}

class Lines {
  readonly #lines: Iterator<ManifestLine> | undefined;
  line: ManifestLine | undefined;
  path: string | undefined;

  constructor(lines: Iterator<ManifestLine> | undefined) {
    this.#lines = lines;
    this.advance();
  }

  advance(): void {
    const next = this.#lines?.next();
    this.line = next === undefined || next.done ? undefined : next.value;
    this.path = this.line === undefined ? undefined : linePathLatin1(this.line);
  }
}

/** The folders that the last entry lies in, itself included, as far as they have lines. */
class OpenFolders {
  readonly #paths: string[] = [];

  note(path: string, isOpen: boolean): void {
    this.#leave(path);
    if (isOpen) this.#paths.push(path);
  }

  /** Whether `folder`, above `next`, has a line. */
  has(folder: string, next: string): boolean {
    this.#leave(next);
    return this.#paths.includes(folder);
  }

  #leave(path: string): void {
    while (this.#paths.length > 0 && !isBelow(path, this.#paths.at(-1)!)) this.#paths.pop();
  }
}
