import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fs from "node:fs";
import { join } from "node:path";
import { type FaultyPosix, faultyPosix } from "../../../tests/support/faulty_posix.ts";
import { inThreadWorker } from "../../../tests/support/in_thread_worker.ts";
import { ManualClock } from "../../../tests/support/manual_clock.ts";
import { backUp } from "../../../tests/support/mirror_engine.ts";
import { cloneTree, inScratch, writeFirstVersion } from "../../../tests/support/small_tree.ts";
import { needs } from "../../../tests/support/tools.ts";
import { checksumProblems, type EntryState, treeState } from "../../../tests/support/tree_state.ts";
import { silentLog } from "../../../protocol/base/log.ts";
import { EIO, ENOSPC } from "../../platform/errno.ts";
import { openPosix } from "../../platform/open_posix.ts";
import type { Posix } from "../../platform/posix.ts";
import { THREAD_ROLES } from "../../../tests/support/thread_roles.ts";
import { verifyDestination, type VerifyOutcome } from "./verify_destination.ts";

const posix = openPosix();

interface Scene {
  folder: string;
  /** Two sound destinations of one source. */
  damaged: string;
  other: string;
  /** What the copy is when it is right. */
  right: Map<string, EntryState>;
}

function inScene(use: (scene: Scene) => Promise<void>): Promise<void> {
  return inScratch(async (folder) => {
    const source = join(folder, "source");
    const [damaged, other] = [join(folder, "damaged"), join(folder, "other")];
    fs.mkdirSync(source);
    writeFirstVersion(source);
    const destinations = [{ path: damaged, posix }, { path: other, posix }];
    await backUp({ runId: "run-1", source, posix, destinations });
    await use({ folder, damaged, other, right: treeState(join(damaged, "copy")) });
  });
}

interface RepairCall {
  path: string;
  from: string[];
  /** Ports by destination path; the real one otherwise. */
  ports?: Record<string, Posix>;
  clock?: ManualClock;
  hangs?: (path: string, method: string) => boolean;
}

function repair({ path, from, ports = {}, clock, hangs }: RepairCall): Promise<VerifyOutcome> {
  return verifyDestination({
    path,
    names: [],
    repairFrom: from,
    timeoutMs: 60_000,
    waitMs: 0,
    onProgress() {},
    signal: new AbortController().signal,
    clock: clock ?? new ManualClock(),
    log: silentLog,
  }, (role) => {
    let at = "";
    return inThreadWorker((argument, cells, ask) => {
      at = (argument as { path: string }).path;
      return THREAD_ROLES[role]!(ports[at] ?? posix, argument, cells, ask);
    }, (method) => hangs?.(at, method) ?? false);
  });
}

/** Changes one byte and nothing else that can be seen. */
function flip(path: string): void {
  const { atime, mtime } = fs.statSync(path);
  const bytes = fs.readFileSync(path);
  bytes[0]! ^= 1;
  fs.writeFileSync(path, bytes);
  fs.utimesSync(path, atime, mtime);
}

function assertRight(path: string, right: Map<string, EntryState>, point: string): void {
  const now = treeState(join(path, "copy"));
  const plain = (tree: Map<string, EntryState>) =>
    [...tree].map(([name, { inode: _, ...rest }]) => [name, rest]);
  assert.deepEqual(plain(now), plain(right), point);
  assert.deepEqual(checksumProblems(path, "copy"), [], point);
}

function problems(outcome: VerifyOutcome): number {
  return outcome.damaged.length + outcome.missing.length + outcome.unreadable.length;
}

/** One of everything: a byte, a missing file, a missing tree, another kind, a link elsewhere, a mode. */
function damageMuch(path: string): void {
  const at = (name: string) => join(path, "copy", name);
  flip(at("same.txt"));
  fs.rmSync(at("gone.txt"));
  fs.rmSync(at("dir"), { recursive: true });
  fs.rmSync(at("symlink"));
  fs.symlinkSync("elsewhere", at("symlink"));
  fs.chmodSync(at("replaced.txt"), 0o777);
}

Deno.test({
  ...needs("a sound destination needs no repair, and nothing is found wrong with it", "linux"),
  fn: () =>
    inScene(async ({ damaged, other, right }) => {
      const outcome = await repair({ path: damaged, from: [other] });
      assert.deepEqual([problems(outcome), outcome.repaired, outcome.warnings], [0, [], []]);
      assertRight(damaged, right, "untouched");
    }),
});

