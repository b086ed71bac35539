/** A temporary folder as the platform port sees it. Rule: it is gone afterwards, whatever the test did in it. */
import { cName, type DirectoryHandle, type Posix } from "../../agents/platform/posix.ts";

/** Opens a new empty folder for the time of `use`. */
export async function inFolder<T>(
  posix: Posix,
  use: (folder: DirectoryHandle, path: string) => Promise<T> | T,
  parent?: string,
): Promise<T> {
  const path = Deno.makeTempDirSync({ prefix: "posix-", ...(parent && { dir: parent }) });
  const folder = posix.openRoot(cName(path));
  try {
    if (folder < 0) throw new Error(`cannot open ${path}: ${folder}`);
    return await use(folder, path);
  } finally {
    posix.closeDirectory(folder);
    await Deno.remove(path, { recursive: true });
  }
}

/** A new file with these bytes. @throws when it cannot be made */
export function putFile(
  posix: Posix,
  at: DirectoryHandle,
  name: Uint8Array,
  bytes: Uint8Array = new Uint8Array(0),
): void {
  const fd = posix.createFile(at, name);
  if (fd < 0) throw new Error(`cannot create: ${fd}`);
  if (posix.write(fd, bytes) !== bytes.length) throw new Error("written short");
  posix.close(fd);
}
