import assert from "node:assert/strict";
import fc from "fast-check";
import { ENOSPC } from "../../../platform/errno.ts";
import { openPosix } from "../../../platform/open_posix.ts";
import type { Posix } from "../../../platform/posix.ts";
import { latin1OfUtf8 } from "../../../source/entry_table.ts";
import { nanoseconds } from "../manifest_line.ts";
import { xattrsField } from "../manifest_xattrs.ts";
import { metadataOf, MetadataSetter, secondsOf } from "./entry_metadata.ts";

Deno.test("times come back as they were written, also before 1970 and far away", () => {
  const times = fc.tuple(fc.integer({ min: -(2 ** 40), max: 2 ** 40 }), fc.nat(999_999_999));
  fc.assert(fc.property(times, ([sec, nsec]) => {
    assert.deepEqual(secondsOf(nanoseconds(sec, nsec)), [sec, nsec]);
  }));
  assert.deepEqual(secondsOf("0"), [0, 0]);
  assert.deepEqual(secondsOf("-1"), [-1, 999_999_999]);
});

Deno.test("a line without what is needed to restore it has no metadata", () => {
  const whole = { path: "", type: "file", mode: 0o644, uid: 0, gid: 0, mtimeNs: "5" };
  assert.deepEqual(metadataOf(whole), {
    ...{ mode: 0o644, uid: 0, gid: 0, mtimeSec: 0, mtimeNsec: 5, xattrs: [] },
  });
  for (const key of ["mode", "uid", "gid", "mtimeNs"] as const) {
    const { [key]: _, ...rest } = whole;
    assert.equal(metadataOf(rest), undefined, key);
  }
  assert.equal(metadataOf({ ...whole, mtimeNs: "9".repeat(28) }), undefined);
  const xattrs = { "user.a": "eA==" };
  assert.deepEqual(metadataOf({ ...whole, xattrs })?.xattrs.map(([name]) => name), ["user.a"]);
});

Deno.test("names of attributes come back in the bytes they had, also those beyond ASCII", () => {
  const names = ["user.odd-\xff", latin1OfUtf8("user.grün"), "user.plain"];
  const value = Uint8Array.of(49);
  const field = xattrsField(names.map((name) => ({ name, value })));
  const numbers = { path: "", type: "file", mode: 0o644, uid: 0, gid: 0, mtimeNs: "5" };
  const { xattrs } = metadataOf({ ...numbers, ...JSON.parse(`{${field}}`) })!;
  assert.deepEqual(xattrs.map(([name]) => name), names);
});

Deno.test("an attribute that there is no room for is counted, and the content is restored without it", () => {
  const full: Posix = { ...openPosix(), setFileXattr: () => -ENOSPC };
  const setter = new MetadataSetter({
    ...full,
    setFileMode: () => 0,
    setFileTimes: () => 0,
  }, { uid: 0, gid: 0 });
  const to = { mode: 0o644, uid: 0, gid: 0, mtimeSec: 0, mtimeNsec: 5 };
  assert.equal(setter.setOpen(-1, { ...to, xattrs: [["user.a", Uint8Array.of(1)]] }, true), 0);
  assert.equal(setter.notKept.attributes, 1);
});
