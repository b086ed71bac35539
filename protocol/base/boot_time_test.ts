import assert from "node:assert/strict";
import { openBootClock } from "./boot_clock.ts";
import { kernelBootMs } from "./boot_time.ts";
import { needs } from "../../tests/support/tools.ts";

Deno.test({
  ...needs(
    "the kernel's time since the start never goes back and is what leases are counted by",
    "linux",
  ),
  fn() {
    let before = kernelBootMs()!;
    const leasesMs = openBootClock().bootMs();
    assert.ok(Math.abs(before - leasesMs) < 1000, `${before} is not ${leasesMs}`);
    for (let k = 0; k < 1000; k++) {
      const now = kernelBootMs()!;
      assert.ok(now >= before);
      before = now;
    }
  },
});
