/**
 * JSON as Go's encoding/json writes it, and numbers of 64 bits read exactly. Rule: equal values give equal bytes with
 * restic, since the names of trees are hashes of them.
 */

/** A string of bytes, one a character, as the platform lists names. Sorting such strings sorts by byte. */
export type ByteString = string;

const PLAIN = /^[ !#-%'-;=?-[\]-~]*$/;
// deno-lint-ignore no-control-regex -- control characters are what it is about
const SPECIAL = /["\\<>&\u0000-\u001f\u2028\u2029]/g;

const SHORT: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
};

/** A JSON string in quotes. */
export function goString(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`;
  const escaped = text.replace(
    SPECIAL,
    (c) => SHORT[c] ?? `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  // Half of a surrogate pair is no character; Go writes the replacement for it as six characters.
  return `"${escaped.isWellFormed() ? escaped : escaped.replace(/\p{Surrogate}/gu, "\\ufffd")}"`;
}

/** A JSON string of bytes that should be UTF-8; every byte that is not becomes `\ufffd`. */
export function goStringOfBytes(bytes: ByteString): string {
  if (PLAIN.test(bytes)) return `"${bytes}"`;
  let json = "";
  for (const part of decodeUtf8(bytes)) {
    json += typeof part === "number" ? "\\ufffd" : goString(part).slice(1, -1);
  }
  return `"${json}"`;
}

/** Valid stretches as text, every byte that belongs to none as a number. */
export function* decodeUtf8(bytes: ByteString): Generator<string | number, void, undefined> {
  let at = 0;
  let text = "";
  while (at < bytes.length) {
    const length = runeBytes(bytes, at);
    if (length === 0) {
      if (text !== "") yield text;
      text = "";
      yield bytes.charCodeAt(at++);
      continue;
    }
    text += String.fromCodePoint(codePoint(bytes, at, length));
    at += length;
  }
  if (text !== "") yield text;
}

/** How many bytes the valid UTF-8 sequence at `at` has; 0 when none is there. */
function runeBytes(bytes: ByteString, at: number): number {
  const first = bytes.charCodeAt(at);
  if (first < 0x80) return 1;
  const length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (length === 0 || at + length > bytes.length) return 0;
  for (let i = 1; i < length; i++) if ((bytes.charCodeAt(at + i) & 0xc0) !== 0x80) return 0;
  const second = bytes.charCodeAt(at + 1);
  const isOverlong = (first === 0xe0 && second < 0xa0) || (first === 0xf0 && second < 0x90);
  const isOutside = (first === 0xed && second > 0x9f) || (first === 0xf4 && second > 0x8f);
  return isOverlong || isOutside ? 0 : length;
}

function codePoint(bytes: ByteString, at: number, length: number): number {
  const first = bytes.charCodeAt(at);
  if (length === 1) return first;
  let value = first & (0xff >> (length + 1));
  for (let i = 1; i < length; i++) value = (value << 6) | (bytes.charCodeAt(at + i) & 0x3f);
  return value;
}

export function byteStringOf(bytes: Uint8Array): ByteString {
  let text = "";
  for (let i = 0; i < bytes.length; i++) text += String.fromCharCode(bytes[i]!);
  return text;
}

export function bytesOf(text: ByteString): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** The UTF-8 bytes of a text. */
export function utf8ByteString(text: string): ByteString {
  // deno-lint-ignore no-control-regex -- ASCII is what it is about
  if (/^[\x00-\x7f]*$/.test(text)) return text;
  return byteStringOf(new TextEncoder().encode(text));
}

/** For people: UTF-8 where it is, the replacement character elsewhere. */
export function showBytes(bytes: ByteString): string {
  return new TextDecoder().decode(bytesOf(bytes));
}

/** Not the digits of a hash, of which every other list of blobs has sixteen in a row. */
const LONG_NUMBER = /(?:^|[\s:,[-])\d{16}/;

/**
 * JSON with whole numbers beyond 2⁵³ as BigInt. @throws {SyntaxError}
 */
export function parseJson(text: string): unknown {
  // The slow way is taken only when a number could need it.
  if (!LONG_NUMBER.test(text)) return JSON.parse(text);
  return JSON.parse(text, exactNumber as (this: unknown, key: string, value: unknown) => unknown);
}

function exactNumber(_key: string, value: unknown, context: { source: string }): unknown {
  if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
  return /^-?\d+$/.test(context.source) ? BigInt(context.source) : value;
}
