/**
 * What is recorded at a destination, for a person who looks for something. Rule: lists are read as streams and answered
 * in portions, so that ten million entries take no more memory than ten.
 */
import { asBackupError, type ErrorCode } from "../../../../protocol/base/errors.ts";
import { Buffer } from "node:buffer";
import type { Posix } from "../../../platform/posix.ts";
import { latin1OfUtf8, utf8OfLatin1 } from "../../../source/entry_table.ts";
import type { ManifestEntry } from "../manifest_line.ts";
import { fullPath } from "./folders_pass.ts";
import { globMatcher } from "./glob.ts";
import { checkedLines, openStoredManifest, type StoredLists } from "./stored_lists.ts";

export type ListingRequest =
  | { kind: "ls"; path: string; recursive: boolean }
  | { kind: "find"; pattern: string; ignoreCase: boolean };

/** A manifest line with its whole path, the copy's name first. */
export type ListedEntry = Omit<ManifestEntry, "verifiedAtMs"> & { verifiedAtMs?: number };

/** A list that could not be read. */
export interface ListingProblem {
  code: ErrorCode;
  message: string;
  hint?: string;
}

export interface ListingPart {
  entries: ListedEntry[];
  /** No more comes. */
  ended: boolean;
  problems: ListingProblem[];
  /** The folder that was asked for is recorded, whatever is in it. */
  isThere: boolean;
}

const PART_ENTRIES = 500;
/** Lines looked at for one answer: a search that finds nothing stays interruptible. */
const PART_LINES = 100_000;

/** Answers part by part. A list that is damaged ends with what was read of it, and is named. */
export function createListing(
  posix: Posix,
  lists: StoredLists,
  request: ListingRequest,
  tick: () => void,
): () => ListingPart {
  const problems: ListingProblem[] = [];
  const seen = { isThere: false };
  const found = listed(posix, lists, request, problems, seen, tick);
  return () => {
    const entries: ListedEntry[] = [];
    for (let lines = 0; lines < PART_LINES && entries.length < PART_ENTRIES; lines++) {
      const next = found.next();
      if (next.done) return { entries, ended: true, problems, ...seen };
      if (next.value !== undefined) entries.push(next.value);
    }
    return { entries, ended: false, problems: [], isThere: false };
  };
}

function* listed(
  posix: Posix,
  lists: StoredLists,
  request: ListingRequest,
  problems: ListingProblem[],
  seen: { isThere: boolean },
  tick: () => void,
): Generator<ListedEntry | undefined> {
  const isWanted = request.kind === "ls"
    ? lsMatcher(request.path, request.recursive)
    : findMatcher(request.pattern, request.ignoreCase);
  const whole = request.kind === "ls" ? latin1OfUtf8(request.path) : "";
  const only = request.kind === "ls" ? latin1OfUtf8(request.path).split("/")[0]! : "";
  for (const binding of lists.marker.bindings) {
    const top = latin1OfUtf8(binding.name);
    if (only !== "" && only !== top) continue;
    try {
      const manifest = openStoredManifest(posix, lists, binding);
      try {
        for (const { path, entry } of checkedLines(manifest)) {
          tick();
          const full = fullPath(top, path);
          if (request.kind === "ls" && full === whole) seen.isThere = true;
          if (isWanted(full, entry)) yield withPath(entry, full);
          else yield undefined;
          if (request.kind === "ls" && only === "" && !request.recursive) break;
        }
      } finally {
        manifest.close();
      }
    } catch (thrown) {
      const error = asBackupError(thrown);
      if (error.code === "internal" || error.code === "cancelled") throw thrown;
      const { code, message, hint } = error;
      problems.push({ code, message, ...(hint === undefined ? {} : { hint }) });
    }
  }
}

/** The entry itself when it is no folder, else what is in it, or all below it. Without a path: the copies. */
function lsMatcher(typed: string, recursive: boolean) {
  const path = latin1OfUtf8(typed);
  return (full: string, entry: ManifestEntry): boolean => {
    if (path === "") return recursive || !full.includes("/");
    if (full === path) return entry.type !== "directory";
    if (!full.startsWith(`${path}/`)) return false;
    return recursive || !full.includes("/", path.length + 1);
  };
}

function findMatcher(pattern: string, ignoreCase: boolean) {
  const matches = globMatcher(pattern, ignoreCase);
  return (full: string): boolean => matches(utf8OfLatin1(full));
}

function withPath(entry: ManifestEntry, full: string): ListedEntry {
  const path = utf8OfLatin1(full);
  const { pathBase64: _, ...rest } = entry;
  return latin1OfUtf8(path) === full
    ? { ...rest, path }
    : { ...rest, path, pathBase64: Buffer.from(full, "latin1").toString("base64") };
}
