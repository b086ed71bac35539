/** Files below snapshots/: the record of one backup. Rule: it is written last, and all it names is durable by then. */
import * as v from "valibot";
import { IntegrityError } from "../../protocol/base/errors.ts";
import { goString, parseJson } from "./go_json.ts";
import { compareTimes, type Instant, parseTime } from "./go_time.ts";
import { isId } from "./object_id.ts";
import type { Repository } from "./repository.ts";

const COUNT = v.optional(v.number(), 0);
const SUMMARY = v.object({
  backup_start: v.optional(v.string(), ""),
  backup_end: v.optional(v.string(), ""),
  files_new: COUNT,
  files_changed: COUNT,
  files_unmodified: COUNT,
  dirs_new: COUNT,
  dirs_changed: COUNT,
  dirs_unmodified: COUNT,
  data_blobs: COUNT,
  tree_blobs: COUNT,
  data_added: COUNT,
  data_added_packed: COUNT,
  total_files_processed: COUNT,
  total_bytes_processed: COUNT,
});
export type SnapshotSummary = v.InferOutput<typeof SUMMARY>;

const ID = v.custom<string>((value) => typeof value === "string" && isId(value));
const STRINGS = v.nullish(v.array(v.string()));
const TIME = v.custom<string>((value) => typeof value === "string" && !!parseTime(value));
const FILE = v.object({
  time: TIME,
  parent: v.nullish(ID),
  tree: ID,
  paths: v.nullish(v.array(v.string()), []),
  hostname: v.nullish(v.string()),
  username: v.nullish(v.string()),
  uid: v.nullish(v.number()),
  gid: v.nullish(v.number()),
  excludes: STRINGS,
  tags: STRINGS,
  original: v.nullish(ID),
  program_version: v.nullish(v.string()),
  summary: v.nullish(SUMMARY),
});

export interface Snapshot {
  /** As Go writes times. */
  time: string;
  parent?: string;
  tree: string;
  paths: readonly string[];
  hostname?: string;
  username?: string;
  uid?: number;
  gid?: number;
  excludes?: readonly string[];
  tags?: readonly string[];
  original?: string;
  program_version?: string;
  summary?: SnapshotSummary;
}

export interface StoredSnapshot extends Snapshot {
  id: string;
}

/** Fields in restic's order; empty ones are left out. */
export function encodeSnapshot(snapshot: Snapshot): Uint8Array {
  const strings = (list: readonly string[]) => `[${list.map(goString).join(",")}]`;
  let json = `{"time":"${snapshot.time}"`;
  if (snapshot.parent) json += `,"parent":"${snapshot.parent}"`;
  json += `,"tree":"${snapshot.tree}","paths":${strings(snapshot.paths)}`;
  if (snapshot.hostname) json += `,"hostname":${goString(snapshot.hostname)}`;
  if (snapshot.username) json += `,"username":${goString(snapshot.username)}`;
  if (snapshot.uid) json += `,"uid":${snapshot.uid}`;
  if (snapshot.gid) json += `,"gid":${snapshot.gid}`;
  if (snapshot.excludes?.length) json += `,"excludes":${strings(snapshot.excludes)}`;
  if (snapshot.tags?.length) json += `,"tags":${strings(snapshot.tags)}`;
  if (snapshot.original) json += `,"original":"${snapshot.original}"`;
  if (snapshot.program_version) {
    json += `,"program_version":${goString(snapshot.program_version)}`;
  }
  if (snapshot.summary) json += `,"summary":${JSON.stringify(snapshot.summary)}`;
  return new TextEncoder().encode(`${json}}`);
}

/** @throws {IntegrityError} */
export function decodeSnapshot(json: Uint8Array, path: string): Snapshot {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(json);
    const read = v.parse(FILE, parseJson(text));
    const kept = Object.entries(read).filter(([, value]) => value !== null && value !== undefined);
    return Object.fromEntries(kept) as unknown as Snapshot;
  } catch (cause) {
    throw new IntegrityError(`${path} is no snapshot`, { path, cause });
  }
}

export async function loadSnapshot(repository: Repository, id: string): Promise<StoredSnapshot> {
  const json = await repository.load("snapshot", id);
  return { id, ...decodeSnapshot(json, repository.pathOf("snapshot", id)) };
}

/** All, oldest first. One that is damaged goes to `onDamage`; without it, it is thrown. */
export async function loadSnapshots(
  repository: Repository,
  onDamage?: (id: string, error: IntegrityError) => void,
): Promise<StoredSnapshot[]> {
  const snapshots: StoredSnapshot[] = [];
  for (const { id } of await repository.list("snapshot")) {
    try {
      snapshots.push(await loadSnapshot(repository, id));
    } catch (error) {
      if (!(error instanceof IntegrityError) || onDamage === undefined) throw error;
      onDamage(id, error);
    }
  }
  return snapshots.sort((a, b) => compareTimes(timeOf(a), timeOf(b)));
}

export function timeOf(snapshot: Snapshot): Instant {
  return parseTime(snapshot.time)!;
}
