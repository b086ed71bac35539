/**
 * For whom the lists at a destination are, and who may open them: manifests, lists of versions, and what a run notes of
 * them in its stage. Rule: a list lies there readable or, with `.age` after its name, encrypted; where a crash left
 * both, the encrypted one is the list.
 */
import { BackupError } from "../../../protocol/base/errors.ts";
import type { OpenDestination } from "../../destinations/local_destination.ts";
import { ENOENT, posixError } from "../../platform/errno.ts";
import { cName, type DirectoryHandle, newStat, type Posix } from "../../platform/posix.ts";
import { AgeDecoder, AgeEncoder } from "./codec/age_file.ts";
import { type Identity, parseRecipient, type Recipient } from "./codec/age_keys.ts";
import { unwrapWithIdentities, wrapForRecipient } from "./codec/age_stanzas.ts";
import type { ByteTransform } from "./codec/byte_transform.ts";

export interface ListKeys {
  /** Whom new lists are encrypted to; nobody: they are readable. */
  readonly recipients: readonly Recipient[];
  /** Tried one after the other on lists that are encrypted. */
  readonly identities: readonly Identity[];
}

export const NO_LIST_KEYS: ListKeys = { recipients: [], identities: [] };

/** A destination with the keys of its lists. */
export interface CopyDestination extends OpenDestination {
  readonly keys: ListKeys;
}

const SEALED_SUFFIX = ".age";
const SEALED_PIECE_BYTES = 256 << 10;

export function sealedName(name: string): string {
  return name + SEALED_SUFFIX;
}

/** Under which name a new list called `name` is to be written. */
export function nameFor(name: string, keys: ListKeys): string {
  return keys.recipients.length > 0 ? sealedName(name) : name;
}

/** The other name it may have had before. */
export function otherName(name: string, keys: ListKeys): string {
  return keys.recipients.length > 0 ? name : sealedName(name);
}

/** The name, without `.age`, of a list that lies in a folder as `found`. */
export function listName(found: string): string {
  return found.endsWith(SEALED_SUFFIX) ? found.slice(0, -SEALED_SUFFIX.length) : found;
}

/** Under which name the list called `name` stands, if it does. */
export function standingName(posix: Posix, at: DirectoryHandle, name: string): string {
  const sealed = sealedName(name);
  return posix.statAt(at, cName(sealed), newStat()) >= 0 ? sealed : name;
}

/** Removes the list called `name` in both forms: 0 when neither stands any more, or -errno of what could not go. */
export function removeList(
  posix: Posix,
  at: DirectoryHandle,
  name: string,
): number {
  // The readable one first: as long as the other stands it is the list.
  for (const one of [name, sealedName(name)]) {
    const result = posix.unlink(at, cName(one));
    if (result < 0 && result !== -ENOENT) return result;
  }
  return 0;
}

/** After a crash the readable form may lie beside the encrypted one, which is the list: it tells what it should not. */
export function dropShadowed(posix: Posix, at: DirectoryHandle, name: string): void {
  if (standingName(posix, at, name) === name) return;
  if (posix.unlink(at, cName(name)) >= 0) posix.flushDirectory(at);
}

/** The list that stands is in the form, and for those, that a new one would be. */
export function isSealedAlike(
  list: { header: { sealedFor?: string[] }; isSealed: boolean },
  { recipients }: ListKeys,
): boolean {
  const now = recipients.map(({ text }) => text).sort().join();
  return list.isSealed === (recipients.length > 0) &&
    [...list.header.sealedFor ?? []].sort().join() === now;
}

/**
 * To replace a list by one for the same people: whoever only checks or repairs a copy does not change who may read its list.
 * Undefined where the list does not say who they are.
 */
export function keysAsBefore(
  { header, isSealed }: { header: { sealedFor?: string[] }; isSealed: boolean },
  { identities }: ListKeys,
): ListKeys | undefined {
  const recipients = (header.sealedFor ?? []).map(parseRecipient);
  return isSealed && recipients.length === 0 ? undefined : { identities, recipients };
}

/** What becomes of the text of a new list on its way to the disk; undefined: nothing. */
export function sealFor({ recipients }: ListKeys): ByteTransform | undefined {
  if (recipients.length === 0) return undefined;
  return new AgeEncoder((fileKey) =>
    recipients.map((recipient) => wrapForRecipient(fileKey, recipient))
  );
}

/** Fills a buffer with the next bytes of a list's text: how many, 0 at the end. */
export type ReadText = (into: Uint8Array) => number;

/** @throws {BackupError} through the result, when the disk cannot */
export function plainText(posix: Posix, fd: number, display: string): ReadText {
  let offset = 0;
  return (into) => {
    const got = posix.readAt(fd, into, offset);
    if (got < 0) throw posixError(got, "read", display);
    offset += got;
    return got;
  };
}

/** @throws {BackupError} through the result: also `wrong_key`, `damaged` */
export function sealedText(
  posix: Posix,
  fd: number,
  display: string,
  { identities }: ListKeys,
): ReadText {
  const sealed = plainText(posix, fd, display);
  const pieces = opened();
  let piece: Uint8Array = new Uint8Array(0);

  function* opened(): Generator<Uint8Array, void, undefined> {
    const decoder = new AgeDecoder(unwrapWithIdentities(identities));
    const buffer = new Uint8Array(SEALED_PIECE_BYTES);
    for (let got = sealed(buffer); got > 0; got = sealed(buffer)) {
      yield* decoder.push(buffer.subarray(0, got));
    }
    yield* decoder.end();
  }

  return (into) => {
    let filled = 0;
    while (filled < into.length) {
      if (piece.length === 0) {
        const next = nextOf(pieces, display, identities.length > 0);
        if (next === undefined) break;
        piece = next;
      }
      const part = piece.subarray(0, into.length - filled);
      into.set(part, filled);
      filled += part.length;
      piece = piece.subarray(part.length);
    }
    return filled;
  };
}

/** What goes wrong is said with the list's name. */
function nextOf(
  pieces: Generator<Uint8Array, void, undefined>,
  display: string,
  hasKeys: boolean,
): Uint8Array | undefined {
  try {
    const next = pieces.next();
    return next.done ? undefined : next.value;
  } catch (thrown) {
    if (!(thrown instanceof BackupError) || thrown.path !== undefined) throw thrown;
    if (thrown.code !== "wrong_key") {
      throw new BackupError(thrown.code, `${display}: ${thrown.message}`, { path: display });
    }
    const why = hasKeys ? "no key given opens it" : "no key is given";
    throw new BackupError("wrong_key", `${display} is encrypted, and ${why}`, {
      path: display,
      hint: "Give the passphrase of the destination (--passphrase-file FILE), or --identity FILE",
    });
  }
}
