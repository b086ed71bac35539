import assert from "node:assert/strict";
import { PLAIN_STYLE } from "../../protocol/cli/colours.ts";
import { renderProblems, renderResult } from "./render_result.ts";
import { PARTIAL, sampleDestination, sampleReport } from "./sample_run.ts";
import { verdictSentence } from "./verdict_sentence.ts";

const OPTIONS = { style: PLAIN_STYLE, verbose: false };
const VERIFIED = sampleDestination("/a", "verified", { filesCopied: 1 });
const FAILED = sampleDestination("/b", "failed", undefined);

Deno.test("the result names what is not safe, tells how it was verified and what was left out", () => {
  assert.deepEqual(renderResult(PARTIAL, OPTIONS), [
    "✗ 1 of 2 copies verified, not /mnt/nas; 1 source file could not be read.",
    "  ✓ /mnt/ssd: verified, 1,200 files copied (3.4 GB), 33 unchanged, 1,200 verified from disk, 12 s, " +
    "280 MB/s, oldest verification 2026-01-31 08:05",
    "      /mnt/ssd and /mnt/nas are on one file system",
    "      1 file differed on first read-back and was written again",
    "  ✗ /mnt/nas: failed, 10 files copied (5.0 MB), 0 unchanged, 8 verified from cache, 3 failed, 12 s, 417 kB/s",
    "      The destination is full (Free some)",
    "Could not be read (1):",
    "  Documents/secret: Permission denied",
    "Failed at /mnt/nas (3):",
    "  Documents/b\\n.mov: No space left, 3 attempts",
    "  and 2 more",
    "Left out:",
    "  *.log (--exclude): 12 files, 4.5 MB",
  ]);
});

Deno.test("-v names also the files that had to be written again", () => {
  const lines = renderResult(PARTIAL, { style: PLAIN_STYLE, verbose: true });
  assert.ok(lines.includes("      Documents/shaky.bin"));
});

Deno.test("only problems: nothing for a clean run, everything that failed otherwise", () => {
  assert.deepEqual(renderProblems(sampleReport([VERIFIED]), PLAIN_STYLE), []);
  const lines = renderProblems(PARTIAL, PLAIN_STYLE);
  assert.ok(lines.includes("      The destination is full (Free some)"));
  assert.ok(lines.includes("  Documents/secret: Permission denied"));
  assert.ok(!lines.some((line) => line.includes("/mnt/ssd: verified")));
});

Deno.test("a dry run shows the plan of each destination with sizes", () => {
  const plan = { filesToCopy: 12, bytesToCopy: 3e6, filesUnchanged: 1222, filesGone: 3 };
  const report = sampleReport([sampleDestination("/mnt/ssd", "planned", { plan })]);
  assert.deepEqual(renderResult(report, OPTIONS), [
    "✓ Dry run: nothing was written.",
    "  ✓ /mnt/ssd: planned, would copy 12 files (3.0 MB), 1,222 unchanged, 3 no longer in the source, kept there",
  ]);
});

Deno.test("what a destination cannot hold is counted over all sources, and the copy is verified", () => {
  const recordedOnly = { symlinks: 2, fifos: 0, devices: 1 };
  const one = sampleDestination("/usb", "verified", { filesCopied: 1, recordedOnly });
  const two = { ...one, lanes: [...one.lanes, ...VERIFIED.lanes, ...one.lanes] };
  const [verdict, line] = renderResult(sampleReport([two]), OPTIONS);
  assert.match(verdict!, /^✓ The copy is verified/);
  assert.match(line!, /\/usb: verified, 3 files copied .+, 6 recorded only, /);
  assert.doesNotMatch(renderResult(sampleReport([VERIFIED]), OPTIONS).join(), /recorded/);
});

const HISTORY = { entriesDeleted: 3, foldersDeleted: 1, versionsKept: 1200, versionsRemoved: 1 };

Deno.test("what a run did to the past is told, and only when it was asked for", () => {
  const lane = { filesCopied: 1, history: HISTORY };
  const [, line] = renderResult(sampleReport([sampleDestination("/a", "verified", lane)]), OPTIONS);
  assert.match(
    line!,
    / 3 deleted, 1 folder removed, 1,200 earlier versions kept, 1 old version removed,/,
  );
  const plain = renderResult(sampleReport([VERIFIED]), OPTIONS).join("\n");
  assert.doesNotMatch(plain, /deleted|version/);
});

Deno.test("a dry run with --delete names the first of what would go", () => {
  const plan = {
    filesToCopy: 0,
    bytesToCopy: 0,
    filesUnchanged: 9,
    filesGone: 2,
    filesToDelete: 2,
    entriesToDelete: 3,
    deletionNames: ["D/a", "D/b\u001b"],
  };
  const report = sampleReport([sampleDestination("/mnt/ssd", "planned", { plan })]);
  assert.deepEqual(renderResult(report, OPTIONS).slice(1), [
    "  ✓ /mnt/ssd: planned, would copy 0 files (0 B), 9 unchanged, would delete 2 files and 1 folder or link",
    "      would delete D/a",
    "      would delete D/b\\x1b",
    "      and 1 more",
  ]);
});

Deno.test("a deletion that was refused is no failed copy in the verdict", () => {
  const error = { code: "rejected", message: "nothing was deleted", retry: "no" as const };
  const refused = sampleDestination("/b", "failed", {
    state: "failed",
    failureCount: 0,
    failures: [],
    error,
    history: { ...HISTORY, refused: "the source is empty" },
  });
  const report = { state: "failed" as const, exitCode: 1 as const };
  const sentence = verdictSentence({ ...sampleReport([refused]), ...report });
  assert.equal(
    sentence,
    "Copied and verified, but nothing was deleted at /b: that needs --delete-anyway.",
  );
});

Deno.test("the verdict says verified of a copy only when it is", () => {
  const [source] = PARTIAL.sources;
  const unreadable = { sources: [source!], exitCode: 3, state: "partial" as const };
  const lost = {
    ...source!,
    unreadable: [],
    unreadableCount: 0,
    error: { code: "not_found", message: "gone", retry: "no" as const },
  };
  const table: [string, string][] = [
    [
      verdictSentence(sampleReport([VERIFIED])),
      "The copy is verified: 1,234 files, 3.4 GB in 42 s.",
    ],
    [
      verdictSentence(sampleReport([VERIFIED, { ...VERIFIED, destination: "/c" }])),
      "All 2 copies are verified: 1,234 files, 3.4 GB in 42 s.",
    ],
    [
      verdictSentence(sampleReport([VERIFIED], unreadable)),
      "The copy is verified, but 1 source file could not be read.",
    ],
    [verdictSentence(sampleReport([VERIFIED, FAILED])), "1 of 2 copies verified, not /b."],
    [verdictSentence(sampleReport([FAILED])), "Failed: no copy is verified."],
    [
      verdictSentence(sampleReport([FAILED], { sources: [lost] })),
      "Failed: no copy is verified; 1 source could not be read.",
    ],
    [
      verdictSentence(sampleReport([VERIFIED, FAILED], { state: "cancelled" })),
      "Cancelled after 42 s: 1 of 2 copies verified.",
    ],
  ];
  for (const [actual, expected] of table) assert.equal(actual, expected);
});
