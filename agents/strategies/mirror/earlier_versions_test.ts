import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import {
  backUp,
  type EngineOutcome,
  type EngineRun,
} from "../../../tests/support/mirror_engine.ts";
import { inScratch } from "../../../tests/support/small_tree.ts";
import { needs } from "../../../tests/support/tools.ts";
import { EACCES, EIO, EPERM } from "../../platform/errno.ts";
import { openPosix } from "../../platform/open_posix.ts";
import { newStat, type Posix } from "../../platform/posix.ts";

const posix = openPosix();

const textOf = (name: Uint8Array) => new TextDecoder().decode(name.subarray(0, name.indexOf(0)));

/** A destination with some calls replaced. */
const disk = (calls: Partial<Posix>): Posix => ({ ...posix, ...calls });

interface Scene {
  source: string;
  destination: string;
  copy: string;
  own: string;
  /** `sourceDisk`: the port that the source is read through. */
  run: (
    runId: string,
    at?: Posix,
    options?: EngineRun["options"],
    sourceDisk?: Posix,
  ) => Promise<EngineOutcome>;
}

function inScene(use: (scene: Scene) => Promise<void>): Promise<void> {
  return inScratch(async (folder) => {
    const source = join(folder, "source");
    const destination = join(folder, "destination");
    fs.mkdirSync(source);
    await use({
      source,
      destination,
      copy: join(destination, "copy"),
      own: join(destination, ".backup-agent"),
      run: (runId, at = posix, options = {}, sourceDisk = posix) =>
        backUp({
          runId,
          source,
          posix: sourceDisk,
          destinations: [{ path: destination, posix: at }],
          options,
        }),
    });
  });
}

const laneOf = (outcome: EngineOutcome) => outcome.mirrored!.lanes[0]!;
const read = (path: string) => fs.readFileSync(path, "utf8");
const manifestOf = ({ own }: Scene) => read(join(own, "manifests/s1.jsonl"));

function test(name: string, use: (scene: Scene) => Promise<void>): void {
  Deno.test({ ...needs(name, "linux"), fn: () => inScene(use) });
}

/** A disk that gives other bytes, or none, when a file of this size is read. */
function misreading(sizeBytes: number, how: "damage" | "error", calls: Partial<Posix> = {}): Posix {
  return disk({
    readAt(fd, into, offset) {
      if (into.length !== sizeBytes) return posix.readAt(fd, into, offset);
      if (how === "error") return -EIO;
      const got = posix.readAt(fd, into, offset);
      into[0]! ^= 1;
      return got;
    },
    ...calls,
  });
}

const unreadableSource = disk({
  openRead: (at, name) => textOf(name) === "f" ? -EIO : posix.openRead(at, name),
});

for (const how of ["damage", "error"] as const) {
  test(
    `an unchanged copy that reads back wrong (${how}) stays, with its record, when the source cannot give it again`,
    async (scene) => {
      fs.writeFileSync(join(scene.source, "f"), "precious bytes");
      await scene.run("run-1");
      const outcome = await scene.run(
        "run-2",
        misreading(14, how),
        { verify: "all" },
        unreadableSource,
      );
      const lane = laneOf(outcome);
      assert.equal(lane.state, "failed");
      assert.deepEqual(lane.failures.map(({ path, code }) => [path, code]), [
        ["copy/f", how === "damage" ? "damaged" : "io"],
      ]);
      assert.equal(read(join(scene.copy, "f")), "precious bytes");
      assert.ok(manifestOf(scene).includes('"path":"f"'));
    },
  );
}

test("a new copy that cannot be read back is named and not taken away", async (scene) => {
  fs.writeFileSync(join(scene.source, "f"), "precious bytes");
  const lane = laneOf(await scene.run("run-1", misreading(14, "error")));
  assert.deepEqual(lane.failures.map(({ path, code }) => [path, code]), [["copy/f", "io"]]);
  assert.equal(read(join(scene.copy, "f")), "precious bytes");
});

test("of several wrong copies of a new file none comes back as an earlier version", async (scene) => {
  fs.writeFileSync(join(scene.source, "other"), "other");
  await scene.run("run-1");
  fs.writeFileSync(join(scene.source, "f"), "precious bytes");
  const lane = laneOf(await scene.run("run-2", misreading(14, "damage")));
  assert.deepEqual(lane.failures.map(({ path }) => path), ["copy/f"]);
  assert.ok(!fs.existsSync(join(scene.copy, "f")));
});

