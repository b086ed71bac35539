import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { faultyPosix } from "../../../tests/support/faulty_posix.ts";
import { inThreadWorker } from "../../../tests/support/in_thread_worker.ts";
import { ManualClock } from "../../../tests/support/manual_clock.ts";
import { backUp } from "../../../tests/support/mirror_engine.ts";
import { inScratch, writeFirstVersion } from "../../../tests/support/small_tree.ts";
import { checksumProblems } from "../../../tests/support/tree_state.ts";
import { silentLog } from "../../../protocol/base/log.ts";
import { openPosix } from "../../platform/open_posix.ts";
import { THREAD_ROLES } from "../../threads/entry.ts";
import { verifyDestination, type VerifyOutcome } from "./verify_destination.ts";

const posix = openPosix();
const FILES = 10;

interface Scene {
  destination: string;
  /** Below the copy. */
  at: (path: string) => string;
  verify: (names?: string[]) => Promise<VerifyOutcome>;
}

/** A destination with one verified copy, and a way to read it back; whatever was opened is closed. */
function inScene(use: (scene: Scene) => Promise<void>): Promise<void> {
  return inScratch(async (folder) => {
    const source = join(folder, "source");
    const destination = join(folder, "destination");
    fs.mkdirSync(source);
    writeFirstVersion(source);
    await backUp({ runId: "run-1", source, posix, destinations: [{ path: destination, posix }] });
    await use({
      destination,
      at: (path) => join(destination, "copy", path),
      async verify(names = []) {
        const watched = faultyPosix(posix);
        const clock = new ManualClock();
        try {
          const outcome = await verifyDestination(
            {
              path: destination,
              names,
              onProgress({ filesDone, filesTotal, bytesDone, bytesTotal }) {
                assert.ok(filesDone <= filesTotal && bytesDone <= bytesTotal);
              },
              signal: new AbortController().signal,
              clock,
              log: silentLog,
            },
            (role) =>
              inThreadWorker((argument, cells) =>
                THREAD_ROLES[role]!(watched.posix, argument, cells)
              ),
          );
          return outcome;
        } finally {
          watched.dispose();
        }
      },
    });
  });
}

Deno.test("an untouched destination is sound, every file read back once", () =>
  inScene(async ({ verify, destination }) => {
    const outcome = await verify();
    assert.equal(outcome.filesVerified, FILES);
    assert.deepEqual(
      [outcome.damaged, outcome.missing, outcome.unreadable, outcome.extra],
      [[], [], [], []],
    );
    assert.deepEqual(checksumProblems(destination, "copy"), []);
    assert.equal((await verify(["copy"])).filesVerified, FILES, "again, after the dates were set");
  }));

Deno.test("one bit, another size, another kind, a missing and an added file are each named as what they are", () =>
  inScene(async ({ verify, at }) => {
    const text = fs.readFileSync(at("same.txt"), "utf8");
    const { atimeMs, mtimeMs } = fs.statSync(at("same.txt"));
    fs.writeFileSync(at("same.txt"), text.replace("n", "N"));
    fs.utimesSync(at("same.txt"), atimeMs / 1000, mtimeMs / 1000);
    fs.appendFileSync(at("replaced.txt"), "!");
    fs.rmSync(at("gone.txt"));
    fs.writeFileSync(at("dir/added"), "");
    fs.rmSync(at("dir/inner.txt"));
    fs.mkdirSync(at("dir/inner.txt"));
    const outcome = await verify();
    assert.deepEqual(outcome.damaged.map(({ path }) => path).sort(), [
      "copy/dir/inner.txt",
      "copy/replaced.txt",
      "copy/same.txt",
    ]);
    assert.deepEqual(outcome.missing.map(({ path }) => path), ["copy/gone.txt"]);
    assert.deepEqual(outcome.extra, ["copy/dir/added"]);
    assert.equal(outcome.filesVerified, FILES - 4);
  }));

Deno.test("a damaged manifest is an error, an unknown name a usage error, a folder without marker no destination", () =>
  inScene(async ({ verify, destination }) => {
    await assert.rejects(verify(["other"]), { code: "usage" });
    const manifest = join(destination, ".backup-agent/manifests/s1.jsonl");
    fs.writeFileSync(manifest, fs.readFileSync(manifest, "utf8").replace("same.txt", "sane.txt"));
    await assert.rejects(verify(), { code: "damaged" });
    fs.rmSync(manifest);
    await assert.rejects(verify(), { code: "damaged" });
    fs.rmSync(join(destination, ".backup-agent"), { recursive: true });
    await assert.rejects(verify(), { code: "destination_missing" });
    assert.deepEqual(fs.readdirSync(destination), ["copy"]);
  }));
