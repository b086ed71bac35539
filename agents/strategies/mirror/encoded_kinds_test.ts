import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { inThreadWorker } from "../../../tests/support/in_thread_worker.ts";
import { ManualClock } from "../../../tests/support/manual_clock.ts";
import { backUp } from "../../../tests/support/mirror_engine.ts";
import { runProgram } from "../../../tests/support/run_program.ts";
import { inScratch, writeFirstVersion } from "../../../tests/support/small_tree.ts";
import { findProgram, needs } from "../../../tests/support/tools.ts";
import { checksumProblems } from "../../../tests/support/tree_state.ts";
import { weakPosix } from "../../../tests/support/weak_posix.ts";
import { silentLog } from "../../../protocol/base/log.ts";
import type { LaneReport } from "../../../protocol/mesh/task.ts";
import { openPosix } from "../../platform/open_posix.ts";
import { THREAD_ROLES } from "../../../tests/support/thread_roles.ts";
import type { Codec } from "./codec/codec.ts";
import { contentOf, encodingOf, manifestOf } from "./encoded_copy_suite.ts";
import { verifyDestination } from "./verify_destination.ts";

const posix = openPosix();
/** As exFAT is. */
const weak = weakPosix(posix, {
  type: "exfat",
  symlinks: "refused",
  hardLinks: "refused",
  modes: "lost",
  owners: "refused",
  times: "coarse",
});

interface Scene {
  source: string;
  destination: string;
  run(form: Codec | "plain", disk?: typeof posix): Promise<LaneReport>;
}

function inScene(use: (scene: Scene) => Promise<void>): Promise<void> {
  return inScratch(async (folder) => {
    const source = join(folder, "source");
    const destination = join(folder, "destination");
    fs.mkdirSync(source);
    let runs = 0;
    await use({
      source,
      destination,
      run: async (form, disk = posix) => {
        const outcome = await backUp({
          posix,
          runId: `run-${++runs}`,
          source,
          destinations: [{ path: destination, posix: disk }],
          options: form === "plain" ? {} : { encoding: encodingOf(form) },
        });
        return outcome.mirrored!.lanes[0]!;
      },
    });
  });
}

async function problemsAt(path: string): Promise<unknown[]> {
  const { damaged, missing, unreadable, extra } = await verifyDestination(
    {
      path,
      names: [],
      timeoutMs: 60_000,
      waitMs: 0,
      onProgress: () => {},
      signal: new AbortController().signal,
      clock: new ManualClock(),
      log: silentLog,
    },
    (role) =>
      inThreadWorker((argument, cells, ask) => THREAD_ROLES[role]!(posix, argument, cells, ask)),
  );
  return [damaged, missing, unreadable, extra].flat();
}

Deno.test("where there are no links, further names are encoded files of their own", () =>
  inScene(async ({ source, destination, run }) => {
    writeFirstVersion(source);
    for (const form of ["zst.age", "zst", "plain", "age"] as const) {
      const report = await run(form, weak);
      assert.deepEqual([report.state, report.failures], ["verified", []], form);
      assert.equal((await run(form, weak)).filesCopied, 0, form);
      assert.deepEqual(await problemsAt(destination), [], form);
      assert.deepEqual(checksumProblems(destination, "copy"), [], form);
      if (form === "plain") continue;
      for (const name of ["link-a", "link-b"]) {
        const stored = join(destination, "copy", `${name}.${form}`);
        assert.equal(contentOf(stored, form), "two names");
      }
      const [a, b] = ["link-a", "link-b"].map((name) =>
        manifestOf(destination).find(({ path }) => path === name)!
      );
      // Two encryptions of one content are two files.
      assert.equal(a!.storedSha256 === b!.storedSha256, form === "zst");
    }
  }));

Deno.test(
  needs("a FIFO that became a file leaves nothing behind", "mkfifo"),
  () =>
    inScene(async ({ source, destination, run }) => {
      const path = join(source, "pipe");
      const made = await runProgram(findProgram("mkfifo")!, [path]);
      assert.equal(made.code, 0, made.err);
      assert.equal((await run("zst")).state, "verified");
      assert.ok(fs.lstatSync(join(destination, "copy/pipe")).isFIFO());
      fs.rmSync(path);
      fs.writeFileSync(path, "a file now");
      assert.equal((await run("zst")).state, "verified");
      assert.deepEqual(fs.readdirSync(join(destination, "copy")), ["pipe.zst"]);
      assert.deepEqual(await problemsAt(destination), []);
    }),
);

Deno.test("a file with holes is stored whole and small, and is unchanged afterwards", () =>
  inScene(async ({ source, destination, run }) => {
    const path = join(source, "holes");
    const fd = fs.openSync(path, "w");
    fs.ftruncateSync(fd, 9 << 20);
    fs.writeSync(fd, "data", 5 << 20);
    fs.closeSync(fd);
    assert.equal((await run("zst")).state, "verified");
    const stored = join(destination, "copy/holes.zst");
    assert.ok(fs.statSync(stored).size < 10_000);
    assert.equal(contentOf(stored, "zst", 9 << 20), fs.readFileSync(path, "utf8"));
    assert.equal((await run("zst")).filesCopied, 0);
    assert.deepEqual(await problemsAt(destination), []);
  }));
