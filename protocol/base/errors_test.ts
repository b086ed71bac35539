import assert from "node:assert/strict";
import { asBackupError, assertNever, BackupError, IntegrityError } from "./errors.ts";

Deno.test("an expected failure stays what it is; anything else becomes internal and keeps its cause", () => {
  const expected = new BackupError("no_space", "full", { path: "/p", retry: "elsewhere" });
  assert.equal(asBackupError(expected), expected);
  const mistake = new TypeError("x is undefined");
  const wrapped = asBackupError(mistake);
  assert.deepEqual([wrapped.code, wrapped.message, wrapped.retry], [
    "internal",
    "x is undefined",
    "no",
  ]);
  assert.equal(wrapped.cause, mistake);
  assert.equal(asBackupError("text").message, "text");
  assert.equal(asBackupError(undefined).code, "internal");
});

Deno.test("an aborted signal reads as cancelled", () => {
  assert.equal(asBackupError(AbortSignal.abort().reason).code, "cancelled");
  assert.equal(asBackupError(new DOMException("late", "TimeoutError")).code, "internal");
});

Deno.test("bytes that do not match are damaged and no retry helps", () => {
  const error = new IntegrityError("differs", { path: "/p" });
  assert.ok(error instanceof BackupError);
  assert.deepEqual([error.code, error.retry, error.name], ["damaged", "no", "IntegrityError"]);
});

Deno.test("a union member that nobody handles is an error that shows it", () => {
  assert.throws(() => assertNever({ op: "new" } as never), /"op":"new"/);
});
