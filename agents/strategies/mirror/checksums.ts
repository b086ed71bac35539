/**
 * `SHA256SUMS`: every current file of every source at one destination, as stock `sha256sum -c` reads it from the
 * destination's folder. Rule: it is made from the manifests and replaced whole, unless none of them changed since.
 */
import { Buffer } from "node:buffer";
import { CHECKSUMS_FILE, CHECKSUMS_STALE_FILE } from "../../destinations/layout.ts";
import type { OpenDestination } from "../../destinations/local_destination.ts";
import { EEXIST, ENOENT, posixError } from "../../platform/errno.ts";
import { cName, newStat, type Posix } from "../../platform/posix.ts";
import { temporaryNameFor, writeAll } from "../../platform/small_file.ts";
import { latin1OfUtf8 } from "../../source/entry_table.ts";
import { flushDestination } from "./flush_destination.ts";
import type { CopyDestination } from "./list_keys.ts";
import { openManifest } from "./manifest_file.ts";
import { manifestName } from "./manifest_update.ts";
import { storedContent, storedPathLatin1 } from "./stored_form.ts";

const WRITE_CHARACTERS = 256 << 10;

/** One line, one byte a character: backslash, newline and carriage return are escaped, which a leading backslash says. */
export function checksumLine(sha256: string, pathLatin1: string): string {
  const escaped = pathLatin1.replace(/[\\\n\r]/g, (c) => ESCAPES[c]!);
  return `${escaped === pathLatin1 ? "" : "\\"}${sha256}  ${escaped}\n`;
}

const ESCAPES: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r" };

/** @throws {BackupError} when a manifest is damaged or the file cannot be written; the old one then stays */
export function writeChecksums(
  posix: Posix,
  destination: CopyDestination,
  tick: () => void,
): void {
  const display = `${destination.display}/.backup-agent/${CHECKSUMS_FILE}`;
  const temporary = temporaryNameFor(posix, destination.own, CHECKSUMS_FILE);
  const fd = posix.createFile(destination.own, temporary);
  if (fd < 0) throw posixError(fd, "create", display);
  let text = "";
  const drain = () => {
    const result = writeAll(posix, fd, Buffer.from(text, "latin1"));
    text = "";
    if (result < 0) throw posixError(result, "write", display);
  };
  let closeManifest = () => {};
  try {
    for (const binding of destination.marker.bindings) {
      const name = manifestName(binding.key);
      const manifest = openManifest(
        posix,
        destination.manifests,
        name,
        `${destination.display}/.backup-agent/manifests/${name}`,
        destination.keys,
      );
      if (manifest === undefined) continue;
      closeManifest = manifest.close;
      const top = latin1OfUtf8(binding.name);
      for (;;) {
        const next = manifest.lines.next();
        if (next.done) break;
        const { entry } = next.value;
        const { sha256 } = storedContent(entry);
        if (entry.type !== "file" || sha256 === undefined) continue;
        text += checksumLine(sha256, `${top}/${storedPathLatin1(entry)}`);
        if (text.length >= WRITE_CHARACTERS) {
          drain();
          tick();
        }
      }
    }
    drain();
    const flushed = posix.flushFile(fd);
    if (flushed < 0) throw posixError(flushed, "flush", display);
  } catch (thrown) {
    closeManifest();
    posix.close(fd);
    posix.unlink(destination.own, temporary);
    throw thrown;
  }
  posix.setFileMode(fd, 0o644);
  posix.close(fd);
  const result = posix.rename(
    destination.own,
    temporary,
    destination.own,
    cName(CHECKSUMS_FILE),
  );
  if (result < 0) {
    posix.unlink(destination.own, temporary);
    throw posixError(result, "write", display);
  }
  posix.flushDirectory(destination.own);
}

/** Before a manifest changes. @throws {BackupError} when that cannot be noted: then it must not change */
export function markChecksumsStale(posix: Posix, { own, display }: OpenDestination): void {
  const fd = posix.createFile(own, cName(CHECKSUMS_STALE_FILE));
  if (fd >= 0) posix.close(fd);
  else if (fd !== -EEXIST) throw posixError(fd, "create", `${display}/${CHECKSUMS_STALE_FILE}`);
}

/** Makes them anew unless no manifest changed since they were written, in this run or one that was cut off. */
export function renewChecksums(
  posix: Posix,
  destination: CopyDestination,
  tick: () => void,
): void {
  const { own } = destination;
  const stat = newStat();
  const stale = cName(CHECKSUMS_STALE_FILE);
  const isThere = posix.statAt(own, cName(CHECKSUMS_FILE), stat) === 0;
  if (isThere && posix.statAt(own, stale, stat) === -ENOENT) return;
  writeChecksums(posix, destination, tick);
  posix.unlink(own, stale);
  tick();
  flushDestination(posix, destination);
}
