/**
 * Judges whether two trees are the same in everything a file is, with stock programs only. Rule: nothing of the program
 * under test takes part; what differs is shown.
 */
import assert from "node:assert/strict";
import { stock } from "./every_kind.ts";

/** The stock programs used here, for `needs`. */
export const FIDELITY_TOOLS = ["find", "getfattr", "getfacl", "rsync", "sha256sum"] as const;

/** What each judge says of a tree; owners by number, times to the nanosecond, values in hex. */
async function listings(root: string): Promise<Record<string, string[]>> {
  const format = "%P\\t%y\\t%m\\t%U\\t%G\\t%T@\\t%n\\t%l\\0";
  const [entries, sizes, xattrs, acls, sums] = await Promise.all([
    stock("find", [".", "-printf", format], root),
    stock("find", [".", "!", "-type", "d", "-printf", "%P\\t%s\\0"], root),
    // One file after the other, in an order of their own.
    stock("bash", ["-c", XATTRS], root),
    stock("bash", ["-c", ACLS], root),
    stock("bash", ["-c", SUMS], root),
  ]);
  return {
    entries: entries.split("\0").map(withoutFolderLinks).sort(),
    sizes: sizes.split("\0").sort(),
    xattrs: xattrs.split("\n"),
    acls: acls.split("\n"),
    sums: sums.split("\0"),
  };
}

const IN_ORDER = "find . -print0 | sort -z | xargs -0";
const XATTRS = `${IN_ORDER} getfattr -h -d -m - -e hex`;
const ACLS = `find . ! -type l -print0 | sort -z | xargs -0 getfacl -n -p`;
const SUMS = "find . -type f -print0 | sort -z | xargs -0 sha256sum -z";

/** How many links a folder has is the file system's own affair. */
function withoutFolderLinks(line: string): string {
  const fields = line.split("\t");
  if (fields[1] === "d") fields[6] = "";
  return fields.join("\t");
}

/** Asserts that every judge says the same of both, and that stock rsync would change nothing. */
export async function assertSameInEverything(original: string, copy: string): Promise<void> {
  const [left, right] = await Promise.all([listings(original), listings(copy)]);
  for (const judge of Object.keys(left)) {
    assert.ok(left[judge]!.length > 1, `${judge} sees nothing`);
    assert.deepEqual(right[judge], left[judge], judge);
  }
  const changes = await stock("rsync", [
    "-aHAXS",
    "--numeric-ids",
    "--delete",
    "--dry-run",
    "-i",
    `${original}/`,
    `${copy}/`,
  ]);
  assert.equal(changes, "");
}

/** Bytes on the disk of every file below, by path. */
export async function allocatedBytes(root: string): Promise<Map<string, number>> {
  const listed = await stock("find", [".", "-type", "f", "-printf", "%P\\t%b\\0"], root);
  return new Map(
    listed.split("\0").filter((line) => line !== "").map((line) => {
      const [path, blocks] = line.split("\t");
      return [path!, Number(blocks) * 512];
    }),
  );
}
