import assert from "node:assert/strict";
import type { Command } from "./command.ts";
import { configCommand } from "./config_command.ts";
import { commandHelp, programHelp } from "./help.ts";
import { EXIT_MEANINGS, exitCodeOf } from "./exit_codes.ts";
import { ERROR_CODES } from "../base/errors.ts";
import { OPTION_KEYS, optionOf } from "./options.ts";

const everything: Command = {
  name: "everything",
  summary: "Do everything",
  synopsis: ["everything THING..."],
  about: ["A paragraph."],
  options: OPTION_KEYS,
  examples: [{ says: "just do it", words: "everything now" }],
  exitCodes: [0, 2, 130],
  run: () => Promise.resolve(0),
};

Deno.test("the help of a command holds usage, options with variables, examples and its own exit codes", () => {
  const help = commandHelp(everything);
  assert.ok(help.startsWith("Do everything.\n\nUsage:\n  backup-agent everything THING...\n"));
  assert.ok(help.includes(
    "Exit codes:\n" +
      "    0    everything asked for is done and verified\n" +
      "    2    the command, an option or the configuration is wrong; nothing was written\n" +
      "  130    cancelled by Ctrl-C, SIGTERM or SIGHUP\n",
  ));
  assert.ok(help.includes("  # just do it\n  backup-agent everything now\n"));
  for (const key of OPTION_KEYS) assert.ok(help.includes(`-${optionOf(key).flag}`), key);
  assert.match(help, /--no-ignore-files +Copy also what/);
  assert.match(help, /BACKUP_AGENT_IGNORE_FILES=false\]/);
  assert.match(help, /-n, --dry-run +Show what would be copied/);
  assert.match(help, /\[repeatable; BACKUP_AGENT_TO, one\s+a line\]/);
});

Deno.test("help has no line wider than 100 columns and none that ends in a blank", () => {
  for (
    const text of [
      commandHelp(everything),
      programHelp({ commands: [everything, configCommand], roles: {}, version: "1.0.0" }),
    ]
  ) {
    for (const line of text.split("\n")) {
      assert.ok(line.length <= 100, line);
      assert.doesNotMatch(line, /\s$/);
    }
  }
});

Deno.test("the program's help lists its commands", () => {
  const help = programHelp({ commands: [everything, configCommand], roles: {}, version: "1.2.3" });
  assert.match(help, /^backup-agent 1\.2\.3: /);
  assert.match(help, /\n {2}everything {2}Do everything\n {2}config {6}Show every setting/);
});

Deno.test("every error code has an exit code that the help can explain", () => {
  for (const code of ERROR_CODES) assert.ok(exitCodeOf(code) in EXIT_MEANINGS, code);
  assert.deepEqual(
    [
      "usage",
      "config",
      "destination_missing",
      "destination_changed",
      "destination_busy",
      "wrong_key",
      "cancelled",
      "io",
    ]
      .map((code) => exitCodeOf(code as (typeof ERROR_CODES)[number])),
    [2, 2, 10, 10, 11, 12, 130, 1],
  );
});
