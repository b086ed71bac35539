import assert from "node:assert/strict";
import { BackupError } from "../base/errors.ts";
import { parseArguments } from "./arguments.ts";
import { fakeSurroundings } from "./fake_world.ts";
import { envName } from "./option.ts";
import { OPTION_KEYS, optionOf } from "./options.ts";
import { resolveSettings, settingPath, type Settings } from "./settings.ts";

const CONFIG = "/home/me/.config/backup-agent/config.json";

function resolve(
  words: string[],
  facts: Parameters<typeof fakeSurroundings>[0] = {},
): Settings {
  return resolveSettings(OPTION_KEYS, parseArguments(words, OPTION_KEYS), fakeSurroundings(facts));
}

function failure(words: string[], facts: Parameters<typeof fakeSurroundings>[0]): BackupError {
  try {
    resolve(words, facts);
  } catch (error) {
    assert.ok(error instanceof BackupError);
    return error;
  }
  throw new assert.AssertionError({ message: "nothing was thrown" });
}

Deno.test("flag wins over environment, environment over file, file over default", () => {
  const files = { [CONFIG]: '{ "workers": 2, "attempts": 4, "order": "fifo" }' };
  const env = { BACKUP_AGENT_WORKERS: "3", BACKUP_AGENT_ATTEMPTS: "5" };
  const settings = resolve(["--workers", "6"], { env, files });
  const shown = (["workers", "attempts", "order", "verify"] as const).map((key) => {
    const { value, source, origin } = settings.get(key);
    return [key, value, source, origin];
  });
  assert.deepEqual(shown, [
    ["workers", 6, "flag", "--workers"],
    ["attempts", 5, "environment", "BACKUP_AGENT_ATTEMPTS"],
    ["order", "fifo", "file", CONFIG],
    ["verify", "new", "default", "default"],
  ]);
});

Deno.test("every lasting option is read from its variable and from its key in the file", () => {
  const samples: Record<string, string> = {
    limit: "8MB",
    priority: "*.jpg=high",
    order: "fifo",
    verify: "all",
    compression: "max",
    workers: "2",
    keepVersions: "2",
    attempts: "2",
    sample: "10%",
    timeout: "5s",
    buffer: "32MiB",
    wait: "1m",
    port: "8801",
    dashboardPort: "8889",
    slots: "2",
    memory: "64MiB",
    heartbeat: "1s",
    deadAfter: "3s",
    secret: "home=env:HOME_KEY",
    groupBy: "host,tags",
    maxUnused: "unlimited",
    maxRepackSize: "1GiB",
    ...Object.fromEntries(
      ["Last", "Hourly", "Daily", "Weekly", "Monthly", "Yearly"].flatMap((what) => [
        [`keep${what}`, "unlimited"],
        [`keepWithin${what}`, "1y2m3d4h"],
      ]),
    ),
    keepWithin: "7d",
  };
  for (const key of OPTION_KEYS) {
    const row = optionOf(key);
    const text = samples[key] ?? (row.placeholder === undefined ? "true" : "/some/path");
    const fromEnv = resolve([], { env: { [envName(row)]: text } }).get(key);
    const inFile = { [CONFIG]: JSON.stringify({ [key]: text }) };
    if (!row.lasting) {
      assert.equal(fromEnv.source, "default", key);
      assert.equal(failure([], { files: inFile }).code, "config", key);
      continue;
    }
    const fromFile = resolve([], { files: inFile }).get(key);
    assert.equal(fromEnv.source, "environment", key);
    assert.equal(fromFile.source, "file", key);
    assert.deepEqual(fromEnv.value, fromFile.value, key);
  }
});

Deno.test("where only what is typed counts, neither variables nor the file are read", () => {
  const at = fakeSurroundings({
    env: { BACKUP_AGENT_EXCLUDE: "a", BACKUP_AGENT_ORDER: "not one" },
    files: { [CONFIG]: '{ "delete": true }' },
  });
  const keys = ["exclude", "order", "delete"] as const;
  const parsed = { ...parseArguments(["--exclude", "b"], keys), configPath: CONFIG };
  const settings = resolveSettings(keys, parsed, at, keys);
  assert.deepEqual(keys.map((key) => settings.get(key).value), [["b"], "priority", false]);
});

Deno.test("a typo in the file is an error that names the key, the file and the nearest key", () => {
  const error = failure([], { files: { [CONFIG]: '{ "exlude": ["*.log"] }' } });
  assert.equal(error.code, "config");
  assert.equal(error.message, `${CONFIG}: unknown key "exlude"`);
  assert.equal(error.hint, 'Did you mean "exclude"?');
});

