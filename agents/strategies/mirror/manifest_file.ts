/**
 * A manifest on disk: a header line, one line per entry in walk order, a footer with the count and the SHA-256 of all
 * before it. Rule: a manifest that is cut short or altered is `damaged`, never half believed.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { BackupError, IntegrityError } from "../../../protocol/base/errors.ts";
import { ENOENT, posixError } from "../../platform/errno.ts";
import { Garbage } from "../../platform/garbage.ts";
import { cName, type DirectoryHandle, type Posix } from "../../platform/posix.ts";
import { writeAll } from "../../platform/small_file.ts";
import type { ByteTransform } from "./codec/byte_transform.ts";
import { type ListKeys, plainText, type ReadText, sealedName, sealedText } from "./list_keys.ts";
import type { ManifestEntry } from "./manifest_line.ts";

export const MANIFEST_FORMAT = "backup-agent manifest";
export const MANIFEST_VERSION = 1;
/** A line longer than this is not ours: the longest path is bounded by what a walk can hold. */
const LINE_CHARACTERS_MAX = 4 << 20;
const READ_BYTES = 1 << 20;
const WRITE_CHARACTERS = 256 << 10;

export interface ManifestHeader {
  format: string;
  version: number;
  name: string;
  sourcePath: string;
  runId: string;
  /** The stage this manifest completed: what that stage kept for rolling back is no longer needed. */
  stage: string;
  createdAt: string;
  /** Of a list of earlier versions: the name of the dated folder they are in. */
  versionsAt?: string;
  /** Whom the files of this run were encrypted to: public keys. */
  recipients?: string[];
  /** Of an encrypted list: the public keys it is encrypted to, so that whoever replaces it can do the same. */
  sealedFor?: string[];
  /** Of the list of a part of a source. */
  part?: PartHeader;
}

/** Which stretch of its source a list is about. */
export interface PartHeader {
  key: string;
  /** Paths, their bytes in base64; missing at the begin and the end of the source. */
  from?: string;
  to?: string;
  /** Lines of the folders that the stretch begins in: they belong to other lists, which may not have come about. */
  above: string[];
}

/** One entry's line; what it says is parsed when it is asked for, since most lines are only compared as they are. */
export class ManifestLine {
  readonly text: string;
  readonly #display: string;
  #entry: ManifestEntry | undefined;

  constructor(text: string, display: string) {
    this.text = text;
    this.#display = display;
  }

