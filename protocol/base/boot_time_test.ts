import assert from "node:assert/strict";
import { bootTimeMs } from "./boot_time.ts";
import { needs } from "../../tests/support/tools.ts";

Deno.test("the time since the start never goes back", () => {
  let before = bootTimeMs();
  assert.ok(before > 0);
  for (let k = 0; k < 1000; k++) {
    const now = bootTimeMs();
    assert.ok(now >= before);
    before = now;
  }
});

Deno.test({
  ...needs("the time since the start is the kernel's, the same in every process", "linux"),
  fn() {
    const uptimeMs = Number(Deno.readTextFileSync("/proc/uptime").split(" ")[0]) * 1000;
    assert.ok(Math.abs(bootTimeMs() - uptimeMs) < 1000, `${bootTimeMs()} is not ${uptimeMs}`);
  },
});
