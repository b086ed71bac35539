import assert from "node:assert/strict";
import { BackupError } from "../base/errors.ts";
import {
  isRepositoryAddress,
  parseRepositoryAddress,
  parseRepositoryAddresses,
} from "./repository_address.ts";

const isUsage = (error: unknown) => error instanceof BackupError && error.code === "usage";

Deno.test("restic: and a path is a repository, named as it was typed", () => {
  assert.deepEqual(parseRepositoryAddress("restic:/mnt/a//", "/here"), {
    key: "restic:/mnt/a",
    path: "/mnt/a",
  });
  assert.deepEqual(parseRepositoryAddress("restic:b c", "/here"), {
    key: "restic:b c",
    path: "/here/b c",
  });
  assert.deepEqual(parseRepositoryAddress("restic:/", "/here"), { key: "restic:/", path: "/" });
  assert.equal(parseRepositoryAddress("restic:./sftp:x", "/here").path, "/here/sftp:x");
  assert.equal(isRepositoryAddress("./restic:x"), false);
});

Deno.test("places that only restic reaches, a ~ that no shell saw, and nothing at all are refused", () => {
  for (const text of ["restic:", "/a", "restic:sftp:me@host:/a", "restic:s3:x/y", "restic:~/a"]) {
    assert.throws(() => parseRepositoryAddress(text, "/here"), isUsage, text);
  }
});

Deno.test("several places are all repositories or none, and each is named once", () => {
  assert.equal(parseRepositoryAddresses(["/a", "b"], "/here"), undefined);
  assert.equal(parseRepositoryAddresses([], "/here"), undefined);
  assert.equal(parseRepositoryAddresses(["restic:/a", "restic:b"], "/here")!.length, 2);
  assert.throws(() => parseRepositoryAddresses(["restic:/a", "/b"], "/here"), isUsage);
  assert.throws(() => parseRepositoryAddresses(["restic:/here/a", "restic:a/"], "/here"), isUsage);
});
