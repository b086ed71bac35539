/** The one order of entries: a directory before what is in it, siblings by byte. Pure. */

/**
 * Compares two relative paths (one byte a character, no leading slash) in walk order: a slash sorts below every byte,
 * so everything below `a` comes before `a-b`. Negative when `a` comes first.
 */
export function compareWalkOrder(a: string, b: string): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return (x === SLASH ? -1 : x) - (y === SLASH ? -1 : y);
  }
  return a.length - b.length;
}

const SLASH = 47;
