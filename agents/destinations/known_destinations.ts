/**
 * Which destinations this user has used, by path, so that an unmounted disk is not taken for an empty one. A cache in the
 * state directory: the marker at the destination stays the truth.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import * as v from "valibot";
import { BackupError } from "../../protocol/base/errors.ts";
import { newId } from "../../protocol/base/ids.ts";

const File = v.object({ version: v.literal(1), byPath: v.record(v.string(), v.string()) });

export interface KnownDestinations {
  /** The destination id last seen at this absolute path. */
  idAt(path: string): string | undefined;
  /** Records one; writes the file only when that is news. */
  remember(path: string, destinationId: string): void;
}

/** Reads `destinations.json` in `stateDir`, which may not exist yet. */
export function openKnownDestinations(stateDir: string): KnownDestinations {
  const path = `${stateDir}/destinations.json`;
  let byPath = read(path);
  return {
    idAt: (at) => byPath[at],
    remember(at, destinationId) {
      if (byPath[at] === destinationId) return;
      // Another program may have learned of others since.
      byPath = { ...read(path), [at]: destinationId };
      mkdirSync(stateDir, { recursive: true, mode: 0o700 });
      const temporary = `${path}.${newId("boot")}`;
      writeFileSync(temporary, JSON.stringify({ version: 1, byPath }, null, 2) + "\n", {
        mode: 0o600,
      });
      renameSync(temporary, path);
    },
  };
}

function read(path: string): Record<string, string> {
  try {
    return v.parse(File, JSON.parse(readFileSync(path, "utf8"))).byPath;
  } catch (thrown) {
    if ((thrown as { code?: string }).code === "ENOENT") return {};
    throw new BackupError("damaged", `Cannot use ${path}: ${(thrown as Error).message}`, {
      path,
      hint: "Delete it to forget which destinations were used; no copy is touched by that",
    });
  }
}
