import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fs from "node:fs";
import { join } from "node:path";
import { faultyPosix } from "../../../tests/support/faulty_posix.ts";
import { inThreadWorker } from "../../../tests/support/in_thread_worker.ts";
import { ManualClock } from "../../../tests/support/manual_clock.ts";
import { backUp, type EngineOutcome } from "../../../tests/support/mirror_engine.ts";
import { putFile } from "../../../tests/support/posix_folder.ts";
import { runProgram } from "../../../tests/support/run_program.ts";
import {
  inScratch,
  writeFirstVersion,
  writeSecondVersion,
} from "../../../tests/support/small_tree.ts";
import type { Tree } from "../../../tests/support/small_tree_checks.ts";
import { findProgram, needs } from "../../../tests/support/tools.ts";
import {
  checksumProblems,
  sameCopy,
  stagedFiles,
  treeState,
} from "../../../tests/support/tree_state.ts";
import { silentLog } from "../../../protocol/base/log.ts";
import type { MirrorOptions } from "../../../protocol/mesh/job.ts";
import { cName } from "../../platform/posix.ts";
import { openPosix } from "../../platform/open_posix.ts";
import { THREAD_ROLES } from "../../../tests/support/thread_roles.ts";
import { type Codec, CODECS } from "./codec/codec.ts";
import { encodingOf, manifestOf, me, recordedCopy } from "./encoded_copy_suite.ts";
import { verifyDestination } from "./verify_destination.ts";

const posix = openPosix();
const FILES = 10;
const FORMS: (Codec | "plain")[] = ["plain", ...CODECS];

interface Scene {
  folder: string;
  source: string;
  destination: string;
  run(
    runId: string,
    form: Codec | "plain",
    options?: Partial<MirrorOptions>,
  ): Promise<EngineOutcome>;
}

function inScene(use: (scene: Scene) => Promise<void>): Promise<void> {
  return inScratch(async (folder) => {
    const source = join(folder, "source");
    const destination = join(folder, "destination");
    fs.mkdirSync(source);
    await use({
      folder,
      source,
      destination,
      run: (runId, form, options = {}) => {
        const encoding = form === "plain" ? {} : { encoding: encodingOf(form) };
        const destinations = [{ path: destination, posix }];
        return backUp({ posix, runId, source, destinations, options: { ...options, ...encoding } });
      },
    });
  });
}

