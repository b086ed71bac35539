/**
 * Under which name an encoded file is stored. Rule: its own name with the codec's ending, so that stock tools know what it
 * is; where that is too long or taken, a short name made of the name's hash. The manifest says which.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type { Codec } from "./codec.ts";

const NAME_BYTES_MAX = 255;
const HASH_CHARACTERS = 32;

/** `name` is one byte a character, as is the result. `isTaken`: something that is not encoded has that name here. */
export function storedName(
  name: string,
  codec: Codec,
  isTaken: (stored: string) => boolean,
): string {
  const stored = `${name}.${codec}`;
  if (stored.length <= NAME_BYTES_MAX && !isTaken(stored)) return stored;
  const hash = createHash("sha256").update(Buffer.from(name, "latin1")).digest("hex");
  return `${hash.slice(0, HASH_CHARACTERS)}.${codec}`;
}

/** The name that `stored` would be the usual form of; undefined when it is nobody's. */
export function nameOfStored(stored: string, codec: Codec): string | undefined {
  const ending = `.${codec}`;
  return stored.length > ending.length && stored.endsWith(ending)
    ? stored.slice(0, -ending.length)
    : undefined;
}
