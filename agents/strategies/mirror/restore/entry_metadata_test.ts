import assert from "node:assert/strict";
import fc from "fast-check";
import { nanoseconds } from "../manifest_line.ts";
import { metadataOf, secondsOf } from "./entry_metadata.ts";

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
