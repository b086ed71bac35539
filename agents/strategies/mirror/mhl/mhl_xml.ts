/** The words of ASC MHL 2.0 in XML. Rule: what XML 1.0 cannot hold is never written in another form, it is left out. */

export const HASH_LIST_NAMESPACE = "urn:ASC:MHL:v2.0";
export const CHAIN_NAMESPACE = "urn:ASC:MHL:DIRECTORY:v2.0";
export const XML_START = '<?xml version="1.0" encoding="UTF-8"?>\n';

// deno-lint-ignore no-control-regex
const IMPOSSIBLE = /[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|\p{Surrogate}/u;
const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "\t": "&#9;",
  "\n": "&#10;",
  "\r": "&#13;",
};

/** Whether XML 1.0 has all of these characters. */
export function fitsXml(text: string): boolean {
  return !IMPOSSIBLE.test(text);
}

export function xmlText(text: string): string {
  return text.replace(/[&<>"\t\n\r]/g, (character) => ESCAPES[character]!);
}

/** A name for a file and for XML: what does not fit becomes an underscore. */
export function xmlName(text: string): string {
  return text.replace(new RegExp(IMPOSSIBLE, "gu"), "_");
}

/** ISO 8601 in UTC with its offset, to the second; undefined outside the years 1 to 9999. */
export function xmlDate(ms: number): string | undefined {
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return undefined;
  const text = date.toISOString();
  if (text.length !== "2026-01-01T00:00:00.000Z".length || text.startsWith("0000")) {
    return undefined;
  }
  return `${text.slice(0, 19)}+00:00`;
}

/** `path` element of a file or, without a size, of a directory. */
export function pathElement(path: string, mtimeSec: number, sizeBytes?: number): string {
  const size = sizeBytes === undefined ? "" : ` size="${sizeBytes}"`;
  const modified = xmlDate(mtimeSec * 1000);
  const date = modified === undefined ? "" : ` lastmodificationdate="${modified}"`;
  return `<path${size}${date}>${xmlText(path)}</path>`;
}

/** Missing `action`: the hash is of an earlier date, nothing was read in this run. */
export function hashElement(
  hex: string,
  hashedAtMs: number,
  action?: "original" | "verified",
): string {
  const what = action === undefined ? "" : ` action="${action}"`;
  const date = xmlDate(hashedAtMs);
  return `<xxh64${what}${date === undefined ? "" : ` hashdate="${date}"`}>${hex}</xxh64>`;
}
