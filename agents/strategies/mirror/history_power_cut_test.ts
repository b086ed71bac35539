import assert from "node:assert/strict";
import fs from "node:fs";
import { createHash } from "node:crypto";
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
import { copyAt, type Tree } from "../../../tests/support/small_tree_checks.ts";
import { needs } from "../../../tests/support/tools.ts";
import {
  checksumProblems,
  sameCopy,
  stagedFiles,
  treeState,
} from "../../../tests/support/tree_state.ts";
import { EACCES, ENOSPC } from "../../platform/errno.ts";
import { openPosix } from "../../platform/open_posix.ts";

const posix = openPosix();
/** What has another content or kind in the second version of the small tree, or is gone. */
const REPLACED = ["dir/inner.txt", "file-to-link", "link-a", "link-b", "replaced.txt"];
const DELETED = ["gone.txt"];
/** Other kinds: they are moved to `displaced/`, as without versions. */
const DISPLACED = ["file-to-folder", "folder-to-file", "folder-to-file/child", "link-to-file"];

async function run(
  source: string,
  destination: string,
  runId: string,
  faulty: FaultyPosix,
  options: Partial<MirrorOptions> = { deleteGone: true, keepVersions: 2 },
): Promise<void> {
  const ended = backUp({
    posix,
    runId,
    source,
    destinations: [{ path: destination, posix: faulty.posix }],
    options,
  });
  ended.catch(() => {});
  await Promise.race([ended, faulty.crashed]);
  faulty.dispose();
}

/** Every file below `versions/`, by its path in the copy, with what is there. */
function versionsAt(destination: string): Map<string, Tree> {
  const root = join(destination, ".backup-agent/versions/s1");
  const found = new Map<string, Tree>();
  if (!fs.existsSync(root)) return found;
  for (const name of fs.readdirSync(root).sort()) {
    if (!name.includes(".")) found.set(name, treeState(join(root, name)));
  }
  return found;
}

/** Lines of a list but for the first and the last. */
function listed(destination: string, folder: string): { path: string; sha256?: string }[] {
  const file = join(destination, `.backup-agent/versions/s1/${folder}.jsonl`);
  return fs.readFileSync(file, "utf8").split("\n").slice(1, -2).map((line) => JSON.parse(line));
}

function assertNothingLost(destination: string, first: Tree, second: Tree, point: string): void {
  const at = copyAt(destination);
  const versions = [...versionsAt(destination).values()];
  for (const [path, old] of first) {
    if (old.kind !== "file" || DISPLACED.includes(path)) continue;
    const stands = at.get(path);
    const isNew = stands !== undefined && second.has(path) && sameCopy(stands, second.get(path)!);
    const isOld = stands !== undefined && sameCopy(stands, old);
    const isVersion = versions.some((tree) => tree.has(path) && sameCopy(tree.get(path)!, old));
    const kept = stagedFiles(destination).some((staged) => staged.endsWith(`/kept/${path}`));
    assert.ok(isOld || isVersion || kept, `${point}: the earlier ${path} is lost`);
    assert.ok(isOld || isNew || (!second.has(path) && isVersion), `${point}: nothing at ${path}`);
  }
}

function assertHistory(destination: string, first: Tree, second: Tree, point: string): void {
  const at = copyAt(destination);
  assert.deepEqual([...at.keys()], [...second.keys()], `${point}: the copy is the source`);
  for (const [path, entry] of second) {
    assert.ok(sameCopy(at.get(path)!, entry), `${point}: ${path} ${at.get(path)!.mtimeNs}`);
  }
  assert.deepEqual(checksumProblems(destination, "copy"), [], point);
  assert.deepEqual(stagedFiles(destination), [], `${point}: the stage`);
  const wanted = [...REPLACED, ...DELETED].sort();
  const lines: string[] = [];
  for (const [folder, tree] of versionsAt(destination)) {
    const files = [...tree].filter(([, { kind }]) => kind === "file");
    const list = listed(destination, folder);
    assert.deepEqual(files.map(([path]) => path).sort(), list.map((l) => l.path).sort(), point);
    for (const { path, sha256 } of list) {
      const entry = tree.get(path)!;
      assert.ok(sameCopy(entry, first.get(path)!), `${point}: ${path} is what the copy had`);
      assert.equal(createHash("sha256").update(entry.text).digest("hex"), sha256, point);
      lines.push(path);
    }
  }
  assert.deepEqual(lines.sort(), wanted, `${point}: each version once`);
  const left = fs.readdirSync(join(destination, ".backup-agent/manifests"));
  assert.deepEqual(left, ["s1.jsonl"], point);
}

/** Whatever has a line stands, in the copy and in `versions/`, and nothing waits in the stage. */
function assertListsAgree(destination: string, point: string): void {
  assert.deepEqual(checksumProblems(destination, "copy"), [], point);
  assert.deepEqual(stagedFiles(destination), [], `${point}: the stage`);
  for (const [folder, tree] of versionsAt(destination)) {
    const files = [...tree].filter(([, { kind }]) => kind === "file").map(([path]) => path);
    const list = listed(destination, folder).map(({ path }) => path);
    assert.deepEqual(list.sort(), files.sort(), `${point}: the list of ${folder}`);
  }
}

interface Scenario {
  folder: string;
  source: string;
  base: string;
  first: Tree;
  second: Tree;
}