async function verified(destination: string) {
  const outcome = await verifyDestination(
    {
      path: destination,
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
  const { damaged, missing, unreadable, extra } = outcome;
  return { files: outcome.filesVerified, problems: [damaged, missing, unreadable, extra].flat() };
}

function lane(outcome: EngineOutcome) {
  return outcome.mirrored!.lanes[0]!;
}

/** The copy holds `wanted`, and whatever else it has was there `before`; all of it is recorded and nothing is left over. */
async function assertCopied(destination: string, wanted: Tree, before: Tree, point: string) {
  const copy = recordedCopy(destination);
  for (const [path, entry] of wanted) {
    const found = copy.get(path);
    assert.ok(found !== undefined && sameCopy(found, entry), `${point}: ${path}`);
  }
  for (const [path, entry] of copy) {
    if (!wanted.has(path)) assert.ok(sameCopy(entry, before.get(path)!), `${point}: kept ${path}`);
  }
  assert.equal(copy.get("link-a")!.inode, copy.get("link-b")!.inode, point);
  assert.deepEqual(checksumProblems(destination, "copy"), [], point);
  assert.deepEqual(stagedFiles(destination), [], point);
  assert.deepEqual((await verified(destination)).problems, [], point);
}

for (const codec of CODECS) {
  Deno.test(`${codec}: two versions of a source are stored, read back, and unchanged when they are`, () =>
    inScene(async ({ source, destination, run }) => {
      writeFirstVersion(source);
      const first = treeState(source);
      assert.equal(lane(await run("run-1", codec)).state, "verified");
      await assertCopied(destination, first, new Map(), "the first run");
      assert.ok(manifestOf(destination).every((e) => e.type !== "file" || e.codec === codec));

      const again = lane(await run("run-2", codec));
      assert.deepEqual([again.filesCopied, again.filesUnchanged], [0, FILES]);

      writeSecondVersion(source);
      const report = lane(await run("run-3", codec));
      assert.deepEqual([report.state, report.warnings.length], [
        "verified",
        report.warnings.length,
      ]);
      await assertCopied(destination, treeState(source), first, "the third run");
    }));

  Deno.test(`${codec}: a flipped byte is found by verify DEST, and repaired by --verify all`, () =>
    inScene(async ({ source, destination, run }) => {
      writeFirstVersion(source);
      await run("run-1", codec);
      assert.equal((await verified(destination)).files, FILES);
      const path = join(destination, "copy", `same.txt.${codec}`);
      const { atime, mtime } = fs.statSync(path);
      const bytes = fs.readFileSync(path);
      bytes[bytes.length - 9]! ^= 1;
      fs.writeFileSync(path, bytes);
      fs.utimesSync(path, atime, mtime);
      const { problems } = await verified(destination);
      assert.deepEqual(problems.map((p) => (p as { path: string }).path), [
        `copy/same.txt.${codec}`,
      ]);
      const report = lane(await run("run-2", codec, { verify: "all" }));
      assert.deepEqual([report.state, report.rewritten], ["verified", ["copy/same.txt"]]);
      await assertCopied(destination, treeState(source), new Map(), "repaired");
    }));
}

for (const from of FORMS) {
  for (const to of FORMS) {
    if (from === to) continue;
    Deno.test(`from ${from} to ${to}: the earlier forms are replaced, and none is left over`, () =>
      inScene(async ({ source, destination, run }) => {
        writeFirstVersion(source);
        const first = treeState(source);
        await run("run-1", from);
        const report = lane(await run("run-2", to));
        assert.deepEqual([report.state, report.warnings], ["verified", []]);
        assert.equal(report.filesCopied, FILES);
        await assertCopied(destination, first, new Map(), `to ${to}`);
        assert.equal(lane(await run("run-3", to)).filesCopied, 0);
        writeSecondVersion(source);
        assert.equal(lane(await run("run-4", from)).state, "verified");
        const displaced = join(destination, ".backup-agent/displaced");
        await assertCopied(destination, treeState(source), first, `back to ${from}`);
        for (const name of fs.existsSync(displaced) ? fs.readdirSync(displaced) : []) {
          assert.ok(name.includes("run-4"), name);
        }
      }));
  }
}

Deno.test("a name that is too long, taken, or not UTF-8 is stored under another and comes back", () =>
  inScene(async ({ source, destination, run }) => {
    writeFirstVersion(source);
    const long = "x".repeat(255);
    fs.writeFileSync(join(source, long), "long");
    const folder = posix.openRoot(cName(source));
    putFile(posix, folder, Uint8Array.of(0x6f, 0x64, 0xff, 0x64, 0), Uint8Array.of(1, 2));
    posix.closeDirectory(folder);
    fs.writeFileSync(join(source, "a"), "a file beside a folder of its stored name");
    fs.mkdirSync(join(source, "a.ZST"));
    fs.writeFileSync(join(source, "a.ZST/child"), "child");
    fs.writeFileSync(join(source, "b"), "one");
    fs.writeFileSync(join(source, "b.zst"), "two");
    fs.writeFileSync(join(source, "b.zst.zst"), "three");
    const report = lane(await run("run-1", "zst"));
    assert.deepEqual([report.state, report.warnings], ["verified", []]);
    const lines = new Map(manifestOf(destination).map((entry) => [entry.path, entry]));
    assert.match(lines.get(long)!.storedAs!, /^[0-9a-f]{32}\.zst$/);
    assert.match(lines.get("a")!.storedAs!, /^[0-9a-f]{32}\.zst$/);
    assert.equal(lines.get("b.zst")!.storedAs, "b.zst.zst");
    const oddLine = [...lines.values()].find((entry) => entry.pathBase64 !== undefined)!;
    assert.equal(
      Buffer.from(oddLine.storedAsBase64!, "base64").toString("latin1"),
      "od\xffd.zst",
    );
    assert.deepEqual((await verified(destination)).problems, []);
    assert.equal(lane(await run("run-2", "zst")).filesCopied, 0);
    assert.equal(lane(await run("run-3", "plain")).state, "verified");
    assert.equal(fs.readFileSync(join(destination, "copy/b.zst"), "utf8"), "two");
    assert.equal(fs.readFileSync(join(destination, "copy", long), "utf8"), "long");
    assert.deepEqual((await verified(destination)).problems, []);
    assert.equal(lane(await run("run-4", "zst")).state, "verified");
    assert.deepEqual((await verified(destination)).problems, []);
  }));

Deno.test(
  needs("stock age and zstd bring a copy back without us", "age", "zstd"),
  () =>
    inScene(async ({ folder, source, destination, run }) => {
      const content = "large\n".repeat(1 << 20);
      fs.writeFileSync(join(source, "large"), content);
      assert.equal(lane(await run("run-1", "zst.age")).state, "verified");
      fs.writeFileSync(join(folder, "key"), me.secretText());
      const stored = join(destination, "copy/large.zst.age");
      const words = ["-d", "-i", join(folder, "key"), "-o", join(folder, "large.zst"), stored];
      const age = await runProgram(findProgram("age")!, words);
      assert.equal(age.code, 0, age.err);
      const zstd = await runProgram(findProgram("zstd")!, ["-d", join(folder, "large.zst")]);
      assert.equal(zstd.code, 0, zstd.err);
      assert.equal(fs.readFileSync(join(folder, "large"), "utf8"), content);
    }),
);

Deno.test("what a person put under a stored name is moved away and named, not written over", () =>
  inScene(async ({ source, destination, run }) => {
    writeFirstVersion(source);
    await run("run-1", "plain");
    fs.writeFileSync(join(destination, "copy/same.txt.zst"), "by hand");
    const report = lane(await run("run-2", "zst"));
    assert.equal(report.state, "verified");
    assert.equal(report.warnings.filter((text) => text.includes("same.txt was made")).length, 1);
    const displaced = join(destination, ".backup-agent/displaced");
    const [name] = fs.readdirSync(displaced);
    assert.equal(fs.readFileSync(join(displaced, name!), "utf8"), "by hand");
    await assertCopied(destination, treeState(source), new Map(), "after");
  }));

Deno.test("what the source lost gives way to a stored name: moved away, named, and in no list", () =>
  inScene(async ({ source, destination, run }) => {
    fs.writeFileSync(join(source, "a"), "a file");
    fs.writeFileSync(join(source, "a.zst"), "a file that will be deleted");
    fs.writeFileSync(join(source, "d"), "a file beside a folder");
    fs.mkdirSync(join(source, "d.zst"));
    fs.writeFileSync(join(source, "d.zst/child"), "in a folder that will be deleted");
    await run("run-1", "plain");
    fs.rmSync(join(source, "a.zst"));
    fs.rmSync(join(source, "d.zst"), { recursive: true });
    const report = lane(await run("run-2", "zst"));
    assert.deepEqual([report.state, report.warnings.length], ["verified", 2]);
    const displaced = [...treeState(join(destination, ".backup-agent/displaced")).values()];
    const texts = displaced.filter(({ kind }) => kind === "file").map(({ text }) => text).sort();
    assert.deepEqual(texts, ["a file that will be deleted", "in a folder that will be deleted"]);
    assert.deepEqual([...recordedCopy(destination).keys()].sort(), ["", "a", "d"]);
    assert.deepEqual((await verified(destination)).problems, []);
  }));

Deno.test("what the source lost stays in the form it had when another codec comes", () =>
  inScene(async ({ source, destination, run }) => {
    writeFirstVersion(source);
    await run("run-1", "zst");
    fs.rmSync(join(source, "gone.txt"));
    assert.equal(lane(await run("run-2", "age")).state, "verified");
    const line = manifestOf(destination).find(({ path }) => path === "gone.txt")!;
    assert.deepEqual([line.codec, line.storedAs], ["zst", "gone.txt.zst"]);
    assert.ok(line.goneAtMs !== undefined);
    assert.equal(recordedCopy(destination).get("gone.txt")!.text, "deleted later");
    assert.deepEqual((await verified(destination)).problems, []);
  }));

Deno.test("a dry run with another codec says what would be stored anew and changes nothing", () =>
  inScene(async ({ source, destination, run }) => {
    writeFirstVersion(source);
    await run("run-1", "plain");
    const before = treeState(destination);
    const report = lane(await run("run-2", "zst", { dryRun: true }));
    assert.deepEqual([report.state, report.plan?.filesToCopy], ["planned", FILES]);
    const shown = (tree: Tree) =>
      [...tree].filter(([path]) => !path.includes("lock")).map(([path, { text }]) => [path, text]);
    assert.deepEqual(shown(treeState(destination)), shown(before));
  }));

Deno.test("an earlier form that was altered by hand stays where it is", () =>
  inScene(async ({ source, destination, run }) => {
    writeFirstVersion(source);
    await run("run-1", "plain");
    const path = join(destination, "copy/same.txt");
    fs.writeFileSync(path, "altered by hand");
    assert.equal(lane(await run("run-2", "zst")).state, "verified");
    assert.equal(fs.readFileSync(path, "utf8"), "altered by hand");
    assert.deepEqual((await verified(destination)).problems, ["copy/same.txt"]);
  }));

Deno.test("a run with another codec that was cut off leaves nothing behind", () =>
  inScene(async ({ source, destination, run }) => {
    writeFirstVersion(source);
    const first = treeState(source);
    await run("run-1", "plain");
    // Everything is published, nothing read back.
    let flushes = 0;
    const cut = faultyPosix(
      posix,
      (call) =>
        call.name === "flushFileSystem" && ++flushes === 2
          ? { kind: "crash", when: "after" }
          : undefined,
    );
    const ended = backUp({
      posix,
      runId: "run-2",
      source,
      destinations: [{ path: destination, posix: cut.posix }],
      options: { encoding: encodingOf("zst") },
    });
    ended.catch(() => {});
    await Promise.race([ended, cut.crashed]);
    cut.dispose();
    assert.ok(fs.existsSync(join(destination, "copy/same.txt.zst")));
    const report = lane(await run("run-3", "plain"));
    assert.deepEqual([report.state, report.warnings, report.filesCopied], ["verified", [], 0]);
    await assertCopied(destination, first, new Map(), "plain again");
  }));
