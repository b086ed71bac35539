import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { backUp } from "../../../tests/support/mirror_engine.ts";
import { inScratch } from "../../../tests/support/small_tree.ts";
import { needs } from "../../../tests/support/tools.ts";
import { openPosix } from "../../platform/open_posix.ts";
import { checksumLine } from "./checksums.ts";

const posix = openPosix();
const HASH = "0".repeat(64);

Deno.test("a name with a backslash or a line end is escaped, and the line says so", () => {
  assert.equal(checksumLine(HASH, "a b"), `${HASH}  a b\n`);
  assert.equal(checksumLine(HASH, "a\\b"), `\\${HASH}  a\\\\b\n`);
  assert.equal(checksumLine(HASH, "a\nb\r"), `\\${HASH}  a\\nb\\r\n`);
});

Deno.test({
  ...needs(
    "stock sha256sum reads the list, whatever the names are, and finds a changed file",
    "linux",
    "sha256sum",
  ),
  fn: () =>
    inScratch(async (folder) => {
      const source = join(folder, "source");
      const path = join(folder, "destination");
      fs.mkdirSync(source);
      const root = posix.openRoot(new TextEncoder().encode(`${source}\0`));
      const names = ["-n", "a\\nb", "new\nline", "cr\r", "\xff\xfe", "*", " x ", "'\"", "\\"];
      for (const name of names) {
        const bytes = Uint8Array.from(`${name}\0`, (letter) => letter.charCodeAt(0));
        posix.close(posix.createFile(root, bytes));
      }
      posix.closeDirectory(root);
      await backUp({ runId: "run-1", source, posix, destinations: [{ path, posix }] });
      const check = () =>
        new Deno.Command("sha256sum", {
          args: ["--strict", "-c", ".backup-agent/SHA256SUMS"],
          cwd: path,
        }).outputSync();
      const { success, stderr } = check();
      assert.ok(success, new TextDecoder().decode(stderr));
      const lines = fs.readFileSync(join(path, ".backup-agent/SHA256SUMS"), "latin1").split("\n");
      assert.equal(lines.length - 1, names.length);
      fs.writeFileSync(join(path, "copy/*"), "changed");
      assert.equal(check().success, false);
    }),
});
