import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { faultyPosix } from "../../tests/support/faulty_posix.ts";
import { needsLoopFs, withLoopFs } from "../../tests/support/loop_fs.ts";
import { inScratch } from "../../tests/support/small_tree.ts";
import { needs } from "../../tests/support/tools.ts";
import { type Weakness, weakPosix } from "../../tests/support/weak_posix.ts";
import { EIO, ENOSPC } from "../platform/errno.ts";
import { openPosix } from "../platform/open_posix.ts";
import {
  cName,
  KIND_BLOCK_DEVICE,
  KIND_CHARACTER_DEVICE,
  KIND_FIFO,
  KIND_FILE,
  KIND_SYMLINK,
  type Posix,
} from "../platform/posix.ts";
import { type Capabilities, findCapabilities, lossesOf, TIMES_LOST } from "./capabilities.ts";
import { PROBE_DIRECTORY } from "./probe_folder.ts";

const posix = openPosix();
const IS_ROOT = Deno.uid() === 0;

/** Finds out in a folder, and sees that nothing stays there. */
function found(folder: string, port: Posix, type: string): Capabilities {
  const stage = port.openRoot(cName(folder));
  const capabilities = findCapabilities(port, stage, type, IS_ROOT);
  capabilities.holds(KIND_CHARACTER_DEVICE);
  port.closeDirectory(stage);
  assert.deepEqual(fs.readdirSync(folder), []);
  return capabilities;
}

function kindsHeld({ holds }: Capabilities): boolean[] {
  return [KIND_FILE, KIND_SYMLINK, KIND_FIFO, KIND_CHARACTER_DEVICE, KIND_BLOCK_DEVICE].map(holds);
}

Deno.test({
  ...needs("a file system of unknown type that holds everything is found to", "linux", "root"),
  fn: () =>
    inScratch((folder) => {
      const capabilities = found(folder, posix, "0x1234");
      const { hardLinks, modes, owners, timeGrainMs } = capabilities;
      assert.deepEqual({ hardLinks, modes, owners, timeGrainMs }, {
        hardLinks: true,
        modes: true,
        owners: true,
        timeGrainMs: 0,
      });
      assert.deepEqual(kindsHeld(capabilities), [true, true, true, true, true]);
      assert.equal(lossesOf(capabilities, "0x1234"), undefined);
    }),
});

const WEAKNESSES: [Weakness, (capabilities: Capabilities) => void][] = [
  [{ symlinks: "refused" }, ({ holds }) => assert.equal(holds(KIND_SYMLINK), false)],
  [{ hardLinks: "refused" }, ({ hardLinks }) => assert.equal(hardLinks, false)],
  [{ fifos: "file left behind" }, ({ holds }) => assert.equal(holds(KIND_FIFO), false)],
  [{ devices: "refused" }, ({ holds }) => assert.equal(holds(KIND_BLOCK_DEVICE), false)],
  [{ modes: "lost" }, ({ modes }) => assert.equal(modes, false)],
  [{ times: "coarse" }, ({ timeGrainMs }) => assert.equal(timeGrainMs, 2000)],
  ...(IS_ROOT
    ? [[{ owners: "refused" }, ({ owners }) => assert.equal(owners, false)]] satisfies [
      Weakness,
      (capabilities: Capabilities) => void,
    ][]
    : []),
];

for (const [weakness, check] of WEAKNESSES) {
  Deno.test({
    ...needs(
      `what a file system cannot hold is found by trying: ${JSON.stringify(weakness)}`,
      "linux",
    ),
    fn: () => inScratch((folder) => check(found(folder, weakPosix(posix, weakness), "weakfs"))),
  });
}

