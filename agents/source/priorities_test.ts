import assert from "node:assert/strict";
import { BackupError } from "../../protocol/base/errors.ts";
import { createPriorities } from "./priorities.ts";

Deno.test("without rules every file is normal", () => {
  assert.equal(createPriorities([])("any/file"), 1);
});

Deno.test("the last rule that matches a file gives its level, other files are normal", () => {
  const levelOf = createPriorities([
    { pattern: "*.raw", level: "high" },
    { pattern: "tmp/", level: "low" },
    { pattern: "*.db", level: "critical" },
    { pattern: "/old/*.raw", level: "normal" },
  ]);
  assert.equal(levelOf("a/b.raw"), 2);
  assert.equal(levelOf("tmp/b.raw"), 0);
  assert.equal(levelOf("x/tmp/deep/er/b.txt"), 0);
  assert.equal(levelOf("tmp/x.db"), 3);
  assert.equal(levelOf("old/x.raw"), 1);
  assert.equal(levelOf("tmp"), 1);
  assert.equal(levelOf("plain.txt"), 1);
});

Deno.test("a pattern that is negated or can never match is a usage error that names it", () => {
  for (const pattern of ["!a", "[a", "#", ""]) {
    assert.throws(
      () => createPriorities([{ pattern, level: "high" }]),
      (e) => e instanceof BackupError && e.code === "usage" && e.message.includes(`"${pattern}"`),
    );
  }
});
