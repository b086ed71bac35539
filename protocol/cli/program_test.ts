import assert from "node:assert/strict";
import { BackupError } from "../base/errors.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import type { Command, CommandCall } from "./command.ts";
import { configCommand } from "./config_command.ts";
import { fakeSignals, fakeSurroundings, fakeTerminal } from "./fake_world.ts";
import { type Program, runProgram } from "./program.ts";

async function run(
  words: string[],
  act: (call: CommandCall) => number = () => 0,
  facts: Parameters<typeof fakeSurroundings>[0] = {},
): Promise<{ code: number; out: string; err: string }> {
  const probe: Command = {
    name: "probe",
    summary: "Probe",
    synopsis: ["probe"],
    about: [],
    options: ["json", "verbose", "to"],
    examples: [],
    exitCodes: [0, 2],
    run: (call) => Promise.resolve(call).then(act),
  };
  const program: Program = {
    version: "1.2.3",
    commands: [probe, configCommand],
    roles: { worker: { ...probe, name: "--role worker" } },
  };
  const terminal = fakeTerminal();
  const surroundings = fakeSurroundings(facts);
  const world = { terminal, surroundings, signals: fakeSignals(), clock: new ManualClock() };
  return { code: await runProgram(words, program, world), ...terminal.written };
}

Deno.test("without words the help is printed and the exit code says that nothing was done", async () => {
  const { code, out, err } = await run([]);
  assert.equal(code, 2);
  assert.match(out, /Commands:\n {2}probe/);
  assert.equal(err, "");
});

Deno.test("help and version are results on stdout", async () => {
  assert.deepEqual(await run(["--version"]), { code: 0, out: "backup-agent 1.2.3\n", err: "" });
  assert.deepEqual(await run(["version"]), await run(["--version"]));
  assert.deepEqual(await run(["--help"]), await run(["help"]));
  const own = await run(["probe", "--help"]);
  assert.deepEqual(own, await run(["help", "probe"]));
  assert.match(own.out, /Exit codes:/);
});

Deno.test("a mistake is one line on stderr that says what to do, and exit code 2", async () => {
  assert.deepEqual(await run(["prob"]), {
    code: 2,
    out: "",
    err: "backup-agent: Unknown command prob (Did you mean probe?)\n",
  });
  assert.match(
    (await run(["--verison"])).err,
    /Unknown option --verison \(Did you mean --version\?\)/,
  );
  assert.match(
    (await run(["probe", "--jsn"])).err,
    /Unknown option --jsn \(Did you mean --json\?\)/,
  );
  const role = await run(["--role", "coordinator"]);
  assert.equal(role.code, 2);
  assert.match(role.err, /^backup-agent: Unknown role "coordinator" \(Roles: worker\)\n$/);
  assert.match((await run(["--role=x\ny"])).err, /^[^\n]*\n$/);
});

Deno.test("a failure's code becomes the exit code, and control characters in it are shown", async () => {
  const busy = () => {
    throw new BackupError("destination_busy", "bad\nname\x1b", { hint: "Wait" });
  };
  assert.deepEqual(await run(["probe"], busy), {
    code: 11,
    out: "",
    err: "backup-agent: bad\\nname\\x1b (Wait)\n",
  });
  const bug = await run(["probe"], () => {
    throw new TypeError("oops");
  });
  assert.deepEqual(bug, { code: 1, out: "", err: "backup-agent: oops\n" });
});

Deno.test("under --json, however it was turned on, a failure is one JSON object on stderr", async () => {
  const gone = () => {
    throw new BackupError("destination_missing", "gone", { path: "/d" });
  };
  const expected = { message_type: "exit_error", code: 10, message: "gone", path: "/d" };
  for (
    const { err } of [
      await run(["probe", "--json"], gone),
      await run(["probe"], gone, { env: { BACKUP_AGENT_JSON: "1" } }),
    ]
  ) assert.deepEqual(JSON.parse(err), expected);
  assert.equal(JSON.parse((await run(["probe", "--json", "--x"])).err).code, 2);
  assert.match((await run(["probe", "--x", "--", "--json"])).err, /^backup-agent: /);
});

Deno.test("config show prints each value with its source", async () => {
  const files = { "/c.json": '{ "to": ["/a", "/b"], "order": "fifo" }' };
  const env = { BACKUP_AGENT_WORKERS: "3" };
  const text = await run(["config", "show", "--config", "/c.json", "--wait=5m"], undefined, {
    env,
    files,
  });
  assert.equal(text.code, 0);
  const lines = text.out.split("\n").map((line) => line.replace(/ {2,}/g, " | "));
  assert.equal(lines[0], "configuration file: /c.json");
  for (
    const line of [
      "to | /a, /b | file /c.json",
      "order | fifo | file /c.json",
      "workers | 3 | environment BACKUP_AGENT_WORKERS",
      "wait | 5m | flag --wait",
      "timeout | 60s | default",
      "exclude | - | default",
    ]
  ) assert.ok(lines.includes(line), `${line} in\n${text.out}`);

  const json = await run(["config", "show", "--json", "--config=/c.json"], undefined, {
    env,
    files,
  });
  const shown = JSON.parse(json.out);
  assert.equal(shown.config_file, "/c.json");
  assert.deepEqual(shown.settings.to, {
    value: ["/a", "/b"],
    source: "file",
    origin: "/c.json",
    given: ["/a", "/b"],
  });
  assert.equal(shown.settings.timeout.value, 60_000);
  assert.equal(shown.settings.workers.source, "environment");
  assert.equal((await run(["config"])).code, 2);
});
