/** Bech32 (BIP 173) without its limit of 90 characters, as age writes keys. Rule: errors never repeat the input. */

const ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const GENERATOR = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3] as const;
const CHECKSUM_LENGTH = 6;

export interface Bech32 {
  /** In lower case. */
  prefix: string;
  bytes: Uint8Array;
}

/** In lower case. */
export function encodeBech32(prefix: string, bytes: Uint8Array): string {
  const data = regroup(bytes, 8, 5, true)!;
  const sum = checksum([...expand(prefix), ...data, 0, 0, 0, 0, 0, 0]) ^ 1;
  for (let i = 0; i < CHECKSUM_LENGTH; i++) data.push((sum >> (5 * (5 - i))) & 31);
  return `${prefix}1${data.map((value) => ALPHABET[value]).join("")}`;
}

/** Undefined for whatever is not whole: mixed case, another alphabet, a wrong checksum, left-over bits. */
export function decodeBech32(text: string): Bech32 | undefined {
  const lower = text.toLowerCase();
  if (text !== lower && text !== text.toUpperCase()) return undefined;
  const separator = lower.lastIndexOf("1");
  if (separator < 1 || separator + 1 + CHECKSUM_LENGTH > lower.length) return undefined;
  const prefix = lower.slice(0, separator);
  const values = [...lower.slice(separator + 1)].map((letter) => ALPHABET.indexOf(letter));
  if (values.includes(-1)) return undefined;
  if (checksum([...expand(prefix), ...values]) !== 1) return undefined;
  const bytes = regroup(values.slice(0, -CHECKSUM_LENGTH), 5, 8, false);
  return bytes === undefined ? undefined : { prefix, bytes: Uint8Array.from(bytes) };
}

function expand(prefix: string): number[] {
  const codes = [...prefix].map((letter) => letter.charCodeAt(0));
  return [...codes.map((code) => code >> 5), 0, ...codes.map((code) => code & 31)];
}

function checksum(values: readonly number[]): number {
  let sum = 1;
  for (const value of values) {
    const top = sum >>> 25;
    sum = ((sum & 0x1ffffff) << 5) ^ value;
    for (let i = 0; i < GENERATOR.length; i++) if ((top >> i) & 1) sum ^= GENERATOR[i]!;
  }
  return sum;
}

/** Undefined when the bits that are left over are not padding. */
function regroup(
  values: Iterable<number>,
  from: number,
  to: number,
  mayPad: boolean,
): number[] | undefined {
  const result: number[] = [];
  let held = 0;
  let bits = 0;
  for (const value of values) {
    held = ((held << from) | value) & 0xfff;
    bits += from;
    while (bits >= to) {
      bits -= to;
      result.push((held >> bits) & ((1 << to) - 1));
    }
  }
  const rest = held & ((1 << bits) - 1);
  if (mayPad) {
    if (bits > 0) result.push((rest << (to - bits)) & ((1 << to) - 1));
  } else if (bits >= from || rest !== 0) return undefined;
  return result;
}
