import assert from "node:assert/strict";
import { stripVTControlCharacters } from "node:util";
import fc from "fast-check";
import { createStyle, PLAIN_STYLE } from "../../protocol/cli/colours.ts";
import { PHASES } from "../../protocol/mesh/progress.ts";
import { firstProgress } from "./first_progress.ts";
import { renderLanes } from "./render_lanes.ts";
import { RACE, sampleLane, sampleProgress } from "./sample_run.ts";

const at = (columns: number, rows = 24) => ({ columns, rows, style: PLAIN_STYLE });

Deno.test("a lane shows pills, bar, files, bytes, rate, time left, workers and the current file", () => {
  assert.deepEqual(renderLanes(RACE, at(100)), [
    "/mnt/ssd  ✓ Analyze › ✓ Manifest › ✓ Copy › ✓ Flush › ● Verify  ★ fastest",
    "  █████████▓▓▓▓▓▓▓▓▓▓   50%  600/1,200 files  1.5 GB/3.0 GB  420 MB/s  ETA 0:04  4 workers",
    "  Documents/a/report.pdf",
    "/mnt/nas  ✓ Analyze › ✓ Manifest › ● Copy › ○ Flush › ○ Verify",
    "  ▓░░░░░░░░░░░░░░░░░░   10%  100/1,234 files  340 MB/3.4 GB  7.9 MB/s  ETA 6:42  1 worker  1 failed",
    "  Documents/b/film\\n.mov",
    "1 copying, 1 verifying  0:12",
  ]);
});

Deno.test("a narrow terminal keeps what matters most", () => {
  assert.deepEqual(renderLanes(RACE, at(40)), [
    "/mnt/ssd  ● Verify  ★ fastest",
    "  █████▓▓▓▓▓   50%  420 MB/s  ETA 0:04",
    "  Documents/a/report.pdf",
    "/mnt/nas  ● Copy",
    "  ▓░░░░░░░░░   10%  ETA 6:42  1 failed",
    "  Documents/b/film\\n.mov",
    "1 copying, 1 verifying  0:12",
  ]);
});

Deno.test("a low terminal gets one line a lane, and says how many it cannot show", () => {
  assert.deepEqual(renderLanes(RACE, at(80, 4)), [
    "/mnt/ssd                  verify   50%  600/1,200 files  420 MB/s  ETA 0:04",
    "/mnt/nas                  copy     10%  7.9 MB/s  ETA 6:42  1 failed",
    "1 copying, 1 verifying  0:12",
  ]);
  assert.deepEqual(renderLanes(RACE, at(80, 3)).slice(1), [
    "1 copying, 1 verifying  0:12  +1 more",
  ]);
});

Deno.test("bars of all destinations exist at zero before anything has happened (S2-21)", () => {
  const job = { destinations: [{ key: "/a" }, { key: "/b" }] } as Parameters<
    typeof firstProgress
  >[0];
  const lines = renderLanes(firstProgress(job), at(80));
  assert.equal(
    lines.filter((line) => line.includes("  " + "░".repeat(15) + "  analyzing")).length,
    2,
  );
  assert.equal(lines.at(-1), "Analyzing  0:00  0 files found");
});

Deno.test("a stall is said instead of a time left, ends are said in words", () => {
  const lines = renderLanes(
    sampleProgress([
      sampleLane("/slow", "copy", {
        counters: { filesTotal: 2, bytesTotal: 100, bytesDone: 50, filesDone: 1 },
        gauges: { stalledForMs: 20_400, workers: 1 },
      }),
      sampleLane("/done", "verified", {
        counters: { filesTotal: 2, bytesTotal: 100, bytesDone: 100, filesDone: 2 },
      }),
      sampleLane("/dead", "failed", {
        counters: { filesTotal: 2, bytesTotal: 100, bytesDone: 50 },
      }),
    ], { statusLine: "1 copying, 0 verifying" }),
    at(100),
  );
  assert.match(lines[1]!, /50% .* stalled 20s /);
  assert.doesNotMatch(lines[1]!, /ETA/);
  assert.match(lines[4]!, /█{19} {2}✓ verified {2}12 s {2}2 files {2}100 B$/);
  assert.match(lines[7]!, /✗ failed/);
});