test(
  "without hard links a version that was moved away comes back when its successor gets no name",
  async (scene) => {
    fs.writeFileSync(join(scene.source, "f"), "old content");
    const noLinks = disk({ link: () => -EPERM });
    await scene.run("run-1", noLinks);
    fs.writeFileSync(join(scene.source, "f"), "new content!");
    const lane = laneOf(
      await scene.run(
        "run-2",
        disk({
          link: () => -EPERM,
          rename: (from, fromName, to, toName) =>
            /^t\d+$/.test(textOf(fromName)) ? -EIO : posix.rename(from, fromName, to, toName),
        }),
      ),
    );
    assert.deepEqual(lane.failures.map(({ path }) => path), ["copy/f"]);
    assert.equal(read(join(scene.copy, "f")), "old content");
  },
);

test("without hard links the oldest version is what stays kept over several attempts", async (scene) => {
  fs.writeFileSync(join(scene.source, "f"), "old content");
  await scene.run("run-1");
  fs.writeFileSync(join(scene.source, "f"), "new content!");
  const at = misreading(12, "damage", { link: () => -EPERM });
  assert.equal(laneOf(await scene.run("run-2", at)).state, "failed");
  assert.equal(read(join(scene.copy, "f")), "old content");
});

/** What every put-back does: a rename from `f` to `f`; set aside is the second of them. */
function refusingPutBack(times: number): Partial<Posix> {
  let left = times;
  return {
    rename: (from, fromName, to, toName) =>
      textOf(fromName) === "f" && textOf(toName) === "f" && left-- > 0
        ? -EIO
        : posix.rename(from, fromName, to, toName),
  };
}

for (const [what, times] of [["is set aside", 1], ["keeps the whole stage", 2]] as const) {
  test(
    `an earlier version that cannot be put back ${what} and is put back by the next run`,
    async (scene) => {
      fs.writeFileSync(join(scene.source, "f"), "old content");
      fs.writeFileSync(join(scene.source, "g"), "old g");
      await scene.run("run-1");
      fs.writeFileSync(join(scene.source, "f"), "new content!");
      fs.writeFileSync(join(scene.source, "g"), "newer g");
      const lane = laneOf(
        await scene.run("run-2", misreading(12, "damage", refusingPutBack(times))),
      );
      assert.equal(lane.state, "failed");
      assert.deepEqual(lane.failures.map(({ path }) => path), ["copy/f"]);
      assert.match(lane.warnings.join(), /copy\/f could not be put back/);
      assert.equal(lane.error?.path, times === 1 ? undefined : "copy/f");
      // The source loses both: what the copy has is all there is.
      fs.rmSync(join(scene.source, "f"));
      if (times === 1) fs.rmSync(join(scene.source, "g"));
      assert.equal(laneOf(await scene.run("run-3")).state, "verified");
      assert.equal(read(join(scene.copy, "f")), "old content");
      assert.equal(read(join(scene.copy, "g")), "newer g");
      assert.deepEqual(fs.readdirSync(join(scene.own, "stage/s1")), []);
    },
  );
}

/** A stage as a crash leaves it: `f` was replaced and its successor never read back. */
async function interruptedStage(scene: Scene): Promise<string> {
  fs.writeFileSync(join(scene.source, "f"), "old content");
  await scene.run("run-1");
  const stage = join(scene.own, "stage/s1/run-2-1");
  fs.mkdirSync(join(stage, "kept"), { recursive: true });
  fs.renameSync(join(scene.copy, "f"), join(stage, "kept/f"));
  fs.writeFileSync(join(scene.copy, "f"), "never read back");
  fs.rmSync(join(scene.source, "f"));
  return stage;
}

const RECOVERY_FAULTS: [string, () => Partial<Posix>][] = [
  ["cannot be put back", () => refusingPutBack(1)],
  ["cannot be listed", () => {
    const kept = new Set<number>();
    return {
      openDirectory(at, name) {
        const handle = posix.openDirectory(at, name);
        if (textOf(name) === "kept") kept.add(handle);
        return handle;
      },
      list: (handle) => kept.has(handle) ? -EIO : posix.list(handle),
    };
  }],
  ["cannot be opened", () => ({
    openDirectory: (at, name) => textOf(name) === "kept" ? -EIO : posix.openDirectory(at, name),
  })],
];

