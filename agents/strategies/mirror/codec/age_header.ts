/**
 * The header of an age v1 file (C2SP age). Rule: it is read as strictly as it is written, so that no two headers mean the
 * same, and nothing of it is believed before its MAC is checked with the file key.
 */
import { Buffer } from "node:buffer";
import { createHmac, hkdfSync, timingSafeEqual } from "node:crypto";
import { BackupError } from "../../../../protocol/base/errors.ts";

const VERSION_LINE = "age-encryption.org/v1\n";
const ARMOR_START = "-----BEGIN AGE";
/** Stock age writes some 200 bytes a recipient. */
const HEADER_LIMIT_BYTES = 64 << 10;
const LINE_CHARACTERS = 64;
const MAC_BYTES = 32;
const END = "\n---";

/** What one recipient needs to find the file key. */
export interface Stanza {
  type: string;
  args: string[];
  body: Uint8Array;
}

export interface AgeHeader {
  stanzas: Stanza[];
  mac: Uint8Array;
  /** What the MAC is of. */
  signedBytes: Uint8Array;
  sizeBytes: number;
}

export function formatHeader(stanzas: readonly Stanza[], fileKey: Uint8Array): Uint8Array {
  const signed = `${VERSION_LINE}${stanzas.map(formatStanza).join("")}---`;
  const mac = base64(headerMac(Buffer.from(signed, "latin1"), fileKey));
  return Buffer.from(`${signed} ${mac}\n`, "latin1");
}

/**
 * The header that `bytes` begin with, undefined when its end has not come yet.
 * @throws {BackupError} `damaged`; `unsupported` for armored files
 */
export function parseHeader(bytes: Uint8Array): AgeHeader | undefined {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    .toString("latin1", 0, Math.min(bytes.length, HEADER_LIMIT_BYTES));
  requireStart(text);
  const end = text.indexOf(END);
  const lineEnd = end < 0 ? -1 : text.indexOf("\n", end + END.length);
  if (lineEnd < 0) {
    if (text.length === HEADER_LIMIT_BYTES) throw damaged("its header does not end");
    return undefined;
  }
  const signedEnd = end + END.length;
  const macText = text.slice(signedEnd, lineEnd);
  const mac = macText.startsWith(" ") ? fromBase64(macText.slice(1)) : undefined;
  if (mac?.length !== MAC_BYTES) throw damaged("the last line of its header");
  return {
    stanzas: parseStanzas(text.slice(VERSION_LINE.length, end + 1)),
    mac,
    signedBytes: bytes.slice(0, signedEnd),
    sizeBytes: lineEnd + 1,
  };
}

/** @throws {BackupError} `damaged` when the header is not the one that was written with this file key */
export function requireMac(header: AgeHeader, fileKey: Uint8Array): void {
  if (timingSafeEqual(headerMac(header.signedBytes, fileKey), header.mac)) return;
  throw damaged("its header was altered");
}

/** Text of a base64 without padding; undefined unless it is the very text that encoding would give. */
export function fromBase64(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, "base64");
  return base64(bytes) === text ? bytes : undefined;
}

export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64").replaceAll("=", "");
}

function headerMac(signed: Uint8Array, fileKey: Uint8Array): Uint8Array {
  const key = new Uint8Array(hkdfSync("sha256", fileKey, "", "header", MAC_BYTES));
  return createHmac("sha256", key).update(signed).digest();
}

function formatStanza({ type, args, body }: Stanza): string {
  const text = base64(body);
  let lines = "";
  // The last line is always a short one, an empty one if need be: it ends the body.
  for (let at = 0; at <= text.length; at += LINE_CHARACTERS) {
    lines += `${text.slice(at, at + LINE_CHARACTERS)}\n`;
  }
  return `-> ${[type, ...args].join(" ")}\n${lines}`;
}

function requireStart(text: string): void {
  if (text.startsWith(VERSION_LINE.slice(0, text.length))) return;
  if (text.startsWith(ARMOR_START)) {
    throw new BackupError("unsupported", "The file is an armored age file", {
      hint: "Write it without -a, --armor",
    });
  }
  throw damaged("it does not begin as one");
}

function parseStanzas(text: string): Stanza[] {
  const lines = text.split("\n");
  // What is after the last line break.
  lines.pop();
  const stanzas: Stanza[] = [];
  let at = 0;
  while (at < lines.length) {
    const words = lines[at++]!.split(" ");
    const [type, ...args] = words.slice(1);
    if (words[0] !== "->" || type === undefined || !words.every(isWord)) {
      throw damaged("a line of its header");
    }
    let body = "";
    let line: string;
    do {
      line = lines[at++] ?? "-";
      if (line.length > LINE_CHARACTERS) throw damaged("a line of its header");
      body += line;
    } while (line.length === LINE_CHARACTERS);
    const bytes = fromBase64(body);
    if (bytes === undefined) throw damaged("a line of its header");
    stanzas.push({ type, args, body: bytes });
  }
  if (stanzas.length === 0) throw damaged("it is for nobody");
  return stanzas;
}

function isWord(word: string): boolean {
  return /^[\x21-\x7e]+$/.test(word);
}

function damaged(what: string): BackupError {
  return new BackupError("damaged", `The encrypted file is damaged: ${what}`);
}
