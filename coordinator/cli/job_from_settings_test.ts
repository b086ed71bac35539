import assert from "node:assert/strict";
import { BackupError } from "../../protocol/base/errors.ts";
import type { JobSpec } from "../../protocol/mesh/job.ts";
import { parseArguments } from "../../protocol/cli/arguments.ts";
import { fakeSurroundings } from "../../protocol/cli/fake_world.ts";
import { OPTION_KEYS } from "../../protocol/cli/options.ts";
import { resolveSettings } from "../../protocol/cli/settings.ts";
import { jobFromSettings } from "./job_from_settings.ts";
import { parseExcludeLines } from "./read_excludes.ts";

function job(words: string[], facts: Parameters<typeof fakeSurroundings>[0] = {}): JobSpec {
  const at = fakeSurroundings(facts);
  const parsed = parseArguments(words, OPTION_KEYS);
  return jobFromSettings(parsed.positionals, resolveSettings(OPTION_KEYS, parsed, at), at);
}

Deno.test("words become a job with absolute paths and the keys as they were typed", () => {
  const { sources, destinations } = job(["docs/", "/a/../b", "--to", "out//", "--to", "/mnt/nas"]);
  assert.deepEqual(sources, [{ path: "/here/docs", name: "docs" }, { path: "/b", name: "b" }]);
  assert.deepEqual(destinations, [
    { key: "out", kind: "local", path: "/here/out", isNew: false },
    { key: "/mnt/nas", kind: "local", path: "/mnt/nas", isNew: false },
  ]);
});

Deno.test("every option reaches the job", () => {
  const files = { "/here/rules": "\ufeff# mine\r\n\r\n*.tmp\r\n  \n!keep.tmp\n\\#odd\n" };
  // deno-fmt-ignore
  const { options, sources, destinations } = job([
    "/src", "--to", "/a", "--to", "/b", "--as", "Name", "--limit", "9MB", "--limit", "/a/=1K",
    "--exclude", "*.log", "--exclude-file", "rules", "--exclude-caches", "--no-ignore-files",
    "--one-file-system", "--priority", "a=b=high", "--order", "fifo", "--verify", "all",
    "--workers", "3", "--attempts", "2", "--timeout", "5s", "--buffer", "16MiB", "--wait", "1m",
    "--init", "-n", "--delete", "--delete-anyway", "--keep-versions", "2",
  ], { files });
  assert.deepEqual(sources, [{ path: "/src", name: "Name" }]);
  assert.deepEqual(destinations, [
    { key: "/a", kind: "local", path: "/a", isNew: true, limitBytesPerSecond: 1000 },
    { key: "/b", kind: "local", path: "/b", isNew: true, limitBytesPerSecond: 9_000_000 },
  ]);
  assert.deepEqual(options, {
    verify: "all",
    order: "fifo",
    priorities: [{ pattern: "a=b", level: "high" }],
    excludes: [
      { pattern: "*.tmp", origin: "rules:3" },
      { pattern: "!keep.tmp", origin: "rules:5" },
      { pattern: "\\#odd", origin: "rules:6" },
      { pattern: "*.log", origin: "--exclude" },
    ],
    ignoreFiles: false,
    excludeCaches: true,
    oneFileSystem: true,
    dryRun: true,
    deleteGone: true,
    deleteAnyway: true,
    keepVersions: 2,
    attemptsMax: 2,
    workersMin: 1,
    workersMax: 3,
    operationTimeoutMs: 5000,
    waitMs: 60_000,
    bufferBytes: 16 << 20,
  });
});

Deno.test("nothing is excluded by default", () => {
  assert.deepEqual(job(["/src", "--to", "/a"]).options.excludes, []);
});

Deno.test("destinations and limits kept in the file serve a call that names none", () => {
  const files = {
    "/home/me/.config/backup-agent/config.json":
      '{ "to": ["~/copies", "near"], "limit": ["~/copies=1K", "/other=2K"] }',
  };
  const { destinations } = job(["/src"], { files });
  assert.deepEqual(
    destinations.map(({ key, path, limitBytesPerSecond }) => [key, path, limitBytesPerSecond]),
    [
      ["~/copies", "/home/me/copies", 1000],
      ["near", "/home/me/.config/backup-agent/near", undefined],
    ],
  );
});

Deno.test("mistakes that can be seen without a disk are usage errors that say what to do", () => {
  const table: [string[], RegExp, RegExp][] = [
    [["--to", "/a"], /No SOURCE/, /SOURCE\.\.\. --to/],
    [["/src"], /No destination/, /--to DEST, once for each$/],
    [["/src", "/mnt/ssd"], /No destination/, /\/mnt\/ssd counts as a source/],
    [["~/docs", "--to", "/a"], /~\/docs starts with a ~/, /\$HOME\/docs"; .*\.\/~\/docs/],
    [["/x", "--to", "~/a"], /~\/a starts with a ~/, /\$HOME\/a/],
    [["/x/docs", "/y/docs", "--to", "/a"], /\/x\/docs and \/y\/docs .* name docs/, /--as NAME/],
    [["/x", "/x/", "--to", "/a"], /\/x is given twice/, /once/],
    [["/", "--to", "/a"], /\/ has no name/, /--as NAME/],
    [["/x", "/y", "--as", "n", "--to", "/a"], /several sources/, /a source/],
    [["/x", "--as", "a/b", "--to", "/a"], /not a name/, /slashes/],
    [["/x", "--as", "..", "--to", "/a"], /not a name/, /./],
    [["", "--to", "/a"], /SOURCE is empty/, /variable/],
    [["/x/.backup-agent", "--to", "/a"], /cannot be named/, /--as/],
    [["/x", "--to", "/a", "--to", "/a/."], /--to \/a and --to \/a\/\. are the same/, /once/],
    [["/x", "--to", "a", "--to", "/here/a/"], /the same folder/, /once/],
    [["/x", "--to", "restic:/repo"], /restic:\/repo is not a folder/, /\.\/restic:\/repo/],
    [
      ["/x", "--to", "/mnt/nas", "--limit", "/mnt/nsa=1K"],
      /\/mnt\/nsa/,
      /Did you mean \/mnt\/nas\?/,
    ],
    [["/x", "--to", "/a", "--exclude-file", "no"], /exclude file no: there is no such file/, /^$/],
  ];
  for (const [words, message, hint] of table) {
    assert.throws(() => job(words), (error) => {
      assert.ok(error instanceof BackupError, String(error));
      assert.equal(error.code, "usage", words.join(" "));
      assert.match(error.message, message);
      assert.match(error.hint ?? "", hint);
      return true;
    });
  }
});

Deno.test("the root can be copied under a name", () => {
  assert.deepEqual(job(["/", "--as", "machine", "--to", "/a"]).sources, [{
    path: "/",
    name: "machine",
  }]);
});

Deno.test("a pattern that only looks blank or like a comment after an escape is kept", () => {
  assert.deepEqual(parseExcludeLines("\\ \n\\#\n", "f").map((rule) => rule.pattern), [
    "\\ ",
    "\\#",
  ]);
});
