/**
 * The other destination, as a repair reads it. Rule: nothing here writes; what it records only says where to look, whether
 * the bytes are right is decided by whoever receives them.
 */
import { BackupError } from "../../../protocol/base/errors.ts";
import { posixError } from "../../platform/errno.ts";
import { KIND_FILE, newStat, type Posix } from "../../platform/posix.ts";
import { latin1OfUtf8, utf8OfLatin1 } from "../../source/entry_table.ts";
import type { CopyDestination } from "./list_keys.ts";
import { entryPathLatin1, type ManifestEntry } from "./manifest_line.ts";
import { type Content, openContent } from "./restore/open_content.ts";
import { PathChain } from "./restore/path_chain.ts";
import { eachLine, openFolder } from "./repair_find.ts";
import { isConfined } from "./confined_path.ts";
import { storedContent, storedPathLatin1 } from "./stored_form.ts";
import { cNameOfLatin1 } from "./tree_removal.ts";

/** What is wanted from another destination: the copy it belongs to, and files by path and hash. */
export interface LocateRequest {
  binding: { name: string; hostId: string; sourcePath: string };
  /** `path` is the entry's own, one byte a character; size and hash are of the stored bytes. */
  wanted: {
    line: number;
    path: string;
    sha256: string;
    sizeBytes: number;
    /** Of the content, whatever its form. */
    contentSha256: string | undefined;
    codec: string | undefined;
    /** For whom it is encrypted, see `recipientsId`. */
    storedFor: string | undefined;
  }[];
}

export interface Located {
  line: number;
  /** Top name of the copy there, and the stored path below it, one byte a character. */
  top: string;
  path: string;
  /** The stored bytes there are others: they are taken as they are, or decoded and stored anew. */
  other?: { entry: ManifestEntry; as: "stored" | "decoded" };
}

export interface LocateResult {
  located: Located[];
  /** Lists there that could not be used, a sentence each. */
  warnings: string[];
}

const READ_PIECE_BYTES = 256 << 10;

/** Copies of the same source come before copies that only have the same name. */
export function locate(
  posix: Posix,
  destination: CopyDestination,
  request: LocateRequest,
  tick: () => void,
): LocateResult {
  const { binding } = request;
  const result: LocateResult = { located: [], warnings: [] };
  const wanted = new Map(request.wanted.map((one) => [one.path, one]));
  const isSameSource = (b: { hostId: string; sourcePath: string }) =>
    b.hostId === binding.hostId && b.sourcePath === binding.sourcePath;
  const bindings = destination.marker.bindings
    .filter((b) => b.name === binding.name || isSameSource(b))
    .sort((a, b) => Number(isSameSource(b)) - Number(isSameSource(a)));
  for (const { key, name } of bindings) {
    const located: Located[] = [];
    try {
      eachLine(posix, destination, key, (entry) => {
        tick();
        const ownPath = entryPathLatin1(entry);
        const one = wanted.get(ownPath);
        if (one === undefined || entry.type !== "file" || entry.recordedOnly === true) return true;
        const path = storedPathLatin1(entry);
        if (!isConfined(path)) return true;
        const place = { line: one.line, top: name, path };
        if (
          storedContent(entry).sha256 === one.sha256 &&
          storedContent(entry).sizeBytes === one.sizeBytes
        ) {
          located.push(place);
        } else if (entry.sha256 !== undefined && entry.sha256 === one.contentSha256) {
          // The same people can read it: nobody has to open it here.
          const isSame = entry.codec === one.codec && entry.storedFor !== undefined &&
            entry.storedFor === one.storedFor;
          located.push({ ...place, other: { entry, as: isSame ? "stored" : "decoded" } });
        }
        return true;
      });
    } catch (thrown) {
      // A list that is not whole is not believed at all; another one may still do.
      if (!(thrown instanceof BackupError)) throw thrown;
      result.warnings.push(`${name} at ${destination.display} cannot be used: ${thrown.message}`);
      continue;
    }
    for (const one of located) result.located.push(one);
  }
  return result;
}

/** One file of another destination, read from its start to its end. */
export class RepairSource {
  readonly #posix: Posix;
  readonly #destination: () => CopyDestination;
  readonly #tick: () => void;
  #fd = -1;
  #content: Content | undefined;
  #display = "";

  constructor(posix: Posix, destination: () => CopyDestination, tick: () => void) {
    this.#posix = posix;
    this.#destination = destination;
    this.#tick = tick;
  }

  /** Closes an earlier one. @throws {BackupError} when it cannot be opened, `damaged` when it is no file of that size */
  open(file: { top: string; path: string; sizeBytes: number }): void {
    this.close();
    this.#tick();
    const { root, display } = this.#destination();
    this.#display = `${display}/${file.top}/${utf8OfLatin1(file.path)}`;
    const cut = file.path.lastIndexOf("/");
    const folder = openFolder(this.#posix, root, file.top, file.path.slice(0, Math.max(0, cut)));
    if (folder < 0) throw posixError(folder, "read", this.#display);
    this.#fd = this.#posix.openRead(folder, cNameOfLatin1(file.path.slice(cut + 1)));
    this.#posix.closeDirectory(folder);
    if (this.#fd < 0) throw posixError(this.#fd, "read", this.#display);
    const stat = newStat();
    const found = this.#posix.stat(this.#fd, stat);
    if (found < 0) throw posixError(found, "read", this.#display);
    if (stat.kind !== KIND_FILE || stat.sizeBytes !== file.sizeBytes) {
      throw new BackupError("damaged", `${this.#display} is damaged too`, { path: this.#display });
    }
  }

  /** What the file was before it was stored. @throws {BackupError} also `wrong_key` */
  openDecoded(file: { top: string; entry: ManifestEntry }): void {
    this.close();
    this.#tick();
    const { root, display, keys } = this.#destination();
    const path = `${latin1OfUtf8(file.top)}/${entryPathLatin1(file.entry)}`;
    this.#display = `${display}/${utf8OfLatin1(path)}`;
    const chain = new PathChain(this.#posix, root);
    try {
      const content = openContent(this.#posix, chain, path, file.entry, keys.identities);
      if (typeof content === "number") throw posixError(content, "read", this.#display);
      this.#content = content;
    } finally {
      chain.close();
    }
  }

  /** Up to `bytes` from `offset`; fewer at the end. @throws {BackupError} when the disk cannot */
  read(request: { offset: number; bytes: number }): Uint8Array {
    const into = new Uint8Array(request.bytes);
    let done = 0;
    while (done < into.length) {
      this.#tick();
      const piece = into.subarray(done, done + READ_PIECE_BYTES);
      const got = this.#content === undefined
        ? this.#posix.readAt(this.#fd, piece, request.offset + done)
        : this.#content.read(piece);
      if (got < 0) throw posixError(got, "read", this.#display);
      if (got === 0) break;
      done += got;
    }
    return done === into.length ? into : into.slice(0, done);
  }

  close(): void {
    if (this.#fd >= 0) this.#posix.close(this.#fd);
    this.#fd = -1;
    this.#content?.close();
    this.#content = undefined;
  }
}
