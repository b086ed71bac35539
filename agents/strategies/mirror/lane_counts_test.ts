import assert from "node:assert/strict";
import { LaneCounts } from "./lane_counts.ts";

Deno.test("what is shown does not go back when a large file fails, nor beyond its total", () => {
  const counts = new LaneCounts(2, 100);
  counts.wrote(60);
  assert.equal(counts.shown(0).bytesDone, 60);
  counts.tookBack(60);
  assert.equal(counts.shown(0).bytesDone, 60);
  counts.wrote(130);
  assert.equal(counts.shown(0).bytesDone, 100);
});

Deno.test("bytes that are being read back are shown, and not counted twice", () => {
  const counts = new LaneCounts(1, 10);
  counts.willVerify(1, 10);
  assert.equal(counts.shown(7).verifyBytesDone, 7);
  counts.verified({ files: 1, bytes: 10, fromDisk: 1, fromCache: 0, problems: [] });
  assert.equal(counts.shown(0).verifyBytesDone, 10);
  assert.deepEqual([counts.sums().bytesVerified, counts.sums().verification], [10, "disk"]);
});

Deno.test("a file that is copied again is one file in the report", () => {
  const counts = new LaneCounts(1, 10);
  const copied = () => {
    counts.wrote(10);
    counts.staged();
  };
  copied();
  counts.published(10);
  counts.copiesAgain(10);
  copied();
  const { filesDone, bytesDone } = counts.shown(0);
  const { filesCopied, bytesCopied } = counts.sums();
  assert.deepEqual([filesDone, bytesDone, filesCopied, bytesCopied], [1, 10, 1, 10]);
});
