/**
 * The content of a recorded file, as it lies at a destination. Rule: what comes out is the original's bytes, whatever way
 * they are stored in; whoever reads hashes them, so a decoder needs no trust.
 */
import { BackupError } from "../../../../protocol/base/errors.ts";
import type { Posix } from "../../../platform/posix.ts";
import type { Identity } from "../codec/age_keys.ts";
import { type Codec, createDecoder, encrypts, isCodec } from "../codec/codec.ts";
import type { ManifestEntry } from "../manifest_line.ts";
import { storedPathOf } from "../stored_form.ts";
import { type PathChain, splitPath } from "./path_chain.ts";

/** Bytes from the beginning to the end, once. */
export interface Content {
  /**
   * The next bytes, at most what fits: how many, 0 at the end, or -errno.
   * @throws {BackupError} `damaged` when what is stored cannot be decoded, `wrong_key` when no identity opens it
   */
  read(into: Uint8Array): number;
  close(): void;
}

/**
 * `path` is the entry's below the destination, one byte a character; `identities` are tried one after the other. -errno
 * when there is nothing to read.
 * @throws {BackupError} `unsupported` when it is stored in a way this version cannot read, `wrong_key` without any key
 */
export function openContent(
  posix: Posix,
  chain: PathChain,
  path: string,
  entry: ManifestEntry,
  identities: readonly Identity[],
): Content | number {
  const codec = entry.codec === undefined ? undefined : readableCodec(entry.codec, identities);
  const { folder, name } = splitPath(storedPathOf(path, entry));
  const at = chain.folder(folder);
  if (at < 0) return at;
  const fd = posix.openRead(at, name);
  if (fd < 0) return fd;
  return codec === undefined
    ? plainContent(posix, fd, entry.sizeBytes ?? 0)
    : decodedContent(posix, fd, { codec, identities, sizeBytes: entry.sizeBytes ?? 0 });
}

/** @throws {BackupError} */
function readableCodec(codec: string, identities: readonly Identity[]): Codec {
  if (!isCodec(codec)) {
    throw new BackupError("unsupported", `Stored as ${codec} by a newer version`, {
      hint: "Use that version to restore it",
    });
  }
  if (encrypts(codec) && identities.length === 0) {
    throw new BackupError(
      "wrong_key",
      "It is encrypted, and no key is given (--identity or --passphrase-file)",
    );
  }
  return codec;
}

const STORED_PIECE_BYTES = 256 << 10;

/** What it reads throws `damaged` for a stored file that is not whole, or becomes more or less than recorded. */
function decodedContent(
  posix: Posix,
  fd: number,
  how: { codec: Codec; identities: readonly Identity[]; sizeBytes: number },
): Content {
  let failure = 0;
  const pieces = decoded();
  let piece: Uint8Array = new Uint8Array(0);
  posix.willNeed(fd, 0, AHEAD_BYTES);

  function* decoded(): Generator<Uint8Array, void, undefined> {
    const decoder = createDecoder(how);
    const buffer = new Uint8Array(STORED_PIECE_BYTES);
    for (let offset = 0;;) {
      const got = posix.readAt(fd, buffer, offset);
      if (got < 0) {
        failure = got;
        return;
      }
      if (got === 0) break;
      offset += got;
      yield* decoder.push(buffer.subarray(0, got));
    }
    yield* decoder.end();
  }

  return {
    read(into) {
      let filled = 0;
      while (filled < into.length) {
        if (piece.length === 0) {
          const next = pieces.next();
          if (next.done) return filled === 0 ? failure : filled;
          piece = next.value;
        }
        const part = piece.subarray(0, into.length - filled);
        into.set(part, filled);
        filled += part.length;
        piece = piece.subarray(part.length);
      }
      return filled;
    },
    close: () => void posix.close(fd),
  };
}

/** While a piece is hashed and written, the next ones are on their way. */
const AHEAD_BYTES = 4 << 20;

function plainContent(posix: Posix, fd: number, sizeBytes: number): Content {
  let offset = 0;
  let wasShort = false;
  posix.willNeed(fd, 0, Math.min(AHEAD_BYTES, sizeBytes));
  return {
    read(into) {
      // A short read past the recorded end says that the file ends there: small files need no second one.
      if (wasShort && offset >= sizeBytes) return 0;
      const got = posix.readAt(fd, into, offset);
      if (got <= 0) return got;
      wasShort = got < into.length;
      offset += got;
      if (offset + AHEAD_BYTES / 2 < sizeBytes) {
        posix.willNeed(fd, offset + AHEAD_BYTES / 2, AHEAD_BYTES / 2);
      }
      return got;
    },
    close: () => void posix.close(fd),
  };
}
