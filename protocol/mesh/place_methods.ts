/**
 * What a coordinator asks an agent about places it can reach: folders, destinations, what is stored there. Rule: an agent
 * looks only where its roots allow, and none of these changes a file that was there before.
 */
import * as v from "valibot";
import { defineMethod, defineStreamMethod } from "../rpc/method.ts";
import { AbsolutePath, PlacePath } from "./console_documents.ts";
import { KeyNames } from "./job.ts";

const count = v.pipe(v.number(), v.minValue(0));
const text = v.pipe(v.string(), v.maxLength(10_000));
const whole = v.pipe(v.number(), v.integer(), v.minValue(0));
export const PAGE_MAX = 1_000;
const limit = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(PAGE_MAX));

export const FoundDirectory = v.object({
  name: v.string(),
  path: v.string(),
  isHidden: v.boolean(),
  /** Everything below it, as far as it was counted. */
  files: count,
  sizeBytes: count,
  /** False: there is more than was counted in the time there was, or a part of it cannot be read. */
  isCounted: v.boolean(),
  /** Why it, or something in it, could not be looked into. It is listed all the same. */
  problem: v.exactOptional(v.string()),
});
export type FoundDirectory = v.InferOutput<typeof FoundDirectory>;

/** The folders in a folder, each with its size. */
export const ListDirectories = defineMethod({
  name: "mesh.ListDirectories",
  params: v.object({
    /** Absent: the agent's own home folder, or its first root. */
    path: v.exactOptional(AbsolutePath),
    /** For all sizes together; 0: names only. */
    withinMs: v.pipe(v.number(), v.minValue(0), v.maxValue(60_000)),
  }),
  result: v.object({
    path: v.string(),
    /** Null at a root. */
    parent: v.nullable(v.string()),
    directories: v.array(FoundDirectory),
    /** Files directly in it. */
    files: count,
    sizeBytes: count,
  }),
});

/** What stands at a destination, or could. `writes`: a small file is written, flushed, read back and removed. */
export const InspectPlace = defineMethod({
  name: "mesh.InspectPlace",
  params: v.object({ path: AbsolutePath, writes: v.boolean() }),
  result: v.object({
    path: v.string(),
    exists: v.boolean(),
    /** Undefined when nothing was written. */
    isWritable: v.exactOptional(v.boolean()),
    fileSystem: v.nullable(v.string()),
    freeBytes: v.nullable(count),
    totalBytes: v.nullable(count),
    /** Of its marker, when it holds copies of ours. */
    destinationId: v.nullable(v.string()),
    copies: v.array(v.object({ name: v.string(), hostId: v.string(), sourcePath: v.string() })),
    problem: v.exactOptional(v.string()),
  }),
});

/** What a list of a destination says about one entry. */
export const StoredEntry = v.object({
  /** From the copy's name on. */
  path: v.string(),
  type: v.string(),
  sizeBytes: v.nullable(count),
  mtimeMs: v.nullable(v.number()),
  verifiedAtMs: v.nullable(v.number()),
  sha256: v.nullable(v.string()),
  /** The source had lost it when it was looked at last. */
  isGone: v.boolean(),
});
export type StoredEntry = v.InferOutput<typeof StoredEntry>;

export const ListStored = defineMethod({
  name: "mesh.ListStored",
  params: v.object({
    /** The destination; of a repository the snapshots are its folders. */
    path: PlacePath,
    /** A folder in a copy, or with `pattern` what names are compared with; empty: the copies. */
    at: text,
    pattern: v.exactOptional(v.pipe(text, v.minLength(1))),
    ignoreCase: v.exactOptional(v.boolean()),
    offset: whole,
    limit,
    keys: v.exactOptional(KeyNames),
  }),
  result: v.object({
    entries: v.array(StoredEntry),
    hasMore: v.boolean(),
    isThere: v.boolean(),
    problems: v.array(v.string()),
  }),
});

/** The content of one recorded file, checked against its SHA-256 while it is read. */
export const ReadStored = defineStreamMethod({
  name: "mesh.ReadStored",
  params: v.object({ path: PlacePath, entry: text, keys: v.exactOptional(KeyNames) }),
  event: v.variant("kind", [
    v.object({ kind: v.literal("head"), name: v.string(), sizeBytes: count }),
    v.object({ kind: v.literal("bytes"), base64: v.string() }),
    /** All of it was sent and is what was recorded. */
    v.object({ kind: v.literal("end") }),
    v.object({ kind: v.literal("broken"), message: v.string() }),
  ]),
});

/** One row of a running task: `marks` has a letter for each of its destinations, in their order. */
export const FileRow = v.object({
  path: v.string(),
  sizeBytes: count,
  /** `.` waiting, `=` unchanged, `c` copied, `v` verified, `r` recorded only, `x` failed, `-` not there. */
  marks: v.string(),
});
export type FileRow = v.InferOutput<typeof FileRow>;

/** The files of a task that the agent works on, as far as it is with each. */
export const ListTaskFiles = defineMethod({
  name: "mesh.ListTaskFiles",
  params: v.object({ taskId: text, offset: whole, limit }),
  result: v.object({
    destinations: v.array(v.string()),
    rows: v.array(FileRow),
    total: count,
  }),
});

/** What the lists of several destinations say about the same copies, side by side. */
export const CompareStored = defineMethod({
  name: "mesh.CompareStored",
  params: v.object({
    destinations: v.pipe(v.array(AbsolutePath), v.minLength(1), v.maxLength(100)),
    /** Names of copies; others are left out. */
    copies: v.array(text),
    offset: whole,
    limit,
    keys: v.exactOptional(KeyNames),
  }),
  result: v.object({
    rows: v.array(FileRow),
    total: count,
    problems: v.array(v.string()),
  }),
});
