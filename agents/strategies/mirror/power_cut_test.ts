import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import {
  type FaultyPosix,
  faultyPosix,
  type PosixCall,
} from "../../../tests/support/faulty_posix.ts";
import { backUp } from "../../../tests/support/mirror_engine.ts";
import {
  cloneTree,
  inScratch,
  writeFirstVersion,
  writeSecondVersion,
} from "../../../tests/support/small_tree.ts";
import {
  assertComplete,
  assertNothingTorn,
  copyAt,
  NOTHING,
  type Tree,
} from "../../../tests/support/small_tree_checks.ts";
import { needs } from "../../../tests/support/tools.ts";
import { stagedFiles, treeState } from "../../../tests/support/tree_state.ts";
import { openPosix } from "../../platform/open_posix.ts";

/** What a power cut is tried on. */
interface Scenario {
  folder: string;
  source: string;
  /** The destination as it is before; nothing when this path does not exist. */
  base: string;
  runId: string;
  /** What stood there before, and what the source is. */
  first: Tree;
  second: Tree;
  /** Makes the disk one that is flushed file by file. */
  fileSystemType?: string;
  /** Which of the calls of an undisturbed run the power is cut at. */
  moments: (calls: PosixCall[]) => PosixCall[];
}

const posix = openPosix();

async function run(
  source: string,
  destination: string,
  runId: string,
  faulty: FaultyPosix,
): Promise<void> {
  const ended = backUp({
    posix: posix,
    runId,
    source,
    destinations: [{ path: destination, posix: faulty.posix }],
  });
  ended.catch(() => {});
  await Promise.race([ended, faulty.crashed]);
  faulty.dispose();
}

function prepareDestination(scenario: Scenario, destination: string): void {
  if (fs.existsSync(scenario.base)) cloneTree(scenario.base, destination);
}

/** Cuts the power at every chosen moment of the run, looks, and runs again. Answers how often. */
async function cutPowerEverywhere(scenario: Scenario): Promise<number> {
  const { folder, source, runId, first, second, fileSystemType } = scenario;
  const options = fileSystemType === undefined ? {} : { fileSystemType };
  const rehearsal = join(folder, "rehearsal");
  prepareDestination(scenario, rehearsal);
  const whole = faultyPosix(posix, undefined, options);
  await run(source, rehearsal, runId, whole);
  assertComplete(rehearsal, second, first, "the undisturbed run");
  fs.rmSync(rehearsal, { recursive: true });
  // A call that only looks leaves the disk as the change before it left it: before and after are one moment there, and
  // the moment before a change is the moment after the one before it, but for what is not flushed.
  const cuts = scenario.moments(whole.calls.filter((call) => call.changes)).flatMap((call) => [
    ...(call.name === "rename" ? [{ ...call, when: "before" as const }] : []),
    { ...call, when: "after" as const },
  ]);
  for (const { number, name, when } of cuts) {
    const point = `power cut ${when} call ${number} (${name})`;
    const destination = join(folder, `cut-${number}-${when}`);
    prepareDestination(scenario, destination);
    const faulty = faultyPosix(
      posix,
      (call) => call.number === number ? { kind: "crash", when } : undefined,
      options,
    );
    await run(source, destination, runId, faulty);
    assert.ok(faulty.hasCrashed(), point);
    assert.equal(faulty.calls.at(-1)!.name, name, point);
    assertNothingTorn(copyAt(destination), first, second, point);
    await run(source, destination, "run-9", faultyPosix(posix, undefined, options));
    assertComplete(destination, second, first, `${point}, then another run`);
    fs.rmSync(destination, { recursive: true });
  }
  return cuts.length;
}

const all = (calls: PosixCall[]) => calls;

Deno.test({
  ...needs("a power cut at any step of a first backup leaves whole files only", "linux"),
  fn: () =>
    inScratch(async (folder) => {
      const source = join(folder, "source");
      fs.mkdirSync(source);
      writeFirstVersion(source);
      const cuts = await cutPowerEverywhere({
        folder,
        source,
        base: join(folder, "nothing"),
        runId: "run-1",
        first: NOTHING,
        second: treeState(source),
        fileSystemType: "nfs",
        moments: all,
      });
      assert.ok(cuts > 100, `${cuts}`);
    }),
});

async function inSecondBackup(
  use: (scenario: Omit<Scenario, "moments" | "runId">) => Promise<void>,
): Promise<void> {
  await inScratch(async (folder) => {
    const source = join(folder, "source");
    fs.mkdirSync(source);
    writeFirstVersion(source);
    const first = treeState(source);
    const base = join(folder, "base");
    await run(source, base, "run-1", faultyPosix(posix));
    writeSecondVersion(source);
    await use({ folder, source, base, first, second: treeState(source) });
  });
}

Deno.test({
  ...needs("a power cut at any step of a second backup leaves the old or the new file", "linux"),
  fn: () =>
    inSecondBackup(async (scenario) => {
      const cuts = await cutPowerEverywhere({ ...scenario, runId: "run-2", moments: all });
      assert.ok(cuts > 100, `${cuts}`);
    }),
});

Deno.test({
  ...needs("a power cut while an interrupted backup is being put right loses nothing", "linux"),
  fn: () =>
    inSecondBackup(async (scenario) => {
      // Everything is published, nothing read back: all old files are kept in the stage.
      let flushes = 0;
      const interrupted = faultyPosix(
        posix,
        (call) =>
          call.name === "flushFileSystem" && ++flushes === 2
            ? { kind: "crash", when: "after" }
            : undefined,
      );
      await run(scenario.source, scenario.base, "run-2", interrupted);
      assert.ok(interrupted.hasCrashed());
      assert.ok(stagedFiles(scenario.base).some((path) => path.includes("/kept/")));
      const cuts = await cutPowerEverywhere({
        ...scenario,
        runId: "run-3",
        moments: (calls) => calls.slice(0, calls.findIndex(({ name }) => name === "createFile")),
      });
      assert.ok(cuts > 10, `${cuts}`);
    }),
});
