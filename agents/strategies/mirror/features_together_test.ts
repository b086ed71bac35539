/** Features that were made apart, met together: weak file systems, further names, versions, ASC MHL, files that change. */
import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { backUp } from "../../../tests/support/mirror_engine.ts";
import { needsLoopFs, withLoopFs } from "../../../tests/support/loop_fs.ts";
import { inScratch } from "../../../tests/support/small_tree.ts";
import { weakPosix } from "../../../tests/support/weak_posix.ts";
import type { MirrorOptions } from "../../../protocol/mesh/job.ts";
import type { LaneReport } from "../../../protocol/mesh/task.ts";
import { openPosix } from "../../platform/open_posix.ts";
import type { Posix } from "../../platform/posix.ts";
import type { ManifestEntry } from "./manifest_line.ts";

const posix = openPosix();

interface Scene {
  source: string;
  destination: string;
  run(
    port: Posix,
    options?: Partial<MirrorOptions>,
    sourcePort?: Posix,
  ): Promise<LaneReport>;
  line(path: string): ManifestEntry | undefined;
}

async function inScene(
  use: (scene: Scene) => Promise<void>,
  disk?: string,
): Promise<void> {
  await inScratch(async (folder) => {
    const source = join(folder, "source");
    const destination = disk ?? join(folder, "destination");
    fs.mkdirSync(source);
    let runs = 0;
    await use({
      source,
      destination,
      run: async (port, options = {}, sourcePort = posix) => {
        const { mirrored, finished } = await backUp({
          runId: `run-${++runs}`,
          source,
          destinations: [{ path: destination, posix: port }],
          posix: sourcePort,
          options,
        });
        for (const { error } of finished) assert.equal(error, undefined);
        return mirrored!.lanes[0]!;
      },
      line: (path) =>
        fs.readFileSync(join(destination, ".backup-agent/manifests/s1.jsonl"), "utf8")
          .split("\n").slice(1, -2).map((line) => JSON.parse(line) as ManifestEntry)
          .find((entry) => entry.path === path),
    });
  });
}

Deno.test("a further name that a rule left out for one run loses its date when it is back", () =>
  inScene(async ({ source, run, line }) => {
    fs.writeFileSync(join(source, "a"), "two names");
    fs.linkSync(join(source, "a"), join(source, "b"));
    await run(posix);
    await run(posix, { excludes: [{ pattern: "/b", origin: "here" }] });
    assert.equal(typeof line("b")!.goneAtMs, "number");
    const lane = await run(posix);
    assert.equal(lane.state, "verified");
    assert.equal(line("b")!.goneAtMs, undefined);
    assert.equal(line("b")!.hardLinkTo, "a");
  }));

Deno.test("a link whose other name is gone is recorded as a link of its own", () =>
  inScene(async ({ source, run, line }) => {
    fs.symlinkSync("x", join(source, "a"));
    const made = new Deno.Command("ln", { args: ["-P", join(source, "a"), join(source, "b")] });
    assert.ok(made.outputSync().success);
    await run(posix);
    assert.equal(line("b")!.hardLinkTo, "a");
    fs.unlinkSync(join(source, "a"));
    await run(posix);
    assert.equal(line("b")!.hardLinkTo, undefined);
  }));

Deno.test("a further name of a link is recorded where links cannot stand and the first name is forbidden", () =>
  inScene(async ({ source, run, line }) => {
    fs.symlinkSync("x", join(source, "a:"));
    const made = new Deno.Command("ln", { args: ["-P", join(source, "a:"), join(source, "b")] });
    assert.ok(made.outputSync().success);
    const weak = weakPosix(posix, { type: "exfat", symlinks: "refused", forbidden: ":" });
    const lane = await run(weak);
    assert.deepEqual(lane.failures.map(({ path }) => path), ["copy/a:"]);
    assert.equal(line("b")!.recordedOnly, true);
  }));

Deno.test("a further name of a link is made by itself where the first name is forbidden", () =>
  inScene(async ({ source, destination, run }) => {
    fs.symlinkSync("x", join(source, "a:"));
    const made = new Deno.Command("ln", { args: ["-P", join(source, "a:"), join(source, "b")] });
    assert.ok(made.outputSync().success);
    const lane = await run(weakPosix(posix, { forbidden: ":" }));
    assert.deepEqual(lane.failures.map(({ path }) => path), ["copy/a:"]);
    assert.equal(fs.readlinkSync(join(destination, "copy/b")), "x");
  }));

