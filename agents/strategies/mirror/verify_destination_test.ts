import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { faultyPosix } from "../../../tests/support/faulty_posix.ts";
import { inThreadWorker } from "../../../tests/support/in_thread_worker.ts";
import { ManualClock } from "../../../tests/support/manual_clock.ts";
import { backUp } from "../../../tests/support/mirror_engine.ts";
import { inScratch, writeFirstVersion } from "../../../tests/support/small_tree.ts";
import { needs } from "../../../tests/support/tools.ts";
import { checksumProblems } from "../../../tests/support/tree_state.ts";
import { silentLog } from "../../../protocol/base/log.ts";
import { openPosix } from "../../platform/open_posix.ts";
import { openDestination } from "../../destinations/local_destination.ts";
import { THREAD_ROLES } from "../../../tests/support/thread_roles.ts";
import { countStored, stampVerified } from "./stored_copy.ts";
import { verifyDestination, type VerifyOutcome } from "./verify_destination.ts";
import { NO_LIST_KEYS } from "./list_keys.ts";

const posix = openPosix();
const FILES = 10;

interface Scene {
  source: string;
  destination: string;
  /** Below the copy. */
  at: (path: string) => string;
  verify: (names?: string[], waiting?: { waitMs: number; clock: ManualClock }) => Promise<
    VerifyOutcome
  >;
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
      source,
      destination,
      at: (path) => join(destination, "copy", path),
      async verify(names = [], { waitMs, clock } = { waitMs: 0, clock: new ManualClock() }) {
        const watched = faultyPosix(posix);
        try {
          const outcome = await verifyDestination(
            {
              path: destination,
              names,
              timeoutMs: 60_000,
              waitMs,
              onProgress({ filesDone, filesTotal, bytesDone, bytesTotal }) {
                assert.ok(filesDone <= filesTotal && bytesDone <= bytesTotal);
              },
              signal: new AbortController().signal,
              clock,
              log: silentLog,
            },
            (role) =>
              inThreadWorker((argument, cells, ask) =>
                THREAD_ROLES[role]!(watched.posix, argument, cells, ask)
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

Deno.test("a link that points elsewhere, a kind that changed and a missing empty folder are named", () =>
  inScene(async ({ verify, at }) => {
    fs.rmSync(at("symlink"));
    fs.symlinkSync("replaced.txt", at("symlink"));
    fs.rmSync(at("link-to-file"));
    fs.writeFileSync(at("link-to-file"), "never changes");
    fs.rmSync(at("folder-to-file"), { recursive: true });
    fs.symlinkSync("dir", at("folder-to-file"));
    fs.rmSync(at("dir/deep"), { recursive: true });
    const outcome = await verify();
    assert.deepEqual(outcome.damaged.map(({ path, message }) => [path, message]), [
      ["copy/folder-to-file", "Recorded as a directory, but it is a symlink"],
      ["copy/link-to-file", "Recorded as a symlink, but it is a file"],
      ["copy/symlink", "Recorded as a link to same.txt, but it points to replaced.txt"],
    ]);
    assert.deepEqual(outcome.missing.map(({ path }) => path), [
      "copy/dir/deep",
      "copy/dir/deep/empty",
      "copy/folder-to-file/child",
    ]);
  }));

Deno.test("a copy that cannot be checked as a whole is named, and the others are checked all the same", () =>
  inScene(async ({ verify, source, destination }) => {
    const second = { name: "second", source, posix, destinations: [{ path: destination, posix }] };
    await backUp({ runId: "run-2", ...second });
    const failures = async () => {
      const outcome = await verify();
      assert.equal(outcome.filesVerified, FILES);
      const names = (group: typeof outcome.damaged) => group.map(({ path }) => path);
      return [names(outcome.damaged), names(outcome.missing), names(outcome.unreadable)];
    };
    const manifest = join(destination, ".backup-agent/manifests/s1.jsonl");
    const text = fs.readFileSync(manifest, "utf8");
    fs.writeFileSync(manifest, text.replace("same.txt", "sane.txt"));
    assert.deepEqual(await failures(), [["copy"], [], []]);
    fs.rmSync(manifest);
    assert.deepEqual(await failures(), [[], ["copy"], []]);
    const { missing } = await verify(["copy"]);
    assert.match(missing[0]!.message, /first backup was interrupted.*Run its backup again/);
    fs.writeFileSync(manifest, text);
    fs.renameSync(join(destination, "copy"), join(destination, "moved"));
    assert.deepEqual(await failures(), [[], ["copy"], []]);
    fs.symlinkSync("moved", join(destination, "copy"));
    assert.deepEqual(await failures(), [["copy"], [], []]);
  }));

Deno.test({
  ...needs("a destination in use is refused, or waited for as long as was said", "linux"),
  fn: () =>
    inScene(async ({ verify, destination }) => {
      const inUse = () => openDestination(posix, destination, [], "somebody", "");
      const first = inUse();
      await assert.rejects(verify(), { code: "destination_busy" });
      const clock = new ManualClock();
      const tooShort = assert.rejects(verify([], { waitMs: 2000, clock }), {
        code: "destination_busy",
      });
      for (let step = 0; step < 10; step++) await clock.advance(500);
      await tooShort;
      const patient = verify([], { waitMs: 2000, clock });
      await clock.advance(500);
      first.close();
      for (let step = 0; step < 10; step++) await clock.advance(500);
      assert.equal((await patient).filesVerified, FILES);
    }),
});

Deno.test("reading the list of a copy is a sign of life at every line", () =>
  inScene(({ destination }) => {
    const place = openDestination(posix, destination, [], "", "", true);
    const opened = { ...place, keys: NO_LIST_KEYS };
    let ticks = 0;
    const { lines } = countStored(posix, opened, "s1", "copy", () => ticks++);
    assert.ok(lines > FILES);
    assert.equal(ticks, lines);
    ticks = 0;
    const sound = new SharedArrayBuffer(lines);
    const request = { bindingKey: "s1", name: "copy", sound, verifiedAtMs: 1 };
    stampVerified(posix, opened, request, () => ticks++);
    assert.equal(ticks, lines);
    opened.close();
    return Promise.resolve();
  }));

Deno.test("an unknown name is a usage error, a folder without marker no destination", () =>
  inScene(async ({ verify, destination }) => {
    await assert.rejects(verify(["other"]), { code: "usage" });
    fs.rmSync(join(destination, ".backup-agent"), { recursive: true });
    await assert.rejects(verify(), { code: "destination_missing" });
    assert.deepEqual(fs.readdirSync(destination), ["copy"]);
  }));
