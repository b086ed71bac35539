/**
 * Text that comes from file names, made safe to print. Rule: no control or direction character reaches a terminal, and
 * widths are never underestimated, so a line cut by them never wraps.
 */

const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\u{fffe}\u{ffff}]/u;
const UNSAFE_ALL = new RegExp(UNSAFE.source, "gu");
const PRINTABLE_ASCII = /^[\x20-\x7e]*$/;
const NO_WIDTH = /[\p{Mn}\p{Me}]/u;
const WIDE = new RegExp(
  "[\\u1100-\\u115f\\u231a\\u231b\\u2329\\u232a\\u2b1b\\u2b1c\\u2b50\\u2b55\\u2e80-\\u303e" +
    "\\u3041-\\ua4cf\\ua960-\\ua97c\\uac00-\\ud7a3\\uf900-\\ufaff\\ufe10-\\ufe19" +
    "\\ufe30-\\ufe6f\\uff00-\\uff60\\uffe0-\\uffe6\\u{16fe0}-\\u{1b2ff}\\u{1d300}-\\u{1d37f}\\u{1f000}-\\u{1faff}" +
    "\\u{20000}-\\u{3fffd}\\p{Emoji_Presentation}]",
  "u",
);
const NAMED: Readonly<Record<string, string>> = { "\n": "\\n", "\t": "\\t", "\r": "\\r" };

/** One line of printable text: a newline becomes `\n`, other control and direction characters `\x1b` or `\u{202e}`. */
export function visibleText(text: string): string {
  if (PRINTABLE_ASCII.test(text)) return text;
  return text.replace(UNSAFE_ALL, (char) => {
    const code = char.codePointAt(0)!;
    if (code === 0x200d) return char; // Joins emoji; counted as a column of its own below.
    return NAMED[char] ??
      (code < 0x100 ? `\\x${hex(code, 2)}` : `\\u{${hex(code, 4)}}`);
  });
}

/** Columns on a terminal, at least what any common terminal takes. Expects text without escape sequences. */
export function textWidth(text: string): number {
  if (PRINTABLE_ASCII.test(text)) return text.length;
  let width = 0;
  for (const char of text) width += charWidth(char);
  return width;
}

/** At most `columns` wide; what is cut off at the end is marked by `…`. */
export function fitEnd(text: string, columns: number): string {
  if (textWidth(text) <= columns) return text;
  let width = 0;
  let kept = "";
  for (const char of text) {
    width += charWidth(char);
    if (width > columns - 1) break;
    kept += char;
  }
  return columns < 1 ? "" : `${kept}…`;
}

/** At most `columns` wide; keeps the end, which tells more in a path. */
export function fitStart(text: string, columns: number): string {
  if (textWidth(text) <= columns) return text;
  const chars = [...text];
  let width = 0;
  let from = chars.length;
  while (from > 0 && width + charWidth(chars[from - 1]!) <= columns - 1) {
    width += charWidth(chars[--from]!);
  }
  return columns < 1 ? "" : `…${chars.slice(from).join("")}`;
}

function charWidth(char: string): number {
  const code = char.codePointAt(0)!;
  if (code >= 0x20 && code < 0x7f) return 1;
  // A variation selector can make the character before it an emoji of two columns.
  if (code === 0xfe0f) return 1;
  return WIDE.test(char) ? 2 : NO_WIDTH.test(char) ? 0 : 1;
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, "0");
}
