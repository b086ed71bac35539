/**
 * Names that are one name to a file system which folds them (vfat, exFAT, NTFS, SMB, macOS). Rule: when in doubt two names
 * are the same, since a file that is refused by name is better than a file that took another's place.
 */
import { cName, type DirectoryHandle, newStat, type Posix } from "../platform/posix.ts";
import { OWN_DIRECTORY } from "./layout.ts";

/** True when `root`, which has a `.backup-agent`, finds it under another case too. Changes nothing. */
export function foldsCase(posix: Posix, root: DirectoryHandle): boolean {
  return posix.statAt(root, cName(OWN_DIRECTORY.toUpperCase()), newStat()) === 0;
}

/** The same text for names that a folding file system may take for one: case and Unicode's composed forms. */
export function foldName(name: string): string {
  // Upper case first, since several letters (ß, ς, ſ) have their partner only there.
  return name.normalize("NFD").toUpperCase().toLowerCase().normalize("NFC");
}
