/** Which earlier versions of a path a destination has. Rule: only what stands there is shown. */
import { BackupError } from "../../../protocol/base/errors.ts";
import type { Binding } from "../../destinations/marker.ts";
import { ENOENT, posixError } from "../../platform/errno.ts";
import { cName, newStat, type Posix } from "../../platform/posix.ts";
import { latin1OfUtf8, utf8OfLatin1 } from "../../source/entry_table.ts";
import type { CopyDestination } from "./list_keys.ts";
import { LastDirectory } from "./last_directory.ts";
import { entryPathLatin1, type ManifestEntry } from "./manifest_line.ts";
import { isConfined, lastName, parentPath } from "./recorded_state.ts";
import { storedPathLatin1 } from "./stored_form.ts";
import { cNameOfLatin1 } from "./tree_removal.ts";
import {
  linesOf,
  listedFolders,
  openList,
  openVersions,
  versionsDisplay,
} from "./version_lists.ts";

export interface FindVersions {
  /** `NAME/path`, a path below the destination, or the path of the source's own file. */
  asked: string;
  /** The same as an absolute path, in case it is one of those. */
  absolute: string;
}

export interface KeptVersion {
  /** Name of its dated folder: when it was replaced or deleted. */
  time: string;
  type: string;
  sizeBytes: number;
  /** Of the file, in nanoseconds; undefined when nothing is recorded. */
  mtimeNs?: string;
  sha256?: string;
  verifiedAtMs?: number;
  /** Where it lies, below the destination. */
  storedAt: string;
}

export interface FoundVersions {
  /** `NAME/path` of what was asked for. */
  path: string;
  /** Of the path itself, newest first. */
  versions: KeptVersion[];
  /** Files below the path, in order of their paths; at most `BELOW_MAX`, `belowCount` counts all. */
  below: { path: string; versions: number; newest: string }[];
  belowCount: number;
}

export const BELOW_MAX = 10_000;

/** @throws {BackupError} `usage` when the path is in no copy of this destination, `damaged` when a list is */
export function findVersions(
  posix: Posix,
  destination: CopyDestination,
  request: FindVersions,
  tick: () => void,
): FoundVersions {
  const { binding, path } = placeOf(request, destination);
  const found: FoundVersions = {
    path: path === "" ? binding.name : `${binding.name}/${utf8OfLatin1(path)}`,
    versions: [],
    below: [],
    belowCount: 0,
  };
  const below = new Map<string, { versions: number; newest: string }>();
  eachVersion(posix, destination, binding.key, tick, (entry, folder, stands) => {
    const at = entryPathLatin1(entry);
    if (at === path && entry.type !== "directory") {
      // Of what could only be recorded the line is all there is, and enough.
      if (entry.recordedOnly === true || stands()) {
        found.versions.push(versionOf(entry, folder, binding.key));
      }
    } else if (entry.type !== "directory" && (path === "" || at.startsWith(`${path}/`))) {
      const known = below.get(at);
      if (known === undefined) below.set(at, { versions: 1, newest: folder });
      else {
        known.versions++;
        known.newest = folder;
      }
    }
  });
  found.versions.reverse();
  found.belowCount = below.size;
  found.below = [...below].sort(([a], [b]) => a < b ? -1 : 1).slice(0, BELOW_MAX)
    .map(([at, counts]) => ({ path: `${binding.name}/${utf8OfLatin1(at)}`, ...counts }));
  return found;
}

/** The copy that a path names, and where in it. @throws {BackupError} `usage` */
export function placeOf(
  { asked, absolute }: FindVersions,
  destination: Pick<CopyDestination, "display" | "marker">,
): { binding: Binding; path: string } {
  const { display, marker } = destination;
  for (const binding of marker.bindings) {
    const places = [
      [asked.replace(/^\.\//, ""), binding.name],
      [absolute, `${display}/${binding.name}`],
      [absolute, binding.sourcePath],
    ] as const;
    for (const [text, top] of places) {
      const plain = text.replace(/(?<=.)\/+$/, "");
      const below = plain === top
        ? ""
        : plain.startsWith(`${top}/`)
        ? plain.slice(top.length + 1)
        : undefined;
      if (below === undefined) continue;
      const path = latin1OfUtf8(below.replace(/\/{2,}/g, "/"));
      if (isConfined(path)) return { binding, path };
    }
  }
  const names = marker.bindings.map(({ name }) => name).join(", ");
  throw new BackupError("usage", `${asked} is in no copy at ${display}`, {
    path: asked,
    hint: names === ""
      ? "There is no copy there yet"
      : `Write it as NAME/path, NAME being one of: ${names}`,
  });
}

/** Every listed version of a copy, oldest first. @throws {BackupError} when a list cannot be read */
export function eachVersion(
  posix: Posix,
  destination: CopyDestination,
  bindingKey: string,
  tick: () => void,
  use: (entry: ManifestEntry, folder: string, stands: () => boolean) => void,
): void {
  const display = versionsDisplay(destination, bindingKey);
  const versions = openVersions(posix, destination, bindingKey, false);
  if (versions === -ENOENT) return;
  if (versions < 0) throw posixError(versions, "open", display);
  try {
    for (const folder of listedFolders(posix, versions, display)) {
      const list = openList(posix, versions, folder, display, destination.keys);
      if (list === undefined) continue;
      const root = posix.openDirectory(versions, cName(folder));
      const last = new LastDirectory(posix, root, false);
      try {
        for (const { entry } of linesOf(list)) {
          tick();
          const path = storedPathLatin1(entry);
          if (path === "" || !isConfined(path)) continue;
          use(entry, folder, () => {
            const at = root < 0 ? root : last.open(parentPath(path));
            return at >= 0 && posix.statAt(at, cNameOfLatin1(lastName(path)), newStat()) === 0;
          });
        }
      } finally {
        last.close();
        if (root >= 0) posix.closeDirectory(root);
        list.close();
      }
    }
  } finally {
    posix.closeDirectory(versions);
  }
}

function versionOf(entry: ManifestEntry, folder: string, bindingKey: string): KeptVersion {
  return {
    time: folder,
    type: entry.type,
    sizeBytes: entry.sizeBytes ?? 0,
    ...(entry.mtimeNs === undefined ? {} : { mtimeNs: entry.mtimeNs }),
    ...(entry.sha256 === undefined ? {} : { sha256: entry.sha256 }),
    ...(entry.verifiedAtMs === undefined ? {} : { verifiedAtMs: entry.verifiedAtMs }),
    storedAt: `.backup-agent/versions/${bindingKey}/${folder}/${
      utf8OfLatin1(storedPathLatin1(entry))
    }`,
  };
}
