import assert from "node:assert/strict";
import { openBootClock } from "./boot_clock.ts";

Deno.test("the kernel's time since boot is read, and never goes back", () => {
  let text = "350735.47 234388.90\n";
  const clock = openBootClock(() => text);
  assert.equal(clock.bootMs(), 350_735_470);
  text = "350735.40 0\n";
  assert.equal(clock.bootMs(), 350_735_470);
  text = "350736.00 0\n";
  assert.equal(clock.bootMs(), 350_736_000);
});

Deno.test("without it, what passes on either of the other clocks counts, and a clock set back does not", () => {
  const time = { wall: 1_000, steady: 0 };
  const clock = openBootClock(() => {
    throw new Error("no such file");
  }, { nowMs: () => time.wall, monotonicMs: () => time.steady });
  const startMs = clock.bootMs();
  time.steady += 50;
  time.wall += 50;
  assert.equal(clock.bootMs() - startMs, 50);
  // Asleep: only the wall clock has moved.
  time.wall += 60_000;
  assert.equal(clock.bootMs() - startMs, 60_050);
  time.wall -= 3_600_000;
  time.steady += 10;
  assert.equal(clock.bootMs() - startMs, 60_060);
});

Deno.test("a file that cannot be read any more lets time go on from where it was", () => {
  let isThere = true;
  const time = { ms: 5 };
  const clock = openBootClock(() => {
    if (!isThere) throw new Error("no such file");
    return "100.00 1.00";
  }, { nowMs: () => time.ms, monotonicMs: () => time.ms });
  assert.equal(clock.bootMs(), 100_000);
  isThere = false;
  assert.equal(clock.bootMs(), 100_000);
  time.ms += 7;
  assert.equal(clock.bootMs(), 100_007);
});