Deno.test("a file that gave way to a link which cannot stand here is kept as a version", () =>
  inScene(async ({ source, destination, run, line }) => {
    fs.writeFileSync(join(source, "a"), "the only earlier version");
    const weak = weakPosix(posix, { type: "exfat", symlinks: "refused" });
    await run(weak, { keepVersions: 2 });
    fs.unlinkSync(join(source, "a"));
    fs.symlinkSync("x", join(source, "a"));
    const lane = await run(weak, { keepVersions: 2 });
    assert.equal(lane.state, "verified");
    assert.equal(line("a")!.recordedOnly, true);
    assert.equal(lane.history!.versionsKept, 1);
    const versions = join(destination, ".backup-agent/versions/s1");
    const kept = fs.readdirSync(versions, { recursive: true }) as string[];
    const path = kept.find((one) => one.endsWith("/a"));
    assert.equal(fs.readFileSync(join(versions, path!), "utf8"), "the only earlier version");
  }));

Deno.test("with --mhl further names that are files of their own are read back, not called damaged", () =>
  inScene(async ({ source, run }) => {
    fs.writeFileSync(join(source, "a"), "two names");
    fs.linkSync(join(source, "a"), join(source, "b"));
    const weak = weakPosix(posix, { type: "exfat", hardLinks: "refused" });
    await run(weak);
    for (let again = 0; again < 2; again++) {
      const lane = await run(weak, { mhl: true });
      assert.deepEqual([lane.state, lane.rewritten, lane.filesCopied], ["verified", [], 0]);
    }
  }));

Deno.test("of a file that changed before it was read every name's line records what was copied", () =>
  inScene(async ({ source, run, line }) => {
    fs.writeFileSync(join(source, "a"), "short");
    fs.linkSync(join(source, "a"), join(source, "b"));
    let isChanged = false;
    const changing: Posix = {
      ...posix,
      openRead: (at, name) => {
        if (!isChanged && name[0] === 97) {
          isChanged = true;
          fs.appendFileSync(join(source, "a"), " and now longer");
        }
        return posix.openRead(at, name);
      },
    };
    const lane = await run(posix, {}, changing);
    assert.equal(lane.state, "verified");
    assert.ok(isChanged);
    assert.equal(line("a")!.sizeBytes, 20);
    assert.equal(line("b")!.sizeBytes, 20);
    assert.equal(line("b")!.ctimeNs, line("a")!.ctimeNs);
  }));

Deno.test({
  ...needsLoopFs("a name that changed only its case is recorded as it is now, once", "exfat"),
  fn: () =>
    withLoopFs(
      { type: "exfat", sizeBytes: 16 << 20 },
      (disk) =>
        inScene(async ({ source, run, line }) => {
          fs.writeFileSync(join(source, "File"), "content");
          fs.mkdirSync(join(source, "Folder"));
          fs.writeFileSync(join(source, "Folder/Inner"), "content");
          fs.mkdirSync(join(source, "Empty"));
          fs.writeFileSync(join(source, "other"), "content");
          await run(posix);
          fs.renameSync(join(source, "File"), join(source, "file"));
          fs.renameSync(join(source, "Folder"), join(source, "folder"));
          fs.renameSync(join(source, "Empty"), join(source, "empty"));
          fs.rmSync(join(source, "other"));
          const lane = await run(posix);
          assert.deepEqual([lane.state, lane.failures], ["verified", []]);
          for (const old of ["File", "Empty", "Folder", "Folder/Inner"]) {
            assert.equal(line(old), undefined, old);
          }
          for (const now of ["file", "empty", "folder", "folder/Inner"]) {
            assert.equal(line(now)!.goneAtMs, undefined);
          }
          assert.equal(typeof line("other")!.goneAtMs, "number");
          assert.deepEqual(fs.readdirSync(join(disk, "copy"), { recursive: true }).toSorted(), [
            "empty",
            "file",
            "folder",
            "folder/Inner",
            "other",
          ]);
        }, disk),
    ),
});
