import assert from "node:assert/strict";
import { encodeBech32 } from "../../protocol/base/bech32.ts";
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
  // No command that makes jobs has a role's --host.
  const keys = OPTION_KEYS.filter((key) => key !== "host");
  const parsed = parseArguments(words, keys);
  return jobFromSettings(parsed.positionals, resolveSettings(keys, parsed, at), at);
}

const KEY = encodeBech32("age", new Uint8Array(32).fill(7));
const OTHER_KEY = encodeBech32("age", new Uint8Array(32).fill(9));
const SECRET = encodeBech32("age-secret-key-", new Uint8Array(32).fill(5)).toUpperCase();

Deno.test("what a job needs is asked of its agent: compress, encrypt, both or neither", () => {
  const needed = (...words: string[]) => job(["/src", "--to", "/a", ...words]).requiredCapabilities;
  assert.deepEqual(needed(), ["mirror"]);
  assert.deepEqual(needed("--compress"), ["mirror", "compress"]);
  assert.deepEqual(needed("--encrypt", "--recipient", KEY), ["mirror", "encrypt"]);
  assert.deepEqual(needed("--encrypt", "--compress", "--recipient", KEY), [
    "mirror",
    "compress",
    "encrypt",
  ]);
});

Deno.test("how files are stored reaches the job, with every key once", () => {
  const files = { "/here/keys": `# us\n\n${OTHER_KEY}\r\n${KEY}\n` };
  const words = ["--compress", "--encrypt", "--recipient", KEY, "--recipients-file", "keys"];
  const { options } = job(["/src", "--to", "/a", ...words], { files });
  assert.deepEqual(options.encoding, { codec: "zst.age", recipients: [KEY, OTHER_KEY] });
  assert.equal(job(["/src", "--to", "/a"]).options.encoding, undefined);
});

Deno.test("keys that are missing, wrong or secret are usage errors, and no secret is repeated", () => {
  const files = { "/here/empty": "# nobody\n", "/here/wrong": `${KEY}\nssh-rsa AAAA\n` };
  const wrong: [string[], RegExp][] = [
    [["--encrypt"], /for whom/],
    [["--compress", "--mhl"], /--mhl describes plain copies/],
    [["--recipient", KEY], /--encrypt is not/],
    [["--encrypt", "--recipient", "age1qqqq"], /not a public key/],
    [["--encrypt", "--recipient", KEY.toUpperCase()], /not a public key/],
    [["--encrypt", "--recipient", SECRET], /secret key/],
    [["--encrypt", "--recipients-file", "empty"], /no key in empty/],
    [["--encrypt", "--recipients-file", "wrong"], /wrong:2/],
    [["--encrypt", "--recipients-file", "nowhere"], /Cannot read the recipients file/],
  ];
  for (const [words, message] of wrong) {
    assert.throws(() => job(["/src", "--to", "/a", ...words], { files }), (error) => {
      assert.ok(error instanceof BackupError && error.code === "usage", words.join(" "));
      assert.match(error.message, message);
      assert.ok(!`${error.message}${error.hint}`.includes(SECRET.slice(16, 30)));
      return true;
    });
  }
});

Deno.test("history goes together with encoded copies", () => {
  const words = ["/src", "--to", "/a", "--compress", "--delete", "--keep-versions", "2"];
  const { deleteGone, keepVersions, encoding } = job(words).options;
  assert.deepEqual([deleteGone, keepVersions, encoding?.codec], [true, 2, "zst"]);
});

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
    [["/x", "--to", "s3:bucket"], /s3:bucket is not a folder/, /\.\/s3:bucket/],
    [["/x", "--to", "restic:/r", "--delete"], /--delete is for plain copies/, /Repositories/],
    [["/x", "--to", "/r", "--tag", "t"], /--tag is for repositories/, /restic:PATH/],
    [["/x", "--to", "restic:s3:b"], /behind s3/, /restic:\.\/s3:b/],
    [["/x", "--to", "restic:/r", "--to", "/r"], /are the same folder/, /once/],
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

Deno.test("a repository is a destination of its own kind, and an agent for it must be able to make snapshots", () => {
  const words = ["/x", "--to", "restic:repo/", "--to", "/m", "--tag", "a,b", "--tag", "b,c"];
  const spec = job([...words, "--host", "h", "--time", "2026-11-01 22:08:41", "--delete"]);
  assert.deepEqual(spec.destinations, [
    { key: "restic:repo", kind: "restic", path: "/here/repo", isNew: false },
    { key: "/m", kind: "local", path: "/m", isNew: false },
  ]);
  assert.deepEqual(spec.requiredCapabilities, ["mirror", "snapshot", "compress", "encrypt"]);
  assert.deepEqual(spec.options.repository, {
    compression: "auto",
    tags: ["a", "b", "c"],
    host: "h",
    timeMs: new Date(2026, 10, 1, 22, 8, 41).getTime(),
  });
  assert.equal(job(["/x", "--to", "/m"]).options.repository, undefined);
});
