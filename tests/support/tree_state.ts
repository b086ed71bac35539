/** What stands below a folder, as plain values that tests can compare; names and contents are UTF-8. */
import { createHash } from "node:crypto";
import fs from "node:fs";
import { join } from "node:path";

export interface EntryState {
  kind: "file" | "directory" | "symlink" | "other";
  /** Content of a file, target of a symbolic link. */
  text: string;
  mode: number;
  mtimeNs: bigint;
  inode: bigint;
}

/** Every entry below `root` by its path, the root itself as ""; `leftOut` is a name at the top that is not looked at. */
export function treeState(root: string, leftOut?: string): Map<string, EntryState> {
  const found = new Map<string, EntryState>();
  const add = (path: string) => {
    const full = path === "" ? root : join(root, path);
    const stat = fs.lstatSync(full, { bigint: true });
    const kind = stat.isFile()
      ? "file"
      : stat.isDirectory()
      ? "directory"
      : stat.isSymbolicLink()
      ? "symlink"
      : "other";
    const text = kind === "file"
      ? fs.readFileSync(full, "utf8")
      : kind === "symlink"
      ? fs.readlinkSync(full)
      : "";
    const { mtimeNs, ino: inode } = stat;
    found.set(path, { kind, text, mode: Number(stat.mode) & 0o7777, mtimeNs, inode });
    if (kind !== "directory") return;
    for (const name of fs.readdirSync(full).sort()) {
      if (path !== "" || name !== leftOut) add(path === "" ? name : `${path}/${name}`);
    }
  };
  add("");
  return found;
}

/** Content and metadata that a copy must share with its source. */
export function sameCopy(a: EntryState, b: EntryState): boolean {
  return a.kind === b.kind && a.text === b.text && a.mtimeNs === b.mtimeNs &&
    (a.kind === "symlink" || a.mode === b.mode);
}

/** Why SHA256SUMS and the files below `destination` disagree, one sentence each. */
export function checksumProblems(
  destination: string,
  topName: string,
  leftOut?: string,
): string[] {
  const problems: string[] = [];
  const list = fs.readFileSync(join(destination, ".backup-agent/SHA256SUMS"), "utf8");
  const listed = new Set<string>();
  for (const line of list.split("\n").slice(0, -1)) {
    const parsed = /^([0-9a-f]{64}) {2}(.+)$/.exec(line);
    if (parsed === null) {
      problems.push(`no checksum line: ${line}`);
      continue;
    }
    const [, sha256, path] = parsed;
    listed.add(path!);
    try {
      const actual = createHash("sha256").update(fs.readFileSync(join(destination, path!)));
      if (actual.digest("hex") !== sha256) problems.push(`${path} differs`);
    } catch (error) {
      problems.push(`${path}: ${(error as Error).message}`);
    }
  }
  for (const [path, { kind }] of treeState(join(destination, topName), leftOut)) {
    if (kind === "file" && !listed.has(`${topName}/${path}`)) {
      problems.push(`${path} is not listed`);
    }
  }
  return problems;
}

/** Files that lie in the stage of a destination. */
export function stagedFiles(destination: string): string[] {
  return [...treeState(join(destination, ".backup-agent/stage"))]
    .flatMap(([path, { kind }]) => kind === "directory" ? [] : [path]);
}
