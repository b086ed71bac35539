import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import {
  type FaultyPosix,
  faultyPosix,
  type PosixCall,
} from "../../../tests/support/faulty_posix.ts";
import type { MirrorOptions } from "../../../protocol/mesh/job.ts";
import { backUp } from "../../../tests/support/mirror_engine.ts";
import {
  cloneTree,
  inScratch,
  writeFirstVersion,
  writeSecondVersion,
} from "../../../tests/support/small_tree.ts";
import type { Tree } from "../../../tests/support/small_tree_checks.ts";
import { needs } from "../../../tests/support/tools.ts";
import {
  checksumProblems,
  type EntryState,
  sameCopy,
  stagedFiles,
  treeState,
} from "../../../tests/support/tree_state.ts";
import { EACCES, ENOSPC } from "../../platform/errno.ts";
import { openPosix } from "../../platform/open_posix.ts";
import type { Codec } from "./codec/codec.ts";
import {
  encodingOf,
  formsAt,
  formsBelow,
  recordedCopy,
  recordedVersions,
} from "./encoded_copy_suite.ts";

type Form = Codec | "plain";

/** What stood before, what the disturbed run makes, and what the run after it makes. */
interface Forms {
  before: Form;
  during: Form;
  after: Form;
}

const posix = openPosix();
const HISTORY: Partial<MirrorOptions> = { deleteGone: true, keepVersions: 2 };
/** What has another content in the second version of the small tree, or is gone. */
const VERSIONS = ["dir/inner.txt", "file-to-link", "gone.txt", "link-a", "link-b", "replaced.txt"];
/** What a run moves to `displaced/` depends on the forms: a folder is in the way of a plain file only. */
const OTHER_KINDS = ["file-to-folder", "folder-to-file", "folder-to-file/child", "link-to-file"];

interface Scenario {
  folder: string;
  source: string;
  base: string;
  first: Tree;
  second: Tree;
}

async function run(
  { source }: Scenario,
  destination: string,
  runId: string,
  form: Form,
  faulty: FaultyPosix,
): Promise<void> {
  const ended = backUp({
    posix,
    runId,
    source,
    destinations: [{ path: destination, posix: faulty.posix }],
    options: form === "plain" ? HISTORY : { ...HISTORY, encoding: encodingOf(form) },
  });
  ended.catch(() => {});
  await Promise.race([ended, faulty.crashed]);
  faulty.dispose();
}

function inSecondBackup(before: Form, use: (scenario: Scenario) => Promise<void>): Promise<void> {
  return inScratch(async (folder) => {
    const source = join(folder, "source");
    fs.mkdirSync(source);
    writeFirstVersion(source);
    const base = join(folder, "base");
    const scenario: Scenario = {
      folder,
      source,
      base,
      first: treeState(source),
      second: new Map(),
    };
    await run(scenario, base, "run-1", before, faultyPosix(posix));
    writeSecondVersion(source);
    await use({ ...scenario, second: treeState(source) });
  });
}

/** Every first version of a file is in the copy, in `versions/` or in the stage, whole; and nothing is torn. */
function assertNothingLost(destination: string, { first, second }: Scenario, point: string): void {
  const own = join(destination, ".backup-agent");
  const copy = formsAt(destination);
  const places = [copy];
  for (const folder of [join(own, "versions/s1"), join(own, "stage/s1")]) {
    const names = fs.existsSync(folder) ? fs.readdirSync(folder) : [];
    for (const name of names) {
      if (name.endsWith(".jsonl") || name.endsWith(".new")) continue;
      const root = folder.endsWith("stage/s1") ? join(folder, name, "kept") : join(folder, name);
      places.push(formsBelow(root));
    }
  }
  for (const [path, old] of first) {
    if (old.kind !== "file" || OTHER_KINDS.includes(path)) continue;
    const isHere = (at: Map<string, EntryState[]>) =>
      at.get(path)?.some((form) => sameCopy(form, old)) === true;
    assert.ok(places.some(isHere), `${point}: the earlier ${path} is lost`);
    const isNew = copy.get(path)?.some((form) =>
      second.has(path) && sameCopy(form, second.get(path)!)
    );
    assert.ok(isNew || isHere(copy) || !second.has(path), `${point}: nothing stands for ${path}`);
  }
}

