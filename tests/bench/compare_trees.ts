/** Compares a copy with its source, byte by byte. Rule: it uses nothing of the program that made the copy. */
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface Comparison {
  filesEqual: number;
  /** One line for each difference, the path first. */
  differences: string[];
}

/** Looks at names, kinds, content and, to the second, the times of files. */
export function compareTrees(source: string, copy: string): Comparison {
  const result: Comparison = { filesEqual: 0, differences: [] };
  compareFolders(source, copy, "", result);
  return result;
}

function compareFolders(source: string, copy: string, path: string, result: Comparison): void {
  const wanted = kinds(join(source, path));
  const found = kinds(join(copy, path));
  for (const name of new Set([...wanted.keys(), ...found.keys()])) {
    const below = path === "" ? name : `${path}/${name}`;
    const kind = wanted.get(name);
    if (kind !== found.get(name)) {
      result.differences.push(
        `${below}: ${kind ?? "nothing"} became ${found.get(name) ?? "nothing"}`,
      );
    } else if (kind === "folder") compareFolders(source, copy, below, result);
    else compareFiles(join(source, below), join(copy, below), below, result);
  }
}

function kinds(folder: string): Map<string, string> {
  const entries = readdirSync(folder, { withFileTypes: true });
  return new Map(entries.map((entry) => [
    entry.name,
    entry.isDirectory() ? "folder" : entry.isFile() ? "file" : "other",
  ]));
}

function compareFiles(source: string, copy: string, path: string, result: Comparison): void {
  const seconds = (file: string): number => Math.floor(lstatSync(file).mtimeMs / 1000);
  if (!readFileSync(source).equals(readFileSync(copy))) result.differences.push(`${path}: content`);
  else if (seconds(source) !== seconds(copy)) result.differences.push(`${path}: time`);
  else result.filesEqual++;
}
