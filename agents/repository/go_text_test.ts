import assert from "node:assert/strict";
import fc from "fast-check";
import { byteStringOf, goString, goStringOfBytes, parseJson } from "./go_json.ts";
import { goQuote, goUnquote } from "./go_quote.ts";
import { compareTimes, formatTime, offsetOf, parseTime, utc } from "./go_time.ts";

const anyBytes = fc.oneof(
  fc.uint8Array({ maxLength: 30 }).map(byteStringOf),
  fc.string({ unit: "binary", maxLength: 12 })
    .map((text) => byteStringOf(new TextEncoder().encode(text))),
);

Deno.test("go quote: any bytes come back as they were", () => {
  fc.assert(fc.property(anyBytes, (name) => assert.equal(goUnquote(goQuote(name)), name)), {
    numRuns: 2000,
  });
});

Deno.test("go quote: every escape of Go is read, and what Go refuses is refused", () => {
  assert.equal(
    goUnquote('\\a\\b\\f\\n\\r\\t\\v\\\\\\"\\101\\x41\\u0041\\U00000041'),
    '\x07\b\f\n\r\t\v\\"AAAA',
  );
  for (
    const wrong of ["\\", "\\x4", "\\q", "\\'", '"', "a\nb", "\\400", "\\ud800", "\\U00110000"]
  ) {
    assert.equal(goUnquote(wrong), undefined, wrong);
  }
});

Deno.test("go json: strings are escaped as Go does and read back by any parser", () => {
  assert.equal(
    goString('<a href="x">&\u2028\u0001\b\u007f/ü'),
    '"\\u003ca href=\\"x\\"\\u003e\\u0026\\u2028\\u0001\\u0008\u007f/ü"',
  );
  assert.equal(goStringOfBytes("ab\xff\xc3\xa4\xe2\x80"), '"ab\\ufffdä\\ufffd\\ufffd"');
  assert.equal(goString("a\ud800b😀"), '"a\\ufffdb😀"');
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
    assert.equal(JSON.parse(goString(text)), text);
  }));
});

Deno.test("go json: whole numbers of 64 bits are read exactly", () => {
  assert.deepEqual(parseJson('{"inode":18446744073709551615,"size":12,"x":1.5}'), {
    inode: 18446744073709551615n,
    size: 12,
    x: 1.5,
  });
  assert.deepEqual(parseJson('["9007199254740993"]'), ["9007199254740993"]);
});

Deno.test("go time: times are written as Go writes them", () => {
  const berlin = () => 120;
  assert.equal(
    formatTime({ sec: 1500000000, nsec: 120000000 }, berlin),
    "2017-07-14T04:40:00.12+02:00",
  );
  assert.equal(formatTime({ sec: 0, nsec: 0 }, utc), "1970-01-01T00:00:00Z");
  assert.equal(formatTime({ sec: -1, nsec: 999999999 }, utc), "1969-12-31T23:59:59.999999999Z");
  assert.equal(formatTime({ sec: 0, nsec: 1 }, () => -210), "1969-12-31T20:30:00.000000001-03:30");
  assert.equal(formatTime({ sec: 253402300800, nsec: 0 }, utc).slice(0, 4), "9999");
  assert.equal(formatTime({ sec: -1e11, nsec: 0 }, utc).slice(0, 4), "0000");
  assert.equal(formatTime({ sec: 9e15, nsec: 0 }, utc).slice(0, 4), "9999");
});

Deno.test("go time: any instant in any zone is read back to the nanosecond", () => {
  const sec = fc.integer({ min: -62_000_000_000, max: 253_000_000_000 });
  const nsec = fc.integer({ min: 0, max: 999_999_999 });
  fc.assert(fc.property(sec, nsec, fc.integer({ min: -840, max: 840 }), (sec, nsec, offset) => {
    const text = formatTime({ sec, nsec }, () => offset);
    assert.deepEqual(parseTime(text), { sec, nsec });
    assert.equal(offsetOf(text), offset);
  }));
  for (
    const wrong of [
      "",
      "2020-13-01T00:00:00Z",
      "2020-02-30T00:00:00Z",
      "2020-01-01 00:00:00Z",
      "2020-01-01T24:00:00Z",
    ]
  ) {
    assert.equal(parseTime(wrong), undefined, wrong);
  }
  assert.ok(compareTimes({ sec: 1, nsec: 5 }, { sec: 1, nsec: 6 }) < 0);
});
