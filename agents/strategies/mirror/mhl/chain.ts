/**
 * The chain file of a copy's `ascmhl` folder: its generations with their C4. Rule: a chain only grows; what it said before
 * is kept to the letter, and a chain that does not fit the files beside it is not gone on with.
 */
import { BackupError } from "../../../../protocol/base/errors.ts";
import { ENOENT, posixError } from "../../../platform/errno.ts";
import { cName, type DirectoryHandle, newStat, type Posix } from "../../../platform/posix.ts";
import { readSmallFile } from "../../../platform/small_file.ts";
import { latin1OfUtf8, utf8OfLatin1 } from "../../../source/entry_table.ts";
import { c4OfFile } from "./c4.ts";
import { CHAIN_NAMESPACE, XML_START, xmlText } from "./mhl_xml.ts";
import { CHAIN_FILE, generationOf } from "./own_files.ts";
import { placeFile } from "./place_file.ts";

const START = `${XML_START}<ascmhldirectory xmlns="${CHAIN_NAMESPACE}">\n`;
const END = "</ascmhldirectory>";
const ENTRY =
  /<hashlist sequencenr="([0-9]{1,9})">\s*<path>([^<]*)<\/path>\s*<c4(?: [^<>]*)?>(c4[1-9A-HJ-NP-Za-km-z]{88})<\/c4>\s*<\/hashlist>/g;
const NOTHING_ELSE =
  /^(<\?xml [^<>]*\?>)?\s*<ascmhldirectory xmlns="urn:ASC:MHL:DIRECTORY:v2\.0">\s*<\/ascmhldirectory>\s*$/;
/** Some ten thousand generations. */
const CHAIN_BYTES_MAX = 4 << 20;

export interface Chain {
  text: string;
  /** Number of the newest generation; 0 when there is none. */
  newest: number;
}

/**
 * The chain as it is, with generations added that an interrupted run wrote whole and did not enter any more.
 * @throws {BackupError} `damaged` when it is not to be gone on with, or as reading fails
 */
export function readChain(
  posix: Posix,
  folder: DirectoryHandle,
  display: string,
  tick: () => void,
): Chain {
  const bytes = readSmallFile(
    posix,
    folder,
    CHAIN_FILE,
    `${display}/${CHAIN_FILE}`,
    CHAIN_BYTES_MAX,
  );
  const text = bytes === undefined ? START + END + "\n" : new TextDecoder().decode(bytes);
  if (!NOTHING_ELSE.test(text.replace(ENTRY, ""))) {
    throw damaged(display, "its chain file is not as ASC MHL has it");
  }
  const chain: Chain = { text, newest: 0 };
  let newestFile = "";
  let newestC4 = "";
  const stat = newStat();
  for (const [, number, path, c4] of text.matchAll(ENTRY)) {
    tick();
    const file = plainText(path!);
    const found = file.includes("/") ? -ENOENT : posix.statAt(folder, cName(file), stat);
    if (found === -ENOENT) throw damaged(display, `${file} is in its chain and not there`);
    if (found < 0) throw posixError(found, "read", `${display}/${file}`);
    if (Number(number) <= chain.newest) throw damaged(display, "its chain is not in order");
    chain.newest = Number(number);
    newestFile = file;
    newestC4 = c4!;
  }
  if (newestFile !== "" && c4OfName(posix, folder, newestFile, display, tick) !== newestC4) {
    throw damaged(display, `${newestFile} is not what its chain says`);
  }
  for (const file of unchained(posix, folder, chain.newest, display)) {
    const generation = generationOf(file)!;
    addToChain(chain, generation, file, c4OfName(posix, folder, file, display, tick));
  }
  return chain;
}

export function addToChain(chain: Chain, generation: number, file: string, c4: string): void {
  const at = chain.text.lastIndexOf(END);
  chain.text = chain.text.slice(0, at) +
    `  <hashlist sequencenr="${generation}">\n    <path>${xmlText(file)}</path>\n` +
    `    <c4>${c4}</c4>\n  </hashlist>\n` + chain.text.slice(at);
  chain.newest = generation;
}

export function writeChain(
  posix: Posix,
  stage: DirectoryHandle,
  folder: DirectoryHandle,
  chain: Chain,
  display: string,
): void {
  const bytes = new TextEncoder().encode(chain.text);
  placeFile(posix, stage, folder, CHAIN_FILE, `${display}/${CHAIN_FILE}`, (write) => write(bytes));
}

function unchained(
  posix: Posix,
  folder: DirectoryHandle,
  newest: number,
  display: string,
): string[] {
  const names = posix.list(folder);
  if (typeof names === "number") throw posixError(names, "read", display);
  const newer = names.map((name) => utf8OfLatin1(name)).filter((name, k) =>
    latin1OfUtf8(name) === names[k] && (generationOf(name) ?? 0) > newest
  ).sort((a, b) => generationOf(a)! - generationOf(b)!);
  newer.forEach((name, k) => {
    if (generationOf(name) === newest + 1 + k) return;
    throw damaged(display, `${name} is there and not in its chain`);
  });
  return newer;
}

function c4OfName(
  posix: Posix,
  folder: DirectoryHandle,
  name: string,
  display: string,
  tick: () => void,
): string {
  const fd = posix.openRead(folder, cName(name));
  if (fd < 0) throw posixError(fd, "read", `${display}/${name}`);
  const c4 = c4OfFile(posix, fd, tick);
  posix.close(fd);
  if (typeof c4 === "number") throw posixError(c4, "read", `${display}/${name}`);
  return c4;
}

const ENTITIES: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  "#9": "\t",
  "#10": "\n",
  "#13": "\r",
};

function plainText(text: string): string {
  return text.replace(/&([a-z]+|#[0-9]+);/g, (whole, entity: string) => ENTITIES[entity] ?? whole);
}

function damaged(display: string, what: string): BackupError {
  return new BackupError("damaged", `${display}: ${what}`, {
    path: display,
    hint: "Look at that folder; once it is moved away, a new chain begins",
  });
}