  /** @throws {IntegrityError} when the line is no entry */
  get entry(): ManifestEntry {
    if (this.#entry !== undefined) return this.#entry;
    const entry = parseLine<ManifestEntry>(this.text, this.#display);
    // The checksum comes last, so what is read before must not need it.
    if (typeof entry.path !== "string" || typeof entry.type !== "string") {
      throw damaged(this.#display, `this line is no entry: ${this.text.slice(0, 60)}`);
    }
    return this.#entry = entry;
  }
}

export interface OpenList {
  header: ManifestHeader;
  /** It lies there encrypted. */
  isSealed: boolean;
  lines: Iterator<ManifestLine>;
  close(): void;
}

/**
 * Reads a manifest line by line, encrypted or not. `undefined` when there is none.
 * @throws {BackupError} `damaged`, `newer_version`, `wrong_key`
 */
export function openManifest(
  posix: Posix,
  at: DirectoryHandle,
  name: string,
  display: string,
  keys: ListKeys,
): OpenList | undefined {
  let fd = posix.openRead(at, cName(sealedName(name)));
  const isSealed = fd !== -ENOENT;
  if (!isSealed) fd = posix.openRead(at, cName(name));
  if (fd === -ENOENT) return undefined;
  if (fd < 0) throw posixError(fd, "read", display);
  let closed = false;
  const close = () => {
    if (!closed) posix.close(fd);
    closed = true;
  };
  try {
    const read = isSealed ? sealedText(posix, fd, display, keys) : plainText(posix, fd, display);
    const raw = rawLines(read, display);
    const first = raw.next();
    if (first.done) throw damaged(display, "it is empty");
    const header = parseLine<ManifestHeader>(first.value.text, display);
    if (header.format !== MANIFEST_FORMAT) throw damaged(display, "its first line is no header");
    if (header.version > MANIFEST_VERSION) {
      throw new BackupError(
        "newer_version",
        `${display} was written by a newer backup-agent (format ${header.version})`,
        { path: display, hint: "Use that version or a later one" },
      );
    }
    return { header, isSealed, lines: entries(raw, display, close), close };
  } catch (thrown) {
    close();
    throw thrown;
  }
}

function* entries(
  raw: Iterator<RawLine>,
  display: string,
  close: () => void,
): Generator<ManifestLine> {
  let count = 0;
  try {
    for (;;) {
      const next = raw.next();
      if (next.done) throw damaged(display, "its end is missing");
      const { text, sha256Before } = next.value;
      if (text.startsWith(FOOTER_START)) {
        const footer = parseLine<{ end: boolean; entries: number; sha256: string }>(text, display);
        if (footer.entries !== count || footer.sha256 !== sha256Before()) {
          throw damaged(display, "its content does not match its checksum");
        }
        return;
      }
      count++;
      yield new ManifestLine(text, display);
    }
  } finally {
    close();
  }
}

const FOOTER_START = '{"end":';

interface RawLine {
  text: string;
  /** SHA-256 of everything before this line; only right while it is the newest line. */
  sha256Before(): string;
}

function* rawLines(read: ReadText, display: string): Generator<RawLine> {
  const hash = createHash("sha256");
  const buffer = Buffer.alloc(READ_BYTES);
  const garbage = new Garbage();
  let carry = Buffer.alloc(0);
  for (;;) {
    const got = read(buffer);
    if (got === 0) break;
    const chunk = carry.length === 0
      ? buffer.subarray(0, got)
      : Buffer.concat([carry, buffer.subarray(0, got)]);
    let from = 0;
    let hashedTo = 0;
    for (;;) {
      const end = chunk.indexOf(10, from);
      if (end < 0) break;
      const lineStart = from;
      yield {
        text: chunk.toString("utf8", from, end),
        sha256Before: () => {
          hash.update(chunk.subarray(hashedTo, lineStart));
          hashedTo = lineStart;
          return hash.copy().digest("hex");
        },
      };
      from = end + 1;
    }
    hash.update(chunk.subarray(hashedTo, from));
    carry = Buffer.from(chunk.subarray(from));
    // Text, objects and buffers: about four times what was read.
    garbage.made(4 * got);
    if (carry.length > LINE_CHARACTERS_MAX) throw damaged(display, "a line is too long");
  }
  if (carry.length > 0) throw damaged(display, "its last line is cut");
}

function parseLine<T>(text: string, display: string): T {
  try {
    const value = JSON.parse(text);
    if (typeof value !== "object" || value === null) throw new TypeError("not an object");
    return value as T;
  } catch {
    throw damaged(display, `this line is not valid: ${text.slice(0, 60)}`);
  }
}

function damaged(display: string, why: string): IntegrityError {
  return new IntegrityError(`${display} is damaged: ${why}`, {
    path: display,
    hint: "Move it away to copy and verify everything of this source again",
  });
}

/** Writes lines to a new file, through `seal` if that is given; the caller renames it when `finish` returned. */
export class ManifestWriter {
  readonly #posix: Posix;
  readonly #fd: number;
  readonly #display: string;
  readonly #seal: ByteTransform | undefined;
  readonly #hash = createHash("sha256");
  readonly #garbage = new Garbage();
  #text = "";
  #entries = 0;

  constructor(
    posix: Posix,
    fd: number,
    display: string,
    header: ManifestHeader,
    seal?: ByteTransform,
  ) {
    this.#posix = posix;
    this.#seal = seal;
    this.#fd = fd;
    this.#display = display;
    this.#text = JSON.stringify(header) + "\n";
  }

  add(line: string): void {
    this.#entries++;
    this.#text += line + "\n";
    if (this.#text.length >= WRITE_CHARACTERS) this.#drain();
  }

  /** Writes the footer and flushes the file. */
  finish(): void {
    this.#drain();
    const sha256 = this.#hash.copy().digest("hex");
    this.#text = JSON.stringify({ end: true, entries: this.#entries, sha256 }) + "\n";
    this.#drain();
    if (this.#seal !== undefined) this.#writeAll(this.#seal.end());
    const result = this.#posix.flushFile(this.#fd);
    if (result < 0) throw posixError(result, "flush", this.#display);
  }

  #drain(): void {
    const bytes = Buffer.from(this.#text, "utf8");
    this.#text = "";
    this.#garbage.made(4 * bytes.length);
    this.#hash.update(bytes);
    this.#writeAll(this.#seal === undefined ? [bytes] : this.#seal.push(bytes));
  }

  #writeAll(pieces: Iterable<Uint8Array>): void {
    for (const piece of pieces) {
      const result = writeAll(this.#posix, this.#fd, piece);
      if (result < 0) throw posixError(result, "write", this.#display);
    }
  }
}
