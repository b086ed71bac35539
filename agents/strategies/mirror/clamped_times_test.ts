import assert from "node:assert/strict";
import { isClamped } from "./clamped_times.ts";

const sec = (date: string) => Date.parse(date) / 1000;

Deno.test("a time before 1980 or after 2107 may have become the nearest there is, and no other", () => {
  const early = ["1980-01-01", "1979-12-31T23:00:00Z"].map(sec);
  for (const wanted of ["1901-12-14", "1960-06-01", "1970-01-01", "1979-12-31"].map(sec)) {
    for (const found of early) assert.ok(isClamped(wanted, found));
    assert.equal(isClamped(wanted, sec("1985-01-01")), false);
    assert.equal(isClamped(wanted, sec("2107-12-31")), false);
  }
  for (const wanted of ["2108-01-01", "2446-05-10"].map(sec)) {
    assert.ok(isClamped(wanted, sec("2107-12-31T23:59:58Z")));
    assert.ok(isClamped(wanted, sec("2071-12-31")));
    assert.equal(isClamped(wanted, sec("1980-01-01")), false);
  }
  assert.equal(isClamped(sec("2020-01-01"), sec("1980-01-01")), false);
  assert.equal(isClamped(sec("2020-01-01"), sec("2107-12-31")), false);
});
