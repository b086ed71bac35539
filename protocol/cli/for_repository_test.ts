import assert from "node:assert/strict";
import fc from "fast-check";
import { BackupError } from "../base/errors.ts";
import { parseArguments } from "./arguments.ts";
import { fakeSurroundings } from "./fake_world.ts";
import { valueForRepository, valuesForRepositories } from "./for_repository.ts";
import { parseRepositoryAddress } from "./repository_address.ts";
import { resolveSettings } from "./settings.ts";

const KEYS = ["passwordFile"] as const;

function valuesOf(
  words: readonly string[],
  named: readonly string[],
  env: Record<string, string> = {},
) {
  const at = fakeSurroundings({ env });
  const settings = resolveSettings(KEYS, parseArguments(words, KEYS), at);
  const addresses = named.map((text) => parseRepositoryAddress(text, at.folder));
  return valuesForRepositories(settings, "passwordFile", at, addresses);
}

Deno.test("any path and any value can be given for one repository, also with = : and spaces in them", () => {
  const text = fc.string({ unit: fc.constantFrom(..."ab=: /.-ü"), minLength: 1, maxLength: 12 });
  fc.assert(fc.property(text, text, text, (path, other, value) => {
    const [one, two] = [`restic:./x${path}`, `restic:/y${other}`];
    fc.pre(two.replace(/\/+$/, "") !== "restic:");
    const values = valuesOf([`--password-file=${one}=${value}`], [one]);
    assert.equal(values.length, 1);
    const { path: absolute } = parseRepositoryAddress(one, "/here");
    // The longest beginning that is the repository: what is only another way to write it may be longer.
    assert.ok(value.endsWith(valueForRepository(values, absolute)!.value));
    assert.equal(valueForRepository(values, parseRepositoryAddress(two, "/").path), undefined);
  }));
});

Deno.test("of two repositories the one with the longer path is meant, when both could be", () => {
  const [value] = valuesOf(["--password-file", "restic:/a=b=c"], ["restic:/a", "restic:/a=b"]);
  assert.deepEqual([value!.path, value!.value], ["/a=b", "c"]);
});

Deno.test("a repository that the command does not name is a mistake when typed, and for another call when kept", () => {
  const refused = (word: string, named: string[], hint: RegExp) =>
    assert.throws(
      () => valuesOf([`--password-file=${word}`], named),
      (error) =>
        error instanceof BackupError && error.code === "usage" && hint.test(error.hint ?? ""),
      word,
    );
  refused("restic:/b=p", ["restic:/a"], /Did you mean restic:\/a\?.*\.\/restic:\/b=p/);
  refused("restic:/a", ["restic:/a"], /Write --password-file restic:\/a=FILE/);
  refused("restic:/a=", ["restic:/a"], /Write --password-file restic:\/a=FILE/);
  refused("restic:s3:x=p", ["restic:/a"], /Did you mean/);
  refused("restic:/a=p", [], /\.\/restic/);
  const kept = { BACKUP_AGENT_PASSWORD_FILE: "restic:/b=p\nrestic:/a=q" };
  assert.deepEqual(valuesOf([], ["restic:/a"], kept).map(({ value }) => value), ["q"]);
  const two = { BACKUP_AGENT_PASSWORD_FILE: "p\nq" };
  assert.throws(() => valuesOf([], ["restic:/a"], two), /more than one value/);
  // Of restic's variable every character is the name of the file.
  const foreign = { RESTIC_PASSWORD_FILE: "p\nq" };
  assert.deepEqual(valuesOf([], ["restic:/a"], foreign).map(({ value }) => value), ["p\nq"]);
});
