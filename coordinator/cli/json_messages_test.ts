import assert from "node:assert/strict";
import * as v from "valibot";
import { errorMessages, exitErrorOf, statusMessage, summaryMessage } from "./json_messages.ts";
import {
  PARTIAL,
  RACE,
  sampleDestination,
  sampleLane,
  sampleProgress,
  sampleReport,
} from "./sample_run.ts";

const count = v.pipe(v.number(), v.minValue(0));
const StatusLine = v.strictObject({
  message_type: v.literal("status"),
  destination: v.string(),
  phase: v.string(),
  percent_done: v.pipe(v.number(), v.minValue(0), v.maxValue(1)),
  seconds_elapsed: count,
  seconds_remaining: v.exactOptional(count),
  total_files: count,
  files_done: count,
  total_bytes: count,
  bytes_done: count,
  bytes_per_second: count,
  error_count: count,
  current_files: v.array(v.string()),
});
const ErrorLine = v.strictObject({
  message_type: v.literal("error"),
  error: v.strictObject({ message: v.string() }),
  during: v.string(),
  item: v.string(),
  path: v.string(),
  code: v.string(),
  message: v.string(),
  attempts: v.exactOptional(count),
  destination: v.exactOptional(v.string()),
});

Deno.test("a status line has restic's fields for each destination, of the phase it is in", () => {
  const [fast, slow] = RACE.destinations.map((lane) =>
    v.parse(StatusLine, statusMessage(lane, RACE))
  );
  assert.equal(fast!.phase, "verify");
  assert.deepEqual([fast!.percent_done, fast!.files_done, fast!.total_files], [0.5, 600, 1200]);
  assert.deepEqual([slow!.percent_done, slow!.bytes_done, slow!.error_count], [0.1, 0.34e9, 1]);
  assert.equal(slow!.seconds_remaining, 402);
});

Deno.test("percent_done is 0 at the start, 1 when verified, and never NaN with nothing to copy", () => {
  for (const [state, expected] of [["analyze", 0], ["copy", 0], ["verified", 1]] as const) {
    const lane = sampleLane("/a", state);
    const line = v.parse(StatusLine, statusMessage(lane, sampleProgress([lane])));
    assert.equal(line.percent_done, state === "verified" ? 1 : expected);
    assert.ok(!("seconds_remaining" in line));
  }
});

Deno.test("every failure is an error line with path, code, message and destination", () => {
  const lines = [...errorMessages(PARTIAL)].map((line) => v.parse(ErrorLine, line));
  assert.deepEqual(
    lines.map(({ during, path, code, destination }) => [during, path, code, destination]),
    [
      ["read", "Documents/secret", "permission", undefined],
      ["copy", "Documents", "no_space", "/mnt/nas"],
      ["copy", "Documents/b\n.mov", "no_space", "/mnt/nas"],
    ],
  );
});

Deno.test("the summary holds totals for each destination and what was left out", () => {
  const line = JSON.parse(JSON.stringify(summaryMessage(PARTIAL)));
  assert.equal(line.message_type, "summary");
  assert.deepEqual([line.total_files_processed, line.exit_code, line.dry_run], [1234, 4, false]);
  const [ssd, nas] = line.destinations;
  assert.deepEqual(
    [ssd.state, ssd.files_copied, ssd.files_unmodified, ssd.verification, ssd.files_rewritten],
    ["verified", 1200, 33, "disk", 1],
  );
  assert.equal(ssd.oldest_verification, new Date(2026, 0, 31, 8, 5).toISOString());
  assert.deepEqual([nas.state, nas.files_failed], ["failed", 3]);
  assert.deepEqual(line.sources[0].excluded, PARTIAL.sources[0]!.excluded);
  assert.deepEqual(exitErrorOf(PARTIAL).code, 4);
});

Deno.test("a dry run's summary holds the plan", () => {
  const plan = { filesToCopy: 12, bytesToCopy: 3e6, filesUnchanged: 1222, filesGone: 3 };
  const line = summaryMessage(sampleReport([sampleDestination("/a", "planned", { plan })]));
  const [destination] = line["destinations"] as { plan: unknown }[];
  assert.equal(line["dry_run"], true);
  assert.deepEqual(destination!.plan, {
    files_to_copy: 12,
    bytes_to_copy: 3e6,
    files_unmodified: 1222,
    files_gone: 3,
  });
});

Deno.test("the summary counts what a destination cannot hold, 0 when it holds everything", () => {
  const recordedOnly = { symlinks: 2, fifos: 1, devices: 4 };
  const { destinations } = summaryMessage(sampleReport([
    sampleDestination("/usb", "verified", { recordedOnly }),
    sampleDestination("/ssd", "verified", {}),
  ])) as unknown as { destinations: { recorded_only: number }[] };
  assert.deepEqual(destinations.map((row) => row.recorded_only), [7, 0]);
});
