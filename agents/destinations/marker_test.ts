import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { inFolder } from "../../tests/support/posix_folder.ts";
import { openPosix } from "../platform/open_posix.ts";
import { FORMAT_VERSION, type Marker, readMarker, writeMarker } from "./marker.ts";

const posix = openPosix();
const MARKER: Marker = {
  format: "backup-agent destination",
  version: FORMAT_VERSION,
  destinationId: "dest-1",
  createdAt: "2026-01-01T00:00:00Z",
  bindings: [
    { name: "Dokumente ✓\n", hostId: "host-1", hostName: "here", sourcePath: "/home/ä", key: "s1" },
  ],
};

Deno.test("a marker is read as it was written, and written whole", () =>
  inFolder(posix, (at, path) => {
    assert.equal(readMarker(posix, at, path), undefined);
    writeMarker(posix, at, path, MARKER);
    assert.deepEqual(readMarker(posix, at, path), MARKER);
    writeMarker(posix, at, path, { ...MARKER, bindings: [] });
    assert.deepEqual(readMarker(posix, at, path), { ...MARKER, bindings: [] });
    assert.deepEqual(fs.readdirSync(path), ["marker.json"]);
  }));

Deno.test("a marker of a newer version is refused, whatever else is in it", () =>
  inFolder(posix, (at, path) => {
    for (const more of [{}, { bindings: "another form" }]) {
      const newer = { ...MARKER, version: FORMAT_VERSION + 1, ...more };
      fs.writeFileSync(join(path, "marker.json"), JSON.stringify(newer));
      assert.throws(() => readMarker(posix, at, path), { code: "newer_version" });
    }
  }));

Deno.test("a marker that is cut, empty or of another form is damaged, never taken for none", () =>
  inFolder(posix, (at, path) => {
    const whole = JSON.stringify(MARKER);
    const bad = ["", "{}", "null", "[]", '"x"', whole.replace('"key":"s1"', '"key":"../s1"')];
    for (let length = 1; length < whole.length; length += 7) bad.push(whole.slice(0, length));
    for (const text of bad) {
      fs.writeFileSync(join(path, "marker.json"), text);
      assert.throws(() => readMarker(posix, at, path), { code: "damaged" }, text);
    }
  }));
