/**
 * Paths that were read from a disk. Rule: a path is parts between slashes, none of them empty, `.`, `..` or with a NUL in
 * it; whatever else stands in a manifest is refused, since it could lead out of the folder that is written.
 */
import { BackupError } from "../../../../protocol/base/errors.ts";
import { OWN_DIRECTORY } from "../../../destinations/layout.ts";
import { utf8OfLatin1 } from "../../../source/entry_table.ts";

/** No kernel takes a longer name; a deeper path is a trap, not a tree. */
const PATH_BYTES_MAX = 1 << 20;

/** Relative, below a folder, and safe to walk part by part. `""` is the folder itself. */
export function isConfined(path: string): boolean {
  if (path === "") return true;
  if (path.length > PATH_BYTES_MAX || path.includes("\0")) return false;
  return !path.split("/").some((part) => part === "" || part === "." || part === "..");
}

/** A copy's top name: one part, and not our own folder. */
export function isTopName(name: string): boolean {
  return name !== "" && !name.includes("/") && isConfined(name) && name !== OWN_DIRECTORY;
}

/** A manifest that no run of ours can have written. */
export function hostile(display: string, path: string, why: string): BackupError {
  const shown = JSON.stringify(utf8OfLatin1(path).slice(0, 200));
  return new BackupError("damaged", `${display} is not to be trusted: ${shown} ${why}`, {
    path: display,
    hint:
      "Nothing of this list was restored. Use another destination, or copy what you need by hand",
  });
}
