/** The folder that is restored into, made with those above it. Rule: only below a folder that the platform port opens. */
import { BackupError } from "../../protocol/base/errors.ts";
import { EEXIST, ENOENT, ENOTDIR, posixError } from "../platform/errno.ts";
import { cName, type Posix } from "../platform/posix.ts";

const FOLDER_MODE = 0o700;

/** `path` is absolute. @throws {BackupError} `not_a_directory` when something else stands there or on the way */
export function makeTarget(posix: Posix, path: string): void {
  const names = path.split("/").filter((name) => name !== "" && name !== ".");
  if (names.includes("..")) {
    throw new BackupError("rejected", `${path} has .. in it`, { path, hint: "Name it without" });
  }
  let standing = names.length;
  let handle: number;
  do handle = posix.openRoot(cName(`/${names.slice(0, standing).join("/")}`)); while (
    handle === -ENOENT && standing-- > 0
  );
  if (handle < 0) throw cannotMake(handle, path);
  try {
    for (const name of names.slice(standing)) {
      const made = posix.makeDirectory(handle, cName(name), FOLDER_MODE);
      if (made < 0 && made !== -EEXIST) throw cannotMake(made, path);
      const next = posix.openDirectory(handle, cName(name));
      if (next < 0) throw cannotMake(next, path);
      posix.closeDirectory(handle);
      handle = next;
    }
  } finally {
    posix.closeDirectory(handle);
  }
}

function cannotMake(result: number, path: string): BackupError {
  if (result !== -ENOTDIR && result !== -EEXIST) return posixError(result, "make", path);
  const text = `Cannot make the folder ${path}: a file is in the way`;
  return new BackupError("not_a_directory", text, { path });
}
