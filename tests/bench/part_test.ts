import assert from "node:assert/strict";
import fc from "fast-check";
import { best, median, type Part } from "./part.ts";
import { renderPart } from "./render_report.ts";

Deno.test("the median lies in the middle: as many values below as above", () => {
  fc.assert(fc.property(fc.array(fc.integer(), { minLength: 1 }), (values) => {
    const middle = median(values);
    const below = values.filter((value) => value < middle).length;
    const above = values.filter((value) => value > middle).length;
    assert.ok(below <= values.length / 2 && above <= values.length / 2);
  }));
});

Deno.test("the median of an even number of values lies between the middle two", () => {
  assert.equal(median([9, 1, 2, 4]), 3);
});

Deno.test("the best row is the one with the smallest median, not the smallest value", () => {
  const rows = [{ name: "lucky once", values: [1, 9, 9] }, { name: "steady", values: [3, 3, 3] }];
  assert.equal(best(rows).name, "steady");
});

Deno.test("the report shows every value, and says which target was missed", () => {
  const part: Part = {
    title: "A part",
    unit: "s",
    rows: [{ name: "ours", values: [1, 3, 2] }, { name: "theirs", values: [4, 4, 4] }],
    baseline: "theirs",
    verdicts: [
      { measure: "ours ÷ theirs", measured: 0.5, target: 0.5, unit: "×" },
      { measure: "memory", measured: 301, target: 300, unit: "MB" },
    ],
    notes: [],
  };
  const text = renderPart(part);
  assert.match(text, /^ours +2\.00 +0\.50 +1\.00 3\.00 2\.00$/m);
  assert.match(text, /^met: ours ÷ theirs: 0\.50 ×, target ≤ 0\.5 ×$/m);
  assert.match(text, /^MISSED: memory: 301 MB, target ≤ 300 MB$/m);
});
