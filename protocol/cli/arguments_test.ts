import assert from "node:assert/strict";
import { BackupError } from "../base/errors.ts";
import { parseArguments } from "./arguments.ts";
import { OPTION_KEYS } from "./options.ts";

function fails(words: string[], message: RegExp, hint: RegExp): void {
  assert.throws(() => parseArguments(words, OPTION_KEYS), (error) => {
    assert.ok(error instanceof BackupError);
    assert.equal(error.code, "usage");
    assert.match(error.message, message);
    assert.match(error.hint ?? "", hint);
    return true;
  });
}

Deno.test("options and sources may come in any order, lists keep theirs", () => {
  const parsed = parseArguments(
    ["a", "--to", "/x", "b", "--to=/y", "-n", "--workers", "2", "--workers=3", "-qv", "c"],
    OPTION_KEYS,
  );
  assert.deepEqual(parsed.positionals, ["a", "b", "c"]);
  assert.deepEqual([...parsed.flags], [
    ["to", ["/x", "/y"]],
    ["dryRun", [true]],
    ["workers", ["3"]],
    ["quiet", [true]],
    ["verbose", [true]],
  ]);
});

Deno.test("two dashes end the options", () => {
  const parsed = parseArguments(["--to", "/x", "--", "-odd", "--to", "--"], OPTION_KEYS);
  assert.deepEqual(parsed.positionals, ["-odd", "--to", "--"]);
  assert.deepEqual(parsed.flags.get("to"), ["/x"]);
});

Deno.test("every switch can be turned off, and only switches", () => {
  const parsed = parseArguments(["--no-ignore-files", "--no-one-file-system"], OPTION_KEYS);
  assert.deepEqual(parsed.flags.get("ignoreFiles"), [false]);
  assert.deepEqual(parsed.flags.get("oneFileSystem"), [false]);
  fails(["--no-to"], /Unknown option --no-to/, /./);
});

Deno.test("an unknown option is named with the nearest known one", () => {
  fails(["--exlude", "x"], /^Unknown option --exlude$/, /Did you mean --exclude\?/);
  fails(["--dryrun"], /--dryrun/, /--dry-run/);
  fails(["--xyzzyxyzzy"], /--xyzzyxyzzy/, /--help/);
  fails(["-x"], /Unknown option -x/, /./);
});

Deno.test("a value that was forgotten is not taken from the next option", () => {
  fails(["--to", "--limit", "8MB"], /^--to needs a value$/, /--to=VALUE/);
  fails(["--to"], /^--to needs a value$/, /./);
  fails(["--json=yes"], /^--json takes no value$/, /--no-json/);
  assert.deepEqual(parseArguments(["--to=-dash", "-"], OPTION_KEYS).flags.get("to"), ["-dash"]);
});

Deno.test("an option that a command does not take is unknown to it", () => {
  assert.throws(() => parseArguments(["--to", "/x"], ["json"]), /Unknown option --to/);
});

Deno.test("arguments pass through with spaces, newlines, quotes and emptiness intact", () => {
  const odd = ["", " a b ", "quo\"te's", "new\nline", "emoji 📁", "a=b"];
  const parsed = parseArguments([...odd, ...odd.map((text) => `--exclude=${text}`)], OPTION_KEYS);
  assert.deepEqual(parsed.positionals, odd);
  assert.deepEqual(parsed.flags.get("exclude"), odd);
});

Deno.test("an option that may stand alone takes the next word only when it is one of its own", () => {
  const parsed = parseArguments(["--overwrite", "--verify", "a", "--"], OPTION_KEYS);
  assert.deepEqual([...parsed.flags], [["overwrite", ["always"]], ["verify", ["all"]]]);
  assert.deepEqual(parsed.positionals, ["a"]);
  const named = parseArguments(["--overwrite", "if-newer", "never", "--verify=new"], OPTION_KEYS);
  assert.deepEqual([...named.flags], [["overwrite", ["if-newer"]], ["verify", ["new"]]]);
  assert.deepEqual(named.positionals, ["never"]);
  fails(["--no-overwrite"], /Unknown option --no-overwrite/, /--overwrite/);
});
