import assert from "node:assert/strict";
import fc from "fast-check";
import { ThroughputMonitor, WINDOW_MS } from "./throughput_monitor.ts";

function near(actual: number, expected: number, tolerance: number): void {
  assert.ok(Math.abs(actual - expected) <= expected * tolerance, `${actual}, not ${expected}`);
}

/** Records `bytes` and one file every 10 ms. */
function steady(monitor: ThroughputMonitor, fromMs: number, untilMs: number, bytes: number): void {
  for (let atMs = fromMs + 10; atMs <= untilMs; atMs += 10) monitor.record(bytes, 1, atMs);
}

Deno.test("a steady flow reads as its rate, from the first second to the last", () => {
  const monitor = new ThroughputMonitor(1000);
  for (let second = 1; second <= 60; second++) {
    steady(monitor, second * 1000, (second + 1) * 1000, 80_000);
    const nowMs = (second + 1) * 1000;
    near(monitor.bytesPerSecond(nowMs), 8_000_000, 0.01);
    near(monitor.smoothedBytesPerSecond(nowMs), 8_000_000, 0.01);
    near(monitor.filesPerSecond(nowMs), 100, 0.01);
  }
});

Deno.test("one chunk every second, more rarely than samples are taken, reads as its rate", () => {
  const monitor = new ThroughputMonitor(0);
  for (let atMs = 1000; atMs <= 20_000; atMs += 1000) monitor.record(5_000_000, 0, atMs);
  near(monitor.bytesPerSecond(20_000), 5_000_000, 0.05);
});

Deno.test("the rate falls to exactly 0 one window after the last byte, and the smoothed one follows", () => {
  const monitor = new ThroughputMonitor(0);
  steady(monitor, 0, 20_000, 1000);
  assert.ok(monitor.bytesPerSecond(20_000 + WINDOW_MS / 2) > 0);
  assert.equal(monitor.bytesPerSecond(20_000 + WINDOW_MS), 0);
  assert.equal(monitor.filesPerSecond(20_000 + WINDOW_MS), 0);
  const smoothed = [5, 10, 30, 120].map((s) => monitor.smoothedBytesPerSecond(20_000 + s * 1000));
  assert.deepEqual(smoothed, smoothed.toSorted((a, b) => b - a));
  assert.ok(smoothed[3]! < 1000, `${smoothed[3]}`);
});

Deno.test("after a change of speed the window follows in 5 seconds and the smoothed rate more slowly", () => {
  const monitor = new ThroughputMonitor(0);
  steady(monitor, 0, 30_000, 1000);
  steady(monitor, 30_000, 35_000, 10_000);
  near(monitor.bytesPerSecond(35_000), 1_000_000, 0.01);
  const smoothed = monitor.smoothedBytesPerSecond(35_000);
  assert.ok(smoothed > 150_000 && smoothed < 600_000, `${smoothed}`);
});

Deno.test("any records give finite rates that are never above all bytes per one sample time", () => {
  const record = fc.record({
    bytes: fc.integer({ min: 0, max: 2 ** 40 }),
    stepMs: fc.oneof(
      fc.constant(0),
      fc.integer({ min: -1000, max: 1000 }),
      fc.integer({ min: 0, max: 10 ** 9 }),
    ),
  });
  fc.assert(
    fc.property(fc.array(record), fc.integer({ min: 0, max: 2 ** 40 }), (records, start) => {
      const monitor = new ThroughputMonitor(start);
      let atMs = start;
      let total = 0;
      for (const { bytes, stepMs } of records) {
        atMs += stepMs;
        total += bytes;
        const rates = [
          monitor.record(bytes, 1, atMs),
          monitor.bytesPerSecond(atMs),
          monitor.filesPerSecond(atMs),
          monitor.smoothedBytesPerSecond(atMs),
        ];
        for (const rate of rates) assert.ok(Number.isFinite(rate) && rate >= 0, `${rate}`);
        assert.ok(rates[1]! <= total * 6 * (1 + 1e-9));
      }
    }),
  );
});
