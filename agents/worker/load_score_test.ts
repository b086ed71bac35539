import assert from "node:assert/strict";
import { diskPressure, loadScore } from "./load_score.ts";

Deno.test("the scarcest thing is the load, within 0 and 1", () => {
  assert.equal(loadScore({ slots: 0, processor: undefined, disk: undefined }), 0);
  assert.equal(loadScore({ slots: 1 / 3, processor: 0.9, disk: 0.2 }), 0.9);
  assert.equal(loadScore({ slots: 0, processor: 0, disk: 0.4 }), 0.4);
  assert.equal(loadScore({ slots: 5 / 3, processor: 0, disk: 0 }), 1);
  assert.equal(loadScore({ slots: NaN, processor: 0, disk: 0 }), 1);
});

Deno.test("the pressure of disks is read from the system's own line", () => {
  const text = "some avg10=40.12 avg60=1.00 total=5\nfull avg10=12.50 avg60=0.00 total=3\n";
  assert.equal(diskPressure(text), 0.125);
  assert.equal(diskPressure("nonsense"), undefined);
  assert.equal(diskPressure(undefined), undefined);
});
