/**
 * What opens the encrypted copies of one destination: the keys that were given, and the identity that lies there behind
 * a passphrase. Rule: without that identity the copies are lost, so it is there twice, read back, and never written over.
 */
import { Buffer } from "node:buffer";
import { BackupError } from "../../../protocol/base/errors.ts";
import {
  IDENTITY_FILE,
  IDENTITY_SPARE_FILE,
  MANIFESTS_DIRECTORY,
  OWN_DIRECTORY,
} from "../../destinations/layout.ts";
import { EEXIST, ENOENT, posixError } from "../../platform/errno.ts";
import { cName, type DirectoryHandle, type Posix } from "../../platform/posix.ts";
import { readSmallFile, writeAll } from "../../platform/small_file.ts";
import {
  generateIdentity,
  type Identity,
  parseIdentity,
  parseRecipient,
} from "./codec/age_keys.ts";
import { openIdentities, sealIdentity, type SealOptions } from "./codec/identity_file.ts";
import { type ListKeys, listName, sealedName } from "./list_keys.ts";
import { openManifest } from "./manifest_file.ts";
import type { GivenKeys } from "./read_keys.ts";

const IDENTITY_BYTES_MAX = 256 << 10;

export interface OpenedKeys {
  /** Secret keys as age writes them: those given, and those of the destination. */
  identities: string[];
  /** Public key of the destination's own identity, when the passphrase opened it. */
  recipient?: string;
  /** What a person should know, a sentence each. */
  warnings: string[];
}

/** Keys as they go to a destination's threads. */
export interface KeyTexts {
  identities: readonly string[];
  /** Whom lists are encrypted to; nobody: they are readable. */
  recipients: readonly string[];
}

export function listKeysOf({ identities, recipients }: KeyTexts): ListKeys {
  return {
    identities: identities.map(parseIdentity),
    recipients: recipients.map(parseRecipient),
  };
}

/**
 * The recipients that lists may be encrypted to: all of them when one of the identities can open what is encrypted so,
 * otherwise nobody, since the next run could not read its own list.
 */
export function listRecipients(
  identities: readonly string[],
  recipients: readonly string[],
): readonly string[] {
  const own = new Set(identities.map((text) => parseIdentity(text).recipient.text));
  return recipients.some((recipient) => own.has(recipient)) ? recipients : [];
}

/**
 * Opens the identity in `.backup-agent` when a passphrase is given and there is one. Takes a second and 256 MiB then.
 * @throws {BackupError} `wrong_key`, `damaged`, `io` …
 */
export function openKeys(
  posix: Posix,
  own: DirectoryHandle,
  ownDisplay: string,
  { passphrase, identities }: GivenKeys,
): OpenedKeys {
  if (passphrase === undefined) return { identities: [...identities], warnings: [] };
  const files = identityFiles(posix, own, ownDisplay)
    .flatMap(({ display, bytes }) => bytes === undefined ? [] : [{ display, bytes }]);
  const [first, second] = files;
  if (first === undefined) return { identities: [...identities], warnings: [] };
  let opened: Identity[];
  const warnings: string[] = [];
  try {
    opened = openFile(first.bytes, passphrase, first.display);
  } catch (thrown) {
    if (second === undefined || Buffer.compare(first.bytes, second.bytes) === 0) throw thrown;
    opened = openFile(second.bytes, passphrase, second.display);
    warnings.push(
      `${first.display} is damaged or has another passphrase, and its spare copy was used: ` +
        `save ${second.display} elsewhere before that is damaged too`,
    );
  }
  const secrets = opened.map((identity) => identity.secretText());
  const recipient = opened[0]!.recipient.text;
  return { identities: [...identities, ...secrets], recipient, warnings };
}

function openFile(bytes: Uint8Array, passphrase: string, display: string): Identity[] {
  try {
    return openIdentities(bytes, passphrase);
  } catch (thrown) {
    if (!(thrown instanceof BackupError)) throw thrown;
    if (thrown.code !== "wrong_key") {
      // What is in it are no keys: nobody typed them just now.
      const code = thrown.code === "usage" ? "damaged" : thrown.code;
      throw new BackupError(code, `${display}: ${thrown.message}`, { path: display });
    }
    throw new BackupError(
      "wrong_key",
      `The passphrase does not open ${display}; should it be the right one, the file is damaged`,
      { path: display, hint: "Give the passphrase of the first encrypted backup to it" },
    );
  }
}

/**
 * Makes the identity of a destination that has none, and gives it. The caller holds the lock.
 * @throws {BackupError} when it cannot be written, or there is one by now
 */
export function makeIdentity(
  posix: Posix,
  own: DirectoryHandle,
  ownDisplay: string,
  passphrase: string,
  options: SealOptions = {},
): { secret: string; recipient: string } {
  const identity = generateIdentity();
  const sealed = sealIdentity(identity, passphrase, options);
  // The spare first: whoever finds the one finds the other.
  for (const name of [IDENTITY_SPARE_FILE, IDENTITY_FILE]) {
    writeOnce(posix, own, name, sealed, `${ownDisplay}/${name}`);
  }
  return { secret: identity.secretText(), recipient: identity.recipient.text };
}

