import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { foldingPosix } from "../../../tests/support/folding_posix.ts";
import { backUp } from "../../../tests/support/mirror_engine.ts";
import { inScratch } from "../../../tests/support/small_tree.ts";
import { needs } from "../../../tests/support/tools.ts";
import { checksumProblems, stagedFiles } from "../../../tests/support/tree_state.ts";
import { openPosix } from "../../platform/open_posix.ts";
import { encodingOf } from "./encoded_copy_suite.ts";

const posix = openPosix();

for (const [form, ending] of [["plain", ""], ["zst", ".zst"]] as const) {
  for (const isAltered of [false, true]) {
    const what = isAltered ? "a copy altered by hand" : "a copy";
    Deno.test({
      ...needs(`${form}: a file in a new case is not called as ${what} it replaces`, "linux"),
      fn: () =>
        inScratch(async (folder) => {
          const source = join(folder, "source");
          const destination = join(folder, "destination");
          const copy = join(destination, "copy");
          fs.mkdirSync(source);
          fs.writeFileSync(join(source, "Letter"), "the first letter");
          const run = async (runId: string) => {
            const outcome = await backUp({
              posix,
              runId,
              source,
              destinations: [{ path: destination, posix: foldingPosix(posix) }],
              options: {
                deleteGone: true,
                ...(form === "plain" ? {} : { encoding: encodingOf(form) }),
              },
            });
            return outcome.mirrored!.lanes[0]!;
          };
          await run("run-1");
          if (isAltered) fs.writeFileSync(join(copy, `Letter${ending}`), "my own notes");
          fs.rmSync(join(source, "Letter"));
          fs.writeFileSync(join(source, "letter"), "another letter, and longer");
          const lane = await run("run-2");
          assert.equal(lane.state, "verified");
          assert.deepEqual(fs.readdirSync(copy), [`letter${ending}`]);
          assert.deepEqual(checksumProblems(destination, "copy"), []);
          assert.deepEqual(stagedFiles(destination), []);
          const displaced = join(destination, ".backup-agent/displaced");
          const texts = !fs.existsSync(displaced)
            ? []
            : fs.readdirSync(displaced).map((name) =>
              fs.readFileSync(join(displaced, name), "utf8")
            );
          if (isAltered) assert.deepEqual(texts, ["my own notes"]);
          const again = await run("run-3");
          assert.deepEqual([again.state, again.filesCopied], ["verified", 0]);
          assert.deepEqual(fs.readdirSync(copy), [`letter${ending}`]);
        }),
    });
  }
}
