import assert from "node:assert/strict";
import { markAt } from "./recent_files.tsx";

Deno.test("a file is verified where everything is, whatever was told of it last, unless it failed", () => {
  const marks = { ssd: "copied", nas: "copied", usb: "failed" } as const;
  assert.equal(markAt({ marks }, "ssd", true), "verified");
  assert.equal(markAt({ marks }, "nas", false), "copied");
  assert.equal(markAt({ marks }, "usb", true), "failed");
  assert.equal(markAt({ marks }, "tape", false), undefined);
  assert.equal(markAt({ marks }, "constructor", false), undefined);
});
