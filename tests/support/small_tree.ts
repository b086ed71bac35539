/** A small source in two versions with every kind of change that a second backup can meet, and a folder to keep it in. */
import fs from "node:fs";
import { join } from "node:path";

/** Memory where there is some: the same calls, but a flush costs nothing. */
const MEMORY = "/dev/shm";

/** Runs `use` with an empty folder that is gone afterwards. */
export async function inScratch<T>(use: (folder: string) => Promise<T> | T): Promise<T> {
  const dir = fs.existsSync(MEMORY) ? MEMORY : undefined;
  const folder = Deno.makeTempDirSync({ prefix: "backup-test-", ...(dir && { dir }) });
  try {
    return await use(folder);
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

/** Copies a tree with everything a later run compares. */
export function cloneTree(from: string, to: string): void {
  const { success, stderr } = new Deno.Command("cp", { args: ["-a", from, to] }).outputSync();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}

function put(root: string, path: string, text: string, mode = 0o644): void {
  const full = join(root, path);
  fs.rmSync(full, { force: true });
  fs.writeFileSync(full, text);
  fs.chmodSync(full, mode);
  // Every version has a time of its own, or a metadata mistake could hide.
  Deno.utimeSync(full, 1_000_000_000 + text.length, 1_000_000_000.25 + text.length);
}

/**
 * Folders and links get a time long ago too: a file system that keeps coarse times takes one of just now for the time of
 * the copy, which is being made in the same second.
 */
function ageTheRest(root: string, seconds: number): void {
  for (const entry of fs.readdirSync(root, { withFileTypes: true })) {
    const path = join(root, entry.name);
    if (entry.isDirectory()) ageTheRest(path, seconds);
    if (entry.isSymbolicLink()) fs.lutimesSync(path, seconds, seconds + 0.5);
  }
  fs.utimesSync(root, seconds, seconds + 0.5);
}

/** Paths whose kind differs between the versions, so that for a moment neither may stand there. */
export const KIND_CHANGES: ReadonlySet<string> = new Set(["file-to-folder", "folder-to-file"]);

export function writeFirstVersion(root: string): void {
  fs.mkdirSync(join(root, "dir/deep"), { recursive: true });
  fs.mkdirSync(join(root, "folder-to-file"));
  put(root, "replaced.txt", "first version", 0o600);
  put(root, "same.txt", "never changes");
  put(root, "gone.txt", "deleted later");
  put(root, "dir/inner.txt", "inner, first");
  put(root, "dir/deep/empty", "");
  put(root, "folder-to-file/child", "child of a folder");
  put(root, "file-to-folder", "a file at first");
  put(root, "file-to-link", "a file, then a link");
  put(root, "link-a", "two names");
  fs.linkSync(join(root, "link-a"), join(root, "link-b"));
  fs.symlinkSync("same.txt", join(root, "symlink"));
  fs.symlinkSync("same.txt", join(root, "link-to-file"));
  ageTheRest(root, 1_100_000_000);
}

export function writeSecondVersion(root: string): void {
  put(root, "replaced.txt", "second version, and a longer one", 0o640);
  put(root, "dir/inner.txt", "inner, second version");
  put(root, "new.txt", "new in the second version");
  fs.mkdirSync(join(root, "new-dir"), { mode: 0o700 });
  put(root, "new-dir/a", "new below a new folder");
  for (const path of ["gone.txt", "file-to-folder", "file-to-link", "link-to-file", "symlink"]) {
    fs.rmSync(join(root, path));
  }
  fs.rmSync(join(root, "folder-to-file"), { recursive: true });
  put(root, "folder-to-file", "a file now");
  fs.mkdirSync(join(root, "file-to-folder"));
  put(root, "file-to-folder/child", "a folder now");
  fs.symlinkSync("same.txt", join(root, "file-to-link"));
  put(root, "link-to-file", "was a link");
  fs.symlinkSync("replaced.txt", join(root, "symlink"));
  fs.rmSync(join(root, "link-b"));
  put(root, "link-a", "two names, second version");
  fs.linkSync(join(root, "link-a"), join(root, "link-b"));
  ageTheRest(root, 1_200_000_000);
}
