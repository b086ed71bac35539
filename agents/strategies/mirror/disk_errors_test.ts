import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { canFail, faultyPosix, type PosixCall } from "../../../tests/support/faulty_posix.ts";
import { backUp, type EngineOutcome } from "../../../tests/support/mirror_engine.ts";
import {
  cloneTree,
  inScratch,
  writeFirstVersion,
  writeSecondVersion,
} from "../../../tests/support/small_tree.ts";
import {
  assertComplete,
  assertCopied,
  assertNothingTorn,
  copyAt,
  type Tree,
} from "../../../tests/support/small_tree_checks.ts";
import { needs } from "../../../tests/support/tools.ts";
import { sameCopy, treeState } from "../../../tests/support/tree_state.ts";
import { EACCES, EIO, ENOSPC } from "../../platform/errno.ts";
import { openPosix } from "../../platform/open_posix.ts";

const posix = openPosix();

/** The whole destination says that it is not done. */
function saysNotDone(outcome: EngineOutcome): boolean {
  return outcome.prepared.destinations.some((one) => one.error !== undefined) ||
    outcome.mirrored!.lanes.some((lane) => lane.error !== undefined) ||
    outcome.finished.some((one) => one.error !== undefined);
}

/** Whatever is not as in the source is named, or the destination as a whole is said not to be done. */
function assertToldTheTruth(
  outcome: EngineOutcome,
  destination: string,
  first: Tree,
  second: Tree,
  point: string,
): void {
  const at = copyAt(destination);
  assertNothingTorn(at, first, second, point);
  if (saysNotDone(outcome)) return;
  const lane = outcome.mirrored!.lanes[0]!;
  const names = lane.failures.map(({ path }) => path);
  assert.equal(new Set(names).size, names.length, `${point}: failed once: ${names}`);
  assert.equal(lane.state === "verified", lane.failureCount === 0, point);
  assert.equal(lane.failureCount, lane.failures.length, point);
  // What could not be removed from the stage is removed by the next run.
  if (lane.state === "verified") return assertCopied(destination, second, first, point);
  const named = new Set(lane.failures.map(({ path }) => path));
  for (const [path, wanted] of second) {
    const found = at.get(path);
    if (found !== undefined && sameCopy(found, wanted)) continue;
    const parts = `copy/${path}`.split("/");
    const isNamed = parts.some((_, k) => named.has(parts.slice(0, k + 1).join("/")));
    // A failed entry moves the time of the folder it should have gone to, which the folder's end then sets right.
    assert.ok(isNamed, `${point}: ${path} is wrong and not named: ${[...named]}`);
  }
}

async function failEverywhere(
  errno: number,
  applies: (call: PosixCall) => boolean,
): Promise<void> {
  await inScratch(async (folder) => {
    const source = join(folder, "source");
    fs.mkdirSync(source);
    writeFirstVersion(source);
    const first = treeState(source);
    const base = join(folder, "base");
    const run = (path: string, runId: string, port = posix) =>
      backUp({ runId, source, posix, destinations: [{ path, posix: port }] });
    await run(base, "run-1");
    writeSecondVersion(source);
    const second = treeState(source);
    const rehearsal = join(folder, "rehearsal");
    cloneTree(base, rehearsal);
    const whole = faultyPosix(posix);
    await run(rehearsal, "run-2", whole.posix);
    assertComplete(rehearsal, second, first, "the undisturbed run");
    const moments = whole.calls.filter((call) => canFail(call) && applies(call));
    assert.ok(moments.length > 20, `${moments.length}`);
    const problems: string[] = [];
    for (const { number, name } of moments) {
      const point = `call ${number} (${name}) fails`;
      const destination = join(folder, `failed-${number}`);
      cloneTree(base, destination);
      const faulty = faultyPosix(
        posix,
        (call) => call.number === number ? { kind: "error", errno } : undefined,
      );
      try {
        const outcome = await run(destination, "run-2", faulty.posix);
        assert.equal(faulty.openCount(), 0, `${point}: left open`);
        assertToldTheTruth(outcome, destination, first, second, point);
        faulty.dispose();
        await run(destination, "run-3");
        assertComplete(destination, second, first, `${point}, then another run`);
      } catch (error) {
        problems.push((error as Error).message);
      }
      faulty.dispose();
      fs.rmSync(destination, { recursive: true });
    }
    assert.deepEqual(problems, []);
  });
}

Deno.test({
  ...needs("a disk error at any call is survived or told", "linux"),
  fn: () => failEverywhere(EIO, () => true),
});

Deno.test({
  ...needs("a full disk at any change is survived or told", "linux"),
  fn: () => failEverywhere(ENOSPC, (call) => call.changes),
});

Deno.test({
  ...needs("a refusal at any change or opening is survived or told", "linux"),
  fn: () => failEverywhere(EACCES, (call) => call.changes || call.name.startsWith("open")),
});
