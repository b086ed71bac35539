import assert from "node:assert/strict";
import { tableOfFiles } from "../../../tests/support/sample_table.ts";
import { BackupError } from "../../../protocol/base/errors.ts";
import type { DestinationQueue } from "../../queue/destination_queue.ts";
import type { ThreadClient } from "../../threads/thread_rpc.ts";
import { STATUS_FAILED, STATUS_PUBLISHED, STATUS_VERIFIED, STATUS_WANTED } from "./entry_status.ts";
import type { FinalNames } from "./final_names.ts";
import { LaneCounts } from "./lane_counts.ts";
import { LaneFailures } from "./lane_failures.ts";
import { ReadBack } from "./read_back.ts";
import { RecentRows } from "./recent_rows.ts";
import { RowAttempts } from "./row_attempts.ts";
import { RowVersions } from "./row_versions.ts";
import { SourceProblems } from "./source_problems.ts";

const DAMAGED = new BackupError("damaged", "The checksum differs");
const UNREADABLE = new BackupError("io", "It cannot be read in the source any more");

/** Two published files at a destination that damages the first of them so many times. */
function scene(damagedTimes: number, { isUnreadable = false } = {}) {
  const table = tableOfFiles([10, 10]);
  const status = new Uint8Array([0, STATUS_PUBLISHED, STATUS_PUBLISHED]);
  const recent = new RecentRows();
  const counts = new LaneCounts(2, 20);
  const source = new SourceProblems();
  const failures = new LaneFailures(table, "copy", source, recent);
  const givenUp: [number, string | undefined][] = [];
  const copied: number[][] = [];
  let left = damagedTimes;
  const worker = {
    bytes: 0,
    call: (_method: string, { rows }: { rows: Uint32Array }) => {
      const bad = [...rows].filter((row) => row === 1 && left-- > 0);
      for (const row of rows) if (!bad.includes(row)) status[row] = STATUS_VERIFIED;
      const files = rows.length - bad.length;
      const problems = bad.map((row) => ({ row, ...DAMAGED, message: "", retry: "later" }));
      return Promise.resolve({ files, bytes: files * 10, fromDisk: files, fromCache: 0, problems });
    },
  } as unknown as ThreadClient;
  let work = Promise.resolve();
  const queue = {
    addMany: (slot: number, rows: ArrayLike<number>) => {
      work = readBack.verify(worker, { slot, rows: Array.from(rows), attempt: 1 })
        .then((outcomes) => outcomes.forEach(({ row, error }) => readBack.failed(row, error)));
    },
    drained: () => work,
    progressed: () => {},
  } as unknown as DestinationQueue<ThreadClient>;
  const readBack: ReadBack = new ReadBack({
    lane: {
      queue,
      verifySlot: 1,
      signal: new AbortController().signal,
      fatalError: () => undefined,
    },
    task: "task",
    status,
    attemptsMax: 3,
    attempts: new RowAttempts(),
    versions: new RowVersions(table),
    names: {
      giveUp: (row: number, error: BackupError | undefined) => {
        givenUp.push([row, error?.code]);
        status[row] = STATUS_FAILED;
        return Promise.resolve();
      },
    } as unknown as FinalNames,
    counts,
    failures,
    recent,
    copyAgain: (rows) => {
      assert.ok(rows.every((row) => status[row] === STATUS_WANTED));
      if (isUnreadable) {
        source.mark(UNREADABLE);
        for (const row of rows) failures.addCopy(row, UNREADABLE, 1);
        return Promise.resolve();
      }
      copied.push(rows);
      for (const row of rows) status[row] = STATUS_PUBLISHED;
      return Promise.resolve();
    },
  });
  return { readBack, status, failures, counts, givenUp, copied };
}

Deno.test("what is right is read once", async () => {
  const { readBack, copied, counts, failures } = scene(0);
  await readBack.untilRight([1, 2]);
  assert.deepEqual([copied, counts.filesVerified, failures.count], [[], 2, 0]);
  assert.ok(readBack.isClean);
});

Deno.test("what differs is copied again until it is right, and named as rewritten", async () => {
  const { readBack, copied, counts, failures } = scene(2);
  await readBack.untilRight([1, 2]);
  assert.deepEqual([copied, counts.filesVerified, failures.count], [[[1], [1]], 2, 0]);
  assert.deepEqual(readBack.rewritten, [1]);
  assert.deepEqual([readBack.wasCopiedAgain(1), readBack.wasCopiedAgain(2)], [true, false]);
  assert.equal(readBack.isRewriting(1), false);
});

Deno.test("what differs at its last attempt fails by name and is given up", async () => {
  const { readBack, copied, failures, givenUp } = scene(Infinity);
  await readBack.untilRight([1, 2]);
  assert.deepEqual([copied, givenUp], [[[1], [1]], [[1, "damaged"]]]);
  assert.deepEqual(failures.named.map(({ path, attempts }) => [path, attempts]), [
    ["copy/f000000", 3],
  ]);
});

Deno.test("what cannot be copied again is given up for what was read", async () => {
  const { readBack, failures, givenUp } = scene(1, { isUnreadable: true });
  await readBack.untilRight([1, 2]);
  assert.deepEqual(givenUp, [[1, "damaged"]]);
  assert.deepEqual(failures.named.map(({ path, code }) => [path, code]), [
    ["copy/f000000", "damaged"],
  ]);
});