function assertHistory(destination: string, { first, second }: Scenario, point: string): void {
  const told = <T>(look: () => T): T => {
    try {
      return look();
    } catch (error) {
      throw new Error(`${point}: ${(error as Error).message}`);
    }
  };
  const copy = told(() => recordedCopy(destination));
  assert.deepEqual([...copy.keys()].sort(), [...second.keys()].sort(), `${point}: the copy`);
  for (const [path, entry] of second) {
    assert.ok(sameCopy(copy.get(path)!, entry), `${point}: ${path} ${copy.get(path)!.text}`);
  }
  assert.deepEqual(checksumProblems(destination, "copy"), [], point);
  assert.deepEqual(stagedFiles(destination), [], `${point}: the stage`);
  const kept: string[] = [];
  for (const tree of told(() => recordedVersions(destination)).values()) {
    for (const [path, entry] of tree) {
      if (entry.kind === "directory") continue;
      assert.ok(sameCopy(entry, first.get(path)!), `${point}: ${path} is what the copy had`);
      if (!OTHER_KINDS.includes(path)) kept.push(path);
    }
  }
  assert.deepEqual(kept.sort(), VERSIONS, `${point}: each version once`);
  const lists = fs.readdirSync(join(destination, ".backup-agent/manifests"));
  assert.deepEqual(lists, ["s1.jsonl"], point);
}

/** The changes of an undisturbed second run. */
async function rehearse(scenario: Scenario, form: Form, faults: object): Promise<PosixCall[]> {
  const destination = join(scenario.folder, "rehearsal");
  cloneTree(scenario.base, destination);
  const whole = faultyPosix(posix, undefined, faults);
  await run(scenario, destination, "run-2", form, whole);
  assertHistory(destination, scenario, "the undisturbed run");
  fs.rmSync(destination, { recursive: true });
  return whole.calls.filter(({ changes }) => changes);
}

const CUTS: (Forms & { fileSystemType?: string })[] = [
  { before: "zst", during: "zst", after: "zst" },
  { before: "plain", during: "zst.age", after: "zst.age" },
  { before: "zst.age", during: "plain", after: "plain" },
  { before: "zst", during: "age", after: "plain", fileSystemType: "nfs" },
];

for (const { before, during, after, fileSystemType } of CUTS) {
  const where = fileSystemType === undefined ? "" : `, flushed file by file`;
  Deno.test({
    ...needs(
      `a power cut at any step from ${before} to ${during}, then ${after}, loses no version${where}`,
      "linux",
    ),
    fn: () =>
      inSecondBackup(before, async (scenario) => {
        const faults = fileSystemType === undefined ? {} : { fileSystemType };
        const changes = await rehearse(scenario, during, faults);
        assert.ok(changes.length > 100, `${changes.length}`);
        for (const { number, name } of changes) {
          const point = `power cut after call ${number} (${name})`;
          const destination = join(scenario.folder, `cut-${number}`);
          cloneTree(scenario.base, destination);
          const cut = faultyPosix(
            posix,
            (call) => call.number === number ? { kind: "crash", when: "after" } : undefined,
            faults,
          );
          await run(scenario, destination, "run-2", during, cut);
          assert.ok(cut.hasCrashed(), point);
          assertNothingLost(destination, scenario, point);
          const next = faultyPosix(posix, undefined, faults);
          await run(scenario, destination, "run-9", after, next);
          assertHistory(destination, scenario, `${point}, then another run`);
          fs.rmSync(destination, { recursive: true });
        }
      }),
  });
}

Deno.test({
  ...needs("a refusal or a full disk at any change from zst to zst.age loses no version", "linux"),
  fn: () =>
    inSecondBackup("zst", async (scenario) => {
      const changes = await rehearse(scenario, "zst.age", {});
      for (const [k, { number, name }] of changes.entries()) {
        const errno = k % 2 === 0 ? EACCES : ENOSPC;
        const point = `error ${errno} at call ${number} (${name})`;
        const destination = join(scenario.folder, `error-${number}`);
        cloneTree(scenario.base, destination);
        const failing = faultyPosix(
          posix,
          (call) => call.number === number ? { kind: "error", errno } : undefined,
        );
        await run(scenario, destination, "run-2", "zst.age", failing);
        assertNothingLost(destination, scenario, point);
        await run(scenario, destination, "run-9", "zst.age", faultyPosix(posix));
        assertHistory(destination, scenario, `${point}, then another run`);
        fs.rmSync(destination, { recursive: true });
      }
    }),
});
