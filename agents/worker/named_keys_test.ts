import assert from "node:assert/strict";
import { BackupError } from "../../protocol/base/errors.ts";
import type { SecretSource } from "../../protocol/cli/secret_source.ts";
import { namedKeysOf } from "./named_keys.ts";

function secrets(entries: Record<string, string>): ReadonlyMap<string, SecretSource> {
  return new Map(Object.entries(entries).map(([name, typed]) => [name, { typed }]));
}

Deno.test("a repository has the password of its own name, and without one that of all", async () => {
  const read = namedKeysOf(secrets({ all: "shared", nas: "other" }));
  const { repository } = await read({
    repositoryPassword: "all",
    repositoryKeyHint: "12",
    repositories: [
      { repository: "restic:/mnt/nas/", password: "nas", keyHint: "34" },
      { repository: "restic:/mnt/usb", keyHint: "56" },
    ],
  });
  assert.deepEqual(repository("/mnt/nas"), { password: "other", keyHint: "34" });
  assert.deepEqual(repository("/mnt/usb"), { password: "shared", keyHint: "56" });
  assert.deepEqual(repository("/elsewhere"), { password: "shared", keyHint: "12" });
});

Deno.test("without a name there is no password, and a name that is not known here is told", async () => {
  const read = namedKeysOf(secrets({ nas: "other" }));
  const one = { repository: "restic:/mnt/nas", password: "nas" };
  const { repository } = await read({ repositories: [one] });
  assert.equal(repository("/mnt/usb"), undefined);
  assert.equal((await read({})).repository("/mnt/nas"), undefined);
  const isUnknown = (error: unknown) => error instanceof BackupError && error.code === "wrong_key";
  const some = await read({
    repositories: [one, { repository: "restic:/mnt/usb", password: "none" }],
  });
  assert.throws(() => some.repository("/mnt/usb"), isUnknown);
  assert.equal(some.repository("/mnt/nas")?.password, "other");
  await assert.rejects(read({ passphrase: "none" }), isUnknown);
});
