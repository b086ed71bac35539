import assert from "node:assert/strict";
import { BackupError } from "../base/errors.ts";
import { parseArguments } from "./arguments.ts";
import { fakeSurroundings } from "./fake_world.ts";
import { namedSecrets } from "./secret_source.ts";
import { resolveSettings } from "./settings.ts";

function read(...texts: string[]) {
  const at = fakeSurroundings({ folder: "/here" });
  const parsed = parseArguments(texts.map((text) => `--secret=${text}`), ["secret"]);
  return namedSecrets(resolveSettings(["secret"], parsed, at), at);
}

Deno.test("a secret that jobs may name is a place, never the secret", () => {
  assert.deepEqual(
    Object.fromEntries(read("home=file:key.txt", "nas=env:NAS_KEY", "x=command:pass a=b")),
    {
      home: { file: "/here/key.txt" },
      nas: { env: "NAS_KEY" },
      x: { command: "pass a=b" },
    },
  );
});

Deno.test("a secret typed by mistake is not shown again, and names are plain and given once", () => {
  assert.throws(
    () => read("home=correct horse battery"),
    (e) => e instanceof BackupError && e.code === "usage" && !e.message.includes("horse"),
  );
  assert.throws(() => read("Home=env:X"), /cannot name a secret/);
  assert.throws(() => read("a=env:X", "a=env:Y"), /given twice/);
});