Deno.test("a file system known to be whole is asked nothing but for device nodes, when there are any", () =>
  inScratch((folder) => {
    const watched = faultyPosix(posix);
    const stage = posix.openRoot(cName(folder));
    const { holds } = findCapabilities(watched.posix, stage, "ext4", true);
    assert.deepEqual([holds(KIND_SYMLINK), holds(KIND_FIFO), watched.calls.length], [
      true,
      true,
      0,
    ]);
    const first = holds(KIND_BLOCK_DEVICE);
    const calls = watched.calls.length;
    assert.ok(calls > 0);
    assert.equal(holds(KIND_CHARACTER_DEVICE), first);
    assert.equal(watched.calls.length, calls);
    posix.closeDirectory(stage);
  }));

Deno.test({
  ...needs("one error of the moment, and a full disk, are no weakness", "linux", "root"),
  fn: () =>
    inScratch((folder) => {
      const sound = faultyPosix(posix);
      const wanted = kindsHeld(found(folder, sound.posix, "weakfs"));
      for (const { number, name } of sound.calls) {
        // Reading the folder or the file back cannot be told from not being able to look.
        if (!/^(symlink|link|makeNode|setFile(Mode|Owner|Times))$/.test(name)) continue;
        const once = faultyPosix(
          posix,
          (call) => call.number === number ? { kind: "error", errno: EIO } : undefined,
        );
        const capabilities = found(folder, once.posix, "weakfs");
        assert.deepEqual(kindsHeld(capabilities), wanted, `${name} ${number}`);
        assert.deepEqual(
          [capabilities.hardLinks, capabilities.modes, capabilities.owners],
          [true, true, true],
          `${name} ${number}`,
        );
      }
      const full = faultyPosix(
        posix,
        ({ name }) => /^(symlink|link)$/.test(name) ? { kind: "error", errno: ENOSPC } : undefined,
      );
      assert.deepEqual(kindsHeld(found(folder, full.posix, "weakfs")), wanted);
    }),
});

Deno.test("what an interrupted probe left is swept by the next", () =>
  inScratch((folder) => {
    const left = join(folder, PROBE_DIRECTORY);
    fs.mkdirSync(join(left, "a folder"), { recursive: true });
    fs.writeFileSync(join(left, "file"), "");
    found(folder, posix, "weakfs");
  }));

Deno.test("where nothing can be tried everything is believed", () =>
  inScratch((folder) => {
    const refusing = faultyPosix(
      posix,
      ({ name }) => name === "createFile" ? { kind: "error", errno: EIO } : undefined,
    );
    const { holds, hardLinks, modes } = found(folder, refusing.posix, "weakfs");
    assert.deepEqual([holds(KIND_SYMLINK), hardLinks, modes], [true, true, true]);
  }));

Deno.test("what is lost is one sentence", () => {
  const whole = { holds: () => true, hardLinks: true, modes: true, owners: true, timeGrainMs: 0 };
  const said = (lost: Partial<Capabilities>) => lossesOf({ ...whole, ...lost }, "exfat");
  assert.equal(said({}), undefined);
  assert.equal(
    said({ modes: false, owners: false, timeGrainMs: 1000 }),
    "This file system (exfat) keeps no modes, no owners and times to the second only: " +
      "the manifest has what is exact, for a restore",
  );
  assert.match(said({ timeGrainMs: 2000 })!, /keeps times to 2 seconds only:/);
  assert.match(said({ timeGrainMs: TIMES_LOST })!, /keeps no times:/);
});

Deno.test({
  ...needsLoopFs("exfat is found to hold no links, FIFOs, device nodes, modes and owners", "exfat"),
  fn: () =>
    withLoopFs({ type: "exfat", sizeBytes: 8 << 20 }, (mountPoint) => {
      const stage = join(mountPoint, "stage");
      fs.mkdirSync(stage);
      const capabilities = found(stage, posix, "fuse");
      assert.deepEqual(kindsHeld(capabilities), [true, false, false, false, false]);
      const { hardLinks, modes, owners, timeGrainMs } = capabilities;
      assert.deepEqual([hardLinks, modes, owners], [false, false, false]);
      assert.ok(timeGrainMs > 0 && timeGrainMs <= 2000, String(timeGrainMs));
    }),
});
