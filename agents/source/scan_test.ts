import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { inFolder } from "../../tests/support/posix_folder.ts";
import { openPosix } from "../platform/open_posix.ts";
import { threadCells } from "../threads/thread_rpc.ts";
import { EntryTable } from "./entry_table.ts";
import { SCAN_COUNTERS_BYTES, scanCountersOf, type ScanRequest, scanSource } from "./scan.ts";

const posix = openPosix();

function request(path: string): ScanRequest {
  return {
    path,
    name: "top",
    options: { excludes: [], ignoreFiles: false, excludeCaches: false, oneFileSystem: false },
    counters: new SharedArrayBuffer(SCAN_COUNTERS_BYTES),
  };
}

Deno.test("a scan shares its counters and ends with the table of what it counted", () =>
  inFolder(posix, (_, path) => {
    fs.mkdirSync(join(path, "d"));
    fs.writeFileSync(join(path, "d/file"), "12345");
    fs.symlinkSync("d", join(path, "link"));
    const wanted = request(path);
    const cells = threadCells(new SharedArrayBuffer(24));
    const scanned = scanSource(posix, wanted, cells);
    assert.deepEqual(scanned.counters, {
      files: 1,
      directories: 2,
      others: 1,
      bytes: 5,
      unreadable: 0,
      excluded: 0,
    });
    assert.deepEqual(scanCountersOf(wanted.counters), scanned.counters);
    assert.equal(EntryTable.fromShare(scanned.table).pathText(2), "d/file");
    assert.ok(cells.operations[0]! > 0);
  }));

Deno.test("a cancelled scan ends as cancelled", () =>
  inFolder(posix, (_, path) => {
    const cells = threadCells(new SharedArrayBuffer(24));
    cells.cancelled[0] = 1;
    assert.throws(() => scanSource(posix, request(path), cells), { code: "cancelled" });
  }));
