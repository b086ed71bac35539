import assert from "node:assert/strict";
import { BackupError } from "../../protocol/base/errors.ts";
import { fakeSignals, fakeSurroundings, fakeTerminal } from "../../protocol/cli/fake_world.ts";
import { runProgram } from "../../protocol/cli/program.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { createVersionsCommand, renderVersions } from "./versions.ts";
import type { FoundVersions, VersionsPort } from "./versions_port.ts";

const FOUND: FoundVersions = {
  path: "Documents/a\u001b",
  versions: [
    {
      time: "2026-11-24T02-51-09Z",
      type: "file",
      sizeBytes: 12_000,
      mtimeNs: "1000000000123456789",
      verifiedAtMs: 1_700_000_000_000,
      sha256: "ab".repeat(32),
      storedAt: ".backup-agent/versions/s1/2026-11-24T02-51-09Z/a",
    },
    { time: "2026-01-01T00-00-00Z", type: "symlink", sizeBytes: 0, storedAt: "x" },
  ],
  below: [{ path: "Documents/a/b", versions: 2, newest: "2026-11-24T02-51-09Z" }],
  belowCount: 3,
};

type Restore = Parameters<VersionsPort["restore"]>[0];

async function versions(words: string[], act: Partial<VersionsPort> = {}) {
  const asked: Restore[] = [];
  const port: VersionsPort = {
    find: () => Promise.resolve(FOUND),
    restore: (where) => {
      asked.push(where);
      const { target: path } = where;
      return Promise.resolve({
        path,
        sizeBytes: 12_000,
        sha256: "ab",
        isPlain: true,
        lacksAttributes: true,
        warnings: ["Others may read it"],
      });
    },
    ...act,
  };
  const terminal = fakeTerminal();
  const world = {
    terminal,
    signals: fakeSignals(),
    clock: new ManualClock(),
    surroundings: fakeSurroundings(),
  };
  const program = {
    version: "1",
    commands: [createVersionsCommand(port, () => Promise.reject(new Error("no repository here")))],
    roles: {},
  };
  const code = await runProgram(["versions", ...words], program, world);
  return { code, asked, out: terminal.written.out, err: terminal.written.err };
}

Deno.test("versions are listed with time, size, dates and a short hash, the newest first", () => {
  const lines = renderVersions(FOUND);
  assert.equal(lines[0], "2 earlier versions of Documents/a\\x1b:");
  assert.match(
    lines[1]!,
    /^ {2}2026-11-24T02-51-09Z {2}12 kB {2}modified 2001-09-0\d .* {2}verified 2023-11-1\d .* {2}sha256 abababababab$/,
  );
  assert.equal(lines[2], "  2026-01-01T00-00-00Z    0 B  symlink");
  assert.deepEqual(lines.slice(3), [
    "3 files below Documents/a\\x1b with earlier versions:",
    "  Documents/a/b: 2 versions, newest 2026-11-24T02-51-09Z",
    "  and 2 more",
  ]);
  assert.deepEqual(renderVersions({ path: "x", versions: [], below: [], belowCount: 0 }), [
    "x has no earlier version there.",
  ]);
});

Deno.test("--restore takes a time as listed, with colons, or latest", async () => {
  const times = ["latest", "2026-11-24T02-51-09Z", "2026-11-24T02:51:09Z"];
  for (const time of times) {
    const run = await versions(["a", "--at", "/d", "--restore", time, "--target", "out"]);
    assert.equal(run.code, 0, run.err);
    assert.equal(run.asked[0]!.time, "2026-11-24T02-51-09Z");
    assert.match(run.out, /restored and checked: 12 kB/);
    assert.match(run.err, /owner or mode.*\nExtended attributes/);
    assert.match(run.err, /^Others may read it\n/);
  }
  const never = await versions(["a", "--at", "/d", "--restore", "2025", "--target", "out"]);
  assert.equal(never.code, 1);
  assert.match(never.err, /no version of 2025.*There are: 2026-11-24T02-51-09Z, 2026-01-01/);
  assert.deepEqual(never.asked, []);
});

Deno.test("--json prints one object, and a failure is one too", async () => {
  const run = await versions(["a", "--at", "/d", "--json"]);
  const line = JSON.parse(run.out);
  assert.equal(line.message_type, "versions");
  assert.deepEqual(Object.keys(line.versions[0]), [
    "time",
    "type",
    "size",
    "mtime_ns",
    "last_verification",
    "sha256",
    "stored_at",
  ]);
  const failed = await versions(["a", "--at", "/d", "--json"], {
    find: () => Promise.reject(new BackupError("destination_missing", "No marker")),
  });
  assert.equal(failed.code, 10);
  assert.equal(JSON.parse(failed.err).code, 10);
});
