import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { canFail, faultyPosix } from "../../../tests/support/faulty_posix.ts";
import { backUp, type EngineOutcome } from "../../../tests/support/mirror_engine.ts";
import {
  cloneTree,
  inScratch,
  writeFirstVersion,
  writeSecondVersion,
} from "../../../tests/support/small_tree.ts";
import type { Tree } from "../../../tests/support/small_tree_checks.ts";
import { needs } from "../../../tests/support/tools.ts";
import { checksumProblems, sameCopy, treeState } from "../../../tests/support/tree_state.ts";
import { EACCES, EIO, ENOSPC } from "../../platform/errno.ts";
import { openPosix } from "../../platform/open_posix.ts";
import type { Posix } from "../../platform/posix.ts";
import { type Codec, createEncoder } from "./codec/codec.ts";
import { transformed } from "./codec/codec_suite.ts";
import { encodingOf, formsAt, manifestOf, recordedCopy } from "./encoded_copy_suite.ts";

const posix = openPosix();

/** A disk that stores another last byte for the compressed form of `text`, so many times. */
function damaging(text: string, times: number): Posix {
  const encoder = createEncoder({ codec: "zst" });
  const wanted = transformed(encoder, new TextEncoder().encode(text));
  let left = times;
  return {
    ...posix,
    writeAt(fd, bytes, offset) {
      const hit = bytes.length === wanted.length && wanted.every((byte, k) => bytes[k] === byte);
      if (!hit || left-- <= 0) return posix.writeAt(fd, bytes, offset);
      const bad = Uint8Array.from(bytes);
      bad[bad.length - 1]! ^= 1;
      return posix.writeAt(fd, bad, offset);
    },
  };
}

interface Scene {
  folder: string;
  source: string;
  destination: string;
  run(runId: string, form: Codec | "plain", disk?: Posix, path?: string): Promise<EngineOutcome>;
}

function inScene(use: (scene: Scene) => Promise<void>): Promise<void> {
  return inScratch(async (folder) => {
    const source = join(folder, "source");
    const destination = join(folder, "destination");
    fs.mkdirSync(source);
    writeFirstVersion(source);
    await use({
      folder,
      source,
      destination,
      run: (runId, form, disk = posix, path = destination) =>
        backUp({
          runId,
          source,
          posix,
          destinations: [{ path, posix: disk }],
          options: form === "plain" ? {} : { encoding: encodingOf(form) },
        }),
    });
  });
}

/** The whole copy, and no other file. */
function assertCopied(destination: string, wanted: Tree, before: Tree, point: string): void {
  const copy = recordedCopy(destination);
  for (const [path, entry] of wanted) {
    const found = copy.get(path);
    assert.ok(found !== undefined && sameCopy(found, entry), `${point}: ${path}`);
  }
  for (const [path, entry] of copy) {
    if (!wanted.has(path)) assert.ok(sameCopy(entry, before.get(path)!), `${point}: kept ${path}`);
  }
  assert.deepEqual(checksumProblems(destination, "copy"), [], point);
}

Deno.test("a stored file that differs when read back is written again, under all its names", () =>
  inScene(async ({ source, destination, run }) => {
    const outcome = await run("run-1", "zst", damaging("two names", 1));
    const lane = outcome.mirrored!.lanes[0]!;
    assert.deepEqual([lane.state, lane.rewritten], ["verified", ["copy/link-a"]]);
    assertCopied(destination, treeState(source), new Map(), "after one damage");
  }));

Deno.test("a stored file that stays damaged is taken away under all its names and named", () =>
  inScene(async ({ source, destination, run }) => {
    const outcome = await run("run-1", "zst", damaging("two names", 99));
    const lane = outcome.mirrored!.lanes[0]!;
    assert.deepEqual(lane.failures.map(({ path, code }) => [path, code]), [
      ["copy/link-a", "damaged"],
      ["copy/link-b", "damaged"],
    ]);
    assert.ok(!formsAt(destination).has("link-a") && !formsAt(destination).has("link-b"));
    await run("run-2", "zst");
    assertCopied(destination, treeState(source), new Map(), "with a sound disk");
  }));

