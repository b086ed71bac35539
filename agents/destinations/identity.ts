/** Which directory is which, by device and inode, and what must not be copied into what. Pure but for `ancestry`. */
import { cName, type DirectoryHandle, newStat, type Posix } from "../platform/posix.ts";

/** `device:inode` of a directory; of one that does not exist yet, `/name` behind that of the folder it will be in. */
export type Identity = string;

/** The identity of what will be made under `name` in a folder. */
export function childIdentity(folder: Identity | undefined, name: string): Identity | undefined {
  return folder === undefined ? undefined : `${folder}/${name}`;
}

/** The identity of an open directory, or undefined when it cannot be told. */
export function identityOf(posix: Posix, handle: DirectoryHandle): Identity | undefined {
  const stat = newStat();
  if (posix.statDirectory(handle, stat) < 0) return undefined;
  return `${stat.device}:${stat.inodeHigh}:${stat.inodeLow}`;
}

/** The directory itself and everything above it, nearest first. */
export function ancestry(posix: Posix, path: string): Identity[] {
  const found: Identity[] = [];
  let handle = posix.openRoot(cName(path));
  while (handle >= 0 && found.length < ANCESTORS_MAX) {
    const identity = identityOf(posix, handle);
    if (identity === undefined || identity === found.at(-1)) break;
    found.push(identity);
    const above = posix.openParent(handle);
    posix.closeDirectory(handle);
    handle = above;
  }
  if (handle >= 0) posix.closeDirectory(handle);
  return found;
}

const ANCESTORS_MAX = 10_000;

/** What is known about one destination before anything is written to it. */
export interface DestinationPlace {
  key: string;
  /** The destination folder, there already or not, and all above it. */
  ancestors: Identity[];
  /** Identity of DEST/<name> for each name that is or will be a copy there. */
  copies: ReadonlyMap<string, Identity>;
}

export interface SourcePlace {
  name: string;
  path: string;
  ancestors: Identity[];
}

/**
 * Why these places must not be used together, one sentence each; empty when all is well. A copy that is, holds or lies in
 * a source would eat itself; two destinations in one folder would fight over its names.
 */
export function findClashes(sources: SourcePlace[], destinations: DestinationPlace[]): string[] {
  const clashes: string[] = [];
  for (const destination of destinations) {
    for (const source of sources) {
      const self = source.ancestors[0];
      if (self === undefined) continue;
      const copy = destination.copies.get(source.name);
      if (copy === self) {
        clashes.push(
          `The copy of ${source.path} at ${destination.key} would be ${source.path} itself`,
        );
      } else if (destination.ancestors.includes(self)) {
        clashes.push(`${destination.key} lies inside the source ${source.path}`);
      } else {
        for (const [name, identity] of destination.copies) {
          if (source.ancestors.includes(identity)) {
            clashes.push(
              `The source ${source.path} lies inside ${destination.key}/${name}, which is a copy`,
            );
          }
        }
      }
    }
    for (const other of destinations) {
      if (other === destination) break;
      const [a, b] = [destination.ancestors[0], other.ancestors[0]];
      if (a !== undefined && a === b) {
        clashes.push(`${other.key} and ${destination.key} are the same folder`);
      }
    }
    for (const other of destinations) {
      if (other === destination) continue;
      for (const [name, identity] of other.copies) {
        if (destination.ancestors[0] === identity) {
          clashes.push(`${destination.key} would be a destination and a copy at ${other.key}`);
        } else if (destination.ancestors.includes(identity)) {
          clashes.push(`${destination.key} lies inside ${other.key}/${name}, which is a copy`);
        }
      }
    }
  }
  return clashes;
}
