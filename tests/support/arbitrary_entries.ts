/** fast-check arbitraries of what a file system can hold: names of any bytes, numbers at the edges of what JavaScript keeps. */
import fc from "fast-check";
import { KIND_DIRECTORY, KIND_FILE, KIND_SYMLINK, type Stat } from "../../agents/platform/posix.ts";
import { EntryTable, NONE } from "../../agents/source/entry_table.ts";
import type { Xattr } from "../../agents/source/xattrs.ts";
import { statOf } from "./sample_table.ts";

/** A name of any bytes but NUL and slash, one a character; UTF-8 as often as not. */
export const byteName: fc.Arbitrary<string> = fc.oneof(
  fc.array(fc.integer({ min: 1, max: 255 }).filter((byte) => byte !== 47), {
    minLength: 1,
    maxLength: 12,
  }).map((bytes) => String.fromCharCode(...bytes)),
  fc.string({ unit: "grapheme", minLength: 1, maxLength: 8 })
    .map((text) => utf8Bytes(text.replace(/[\0/]/g, "_"))),
).filter((name) => name !== "." && name !== "..");

function utf8Bytes(text: string): string {
  return String.fromCharCode(...new TextEncoder().encode(text.toWellFormed()));
}

const u32 = fc.integer({ min: 0, max: 0xffffffff });
const seconds = fc.oneof(
  fc.integer({ min: -(2 ** 40), max: 2 ** 40 }),
  fc.constantFrom(0, 1, -1, -(2 ** 53) + 1, 2 ** 53 - 1, 2 ** 31, -(2 ** 31)),
);
const nanoseconds = fc.integer({ min: 0, max: 999_999_999 });

export const anyStat: fc.Arbitrary<Stat> = fc.record({
  kind: fc.constantFrom(KIND_FILE, KIND_DIRECTORY, KIND_SYMLINK),
  mode: fc.integer({ min: 0, max: 0o7777 }),
  uid: u32,
  gid: u32,
  sizeBytes: fc.oneof(fc.nat(), fc.constantFrom(0, 2 ** 32, 2 ** 53 - 1)),
  inodeLow: u32,
  inodeHigh: u32,
  mtimeSec: seconds,
  mtimeNsec: nanoseconds,
  ctimeSec: seconds,
  ctimeNsec: nanoseconds,
}).map(statOf);

/** Extended attributes with names of any bytes, sorted as they are kept. */
export const anyXattrs: fc.Arbitrary<Xattr[]> = fc.uniqueArray(
  fc.record({
    name: byteName.map((name) => `user.${name}`),
    value: fc.uint8Array({ maxLength: 300 }),
  }, { noNullPrototype: true }),
  { selector: ({ name }) => name, maxLength: 6 },
).map((list) => list.sort((a, b) => a.name < b.name ? -1 : 1));

export interface AnyEntry {
  name: string;
  stat: Stat;
  /** Chooses among the directories before it. */
  parent: number;
  target: string;
}

export const anyEntries: fc.Arbitrary<AnyEntry[]> = fc.array(
  fc.record({ name: byteName, stat: anyStat, parent: fc.nat(100), target: byteName }),
  { maxLength: 30 },
);

/** A table of these entries in the order given; answers each row's parent and path too. */
export function tableOf(
  entries: readonly AnyEntry[],
): { table: EntryTable; parents: number[]; paths: string[] } {
  const table = EntryTable.create(1);
  table.push(NONE, "", statOf({ kind: KIND_DIRECTORY, mode: 0o755 }));
  const directories = [0];
  const parents = [NONE];
  const paths = [""];
  for (const { name, stat, parent: choice, target } of entries) {
    const parent = directories[choice % directories.length]!;
    const bytes = Uint8Array.from(target, (letter) => letter.charCodeAt(0));
    const row = table.push(parent, name, stat, stat.kind === KIND_SYMLINK ? bytes : undefined);
    if (stat.kind === KIND_DIRECTORY) directories.push(row);
    parents.push(parent);
    paths.push(paths[parent] === "" ? name : `${paths[parent]}/${name}`);
  }
  return { table, parents, paths };
}
