/**
 * A stretch of a source in walk order: everything from one path up to, but not including, another. Rule: stretches are
 * said in paths, not in rows, so that whatever appears in a source later lies in exactly one of those that cover it.
 * Pure.
 */
import { compareWalkOrder } from "./walk_order.ts";

/** Paths below the source, one byte a character. */
export interface Stretch {
  /** Absent: from the source's own folder on. */
  from?: string | undefined;
  /** Absent: to the end. */
  to?: string | undefined;
}

export const WHOLE: Stretch = {};

export function isWholeStretch({ from, to }: Stretch): boolean {
  return from === undefined && to === undefined;
}

export function isBefore(stretch: Stretch, path: string): boolean {
  return stretch.from !== undefined && compareWalkOrder(path, stretch.from) < 0;
}

export function isBehind(stretch: Stretch, path: string): boolean {
  return stretch.to !== undefined && compareWalkOrder(path, stretch.to) >= 0;
}

export function liesIn(stretch: Stretch, path: string): boolean {
  return !isBefore(stretch, path) && !isBehind(stretch, path);
}

/** `path` lies below `folder`; everything does below "". */
export function isBelow(path: string, folder: string): boolean {
  return folder === ""
    ? path !== ""
    : path.length > folder.length && path.startsWith(folder) && path[folder.length] === "/";
}

/** The stretch begins in this folder, or somewhere below it, so that other parts of the source are in the folder too. */
export function beginsBelow(stretch: Stretch, folder: string): boolean {
  return stretch.from !== undefined && isBelow(stretch.from, folder);
}

/** … or ends there. */
export function endsBelow(stretch: Stretch, folder: string): boolean {
  return stretch.to !== undefined && isBelow(stretch.to, folder);
}

/** The folders a path lies in, outermost (the source's own, "") first. */
export function foldersAbove(path: string): string[] {
  if (path === "") return [];
  const found = [""];
  for (let at = path.indexOf("/"); at >= 0; at = path.indexOf("/", at + 1)) {
    found.push(path.slice(0, at));
  }
  return found;
}