async function inSecondBackup(use: (scenario: Scenario) => Promise<void>): Promise<void> {
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

/** Cuts the power at every change of the run, looks, and runs again with or without history. */
async function cutEverywhere(
  { folder, source, base, first, second }: Scenario,
  options: { fileSystemType?: string; thenPlain?: boolean },
): Promise<number> {
  const faults = options.fileSystemType === undefined
    ? {}
    : { fileSystemType: options.fileSystemType };
  const rehearsal = join(folder, "rehearsal");
  cloneTree(base, rehearsal);
  const whole = faultyPosix(posix, undefined, faults);
  await run(source, rehearsal, "run-2", whole);
  assertHistory(rehearsal, first, second, "the undisturbed run");
  fs.rmSync(rehearsal, { recursive: true });
  const changes = whole.calls.filter((call: PosixCall) => call.changes);
  for (const { number, name } of changes) {
    for (const when of name === "rename" ? ["before", "after"] as const : ["after"] as const) {
      const point = `power cut ${when} call ${number} (${name})`;
      const destination = join(folder, `cut-${number}-${when}`);
      cloneTree(base, destination);
      const faulty = faultyPosix(
        posix,
        (call) => call.number === number ? { kind: "crash", when } : undefined,
        faults,
      );
      await run(source, destination, "run-2", faulty);
      assert.ok(faulty.hasCrashed(), point);
      assertNothingLost(destination, first, second, point);
      const next = faultyPosix(posix, undefined, faults);
      if (options.thenPlain === true) {
        await run(source, destination, "run-9", next, { deleteGone: false, keepVersions: 0 });
        assertListsAgree(destination, `${point}, then a plain run`);
      } else {
        await run(source, destination, "run-9", next);
        assertHistory(destination, first, second, `${point}, then another run`);
      }
      fs.rmSync(destination, { recursive: true });
    }
  }
  return changes.length;
}

Deno.test({
  ...needs(
    "a power cut at any step of a backup that keeps versions and deletes loses none",
    "linux",
  ),
  fn: () =>
    inSecondBackup(async (scenario) => {
      assert.ok(await cutEverywhere(scenario, {}) > 100);
    }),
});

Deno.test({
  ...needs("the same on a disk that is flushed file by file", "linux"),
  fn: () =>
    inSecondBackup(async (scenario) => {
      assert.ok(await cutEverywhere(scenario, { fileSystemType: "nfs" }) > 100);
    }),
});

Deno.test({
  ...needs(
    "a plain backup ends what a power cut left of one that keeps versions and deletes",
    "linux",
  ),
  fn: () =>
    inSecondBackup(async (scenario) => {
      assert.ok(await cutEverywhere(scenario, { thenPlain: true }) > 100);
    }),
});

Deno.test({
  ...needs(
    "a power cut at any step of a deletion without versions leaves no line without its file for long",
    "linux",
  ),
  fn: () =>
    inSecondBackup(async ({ folder, source, base, second }) => {
      const deletes = { deleteGone: true };
      const rehearsal = join(folder, "rehearsal");
      cloneTree(base, rehearsal);
      const whole = faultyPosix(posix);
      await run(source, rehearsal, "run-2", whole, deletes);
      assert.deepEqual([...copyAt(rehearsal).keys()], [...second.keys()]);
      const changes = whole.calls.filter((call) => call.changes);
      // The deletion is the last part: from the writing down of what is to go.
      for (const { number } of changes.slice(-60)) {
        const destination = join(folder, `cut-${number}`);
        cloneTree(base, destination);
        const faulty = faultyPosix(
          posix,
          (call) => call.number === number ? { kind: "crash", when: "after" } : undefined,
        );
        await run(source, destination, "run-2", faulty, deletes);
        await run(source, destination, "run-3", faultyPosix(posix), {});
        assertListsAgree(destination, `power cut after call ${number}, then a plain run`);
        await run(source, destination, "run-4", faultyPosix(posix), deletes);
        assertListsAgree(destination, `power cut after call ${number}, then another run`);
        assert.deepEqual([...copyAt(destination).keys()], [...second.keys()], `call ${number}`);
        fs.rmSync(destination, { recursive: true });
      }
    }),
});

for (const [what, errno] of [["a refusal", EACCES], ["a full disk", ENOSPC]] as const) {
  Deno.test({
    ...needs(
      `${what} at any change of a backup that keeps versions and deletes loses none`,
      "linux",
    ),
    fn: () =>
      inSecondBackup(async ({ folder, source, base, first, second }) => {
        const rehearsal = join(folder, "rehearsal");
        cloneTree(base, rehearsal);
        const whole = faultyPosix(posix);
        await run(source, rehearsal, "run-2", whole);
        let failed = 0;
        for (const { number, name } of whole.calls.filter((call) => call.changes)) {
          const point = `${what} at call ${number} (${name})`;
          const destination = join(folder, `error-${number}`);
          cloneTree(base, destination);
          const faulty = faultyPosix(
            posix,
            (call) => call.number === number ? { kind: "error", errno } : undefined,
          );
          const outcome = await backUp({
            posix,
            runId: "run-2",
            source,
            destinations: [{ path: destination, posix: faulty.posix }],
            options: { deleteGone: true, keepVersions: 2 },
          }).catch(() => undefined);
          faulty.dispose();
          if (outcome?.mirrored?.lanes[0]?.state !== "verified") failed++;
          assertNothingLost(destination, first, second, point);
          await run(source, destination, "run-9", faultyPosix(posix));
          assertHistory(destination, first, second, `${point}, then another run`);
          fs.rmSync(destination, { recursive: true });
        }
        assert.ok(failed > 10, `${failed}`);
      }),
  });
}
