import assert from "node:assert/strict";
import { EIO, ENOSPC, EOPNOTSUPP } from "../../platform/errno.ts";
import { openPosix } from "../../platform/open_posix.ts";
import type { Posix } from "../../platform/posix.ts";
import { DEFAULT_ACL } from "../../source/xattrs.ts";
import {
  dropDefaultAcl,
  setXattrsOfDirectory,
  setXattrsOfFile,
  SOME_REFUSED,
} from "./keep_xattrs.ts";

const posix = openPosix();
const ANY = 3;
const one = (name: string) => ({ name, value: Uint8Array.of(1) });

/** A disk with one thing on it that has attributes; `refuses` answers -errno for those it does not take. */
function diskWith(
  names: string[],
  refuses: (name: string) => number = () => 0,
): { disk: Posix; has: Set<string> } {
  const has = new Set(names);
  const set = (name: string) => {
    const result = refuses(name);
    if (result === 0) has.add(name);
    return result;
  };
  const disk: Posix = {
    ...posix,
    listXattrs: () => [...has],
    setXattr: (_at, _name, attribute) => set(attribute),
    setFileXattr: (_fd, attribute) => set(attribute),
    removeXattr: (_at, _name, attribute) => (has.delete(attribute), 0),
  };
  return { disk, has };
}

Deno.test("a folder loses what only its copy has, but not what the system gives everything", () => {
  const old = ["user.old", "trusted.old", DEFAULT_ACL, "security.selinux", "btrfs.compression"];
  const { disk, has } = diskWith([...old, "user.kept"]);
  const list = [one("user.kept"), one("user.new")];
  assert.equal(setXattrsOfDirectory(disk, ANY, list), 0);
  assert.deepEqual([...has].sort(), [
    "btrfs.compression",
    "security.selinux",
    "user.kept",
    "user.new",
  ]);
});

Deno.test("what is refused is said and the rest is set; a failing disk is an error", () => {
  const list = [one("user.a"), one("user.large"), one("user.z")];
  const refused = diskWith([], (name) => name === "user.large" ? -ENOSPC : 0);
  assert.equal(setXattrsOfFile(refused.disk, ANY, list), SOME_REFUSED);
  assert.deepEqual([...refused.has], ["user.a", "user.z"]);
  const broken = diskWith([], (name) => name === "user.large" ? -EIO : 0);
  assert.equal(setXattrsOfFile(broken.disk, ANY, list), -EIO);
  assert.equal(setXattrsOfDirectory(broken.disk, ANY, list), -EIO);
});

Deno.test("a file system without attributes refuses only what there is", () => {
  const none = { ...posix, listXattrs: () => -EOPNOTSUPP };
  assert.equal(setXattrsOfDirectory(none, ANY, []), 0);
  assert.equal(setXattrsOfDirectory(none, ANY, [one("user.a")]), SOME_REFUSED);
  assert.equal(
    setXattrsOfDirectory({ ...none, listXattrs: () => -EIO }, ANY, [one("user.a")]),
    -EIO,
  );
});

Deno.test("only the ACL that a folder hands on is taken from the stage", () => {
  const { disk, has } = diskWith([DEFAULT_ACL, "user.a"]);
  dropDefaultAcl(disk, ANY);
  assert.deepEqual([...has], ["user.a"]);
});
