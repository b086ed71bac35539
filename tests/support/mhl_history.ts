/**
 * The ASC MHL history in a copy as a stranger reads it: nothing of the program is used, C4 is computed the other way
 * round than the program does, and hashes are compared with what stock xxh64sum said of the source.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fs from "node:fs";
import { join } from "node:path";
import { runProgram } from "./run_program.ts";
import { findProgram } from "./tools.ts";

export interface ListedHash {
  hex: string;
  sizeBytes: number;
  action: string | undefined;
}

export interface Generation {
  name: string;
  number: number;
  /** By path. */
  files: Map<string, ListedHash>;
}

export interface History {
  /** Those in the chain, oldest first. */
  chained: Generation[];
  /** Whole, newer than those, and not in the chain. */
  unchained: Generation[];
  /** Every file of the folder by name. */
  files: Map<string, Uint8Array>;
}

/** XXH64 by path. */
export type Hashes = ReadonlyMap<string, string>;

const FOLDER = "ascmhl";
const CHAIN = "ascmhl_chain.xml";
const NO_FILES: History = { chained: [], unchained: [], files: new Map() };
const HASH =
  /<hash>\s*<path size="(\d+)"[^>]*>([^<]*)<\/path>\s*<xxh64(?: action="(\w+)")? hashdate="[^"]+">([0-9a-f]{16})<\/xxh64>\s*<\/hash>/g;
const CHAINED =
  /<hashlist sequencenr="(\d+)">\s*<path>([^<]*)<\/path>\s*<c4>(c4[^<]{88})<\/c4>\s*<\/hashlist>/g;

/** Stock xxh64sum of every regular file below `folder`. */
export async function stockHashes(folder: string): Promise<Hashes> {
  const script = `cd "$1" && find . -type f -exec "$2" {} + | sed 's,  \\./,  ,'`;
  const args = ["-c", script, "sh", folder, findProgram("xxh64sum")!];
  const env = { PATH: Deno.env.get("PATH") ?? "" };
  const { code, out, err } = await runProgram("/bin/sh", args, { env });
  assert.equal(code, 0, err);
  return new Map(
    out.split("\n").slice(0, -1).map((line) => [line.slice(18), line.slice(0, 16)]),
  );
}

/**
 * Reads the history of `copy`. Everything in it must be whole and under a name that is its own: a chain in order, and each
 * of its generations there with the C4 it says.
 */
export function readHistory(copy: string, point: string): History {
  const folder = join(copy, FOLDER);
  if (!fs.existsSync(folder)) return NO_FILES;
  const files = new Map<string, Uint8Array>(
    fs.readdirSync(folder).sort().map((name) => [name, fs.readFileSync(join(folder, name))]),
  );
  const names = [...files.keys()].filter((name) => name !== CHAIN);
  const generations = names.map((name) => parseGeneration(name, files.get(name)!, point));
  const chain = files.has(CHAIN) ? parseChain(files.get(CHAIN)!, point) : [];
  chain.forEach(({ number, path, c4 }, at) => {
    assert.equal(number, at + 1, `${point}: the chain is in order`);
    assert.equal(path, names[at], `${point}: the chain names what is there`);
    assert.equal(numberOfC4(c4), sha512Number(files.get(path)!), `${point}: C4 of ${path}`);
  });
  return {
    chained: generations.slice(0, chain.length),
    unchained: generations.slice(chain.length),
    files,
  };
}

function parseGeneration(name: string, bytes: Uint8Array, point: string): Generation {
  const number = /^(\d{4})_copy_\d{4}-\d\d-\d\d_\d{6}Z\.mhl$/.exec(name)?.[1];
  assert.ok(number !== undefined, `${point}: ${name} in ${FOLDER}`);
  const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  assert.match(
    text,
    /^<\?xml [^>]*\?>\n<hashlist .*<\/hashlist>\n$/s,
    `${point}: ${name} is whole`,
  );
  const files = new Map<string, ListedHash>();
  for (const [, size, path, action, hex] of text.matchAll(HASH)) {
    assert.ok(!files.has(path!), `${point}: ${path} twice in ${name}`);
    files.set(path!, { hex: hex!, sizeBytes: Number(size), action });
  }
  assert.equal(files.size, text.split("<hash>").length - 1, `${point}: ${name}`);
  return { name, number: Number(number), files };
}

function parseChain(
  bytes: Uint8Array,
  point: string,
): { number: number; path: string; c4: string }[] {
  const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  assert.match(text, /^<\?xml [^>]*\?>\n<ascmhldirectory .*<\/ascmhldirectory>\n$/s, point);
  const found = [...text.matchAll(CHAINED)].map(([, number, path, c4]) => ({
    number: Number(number),
    path: path!,
    c4: c4!,
  }));
  assert.equal(found.length, text.split("<hashlist").length - 1, `${point}: the chain`);
  return found;
}

/** Everything that was there is there, to the byte; only the chain has become longer. */
export function assertOnlyAdded(before: History, after: History, point: string): void {
  for (const [name, bytes] of before.files) {
    const now = after.files.get(name);
    assert.ok(now !== undefined, `${point}: ${name} is gone`);
    if (name === CHAIN) {
      const start = new TextDecoder().decode(bytes).replace("</ascmhldirectory>\n", "");
      const text = new TextDecoder().decode(now);
      assert.ok(text.startsWith(start), `${point}: the chain says no more what it said`);
    } else assert.deepEqual(now, bytes, `${point}: ${name} was altered`);
  }
}

/** The list has these files with these hashes and no others. */
export function assertLists(generation: Generation, wanted: Hashes, point: string): void {
  const found = new Map([...generation.files].map(([path, { hex }]) => [path, hex]));
  assert.deepEqual(sorted(found), sorted(wanted), `${point}: ${generation.name}`);
}

/** What is not called original was called so, with the same hash, in an earlier generation. */
export function assertOriginalsFirst(generations: Generation[], point: string): void {
  const originals = new Set<string>();
  for (const { name, files } of generations) {
    for (const [path, { hex, action }] of files) {
      if (action === "original") originals.add(`${hex} ${path}`);
      assert.ok(originals.has(`${hex} ${path}`), `${point}: ${name}: ${path} is ${action}`);
    }
  }
}

const sorted = (hashes: Hashes) => [...hashes].sort(([a], [b]) => a < b ? -1 : 1);

function numberOfC4(c4: string): bigint {
  const digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
  return [...c4.slice(2)].reduce((sum, digit) => sum * 58n + BigInt(digits.indexOf(digit)), 0n);
}

function sha512Number(bytes: Uint8Array): bigint {
  return BigInt(`0x${createHash("sha512").update(bytes).digest("hex")}`);
}