for (const [what, fault] of RECOVERY_FAULTS) {
  test(
    `what an interrupted run kept and ${what} stays where it is, and the lane says so`,
    async (scene) => {
      const stage = await interruptedStage(scene);
      const lane = laneOf(await scene.run("run-3", disk(fault())));
      assert.equal(lane.state, "failed");
      assert.match(lane.error!.message, /put back/);
      assert.match(lane.error!.hint!, /stage\/s1\/run-2-1\/kept/);
      assert.equal(read(join(stage, "kept/f")), "old content");
      assert.equal(laneOf(await scene.run("run-4")).state, "verified");
      assert.equal(read(join(scene.copy, "f")), "old content");
    },
  );
}

test("what an interrupted run kept of a copy that was removed comes back", async (scene) => {
  await interruptedStage(scene);
  fs.rmSync(scene.copy, { recursive: true });
  assert.equal(laneOf(await scene.run("run-3")).state, "verified");
  assert.equal(read(join(scene.copy, "f")), "old content");
});

test("a completed stage that cannot be removed is never put over newer files", async (scene) => {
  fs.writeFileSync(join(scene.source, "f"), "v1");
  await scene.run("run-1");
  fs.writeFileSync(join(scene.source, "f"), "v2 of f");
  const stuck = disk({
    unlink: (at, name) => textOf(name) === "f" ? -EIO : posix.unlink(at, name),
  });
  await scene.run("run-2", stuck);
  assert.deepEqual(fs.readdirSync(join(scene.own, "stage/s1")), ["done-run-2-1"]);
  fs.writeFileSync(join(scene.source, "g"), "another file");
  await scene.run("run-3", stuck);
  fs.rmSync(join(scene.source, "f"));
  assert.equal(laneOf(await scene.run("run-4")).state, "verified");
  assert.equal(read(join(scene.copy, "f")), "v2 of f");
  assert.deepEqual(fs.readdirSync(join(scene.own, "stage/s1")), []);
});

test(
  "a completed stage that can neither be renamed nor removed ends the next comparison",
  async (scene) => {
    fs.writeFileSync(join(scene.source, "f"), "v1");
    await scene.run("run-1");
    fs.writeFileSync(join(scene.source, "f"), "v2 of f");
    const stuck = disk({
      unlink: (at, name) => textOf(name) === "f" ? -EIO : posix.unlink(at, name),
      rename: (from, fromName, to, toName) =>
        textOf(toName).startsWith("done-") ? -EIO : posix.rename(from, fromName, to, toName),
    });
    assert.equal(laneOf(await scene.run("run-2", stuck)).state, "verified");
    fs.writeFileSync(join(scene.source, "g"), "another file");
    const lane = laneOf(await scene.run("run-3", stuck));
    assert.equal(lane.state, "failed");
    assert.match(lane.error!.message, /run-2-1/);
    await scene.run("run-4");
    fs.rmSync(join(scene.source, "f"));
    await scene.run("run-5");
    assert.equal(read(join(scene.copy, "f")), "v2 of f");
  },
);

const STRANGERS: [string, (scene: Scene) => void][] = [
  ["was made by hand", ({ source, copy }) => {
    fs.writeFileSync(join(source, "new"), "from the source");
    fs.writeFileSync(join(copy, "new"), "made by hand");
  }],
  ["was altered by hand", ({ copy }) => fs.writeFileSync(join(copy, "f"), "made by hand")],
  ["became a link by hand", ({ copy }) => {
    fs.rmSync(join(copy, "f"));
    fs.symlinkSync("made by hand", join(copy, "f"));
  }],
];

for (const [what, change] of STRANGERS) {
  test(`what ${what} in the copy is moved away and named, not deleted`, async (scene) => {
    fs.writeFileSync(join(scene.source, "f"), "content");
    await scene.run("run-1");
    change(scene);
    const lane = laneOf(await scene.run("run-2"));
    assert.equal(lane.state, "verified");
    const [name, ...others] = fs.readdirSync(join(scene.own, "displaced"));
    assert.deepEqual(others, []);
    assert.ok(lane.warnings.some((text) => text.includes("copy/") && text.includes(name!)));
    const path = join(scene.own, "displaced", name!);
    const isLink = fs.lstatSync(path).isSymbolicLink();
    assert.equal(isLink ? fs.readlinkSync(path) : read(path), "made by hand");
    for (const file of fs.readdirSync(scene.source)) {
      assert.equal(read(join(scene.copy, file)), read(join(scene.source, file)));
    }
  });
}