/** Where one of the two is missing, after a crash or by hand, it is made again from the other. */
export function completeIdentity(posix: Posix, own: DirectoryHandle, ownDisplay: string): void {
  const [first, spare] = identityFiles(posix, own, ownDisplay);
  if (first.bytes === undefined && spare.bytes !== undefined) {
    writeOnce(posix, own, first.name, spare.bytes, first.display);
  } else if (spare.bytes === undefined && first.bytes !== undefined) {
    writeOnce(posix, own, spare.name, first.bytes, spare.display);
  }
}

/** What is wrong with them as far as that can be told without the passphrase. */
export function identityWarnings(
  posix: Posix,
  own: DirectoryHandle,
  ownDisplay: string,
): string[] {
  const [first, spare] = identityFiles(posix, own, ownDisplay);
  if (first.bytes === undefined && spare.bytes === undefined) return [];
  for (const { bytes, display } of [first, spare]) {
    if (bytes === undefined) {
      return [`${display} is missing: the next backup with the passphrase makes it again`];
    }
  }
  if (Buffer.compare(first.bytes!, spare.bytes!) === 0) return [];
  return [
    `${first.display} and ${spare.display} differ: one of them is damaged, or has another passphrase`,
  ];
}

function identityFiles(
  posix: Posix,
  own: DirectoryHandle,
  ownDisplay: string,
): [StandingFile, StandingFile] {
  const [first, spare] = [IDENTITY_FILE, IDENTITY_SPARE_FILE].map((name) => {
    const display = `${ownDisplay}/${name}`;
    return { name, display, bytes: readSmallFile(posix, own, name, display, IDENTITY_BYTES_MAX) };
  });
  return [first!, spare!];
}

interface StandingFile {
  name: string;
  display: string;
  bytes: Uint8Array | undefined;
}

/** Whole, flushed and read back before it has its name, which nothing may have. */
function writeOnce(
  posix: Posix,
  at: DirectoryHandle,
  name: string,
  bytes: Uint8Array,
  display: string,
): void {
  const temporary = `${name}.new`;
  posix.unlink(at, cName(temporary));
  const fd = posix.createFile(at, cName(temporary));
  if (fd < 0) throw posixError(fd, "create", display);
  let result = writeAll(posix, fd, bytes);
  if (result >= 0) result = posix.flushFile(fd);
  posix.setFileMode(fd, 0o600);
  posix.close(fd);
  if (result < 0) throw posixError(result, "write", display);
  const back = readSmallFile(posix, at, temporary, display, IDENTITY_BYTES_MAX);
  if (back === undefined || Buffer.compare(back, bytes) !== 0) {
    throw new BackupError("io", `${display} is not what was written`, { path: display });
  }
  if (readSmallFile(posix, at, name, display, IDENTITY_BYTES_MAX) !== undefined) {
    posix.unlink(at, cName(temporary));
    throw posixError(-EEXIST, "create", display);
  }
  result = posix.rename(at, cName(temporary), at, cName(name));
  if (result >= 0) result = posix.flushDirectory(at);
  if (result < 0) throw posixError(result, "write", display);
}

/**
 * Looks, without changing anything, which keys there are for what is at `path`: nothing may be written there before.
 * `needsLists`: each list there must be readable with them.
 * @throws {BackupError} `wrong_key` for the identity or such a list
 */
export function keysAt(
  posix: Posix,
  path: string,
  given: GivenKeys,
  needsLists: boolean,
): OpenedKeys {
  const nothing = { identities: [...given.identities], warnings: [] };
  const root = posix.openRoot(cName(path));
  if (root === -ENOENT) return nothing;
  if (root < 0) throw posixError(root, "open destination", path);
  const display = `${path}/${OWN_DIRECTORY}`;
  const own = posix.openDirectory(root, cName(OWN_DIRECTORY));
  try {
    if (own === -ENOENT) return nothing;
    if (own < 0) throw posixError(own, "open", display);
    const opened = openKeys(posix, own, display, given);
    if (needsLists) {
      const keys = listKeysOf({ identities: opened.identities, recipients: [] });
      requireLists(posix, own, `${display}/${MANIFESTS_DIRECTORY}`, keys);
    }
    return opened;
  } finally {
    if (own >= 0) posix.closeDirectory(own);
    posix.closeDirectory(root);
  }
}

/** Also those of other sources: SHA256SUMS is made of all of them. */
function requireLists(
  posix: Posix,
  own: DirectoryHandle,
  display: string,
  keys: ListKeys,
): void {
  const manifests = posix.openDirectory(own, cName(MANIFESTS_DIRECTORY));
  if (manifests === -ENOENT) return;
  if (manifests < 0) throw posixError(manifests, "open", display);
  try {
    const names = posix.list(manifests);
    if (typeof names === "number") throw posixError(names, "list", display);
    for (const name of names) {
      const list = listName(name);
      if (name !== sealedName(list)) continue;
      try {
        openManifest(posix, manifests, list, `${display}/${name}`, keys)?.close();
      } catch (thrown) {
        // Damage is told where the list is needed.
        if (thrown instanceof BackupError && thrown.code === "wrong_key") throw thrown;
      }
    }
  } finally {
    posix.closeDirectory(manifests);
  }
}
