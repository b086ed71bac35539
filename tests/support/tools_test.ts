import assert from "node:assert/strict";
import { findProgram, MISSING_TOOLS_VARIABLE, needs } from "./tools.ts";

Deno.test("a test whose programs are there keeps its name and runs", () => {
  assert.deepEqual(needs("lists files", "ls", "sh"), { name: "lists files", ignore: false });
  assert.match(findProgram("sh") ?? "", /^\/.*\/sh$/);
});

Deno.test("a test without its program names it, and is skipped only outside CI", () => {
  const { name, ignore } = needs("does magic", "sh", "no-such-program-1", "no-such-program-2");
  assert.equal(name, "does magic (missing: no-such-program-1, no-such-program-2)");
  assert.equal(ignore, Deno.env.get("CI") !== "true");
});

Deno.test("a program that the runner has declared missing counts as missing", () => {
  const before = Deno.env.get(MISSING_TOOLS_VARIABLE);
  try {
    Deno.env.set(MISSING_TOOLS_VARIABLE, "rsync,ls");
    assert.equal(findProgram("ls"), undefined);
    assert.notEqual(findProgram("sh"), undefined);
  } finally {
    if (before === undefined) Deno.env.delete(MISSING_TOOLS_VARIABLE);
    else Deno.env.set(MISSING_TOOLS_VARIABLE, before);
  }
});