Deno.test({
  ...needs(
    "what was damaged in every way is right again, named, and the other is as it was",
    "linux",
  ),
  fn: () =>
    inScene(async ({ damaged, other, right }) => {
      damageMuch(damaged);
      const before = treeState(other);
      const outcome = await repair({ path: damaged, from: [other] });
      assert.equal(problems(outcome), 0, JSON.stringify(outcome));
      const named = new Map(outcome.repaired!.map((one) => [one.path, one]));
      assert.equal(named.get("copy/same.txt")?.from, other);
      assert.match(named.get("copy/same.txt")!.what, /checksum/);
      assert.match(named.get("copy/gone.txt")!.what, /not there/);
      assert.match(named.get("copy/symlink")!.what, /points to elsewhere/);
      assert.match(named.get("copy/replaced.txt")!.what, /mode 0777/);
      assertRight(damaged, right, "repaired");
      assert.deepEqual(treeState(other), before);
    }),
});

Deno.test({
  ...needs(
    "a file that is damaged there too is not touched, and the next destination may have it",
    "linux",
  ),
  fn: () =>
    inScene(async ({ folder, damaged, other, right }) => {
      const third = join(folder, "third");
      cloneTree(other, third);
      const marker = join(third, ".backup-agent/marker.json");
      const text = fs.readFileSync(marker, "utf8");
      const { destinationId } = JSON.parse(text) as { destinationId: string };
      fs.writeFileSync(marker, text.replace(destinationId, `${destinationId}x`));
      for (const path of [damaged, other]) flip(join(path, "copy/same.txt"));
      const before = treeState(join(damaged, "copy"));
      const failed = await repair({ path: damaged, from: [other] });
      assert.deepEqual(failed.damaged.map(({ path }) => path), ["copy/same.txt"]);
      assert.match(failed.damaged[0]!.message, /has a damaged copy too/);
      assert.deepEqual(treeState(join(damaged, "copy")), before);
      const outcome = await repair({ path: damaged, from: [other, third] });
      assert.equal(problems(outcome), 0);
      assert.deepEqual(outcome.repaired!.map(({ path, from }) => [path, from]), [
        ["copy/same.txt", third],
      ]);
      assertRight(damaged, right, "from the third");
    }),
});

Deno.test({
  ...needs("a destination that hangs is left out at the deadline, and the next is asked", "linux"),
  fn: () =>
    inScene(async ({ folder, damaged, other, right }) => {
      const third = join(folder, "third");
      cloneTree(other, third);
      const marker = join(third, ".backup-agent/marker.json");
      const text = fs.readFileSync(marker, "utf8");
      const { destinationId } = JSON.parse(text) as { destinationId: string };
      fs.writeFileSync(marker, text.replace(destinationId, `${destinationId}x`));
      flip(join(damaged, "copy/same.txt"));
      const clock = new ManualClock();
      const hangs = (path: string, method: string) =>
        path === other && method === "repairReadSource";
      let isOver = false;
      const ended = repair({ path: damaged, from: [other, third], clock, hangs })
        .finally(() => isOver = true);
      for (let second = 0; second < 100 && !isOver; second++) await clock.advance(1000);
      assert.ok(isOver, "it ends by the deadline");
      const outcome = await ended;
      assert.equal(problems(outcome), 0);
      assert.match(outcome.warnings!.join("\n"), /other.*did not answer/);
      assertRight(damaged, right, "from the third");
    }),
});

Deno.test({
  ...needs("a list that is damaged is not replaced, and its copy is refused by name", "linux"),
  fn: () =>
    inScene(async ({ damaged, other }) => {
      flip(join(damaged, "copy/same.txt"));
      const manifest = join(damaged, ".backup-agent/manifests/s1.jsonl");
      const text = fs.readFileSync(manifest, "utf8").replace("same.txt", "sane.txt");
      fs.writeFileSync(manifest, text);
      const before = treeState(join(damaged, "copy"));
      const outcome = await repair({ path: damaged, from: [other] });
      assert.deepEqual(outcome.damaged.map(({ path }) => path), ["copy"]);
      assert.match(outcome.warnings![0]!, /not repaired.*Run its backup again/);
      assert.equal(fs.readFileSync(manifest, "utf8"), text);
      assert.deepEqual(treeState(join(damaged, "copy")), before);
    }),
});

Deno.test({
  ...needs("the destination itself, and a folder that is none, are refused as sources", "linux"),
  fn: () =>
    inScene(async ({ folder, damaged }) => {
      await assert.rejects(repair({ path: damaged, from: [damaged] }), { code: "usage" });
      await assert.rejects(repair({ path: damaged, from: [folder] }), {
        code: "destination_missing",
      });
    }),
});

/** A manifest with one more line and a footer that is right. */
function addLine(manifest: string, entry: Record<string, unknown>): void {
  const lines = fs.readFileSync(manifest, "utf8").trimEnd().split("\n").slice(0, -1);
  const text = [...lines, JSON.stringify(entry), ""].join("\n");
  const sha256 = createHash("sha256").update(text).digest("hex");
  fs.writeFileSync(
    manifest,
    `${text}{"end":true,"entries":${lines.length},"sha256":"${sha256}"}\n`,
  );
}

