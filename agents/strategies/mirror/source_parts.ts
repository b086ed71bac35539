/** Parts of a source on the wire and at a destination. Rule: what `PartSpec` says in base64 is a path here, never a row. */
import { Buffer } from "node:buffer";
import type { ScanCounters } from "../../../protocol/mesh/progress.ts";
import type { PartSpec } from "../../../protocol/mesh/task.ts";
import { KIND_DIRECTORY, KIND_FILE } from "../../platform/posix.ts";
import { countRows, divide, type DivisionOptions } from "../../source/division.ts";
import { type EntryTable, utf8OfLatin1 } from "../../source/entry_table.ts";
import { isBelow, type Stretch } from "../../source/stretch.ts";
import type { Codec } from "./codec/codec.ts";
import { nameOfStored } from "./codec/stored_name.ts";

/** A part as a lane knows it. */
export interface SourcePart extends Stretch {
  key: string;
}

export function partOf({ key, from, to }: PartSpec): SourcePart {
  return {
    key,
    ...(from !== undefined && { from: latin1OfBase64(from) }),
    ...(to !== undefined && { to: latin1OfBase64(to) }),
  };
}

export interface CountedPart {
  part: PartSpec;
  counters: ScanCounters;
}

/** The whole source when it is small, or nothing in it can be cut. `codec`: how its files are to be stored. */
export function partsOf(
  table: EntryTable,
  codec: Codec | undefined,
  options: Omit<DivisionOptions, "together">,
): CountedPart[] {
  const together = codec === undefined ? [] : neighboursInNames(table, codec);
  const begins = [0, ...divide(table, { ...options, together })];
  return begins.map((row, at) => {
    const next = begins[at + 1];
    return {
      part: {
        key: `p${at + 1}`,
        label: labelOf(table, row, next ?? table.count),
        ...(at > 0 && { from: base64OfLatin1(table.pathLatin1(row)) }),
        ...(next !== undefined && { to: base64OfLatin1(table.pathLatin1(next)) }),
      },
      counters: countRows(table, row, next ?? table.count),
    };
  });
}

/**
 * A file is not stored under the name of a folder, link or node beside it, so it has to be listed together with that.
 * Names are compared as a destination that does not tell capitals apart would.
 */
function neighboursInNames(table: EntryTable, codec: Codec): [number, number][] {
  const { kind, parent } = table.columns;
  const owners = new Map<string, number>();
  const keyOf = (row: number, name: string) => `${parent[row]}/${utf8OfLatin1(name).toLowerCase()}`;
  for (let i = 1; i < table.count; i++) {
    if (kind[i] === KIND_FILE) continue;
    const name = table.nameLatin1(i);
    const own = nameOfStored(name.toLowerCase(), codec);
    if (own !== undefined) owners.set(keyOf(i, own), i);
  }
  if (owners.size === 0) return [];
  const pairs: [number, number][] = [];
  for (let i = 1; i < table.count; i++) {
    if (kind[i] !== KIND_FILE) continue;
    const other = owners.get(keyOf(i, table.nameLatin1(i)));
    if (other !== undefined) pairs.push([Math.min(i, other), Math.max(i, other)]);
  }
  return pairs;
}

/** From which folder to which, as deep as the cut; within one folder, from which entry to which. */
function labelOf(table: EntryTable, from: number, to: number): string {
  if (to - from === table.count) return "/";
  // The source's own folder says nothing of what is in it.
  const begin = Math.max(1, from);
  const first = folderOf(table, begin);
  const depth = Math.max(1, first.split("/").length);
  const last = folderOf(table, to - 1).split("/").slice(0, depth).join("/");
  if (first !== last) return `${textOf(first)} … ${textOf(last)}`;
  const isAll = table.columns.kind[begin] === KIND_DIRECTORY &&
    (to === table.count || !isBelow(table.pathLatin1(to), first));
  if (isAll || begin === to - 1) return table.pathText(begin);
  return `${table.pathText(begin)} … ${table.pathText(to - 1)}`;
}

function textOf(path: string): string {
  return path === "" ? "/" : utf8OfLatin1(path);
}

function folderOf(table: EntryTable, row: number): string {
  const { kind, parent } = table.columns;
  return table.pathLatin1(kind[row] === KIND_DIRECTORY ? row : parent[row]!);
}

function latin1OfBase64(text: string): string {
  return Buffer.from(text, "base64").toString("latin1");
}

function base64OfLatin1(path: string): string {
  return Buffer.from(path, "latin1").toString("base64");
}
