import assert from "node:assert/strict";
import fc from "fast-check";
import {
  parseDurationMs,
  parseRateBytesPerSecond,
  parseRateLimit,
  parseSizeBytes,
} from "./quantity.ts";

Deno.test("sizes and rates are read with decimal and binary units", () => {
  const table: [string, number | undefined][] = [
    ["500", 500],
    ["500B", 500],
    ["500K", 500_000],
    ["8MB", 8_000_000],
    ["8mb", 8_000_000],
    ["8MiB", 8 << 20],
    ["1.5G", 1_500_000_000],
    ["2 TiB", 2 * 2 ** 40],
    ["", undefined],
    ["MB", undefined],
    ["-8MB", undefined],
    ["8MX", undefined],
    ["8 MB MB", undefined],
    ["1e9", undefined],
    ["99999999999T", undefined],
  ];
  for (const [text, expected] of table) assert.equal(parseSizeBytes(text), expected, text);
  assert.equal(parseRateBytesPerSecond("8MB/s"), 8_000_000);
  assert.equal(parseRateBytesPerSecond("8MBps"), 8_000_000);
  assert.equal(parseRateBytesPerSecond("0"), undefined);
});

Deno.test("durations are read with falling units and nothing is guessed", () => {
  const table: [string, number | undefined][] = [
    ["500ms", 500],
    ["30s", 30_000],
    ["5m", 300_000],
    ["1h30m", 5_400_000],
    ["1d2h3m4s5ms", 93_784_005],
    ["1.5h", 5_400_000],
    ["0", 0],
    ["0s", 0],
    ["30", undefined],
    ["30m1h", undefined],
    ["1h1h", undefined],
    ["-5s", undefined],
    ["5 s", undefined],
    ["", undefined],
  ];
  for (const [text, expected] of table) assert.equal(parseDurationMs(text), expected, text);
});

Deno.test("a limit is parted at its last equals sign", () => {
  assert.deepEqual(parseRateLimit("8MB"), { bytesPerSecond: 8_000_000 });
  assert.deepEqual(parseRateLimit("/mnt/nas=8MB"), {
    destination: "/mnt/nas",
    bytesPerSecond: 8_000_000,
  });
  assert.deepEqual(parseRateLimit("/a=1K=b=2K"), { destination: "/a=1K=b", bytesPerSecond: 2000 });
  for (const bad of ["", "=8MB", "/mnt/nas=", "/mnt/nas=fast", "8MB=/mnt/nas"]) {
    assert.equal(parseRateLimit(bad), undefined, bad);
  }
});

Deno.test("any destination name comes back from a limit unchanged", () => {
  fc.assert(fc.property(fc.string({ minLength: 1 }), (destination) => {
    assert.deepEqual(parseRateLimit(`${destination}=8MB`), {
      destination,
      bytesPerSecond: 8_000_000,
    });
  }));
});