Deno.test({
  ...needs("a list that names something outside its copy repairs nothing and is told", "linux"),
  fn: () =>
    inScene(async ({ damaged, other }) => {
      flip(join(damaged, "copy/same.txt"));
      const before = treeState(join(damaged, "copy"));
      const sha256 = createHash("sha256").update("").digest("hex");
      for (const path of ["../outside", "/etc/outside", "dir/../../outside", "dir//x"]) {
        const manifest = join(damaged, ".backup-agent/manifests/s1.jsonl");
        const text = fs.readFileSync(manifest, "utf8");
        addLine(manifest, { path, type: "file", sizeBytes: 0, sha256 });
        const outcome = await repair({ path: damaged, from: [other] });
        assert.match(JSON.stringify(outcome.damaged), /outside the copy/, path);
        assert.deepEqual(outcome.repaired, []);
        assert.deepEqual(treeState(join(damaged, "copy")), before);
        fs.writeFileSync(manifest, text);
      }
      assert.deepEqual(fs.readdirSync(damaged).sort(), [".backup-agent", "copy"]);
    }),
});

async function repairWith(path: string, from: string, faulty: FaultyPosix): Promise<void> {
  const ended = repair({ path, from: [from], ports: { [path]: faulty.posix } });
  ended.catch(() => {});
  await Promise.race([ended.catch(() => {}), faulty.crashed]);
  faulty.dispose();
}

/** Every file below the copy is what it should be, or the very remains. */
function assertOldOrRight(
  path: string,
  remains: Map<string, EntryState>,
  right: Map<string, EntryState>,
  point: string,
): void {
  for (const [name, state] of treeState(join(path, "copy"))) {
    if (state.kind !== "file") continue;
    const allowed = [remains.get(name)?.text, right.get(name)?.text];
    assert.ok(allowed.includes(state.text), `${point}: ${name} is neither`);
  }
  for (const [name, state] of remains) {
    if (state.kind === "file") {
      assert.ok(fs.existsSync(join(path, "copy", name)), `${point}: ${name}`);
    }
  }
}

Deno.test({
  ...needs(
    "a power cut at any step of a repair leaves the remains or the right file, and the next repair ends it",
    "linux",
  ),
  fn: () =>
    inScene(async ({ folder, damaged, other, right }) => {
      damageMuch(damaged);
      const remains = treeState(join(damaged, "copy"));
      const rehearsal = join(folder, "rehearsal");
      cloneTree(damaged, rehearsal);
      const whole = faultyPosix(posix);
      await repairWith(rehearsal, other, whole);
      assertRight(rehearsal, right, "undisturbed");
      const cuts = whole.calls.filter(({ changes }) => changes);
      assert.ok(cuts.length > 50, `${cuts.length}`);
      for (const { number, name } of cuts) {
        const point = `power cut after call ${number} (${name})`;
        const path = join(folder, "cut");
        cloneTree(damaged, path);
        const faulty = faultyPosix(
          posix,
          (call) => call.number === number ? { kind: "crash", when: "after" } : undefined,
        );
        await repairWith(path, other, faulty);
        assert.ok(faulty.hasCrashed(), point);
        assertOldOrRight(path, remains, right, point);
        assert.equal(problems(await repair({ path, from: [other] })), 0, point);
        assertRight(path, right, `${point}, then again`);
        fs.rmSync(path, { recursive: true });
      }
    }),
});

for (const errno of [EIO, ENOSPC]) {
  Deno.test({
    ...needs(
      `error ${errno} at any change of a repair leaves the remains or the right file, and is told`,
      "linux",
    ),
    fn: () =>
      inScene(async ({ folder, damaged, other, right }) => {
        damageMuch(damaged);
        const remains = treeState(join(damaged, "copy"));
        const rehearsal = join(folder, "rehearsal");
        cloneTree(damaged, rehearsal);
        const whole = faultyPosix(posix);
        await repairWith(rehearsal, other, whole);
        for (const { number, name } of whole.calls.filter(({ changes }) => changes)) {
          const point = `error at call ${number} (${name})`;
          const path = join(folder, "failed");
          cloneTree(damaged, path);
          const faulty = faultyPosix(
            posix,
            (call) => call.number === number ? { kind: "error", errno } : undefined,
          );
          const ended = repair({ path, from: [other], ports: { [path]: faulty.posix } });
          const outcome = await ended.catch(() => undefined);
          faulty.dispose();
          assertOldOrRight(path, remains, right, point);
          if (outcome !== undefined && problems(outcome) === 0) {
            const now = treeState(join(path, "copy"));
            for (const [entry, { text, mode, mtimeNs }] of right) {
              const { text: t, mode: m, mtimeNs: at } = now.get(entry)!;
              assert.deepEqual([t, m, at], [text, mode, mtimeNs], `${point}: ${entry}`);
            }
          }
          fs.rmSync(path, { recursive: true });
        }
      }),
  });
}
