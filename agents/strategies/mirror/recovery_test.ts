import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { faultyPosix } from "../../../tests/support/faulty_posix.ts";
import { backUp } from "../../../tests/support/mirror_engine.ts";
import { inScratch, writeFirstVersion } from "../../../tests/support/small_tree.ts";
import { assertComplete } from "../../../tests/support/small_tree_checks.ts";
import { needs } from "../../../tests/support/tools.ts";
import { treeState } from "../../../tests/support/tree_state.ts";
import { openPosix } from "../../platform/open_posix.ts";

const posix = openPosix();

/** A first backup that ended after everything was published and flushed, before anything was read back. */
async function interrupted(source: string, path: string): Promise<void> {
  let flushes = 0;
  const faulty = faultyPosix(
    posix,
    ({ name }) =>
      name === "flushFileSystem" && ++flushes === 2 ? { kind: "crash", when: "after" } : undefined,
  );
  const destinations = [{ path, posix: faulty.posix }];
  const ended = backUp({ runId: "run-1", source, posix, destinations });
  ended.catch(() => {});
  await Promise.race([ended, faulty.crashed]);
  assert.ok(faulty.hasCrashed());
}

const CASES: { what: string; harm: (copy: string, stage: string) => void; copied: string[] }[] = [
  { what: "is not copied again, only read back", harm: () => {}, copied: [] },
  {
    what: "is copied again when its bytes are not those of the journal",
    harm: (copy) => {
      const path = join(copy, "same.txt");
      const { atimeMs, mtimeMs } = fs.statSync(path);
      fs.writeFileSync(path, "NEVER CHANGES");
      fs.utimesSync(path, atimeMs / 1000, mtimeMs / 1000);
    },
    copied: ["copy/same.txt"],
  },
  {
    what: "is copied again from where the journal was cut",
    harm: (_, stage) => {
      const path = join(stage, "journal.jsonl");
      fs.truncateSync(path, fs.statSync(path).size - 5);
    },
    copied: ["the last file of the journal"],
  },
];

for (const { what, harm, copied } of CASES) {
  Deno.test({
    ...needs(`what an interrupted first backup published ${what}`, "linux"),
    fn: () =>
      inScratch(async (folder) => {
        const source = join(folder, "source");
        const path = join(folder, "destination");
        fs.mkdirSync(source);
        writeFirstVersion(source);
        await interrupted(source, path);
        harm(join(path, "copy"), join(path, ".backup-agent/stage/s1/run-1-1"));
        const written = faultyPosix(posix);
        const outcome = await backUp({
          runId: "run-2",
          source,
          posix,
          destinations: [{ path, posix: written.posix }],
        });
        written.dispose();
        const lane = outcome.mirrored!.lanes[0]!;
        assert.equal(lane.state, "verified");
        assert.equal(written.calls.filter(({ name }) => name === "writeAt").length, copied.length);
        assertComplete(path, treeState(source), new Map(), what);
      }),
  });
}
