import assert from "node:assert/strict";
import fc from "fast-check";
import { anyXattrs } from "../../tests/support/arbitrary_entries.ts";
import { E2BIG, EIO, ENODATA, ENOSYS, EOPNOTSUPP, EPERM } from "../platform/errno.ts";
import { cName, type Posix } from "../platform/posix.ts";
import { openPosix } from "../platform/open_posix.ts";
import {
  decodeXattrs,
  encodeXattrs,
  isKeptXattr,
  readXattrs,
  sameXattrs,
  type Xattr,
  XATTR_BYTES_MAX,
} from "./xattrs.ts";

const NAME = cName("a");

/** A disk on which everything has these attributes; a number is what reading the value answers. */
function diskWith(attributes: Record<string, Uint8Array | number>, listed?: number): Posix {
  return {
    ...openPosix(),
    listXattrs: () => listed ?? Object.keys(attributes),
    getXattr: (_at, _name, attribute) => attributes[attribute] ?? -ENODATA,
  };
}

const read = (disk: Posix) => readXattrs(disk, 0, NAME);

Deno.test("any attributes come back from their bytes, wherever these lie", () => {
  fc.assert(fc.property(anyXattrs, fc.nat(50), (list, offset) => {
    const blob = encodeXattrs(list);
    const memory = new Uint8Array(new SharedArrayBuffer(offset + blob.length + 3));
    memory.set(blob, offset);
    const back = decodeXattrs(memory, offset);
    assert.deepEqual(back, list);
    assert.ok(sameXattrs(back, list));
    const [first] = back;
    if (first === undefined) return;
    assert.ok(!sameXattrs(back.slice(1), list));
    const other = { name: first.name, value: Uint8Array.of(...first.value, 1) };
    assert.ok(!sameXattrs([other, ...back.slice(1)], list));
  }));
});

Deno.test("everything is kept but what a file system makes up for itself", () => {
  const kept = ["user.a", "trusted.b", "security.capability", "security.selinux", "btrfs.x"];
  const acls = ["system.posix_acl_access", "system.posix_acl_default"];
  for (const name of [...kept, ...acls]) assert.ok(isKeptXattr(name), name);
  for (const name of ["system.nfs4_acl", "system.ntfs_attrib", "system.dos"]) {
    assert.ok(!isKeptXattr(name), name);
  }
  const value = Uint8Array.of(1);
  const disk = diskWith({ "user.b": value, "system.nfs4_acl": value, "user.a": value });
  assert.deepEqual(read(disk), [{ name: "user.a", value }, { name: "user.b", value }]);
});

Deno.test("what went away or may not be read is left out, another error is an answer", () => {
  const value = Uint8Array.of(1);
  const some = { "trusted.secret": -EPERM, "user.gone": -ENODATA, "user.here": value };
  assert.deepEqual(read(diskWith(some)), [{ name: "user.here", value }]);
  assert.equal(read(diskWith({ ...some, "user.bad": -EIO })), -EIO);
  for (const errno of [EOPNOTSUPP, ENOSYS, EIO]) assert.equal(read(diskWith({}, -errno)), -errno);
});

Deno.test("more than a line of a manifest should hold is refused", () => {
  const half = new Uint8Array(XATTR_BYTES_MAX / 2 - 6);
  assert.equal((read(diskWith({ "user.a": half, "user.b": half })) as Xattr[]).length, 2);
  assert.equal(read(diskWith({ "user.a": half, "user.b": half, "user.c": half })), -E2BIG);
});
