/**
 * Names as restic writes them: Go's strconv.Quote without the quotes. Rule: any bytes come back as they were.
 *
 * What counts as printable follows this program's Unicode tables; Go releases differ in theirs, and all read either form.
 */
import { type ByteString, byteStringOf, decodeUtf8, utf8ByteString } from "./go_json.ts";

const PLAIN = /^[ !#-[\]-~]*$/;
const PRINTABLE = /[\p{L}\p{M}\p{N}\p{P}\p{S} ]/u;
const SHORT: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\x07": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
};

/** Text (not bytes): printable characters stay as they are. */
export function goQuote(bytes: ByteString): string {
  if (PLAIN.test(bytes)) return bytes;
  let quoted = "";
  for (const part of decodeUtf8(bytes)) {
    if (typeof part === "number") {
      quoted += `\\x${part.toString(16).padStart(2, "0")}`;
      continue;
    }
    for (const c of part) quoted += SHORT[c] ?? (PRINTABLE.test(c) ? c : escaped(c));
  }
  return quoted;
}

function escaped(c: string): string {
  const code = c.codePointAt(0)!;
  const hex = code.toString(16);
  if (code < 0x20 || code === 0x7f) return `\\x${hex.padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
}

const ESCAPE =
  /\\(?:([abfnrtv\\"'])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3}))/y;
const MEANING: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
  '"': '"',
};

/** The bytes; undefined for what Go's Unquote would refuse. */
export function goUnquote(quoted: string): ByteString | undefined {
  if (PLAIN.test(quoted)) return quoted;
  let bytes = "";
  for (let at = 0; at < quoted.length;) {
    const c = quoted[at]!;
    if (c === '"' || c === "\n") return undefined;
    if (c !== "\\") {
      const next = nextSpecial(quoted, at);
      bytes += utf8ByteString(quoted.slice(at, next));
      at = next;
      continue;
    }
    ESCAPE.lastIndex = at;
    const match = ESCAPE.exec(quoted);
    if (match === null) return undefined;
    const [all, short, hex, four, eight, octal] = match;
    at += all.length;
    if (short !== undefined) {
      const meaning = MEANING[short];
      // An apostrophe needs no escape within double quotes, and Go refuses one.
      if (meaning === undefined) return undefined;
      bytes += meaning;
    } else if (hex !== undefined) bytes += String.fromCharCode(parseInt(hex, 16));
    else if (octal !== undefined) {
      const value = parseInt(octal, 8);
      if (value > 255) return undefined;
      bytes += String.fromCharCode(value);
    } else {
      const code = parseInt((four ?? eight)!, 16);
      if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return undefined;
      bytes += byteStringOf(new TextEncoder().encode(String.fromCodePoint(code)));
    }
  }
  return bytes;
}

function nextSpecial(text: string, from: number): number {
  for (let at = from; at < text.length; at++) {
    const c = text[at];
    if (c === "\\" || c === '"' || c === "\n") return at;
  }
  return text.length;
}
