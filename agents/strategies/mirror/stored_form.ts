/**
 * What a manifest line says about the file that stands for an entry. Rule: the entry's own name, size and hash are of the
 * content; whoever looks at the destination asks here.
 */
import { Buffer } from "node:buffer";
import { latin1OfUtf8 } from "../../source/entry_table.ts";
import { entryPathLatin1, type ManifestEntry } from "./manifest_line.ts";

/** Where the stored file lies below the copy's top folder, one byte a character. */
export function storedPathLatin1(entry: ManifestEntry): string {
  return storedPathOf(entryPathLatin1(entry), entry);
}

/** The same where the entry lies under `path`, which may begin above the copy. */
export function storedPathOf(path: string, entry: ManifestEntry): string {
  const name = storedAsLatin1(entry);
  return name === undefined ? path : path.slice(0, path.lastIndexOf("/") + 1) + name;
}

/** The last name of `path`. */
export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** The size and the hash that the stored file must have. */
export function storedContent(
  entry: ManifestEntry,
): { sizeBytes: number; sha256: string | undefined } {
  return entry.codec === undefined
    ? { sizeBytes: entry.sizeBytes ?? 0, sha256: entry.sha256 }
    : { sizeBytes: entry.storedSizeBytes ?? 0, sha256: entry.storedSha256 };
}

/** Undefined where the name is the entry's own, and for names that would lead elsewhere: nothing of ours is there. */
function storedAsLatin1(entry: ManifestEntry): string | undefined {
  if (entry.codec === undefined || entry.storedAs === undefined) return undefined;
  const name = entry.storedAsBase64 === undefined
    ? latin1OfUtf8(entry.storedAs)
    : Buffer.from(entry.storedAsBase64, "base64").toString("latin1");
  return /^\.{0,2}$|[/\0]/.test(name) ? undefined : name;
}
