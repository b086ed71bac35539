/** One recorded entry as a line for people, in the manner of `ls -l`. Rule: no character of a name reaches the terminal raw. */
import { formatDate } from "../../protocol/cli/format.ts";
import { visibleText } from "../../protocol/cli/visible_text.ts";

/** What is printed of a manifest line; its JSON form has all of it. */
export interface ListedLine {
  path: string;
  type: string;
  mode?: number;
  uid?: number;
  gid?: number;
  sizeBytes?: number;
  mtimeNs?: string;
  target?: string;
  hardLinkTo?: string;
  rdev?: number;
  goneAtMs?: number;
  recordedOnly?: boolean;
}

const TYPE_LETTERS: Readonly<Record<string, string>> = {
  file: "-",
  directory: "d",
  symlink: "l",
  fifo: "p",
  character: "c",
  block: "b",
  socket: "s",
};
const OWNER_COLUMNS = 11;
const SIZE_COLUMNS = 13;
/** What a Date can say. */
const DATE_MS_MAX = 8.64e15;

export function listLine(entry: ListedLine): string {
  const facts = [
    (TYPE_LETTERS[entry.type] ?? "?") + modeText(entry.mode ?? 0),
    `${entry.uid ?? "?"}:${entry.gid ?? "?"}`.padEnd(OWNER_COLUMNS),
    sizeText(entry).padStart(SIZE_COLUMNS),
    timeText(entry.mtimeNs),
  ].join(" ");
  const target = entry.target === undefined ? "" : ` -> ${visibleText(entry.target)}`;
  const same = entry.hardLinkTo === undefined ? "" : ` = ${visibleText(entry.hardLinkTo)}`;
  const gone = entry.goneAtMs === undefined ? "" : `  [gone since ${dateText(entry.goneAtMs)}]`;
  const only = entry.recordedOnly === true ? "  [recorded only]" : "";
  return `${facts} ${visibleText(entry.path)}${target}${same}${gone}${only}`;
}

/** `rwxr-sr-t`, as `ls` has it. */
export function modeText(mode: number): string {
  const bits = "rwxrwxrwx".split("").map((letter, k) => mode & (0o400 >> k) ? letter : "-");
  const special = [[0o4000, 2, "s"], [0o2000, 5, "s"], [0o1000, 8, "t"]] as const;
  for (const [bit, at, letter] of special) {
    if (mode & bit) bits[at] = bits[at] === "x" ? letter : letter.toUpperCase();
  }
  return bits.join("");
}

function sizeText({ type, sizeBytes, rdev }: ListedLine): string {
  if (type === "character" || type === "block") {
    const device = rdev ?? 0;
    return `${Math.floor(device / 2 ** 32)}, ${device % 2 ** 32}`;
  }
  return sizeBytes === undefined ? "-" : String(sizeBytes);
}

function timeText(mtimeNs: string | undefined): string {
  return mtimeNs === undefined ? "?".padEnd(16) : dateText(Number(BigInt(mtimeNs) / 1_000_000n));
}

function dateText(atMs: number): string {
  return Math.abs(atMs) <= DATE_MS_MAX ? formatDate(atMs) : `@${Math.floor(atMs / 1000)}`;
}
