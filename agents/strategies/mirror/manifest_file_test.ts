import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { anyEntries, tableOf } from "../../../tests/support/arbitrary_entries.ts";
import { faultyPosix } from "../../../tests/support/faulty_posix.ts";
import { inFolder } from "../../../tests/support/posix_folder.ts";
import { BackupError } from "../../../protocol/base/errors.ts";
import { EIO } from "../../platform/errno.ts";
import { openPosix } from "../../platform/open_posix.ts";
import { cName, type DirectoryHandle, type Posix } from "../../platform/posix.ts";
import { OldEntries } from "./diff.ts";
import { NO_LIST_KEYS } from "./list_keys.ts";
import {
  MANIFEST_FORMAT,
  MANIFEST_VERSION,
  type ManifestHeader,
  ManifestWriter,
  openManifest,
} from "./manifest_file.ts";
import { lineOfRow } from "./manifest_line.ts";

const posix = openPosix();
const NAME = "m.jsonl";
const HEADER: ManifestHeader = {
  format: MANIFEST_FORMAT,
  version: MANIFEST_VERSION,
  name: "copy",
  sourcePath: "/source",
  runId: "run-1",
  stage: "run-1-1",
  createdAt: "2026-01-01T00:00:00Z",
};

function write(at: DirectoryHandle, lines: string[], header = HEADER): void {
  posix.unlink(at, cName(NAME));
  const fd = posix.createFile(at, cName(NAME));
  const writer = new ManifestWriter(posix, fd, NAME, header);
  for (const line of lines) writer.add(line);
  writer.finish();
  posix.close(fd);
}

/** Reads as a run does: alongside a table, so that every path is looked at. */
function read(at: DirectoryHandle, port: Posix = posix): string[] {
  const manifest = openManifest(port, at, NAME, NAME, NO_LIST_KEYS);
  if (manifest === undefined) throw new Error("there is none");
  const lines: string[] = [];
  try {
    const entries = new OldEntries(manifest.lines);
    entries.finish(({ text }) => lines.push(text));
  } finally {
    manifest.close();
  }
  return lines;
}

const line = (path: string) => JSON.stringify({ path, type: "file", sizeBytes: 1 });

Deno.test("what was written is read, for any bytes and numbers", () =>
  inFolder(posix, (at) =>
    fc.assert(
      fc.property(anyEntries, (entries) => {
        const { table, paths } = tableOf(entries);
        const lines = paths.map((path, i) => lineOfRow(table, i, path, {}));
        write(at, lines);
        assert.deepEqual(read(at), lines);
      }),
      { numRuns: 60 },
    )));

Deno.test("lines that cross the pieces it is read in come back whole", () =>
  inFolder(posix, (at) => {
    for (const length of [(1 << 20) - 400, (1 << 20) - 300, 700_000, 3_000_000]) {
      const lines = Array.from({ length: 4 }, (_, k) => line(`${k}${"é".repeat(length / 2)}`));
      write(at, lines);
      assert.deepEqual(read(at), lines);
    }
  }));

Deno.test("a manifest cut anywhere is damaged", () =>
  inFolder(posix, (at, path) => {
    write(at, ["a", "a/b", "c"].map(line));
    const whole = fs.readFileSync(join(path, NAME));
    for (let length = 0; length < whole.length; length++) {
      fs.writeFileSync(join(path, NAME), whole.subarray(0, length));
      assert.throws(() => read(at), { code: "damaged" }, `${length} of ${whole.length}`);
    }
  }));

Deno.test("a manifest with any one byte changed is damaged, or too new, but never believed", () =>
  inFolder(posix, (at, path) => {
    write(at, ["a", "a/b", "c"].map(line));
    const whole = fs.readFileSync(join(path, NAME));
    const lines = read(at);
    for (let k = 0; k < whole.length * 2; k++) {
      const bytes = Uint8Array.from(whole);
      bytes[k >> 1]! ^= k % 2 === 0 ? 0xff : 1 << (k >> 1) % 8;
      fs.writeFileSync(join(path, NAME), bytes);
      let got: string[];
      try {
        got = read(at);
      } catch (error) {
        const { code } = error as BackupError;
        assert.ok(code === "damaged" || code === "newer_version", `change ${k}: ${error}`);
        continue;
      }
      assert.deepEqual(got, lines, `change ${k}`);
    }
  }));

Deno.test("a newer format is refused and a missing manifest is none", () =>
  inFolder(posix, (at) => {
    assert.equal(openManifest(posix, at, NAME, NAME, NO_LIST_KEYS), undefined);
    write(at, [], { ...HEADER, version: MANIFEST_VERSION + 1 });
    assert.throws(() => openManifest(posix, at, NAME, NAME, NO_LIST_KEYS), {
      code: "newer_version",
    });
    write(at, [], { ...HEADER, format: "something else" });
    assert.throws(() => openManifest(posix, at, NAME, NAME, NO_LIST_KEYS), { code: "damaged" });
  }));

Deno.test("a disk error while reading is an error, and nothing stays open", () =>
  inFolder(posix, (at) => {
    write(at, ["a", "b"].map(line));
    const whole = faultyPosix(posix);
    read(at, whole.posix);
    for (const { number, name } of whole.calls) {
      if (name === "close") continue;
      const faulty = faultyPosix(
        posix,
        (call) => call.number === number ? { kind: "error", errno: EIO } : undefined,
      );
      assert.throws(() => read(at, faulty.posix), { code: "io" });
      assert.equal(faulty.openCount(), 0);
    }
  }));