Deno.test("without colours and beyond-ASCII shapes the same is said", () => {
  const plain = createStyle({ colours: false, unicode: false });
  const lines = renderLanes(RACE, { columns: 80, rows: 24, style: plain });
  assert.match(lines[0]!, /\+ Flush > \* Verify {2}\* fastest$/);
  assert.match(lines[1]!, /^ {2}#######======== {3}50% /);
  const coloured = createStyle({ colours: true, unicode: true });
  assert.deepEqual(
    renderLanes(RACE, { columns: 80, rows: 24, style: coloured }).map(stripVTControlCharacters),
    renderLanes(RACE, at(80)),
  );
});

const name = fc.oneof(
  fc.string(),
  fc.string({ unit: "grapheme", maxLength: 80 }),
  fc.string({ unit: "binary" }),
);
const count = fc.oneof(fc.nat(), fc.double({ min: 0, max: 1e15, noNaN: true }));
const lane = fc.record({
  destination: name,
  state: fc.constantFrom(...PHASES, "verified" as const, "failed" as const, "cancelled" as const),
  counts: fc.array(count, { minLength: 11, maxLength: 11 }),
  stalledForMs: count,
  bytesPerSecond: count,
  workers: fc.nat(8),
  file: fc.option(name),
  etaMs: fc.option(count),
  fastest: fc.boolean(),
}).map((l) => {
  const keys = Object.keys(sampleLane("", "copy").counters);
  return sampleLane(l.destination, l.state, {
    counters: Object.fromEntries(keys.map((key, i) => [key, l.counts[i]!])),
    gauges: {
      stalledForMs: l.stalledForMs,
      bytesPerSecond: l.bytesPerSecond,
      workers: l.workers,
      currentFiles: l.file === null ? [] : [l.file],
    },
    etaMs: l.etaMs,
    fastest: l.fastest,
  });
});

Deno.test("no picture is ever wider or higher than the terminal, whatever the input", () => {
  fc.assert(fc.property(
    fc.array(lane, { minLength: 1, maxLength: 6 }),
    name,
    fc.integer({ min: 1, max: 200 }),
    fc.integer({ min: 2, max: 40 }),
    fc.boolean(),
    (lanes, statusLine, columns, rows, colours) => {
      const progress = sampleProgress(lanes, { statusLine });
      const style = createStyle({ colours, unicode: true });
      const lines = renderLanes(progress, { columns, rows, style });
      assert.ok(lines.length <= rows - 1, `${lines.length} lines in ${rows} rows`);
      for (const line of lines) {
        const bare = stripVTControlCharacters(line);
        assert.ok(cells(bare) <= columns, `${cells(bare)} cells in ${columns}: ${bare}`);
        // deno-lint-ignore no-control-regex
        assert.doesNotMatch(bare, /[\x00-\x1f\x7f-\x9f]|NaN|Infinity|undefined/);
      }
    },
  ));
});

/** Terminal cells by another rule than the code under test: wide scripts and emoji are two, marks none. */
function cells(text: string): number {
  let sum = 0;
  for (const char of text) {
    if (/\p{Mn}|\p{Me}/u.test(char)) continue;
    const isWide = /\p{Script=Han}|\p{Script=Hangul}|\p{Script=Hiragana}|\p{Script=Katakana}/u;
    const isHalf = /[\uff61-\uffdc]|[\u1160-\u11ff]|[\ud7b0-\ud7ff]/u;
    sum += (isWide.test(char) && !isHalf.test(char)) || /\p{Emoji_Presentation}/u.test(char)
      ? 2
      : 1;
  }
  return sum;
}

Deno.test("an agent that is waited for is named in the lane, in place of the file it was at", () => {
  const waitsFor = [{ agent: "nas", silentForMs: 12_400 }];
  const run = sampleProgress([
    sampleLane("/mnt/ssd", "copy", { waitsFor }),
    sampleLane("/mnt/nas", "verify", {
      waitsFor: [...waitsFor, { agent: "desk", silentForMs: 20_000 }],
    }),
    sampleLane("/mnt/usb", "verified", { waitsFor }),
  ]);
  const lines = renderLanes(run, at(100));
  assert.deepEqual(lines.filter((line) => line.includes("waiting")), [
    "  waiting for agent nas, silent for 12 s",
    "  waiting for agent desk and 1 other, silent for 20 s",
  ]);
  const low = renderLanes(run, at(100, 5));
  assert.match(low[0]!, /waiting for agent nas, silent for 12 s/);
  assert.equal(low.length, 4);
});