test("an ordinary change displaces nothing", async (scene) => {
  fs.writeFileSync(join(scene.source, "f"), "content");
  fs.symlinkSync("f", join(scene.source, "link"));
  await scene.run("run-1");
  fs.writeFileSync(join(scene.source, "f"), "other content");
  fs.rmSync(join(scene.source, "link"));
  fs.symlinkSync("elsewhere", join(scene.source, "link"));
  const lane = laneOf(await scene.run("run-2"));
  assert.deepEqual([lane.state, lane.warnings], ["verified", []]);
  assert.ok(!fs.existsSync(join(scene.own, "displaced")));
});

test("what is displaced from one row of two sources in one run is kept twice", async (scene) => {
  const one = (name: string) =>
    backUp({
      runId: "run-2",
      name,
      source: scene.source,
      posix,
      destinations: [{ path: scene.destination, posix }],
    });
  fs.writeFileSync(join(scene.source, "f"), "content");
  for (const name of ["one", "two"]) {
    await one(name);
    fs.rmSync(join(scene.destination, name, "f"));
    fs.mkdirSync(join(scene.destination, name, "f"));
    fs.writeFileSync(join(scene.destination, name, "f/inside"), name);
  }
  await one("one");
  await one("two");
  const displaced = join(scene.own, "displaced");
  const texts = fs.readdirSync(displaced).map((name) => read(join(displaced, name, "inside")));
  assert.deepEqual(texts.sort(), ["one", "two"]);
});

test("a disk that takes no modes and times says so, and copies nothing twice", async (scene) => {
  fs.writeFileSync(join(scene.source, "f"), "content");
  fs.utimesSync(join(scene.source, "f"), 1, 1);
  const refusing = disk({ setFileTimes: () => -EPERM, setFileMode: () => -EPERM });
  const first = laneOf(await scene.run("run-1", refusing));
  assert.equal(first.state, "verified");
  assert.match(first.warnings.join("\n"), /modes of \d+ files .* could not be kept/);
  assert.match(first.warnings.join("\n"), /times of \d+ files .* could not be kept/);
  const second = laneOf(await scene.run("run-2", refusing));
  assert.deepEqual([second.filesUnchanged, second.filesCopied], [1, 0]);
  assert.match(second.warnings.join("\n"), /keeps no modification times/);
  assert.ok(!fs.existsSync(join(scene.own, "displaced")));
});

/** A disk that lets nobody, root neither, change what is in a folder without the right to write. */
function strictFolders(): Posix {
  const stat = newStat();
  const mayWrite = (at: number) => posix.statDirectory(at, stat) === 0 && (stat.mode & 0o200) !== 0;
  return disk({
    rename: (from, fromName, to, toName) =>
      mayWrite(from) && mayWrite(to) ? posix.rename(from, fromName, to, toName) : -EACCES,
    makeDirectory: (at, name, mode) =>
      mayWrite(at) || posix.statAt(at, name, stat) === 0
        ? posix.makeDirectory(at, name, mode)
        : -EACCES,
  });
}

for (const top of [true, false]) {
  for (const verify of ["new", "all"] as const) {
    const what = `${top ? "the top" : "an inner"} folder, --verify ${verify}`;
    test(`a file is replaced in a folder that is read-only at the source: ${what}`, async (scene) => {
      const path = top ? "f" : "inner/f";
      const folder = top ? scene.source : join(scene.source, "inner");
      fs.mkdirSync(folder, { recursive: true });
      fs.writeFileSync(join(scene.source, path), "old content");
      fs.chmodSync(folder, 0o555);
      await scene.run("run-1", strictFolders());
      if (verify === "new") fs.writeFileSync(join(scene.source, path), "new content!");
      else {
        // Damage, and no change: the time is still the one that we gave it.
        fs.writeFileSync(join(scene.copy, path), "OLD CONTENT");
        const args = ["-r", join(scene.source, path), join(scene.copy, path)];
        assert.ok(new Deno.Command("touch", { args }).outputSync().success);
      }
      const lane = laneOf(await scene.run("run-2", strictFolders(), { verify }));
      assert.deepEqual([lane.state, lane.failures], ["verified", []]);
      assert.deepEqual(lane.rewritten, verify === "all" ? [`copy/${path}`] : []);
      assert.equal(read(join(scene.copy, path)), read(join(scene.source, path)));
      const copied = top ? scene.copy : join(scene.copy, "inner");
      assert.equal(fs.statSync(copied).mode & 0o777, 0o555);
      fs.chmodSync(folder, 0o755);
    });
  }
}
