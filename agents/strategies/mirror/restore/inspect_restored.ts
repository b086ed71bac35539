/**
 * The last look at what was restored, as its owner would take it: from the target's disk, and beside the source. Rule: the
 * source is only compared when its stat is the recorded one, since a change is no fault of the copy.
 */
import { createHash } from "node:crypto";
import type { FileFailure } from "../../../../protocol/mesh/job.ts";
import { errnoText } from "../../../platform/errno.ts";
import { cName, type DirectoryHandle, newStat, type Posix } from "../../../platform/posix.ts";
import { latin1OfUtf8, utf8OfLatin1 } from "../../../source/entry_table.ts";
import { entryPathLatin1, inodeText, type ManifestEntry, nanoseconds } from "../manifest_line.ts";
import { metadataOf } from "./entry_metadata.ts";
import { fullPath } from "./folders_pass.ts";
import { PathChain, splitPath } from "./path_chain.ts";
import type { CopyPlan } from "./restore_plan.ts";
import { NAMED_MAX } from "./restore_report.ts";
import type { RestoreTarget } from "./restore_target.ts";

export interface Inspected {
  /** Files that were read again at the target. */
  files: number;
  /** … and of those, whose source was read too. */
  sourcesRead: number;
  /** Whose source is on another host, gone, or has changed since. */
  sourcesChanged: number;
  failures: FileFailure[];
}

export interface Inspection {
  posix: Posix;
  target: RestoreTarget;
  copy: CopyPlan;
  /** Absolute; undefined when the source is not on this host. */
  sourcePath: string | undefined;
  /** Before every piece; throws when all is to end. */
  tick(): void;
}

const PIECE_BYTES = 256 << 10;

export function inspectRestored(
  inspection: Inspection,
  lines: Iterable<{ entry: ManifestEntry }>,
): Inspected {
  const { posix, target, sourcePath } = inspection;
  const result: Inspected = { files: 0, sourcesRead: 0, sourcesChanged: 0, failures: [] };
  const top = latin1OfUtf8(inspection.copy.name);
  const sourceRoot = sourcePath === undefined ? -1 : posix.openRoot(cName(sourcePath));
  const restored = new PathChain(posix, target.root);
  const source = sourceRoot < 0 ? undefined : new PathChain(posix, sourceRoot);
  const buffer = new Uint8Array(PIECE_BYTES);
  try {
    for (const { entry } of lines) {
      const path = entryPathLatin1(entry);
      const full = fullPath(top, path);
      const fail = (code: string, message: string) => {
        if (result.failures.length >= NAMED_MAX) return;
        result.failures.push({ path: utf8OfLatin1(full), code, message, attempts: 1 });
      };
      result.files++;
      const wrong = wrongAt(inspection, restored, full, entry, buffer);
      if (wrong !== undefined) fail("damaged", wrong);
      if (source === undefined || !isUnchanged(posix, source, path, entry)) {
        result.sourcesChanged++;
        continue;
      }
      const { folder, name } = splitPath(path);
      const hash = hashOf(inspection, source.folder(folder), name, buffer);
      result.sourcesRead++;
      if (hash !== entry.sha256) {
        fail(
          "damaged",
          typeof hash === "number"
            ? `Its source cannot be read: ${errnoText(-hash)}`
            : "Its source has other content than was recorded, although its size and times are the same",
        );
      }
    }
    return result;
  } finally {
    restored.close();
    source?.close();
    if (sourceRoot >= 0) posix.closeDirectory(sourceRoot);
  }
}

/** How the restored file differs from its line; owners and modes are reported where they cannot be set. */
function wrongAt(
  inspection: Inspection,
  chain: PathChain,
  full: string,
  entry: ManifestEntry,
  buffer: Uint8Array,
): string | undefined {
  const { posix } = inspection;
  const { folder, name } = splitPath(full);
  const at = chain.folder(folder);
  const stat = newStat();
  const found = at < 0 ? at : posix.statAt(at, name, stat);
  if (found < 0) return `What was restored is not there: ${errnoText(-found)}`;
  const metadata = metadataOf(entry)!;
  if (stat.sizeBytes !== entry.sizeBytes) return "What was restored has another size";
  if (stat.mtimeSec !== metadata.mtimeSec) return "What was restored has another time";
  const hash = hashOf(inspection, at, name, buffer);
  if (typeof hash === "number") return `What was restored cannot be read: ${errnoText(-hash)}`;
  return hash === entry.sha256
    ? undefined
    : "What was restored has other content than was recorded";
}

function isUnchanged(
  posix: Posix,
  source: PathChain,
  path: string,
  entry: ManifestEntry,
): boolean {
  const { folder, name } = splitPath(path);
  const at = source.folder(folder);
  const stat = newStat();
  return at >= 0 && posix.statAt(at, name, stat) === 0 &&
    stat.sizeBytes === entry.sizeBytes &&
    nanoseconds(stat.mtimeSec, stat.mtimeNsec) === entry.mtimeNs &&
    nanoseconds(stat.ctimeSec, stat.ctimeNsec) === entry.ctimeNs &&
    inodeText(stat.inodeLow, stat.inodeHigh) === entry.inode;
}

/** In hex, from the disk where that can be had; or -errno. */
function hashOf(
  { posix, tick }: Inspection,
  at: DirectoryHandle,
  name: Uint8Array,
  buffer: Uint8Array,
): string | number {
  const fd = at < 0 ? at : posix.openRead(at, name);
  if (fd < 0) return fd;
  posix.dropCache(fd);
  const hash = createHash("sha256");
  try {
    for (let offset = 0;;) {
      tick();
      const got = posix.readAt(fd, buffer, offset);
      if (got < 0) return got;
      if (got === 0) return hash.digest("hex");
      hash.update(buffer.subarray(0, got));
      offset += got;
    }
  } finally {
    posix.close(fd);
  }
}