Deno.test("a wrong value is an error that names flag, variable or key and says what is allowed", () => {
  assert.equal(
    failure(["--workers", "9"], {}).message,
    '--workers must be a whole number from 1 to 8, not "9"',
  );
  assert.equal(failure(["--workers", "9"], {}).code, "usage");
  const env = failure([], { env: { BACKUP_AGENT_TIMEOUT: "30" } });
  assert.match(env.message, /^BACKUP_AGENT_TIMEOUT must be a duration such as 30s/);
  assert.equal(env.code, "config");
  const file = failure([], { files: { [CONFIG]: '{ "order": "random" }' } });
  assert.equal(file.message, `${CONFIG}: "order" must be priority or fifo`);
  assert.match(failure(["--priority", "*.jpg=top"], {}).message, /low, normal, high, critical/);
  assert.match(failure(["--limit", "/a=fast"], {}).message, /RATE or DEST=RATE.*"\/a=fast"/);
  assert.match(failure(["--to="], {}).message, /--to needs a text/);
  assert.match(failure([], { files: { [CONFIG]: '{ "to": [1] }' } }).message, /"to" needs a text/);
});

Deno.test("the file may hold comments and trailing commas, and strings that look like them", () => {
  const text = `\ufeff// mine
  { "to": ["/a//b", "/c,]" /* both */, ], // end
    "workers": 2, }`;
  const settings = resolve([], { files: { [CONFIG]: text } });
  assert.deepEqual(settings.get("to").value, ["/a//b", "/c,]"]);
  assert.equal(settings.get("workers").value, 2);
});

Deno.test("a file that is no JSON object is an error that names it", () => {
  for (const text of ["{", "[]", "null", '"x"', "{'a': 1}"]) {
    const error = failure([], { files: { [CONFIG]: text } });
    assert.equal(error.code, "config", text);
    assert.ok(error.message.startsWith(CONFIG), error.message);
  }
});

Deno.test("the file is --config, BACKUP_AGENT_CONFIG, XDG_CONFIG_HOME or the home folder's, in this order", () => {
  const files = {
    "/here/a.json": '{ "workers": 1 }',
    "/b.json": '{ "workers": 2 }',
    "/xdg/backup-agent/config.json": '{ "workers": 3 }',
    [CONFIG]: '{ "workers": 4 }',
  };
  const env = { BACKUP_AGENT_CONFIG: "/b.json", XDG_CONFIG_HOME: "/xdg" };
  const workers = (words: string[], env: Record<string, string>) =>
    resolve(words, { env, files }).get("workers").value;
  assert.equal(workers(["--config", "a.json"], env), 1);
  assert.equal(workers([], env), 2);
  assert.equal(workers([], { XDG_CONFIG_HOME: "/xdg" }), 3);
  assert.equal(workers([], { XDG_CONFIG_HOME: "relative" }), 4);
  assert.equal(workers([], {}), 4);
  assert.equal(resolve([], { files, home: undefined }).get("workers").value, 8);
});

Deno.test("a named file that is not there is an error, the default one may be missing", () => {
  assert.match(
    failure(["--config", "x.json"], {}).message,
    /^Cannot read \/here\/x\.json: there is no such file$/,
  );
  assert.equal(resolve([]).configPath, undefined);
});

Deno.test("a list in the environment has one value a line, and BACKUP_DEST still names a destination", () => {
  const two = resolve([], { env: { BACKUP_AGENT_TO: "/a b\n/c\n" } });
  assert.deepEqual(two.get("to").value, ["/a b", "/c"]);
  const old = resolve([], { env: { BACKUP_DEST: "/old" } });
  assert.deepEqual([old.get("to").value, old.get("to").origin], [["/old"], "BACKUP_DEST"]);
});

Deno.test("paths in the file start at its folder and know the home, others start where the caller is", () => {
  const at = fakeSurroundings();
  const file = { source: "file", folder: "/etc/backup" } as const;
  assert.equal(settingPath("a/../b/", file, at), "/etc/backup/b");
  assert.equal(settingPath("~/copies", file, at), "/home/me/copies");
  const flag = { source: "flag", folder: "/here" } as const;
  assert.equal(settingPath("./~/copies", flag, at), "/here/~/copies");
  assert.equal(settingPath("~copies", flag, at), "/here/~copies");
  for (const text of ["~", "~/copies"]) {
    assert.throws(() => settingPath(text, flag, at), { code: "usage", hint: /\$HOME/ });
  }
});
