import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { type FaultyPosix, faultyPosix } from "../../../tests/support/faulty_posix.ts";
import { backUp } from "../../../tests/support/mirror_engine.ts";
import {
  cloneTree,
  inScratch,
  KIND_CHANGES,
  writeFirstVersion,
  writeSecondVersion,
} from "../../../tests/support/small_tree.ts";
import type { Tree } from "../../../tests/support/small_tree_checks.ts";
import { needs } from "../../../tests/support/tools.ts";
import {
  checksumProblems,
  sameCopy,
  stagedFiles,
  treeState,
} from "../../../tests/support/tree_state.ts";
import { openPosix } from "../../platform/open_posix.ts";
import type { Codec } from "./codec/codec.ts";
import { encodingOf, formsAt, me, recordedCopy } from "./encoded_copy_suite.ts";

/** `sealed` is `age` with the list encrypted too, as it is where a key to it is given. */
type Form = Codec | "plain" | "sealed";

/** What stood before, what the cut run makes, and what the run after it makes. */
interface Scenario {
  before: Form;
  during: Form;
  after: Form;
}

const posix = openPosix();

async function run(
  source: string,
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
    options: form === "plain" ? {} : { encoding: encodingOf(form === "sealed" ? "age" : form) },
    ...(form === "plain" || form === "sealed" ? { identities: [me.secretText()] } : {}),
  });
  ended.catch(() => {});
  await Promise.race([ended, faulty.crashed]);
  faulty.dispose();
}

/** Under each name, in whatever form: the old file or the new one, whole and with its own metadata. */
function assertNothingTorn(destination: string, first: Tree, second: Tree, point: string): void {
  const at = formsAt(destination);
  for (const [path, forms] of at) {
    for (const form of forms) {
      if (form.kind === "directory") continue;
      const isWhole = [first.get(path), second.get(path)].some((version) =>
        version !== undefined && sameCopy(form, version)
      );
      assert.ok(isWhole, `${point}: ${path} is neither version: ${form.text}`);
    }
  }
  for (const [path, old] of first) {
    if (old.kind === "directory" || KIND_CHANGES.has(path.split("/")[0]!)) continue;
    // A link that became a file may be neither for the moment between its two names.
    if (old.kind === "symlink" && second.get(path)?.kind === "file") continue;
    assert.ok(at.has(path), `${point}: nothing stands for ${path}`);
  }
}

/** All of it is recorded, nothing is left over, and what the source lost is as before. */
function assertComplete(destination: string, wanted: Tree, before: Tree, point: string): void {
  let copy: Tree;
  try {
    copy = recordedCopy(destination);
  } catch (error) {
    throw new Error(`${point}: ${(error as Error).message}`);
  }
  for (const [path, entry] of wanted) {
    const found = copy.get(path);
    assert.ok(found !== undefined, `${point}: ${path} is missing`);
    assert.ok(sameCopy(found, entry), `${point}: ${path} is ${found.text} ${found.mtimeNs}`);
  }
  for (const [path, entry] of copy) {
    if (wanted.has(path)) continue;
    assert.ok(sameCopy(entry, before.get(path)!), `${point}: the deleted ${path} was kept`);
  }
  assert.equal(copy.get("link-a")!.inode, copy.get("link-b")!.inode, `${point}: two names`);
  assert.deepEqual(checksumProblems(destination, "copy"), [], point);
  assert.deepEqual(stagedFiles(destination), [], `${point}: the stage`);
}

/** Cuts the power at every change of a second backup, looks, and runs again. Answers how often. */
function cutPowerEverywhere({ before, during, after }: Scenario): Promise<number> {
  return inScratch(async (folder) => {
    const source = join(folder, "source");
    fs.mkdirSync(source);
    writeFirstVersion(source);
    const first = treeState(source);
    const base = join(folder, "base");
    await run(source, base, "run-1", before, faultyPosix(posix));
    writeSecondVersion(source);
    const second = treeState(source);
    const rehearsal = join(folder, "rehearsal");
    cloneTree(base, rehearsal);
    const whole = faultyPosix(posix);
    await run(source, rehearsal, "run-2", during, whole);
    assertComplete(rehearsal, second, first, "the undisturbed run");
    const cuts = whole.calls.filter((call) => call.changes);
    for (const { number, name } of cuts) {
      const point = `power cut after call ${number} (${name})`;
      const destination = join(folder, `cut-${number}`);
      cloneTree(base, destination);
      const faulty = faultyPosix(
        posix,
        (call) => call.number === number ? { kind: "crash", when: "after" } : undefined,
      );
      await run(source, destination, "run-2", during, faulty);
      assert.ok(faulty.hasCrashed(), point);
      assertNothingTorn(destination, first, second, point);
      await run(source, destination, "run-9", after, faultyPosix(posix));
      assertComplete(destination, second, first, `${point}, then another run`);
      assert.equal(hasSealedList(destination), after === "sealed", point);
      fs.rmSync(destination, { recursive: true });
    }
    return cuts.length;
  });
}

function hasSealedList(destination: string): boolean {
  return fs.readdirSync(join(destination, ".backup-agent/manifests")).includes("s1.jsonl.age");
}

const SCENARIOS: Scenario[] = [
  { before: "zst", during: "zst", after: "zst" },
  { before: "plain", during: "zst", after: "zst" },
  { before: "plain", during: "zst", after: "plain" },
  { before: "zst.age", during: "plain", after: "plain" },
  { before: "zst", during: "age", after: "zst" },
  { before: "zst", during: "plain", after: "zst" },
  { before: "plain", during: "sealed", after: "sealed" },
  { before: "sealed", during: "plain", after: "plain" },
];

for (const { before, during, after } of SCENARIOS) {
  const name = `a power cut at any step from ${before} to ${during}, then ${after}, loses nothing`;
  Deno.test({
    ...needs(name, "linux"),
    fn: async () => {
      const cuts = await cutPowerEverywhere({ before, during, after });
      assert.ok(cuts > 100, `${cuts}`);
    },
  });
}
