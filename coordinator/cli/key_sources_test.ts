import assert from "node:assert/strict";
import { BackupError } from "../../protocol/base/errors.ts";
import { parseArguments } from "../../protocol/cli/arguments.ts";
import { fakeSurroundings, fakeTerminal } from "../../protocol/cli/fake_world.ts";
import { OPTION_KEYS } from "../../protocol/cli/options.ts";
import { resolveSettings } from "../../protocol/cli/settings.ts";
import { readKeySources } from "./key_sources.ts";

function read(words: string[], env: Record<string, string> = {}, answers?: string[]) {
  const surroundings = fakeSurroundings({ env });
  const keys = OPTION_KEYS.filter((key) => key !== "host");
  const settings = resolveSettings(keys, parseArguments(words, keys), surroundings);
  const terminal = fakeTerminal(answers === undefined ? {} : { answers });
  return readKeySources({ settings, surroundings, terminal });
}

const TO = ["--to", "restic:/a", "--to", "restic:b", "--to", "/copies"];

Deno.test("each repository of a backup has the name of its own secret, and no secret is in the job", async () => {
  const { names, secrets } = await read([
    ...TO,
    ...["--password-file", "restic:b=own", "--key-hint", "12", "--key-hint", "restic:/a=34"],
  ], { RESTIC_PASSWORD: "shared" });
  assert.deepEqual(names, {
    repositoryPassword: "repository-password",
    repositoryKeyHint: "12",
    repositories: [
      { repository: "restic:/a", keyHint: "34" },
      { repository: "restic:/here/b", password: "repository-password-2" },
    ],
  });
  assert.deepEqual([...secrets], [
    ["repository-password-2", { file: "/here/own" }],
    ["repository-password", { env: "RESTIC_PASSWORD" }],
  ]);
});

Deno.test("nobody is asked for a password when each repository has its own, and once for those without", async () => {
  const own = ["--password-file", "restic:b=f", "--password-command", "restic:/a=pass show a"];
  const { names, secrets } = await read([...TO, ...own]);
  assert.equal(names.repositoryPassword, undefined);
  assert.deepEqual([...secrets.values()], [{ command: "pass show a" }, { file: "/here/f" }]);
  // Twice for a new one.
  const asked = await read([...TO, ...own.slice(0, 2)], {}, ["typed", "typed"]);
  assert.deepEqual(asked.secrets.get("repository-password"), { typed: "typed" });
  await assert.rejects(
    read(TO),
    (error) => error instanceof BackupError && error.code === "wrong_key",
  );
  assert.deepEqual((await read(["--to", "/copies"])).names, {});
});
