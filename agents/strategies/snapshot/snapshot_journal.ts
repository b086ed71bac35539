/**
 * What snapshots still owe, in the state directory: where an interrupted backup got to, and which snapshots a replica has missed.
 * Rule: a convenience. Without it an interrupted backup reads again what it had stored, and a replica stays without what it missed.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import * as v from "valibot";
import { newId } from "../../../protocol/base/ids.ts";

const LEFT = v.object({ tree: v.string(), atMs: v.number() });
export type LeftTree = v.InferOutput<typeof LEFT>;

const FILE = v.object({
  version: v.literal(1),
  /** By repository, host and path. */
  left: v.record(v.string(), LEFT),
  /** Ids of snapshots, oldest first, by the path of the replica. */
  owed: v.record(v.string(), v.object({ repository: v.string(), snapshots: v.array(v.string()) })),
});
type File = v.InferOutput<typeof FILE>;

/** More than anybody keeps. */
const OWED_MAX = 10_000;

/** What is backed up where. */
export interface SnapshotSource {
  /** Id in the configuration of the repository. */
  repository: string;
  host: string;
  path: string;
}

export interface SnapshotJournal {
  left(source: SnapshotSource): LeftTree | undefined;
  noteLeft(source: SnapshotSource, left: LeftTree): void;
  dropLeft(source: SnapshotSource): void;
  owed(path: string, repository: string): readonly string[];
  owe(path: string, repository: string, snapshot: string): void;
  paid(path: string, snapshots: readonly string[]): void;
}

const EMPTY: File = { version: 1, left: {}, owed: {} };

/** Uses `snapshots.json` in `stateDir`, which may not exist yet. One that cannot be read or written is done without. */
export function openSnapshotJournal(
  stateDir: string,
  onProblem: (message: string) => void,
): SnapshotJournal {
  const path = `${stateDir}/snapshots.json`;
  /** Read anew each time: other runs write it too. */
  const change = (edit: (file: File) => void): void => {
    const file = read(path);
    const before = JSON.stringify(file);
    edit(file);
    const text = JSON.stringify(file);
    if (text === before) return;
    try {
      mkdirSync(stateDir, { recursive: true, mode: 0o700 });
      const temporary = `${path}.${newId("boot")}`;
      writeFileSync(temporary, text, { mode: 0o600 });
      renameSync(temporary, path);
    } catch (thrown) {
      onProblem(`Cannot write ${path}: ${(thrown as Error).message}`);
    }
  };
  const keyOf = ({ repository, host, path }: SnapshotSource) =>
    JSON.stringify([repository, host, path]);
  return {
    left: (source) => read(path).left[keyOf(source)],
    noteLeft: (source, left) => change((file) => void (file.left[keyOf(source)] = left)),
    dropLeft: (source) => change((file) => void delete file.left[keyOf(source)]),
    owed(at, repository) {
      const owed = read(path).owed[at];
      return owed?.repository === repository ? owed.snapshots : [];
    },
    owe: (at, repository, snapshot) =>
      change((file) => {
        const known = file.owed[at];
        const snapshots = known?.repository === repository ? known.snapshots : [];
        if (snapshots.includes(snapshot)) return;
        file.owed[at] = { repository, snapshots: [...snapshots, snapshot].slice(-OWED_MAX) };
      }),
    paid: (at, snapshots) =>
      change((file) => {
        const owed = file.owed[at];
        if (owed === undefined) return;
        owed.snapshots = owed.snapshots.filter((id) => !snapshots.includes(id));
        if (owed.snapshots.length === 0) delete file.owed[at];
      }),
  };
}

/** Keeps nothing. */
export const NO_JOURNAL: SnapshotJournal = {
  left: () => undefined,
  noteLeft() {},
  dropLeft() {},
  owed: () => [],
  owe() {},
  paid() {},
};

function read(path: string): File {
  try {
    return v.parse(FILE, JSON.parse(readFileSync(path, "utf8")));
  } catch {
    return structuredClone(EMPTY);
  }
}
