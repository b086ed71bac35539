/** Cache directories as bford.info/cachedir defines them. Rule: the bytes decide, never the name alone. */

export const CACHE_DIR_TAG_NAME = "CACHEDIR.TAG";

const SIGNATURE = new TextEncoder().encode("Signature: 8a477f597d28d172789f06886806bc55");

/** How many bytes of the tag file must be read to judge it. */
export const CACHE_DIR_TAG_BYTES = SIGNATURE.length;

/** Whether a `CACHEDIR.TAG` that starts with these bytes marks its directory as a cache; short input is no tag. */
export function isCacheDirectoryTag(start: Uint8Array): boolean {
  return start.length >= SIGNATURE.length && SIGNATURE.every((byte, at) => start[at] === byte);
}