Deno.test("when the new form stays damaged the earlier form and its record stay", () =>
  inScene(async ({ source, destination, run }) => {
    const first = treeState(source);
    await run("run-1", "plain");
    const outcome = await run("run-2", "zst", damaging("never changes", 99));
    const lane = outcome.mirrored!.lanes[0]!;
    assert.deepEqual(lane.failures.map(({ path }) => path), ["copy/same.txt"]);
    const line = manifestOf(destination).find(({ path }) => path === "same.txt");
    assert.deepEqual([line!.codec, line!.sizeBytes], [undefined, "never changes".length]);
    assertCopied(destination, first, new Map(), "with one file in its earlier form");
    await run("run-3", "zst");
    assertCopied(destination, first, new Map(), "with a sound disk");
    assert.ok(manifestOf(destination).every((e) => e.type !== "file" || e.codec === "zst"));
  }));

Deno.test("when a new version stays damaged the earlier one is put back, with its record", () =>
  inScene(async ({ source, destination, run }) => {
    const first = treeState(source);
    await run("run-1", "zst");
    writeSecondVersion(source);
    const disk = damaging("second version, and a longer one", 99);
    const outcome = await run("run-2", "zst", disk);
    const lane = outcome.mirrored!.lanes[0]!;
    assert.deepEqual(lane.failures.map(({ path }) => path), ["copy/replaced.txt"]);
    const copy = recordedCopy(destination);
    assert.ok(sameCopy(copy.get("replaced.txt")!, first.get("replaced.txt")!));
    assert.deepEqual(checksumProblems(destination, "copy"), []);
    await run("run-3", "zst");
    assertCopied(destination, treeState(source), first, "with a sound disk");
  }));

/** Whatever is not as in the source is named, or the destination as a whole is said not to be done. */
function assertToldTheTruth(
  outcome: EngineOutcome,
  destination: string,
  first: Tree,
  second: Tree,
  point: string,
): void {
  for (const [path, forms] of formsAt(destination)) {
    for (const form of forms) {
      const isWhole = form.kind === "directory" ||
        [first.get(path), second.get(path)].some((one) => one !== undefined && sameCopy(form, one));
      assert.ok(isWhole, `${point}: ${path} is neither version`);
    }
  }
  const isNotDone = outcome.prepared.destinations.some((one) => one.error !== undefined) ||
    outcome.mirrored!.lanes.some((lane) => lane.error !== undefined) ||
    outcome.finished.some((one) => one.error !== undefined);
  if (isNotDone) return;
  const lane = outcome.mirrored!.lanes[0]!;
  assert.equal(lane.state === "verified", lane.failureCount === 0, point);
  const named = new Set(lane.failures.map(({ path }) => path));
  const at = formsAt(destination);
  for (const [path, wanted] of second) {
    if (at.get(path)?.some((form) => sameCopy(form, wanted))) continue;
    const parts = `copy/${path}`.split("/");
    const isNamed = parts.some((_, k) => named.has(parts.slice(0, k + 1).join("/")));
    assert.ok(isNamed, `${point}: ${path} is wrong and not named: ${[...named]}`);
  }
}

for (
  const [errno, name] of [[EIO, "a disk error"], [ENOSPC, "a full disk"], [EACCES, "a refusal"]]
) {
  Deno.test({
    ...needs(`${name} at any change from plain to zst is survived or told`, "linux"),
    fn: () =>
      inScene(async ({ folder, source, destination, run }) => {
        const first = treeState(source);
        await run("run-1", "plain");
        writeSecondVersion(source);
        const second = treeState(source);
        const rehearsal = join(folder, "rehearsal");
        cloneTree(destination, rehearsal);
        const whole = faultyPosix(posix);
        await run("run-2", "zst", whole.posix, rehearsal);
        assertCopied(rehearsal, second, first, "the undisturbed run");
        const moments = whole.calls.filter((call) => canFail(call) && call.changes);
        assert.ok(moments.length > 20, `${moments.length}`);
        const problems: string[] = [];
        for (const moment of moments) {
          const point = `call ${moment.number} (${moment.name}) fails`;
          const path = join(folder, `failed-${moment.number}`);
          cloneTree(destination, path);
          const faulty = faultyPosix(
            posix,
            (call) =>
              call.number === moment.number ? { kind: "error", errno: errno as number } : undefined,
          );
          try {
            const outcome = await run("run-2", "zst", faulty.posix, path);
            assert.equal(faulty.openCount(), 0, `${point}: left open`);
            assertToldTheTruth(outcome, path, first, second, point);
            faulty.dispose();
            await run("run-3", "zst", posix, path);
            assertCopied(path, second, first, `${point}, then another run`);
          } catch (error) {
            problems.push(`${point}: ${(error as Error).message}`);
          }
          faulty.dispose();
          fs.rmSync(path, { recursive: true });
        }
        assert.deepEqual(problems, []);
      }),
  });
}
