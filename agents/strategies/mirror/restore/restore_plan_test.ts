import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { forgeDestination, line } from "../../../../tests/support/restoring.ts";
import { inScratch } from "../../../../tests/support/small_tree.ts";
import { openPosix } from "../../../platform/open_posix.ts";
import { LINE_FILE, LINE_FOLDER, LINE_IDLE, LINE_LINK, LINE_PARENT } from "./line_status.ts";
import { type CopyPlan, planCopy, type PlanRequest } from "./restore_plan.ts";
import { Selection } from "./selection.ts";
import { openStoredLists } from "./stored_lists.ts";

const posix = openPosix();

/** Plans the copy of these lines. `random` is asked for each candidate of a sample. */
function planOf(
  lines: Record<string, unknown>[],
  request: Partial<PlanRequest & { bytesMax: number }> = {},
  paths: string[] = [],
  random: () => number = () => 0.99,
): Promise<CopyPlan> {
  return inScratch((folder) => {
    const from = join(folder, "from");
    forgeDestination(from, lines);
    const lists = openStoredLists(posix, from, false);
    try {
      return planCopy(
        ...[posix, lists, { name: "copy", key: "s1" }, 0, new Selection(paths)] as const,
        ...[{ withGone: false, bytesMax: Infinity, ...request }, random, () => {}] as const,
      ).plan;
    } finally {
      lists.close();
    }
  });
}

const statusOf = ({ status }: CopyPlan) => [...new Uint8Array(status)];
const name = (n: number) => `d/${String(n).padStart(3, "0")}`;
const HUNDRED = [
  line.folder(""),
  line.folder("d"),
  ...Array.from({ length: 100 }, (_, n) => line.file(name(n), "ten bytes!")),
  line.folder("e"),
];

Deno.test("a sample is what chance says, with the folders that lead there", async () => {
  let turn = 0;
  const sample = { fraction: 0.1 };
  // Two numbers are drawn for a file that is not taken: the second says whether it is kept in reserve.
  const plan = await planOf(HUNDRED, { sample }, [], () => turn++ % 50 === 0 ? 0.05 : 0.99);
  assert.ok(plan.files > 0 && plan.files < 10, `${plan.files}`);
  assert.equal(plan.bytes, 10 * plan.files);
  const status = statusOf(plan);
  assert.deepEqual(status.slice(0, 2), [LINE_PARENT, LINE_PARENT]);
  assert.equal(status.filter((one) => one === LINE_FILE).length, plan.files);
  assert.equal(status.at(-1), LINE_IDLE, "a folder with nothing chosen in it");
});

Deno.test("a sample has at least one file, and no more than there is room for", async () => {
  const sample = { fraction: 0.0001 };
  const one = await planOf(HUNDRED, { sample });
  assert.deepEqual([one.files, one.bytes], [1, 10]);
  const all = await planOf(HUNDRED, { sample: { fraction: 1 }, bytesMax: 75 }, [], () => 0.5);
  assert.deepEqual([all.files, all.bytes], [7, 70]);
  assert.equal((await planOf(HUNDRED, { sample, bytesMax: 5 })).files, 0);
});

Deno.test("every line gets what is to be done with it before the first byte is written", async () => {
  const lines = [
    line.folder(""),
    line.folder("a"),
    line.file("a/first", "x"),
    line.file("a/gone", "x", { goneAtMs: 5 }),
    line.file("b", "x", { hardLinkTo: "a/first" }),
    line.file("c", "x", { hardLinkTo: "a/first" }),
    { ...line.fifo("s"), type: "socket" },
    { ...line.fifo("t"), type: "teapot" },
  ];
  const all = await planOf(lines);
  assert.deepEqual(statusOf(all), [
    ...[LINE_FOLDER, LINE_FOLDER, LINE_FILE, LINE_IDLE, LINE_LINK, LINE_LINK, LINE_IDLE, LINE_IDLE],
  ]);
  assert.deepEqual([all.gone, all.sockets, all.unrestorable], [1, 1, ["copy/t"]]);
  const part = await planOf(lines, {}, ["copy/b", "copy/c"]);
  assert.deepEqual(statusOf(part), [LINE_PARENT, 0, 0, 0, LINE_FILE, LINE_LINK, 0, 0]);
  const gone = await planOf(lines, { withGone: true }, ["copy/a/gone"]);
  assert.deepEqual(statusOf(gone), [LINE_PARENT, LINE_PARENT, 0, LINE_FILE, 0, 0, 0, 0]);
});

Deno.test("a kept file whose folder gave way to something else is left out, not taken for an attack", async () => {
  const lines = [
    line.folder(""),
    line.symlink("a", "/etc"),
    line.file("a/old", "x", { goneAtMs: 5 }),
  ];
  const plan = await planOf(lines, { withGone: true });
  assert.deepEqual([plan.gone, plan.files, plan.others], [1, 0, 1]);
  assert.equal(fs.existsSync("/etc/old"), false);
});
