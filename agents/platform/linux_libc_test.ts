/** What only libc can do: raw names, nanoseconds, device nodes, trees deeper than a path, and a truthful page cache. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { needsLoopFs, withLoopFs } from "../../tests/support/loop_fs.ts";
import { inFolder, putFile } from "../../tests/support/posix_folder.ts";
import { needs } from "../../tests/support/tools.ts";
import { ENOENT } from "./errno.ts";
import { openLibc } from "./linux_libc.ts";
import {
  cName,
  KIND_BLOCK_DEVICE,
  KIND_CHARACTER_DEVICE,
  KIND_FIFO,
  newStat,
  type Posix,
} from "./posix.ts";

const A = cName("a");
const B = cName("b");

function rawName(bytes: readonly number[]): Uint8Array {
  return new Uint8Array([...bytes, 0]);
}

function libcTest(
  name: string,
  tools: string[],
  body: (posix: Posix) => Promise<void> | void,
): void {
  Deno.test({ ...needs(`libc alone: ${name}`, "linux", ...tools), fn: () => body(openLibc()) });
}

libcTest("any bytes but NUL and slash make a name", [], (posix) =>
  inFolder(posix, (folder) => {
    const byte = fc.integer({ min: 1, max: 255 }).filter((b) => b !== 0x2f);
    const anyName = fc.array(byte, { minLength: 1, maxLength: 255 }).filter((bytes) =>
      !bytes.every((b) => b === 0x2e)
    );
    fc.assert(
      fc.property(anyName, (bytes) => {
        putFile(posix, folder, rawName(bytes));
        assert.deepEqual(posix.list(folder), [Buffer.from(bytes).toString("latin1")]);
        assert.equal(posix.statAt(folder, rawName(bytes), newStat()), 0);
        assert.equal(posix.rename(folder, rawName(bytes), folder, A), 0);
        assert.equal(posix.symlink(rawName(bytes), folder, B), 0);
        assert.deepEqual([...posix.readLink(folder, B) as Uint8Array], bytes);
        assert.equal(posix.unlink(folder, A), 0);
        assert.equal(posix.unlink(folder, B), 0);
      }),
      { numRuns: 50 },
    );
  }));

libcTest(
  "times are exact to the nanosecond, before 1970 and on links too",
  [],
  (posix) =>
    inFolder(posix, (folder) => {
      const fd = posix.createFile(folder, A);
      posix.symlink(A, folder, B);
      const read = newStat();
      fc.assert(fc.property(
        // What ext4 with 256-byte inodes holds; of its very first second only the start.
        fc.integer({ min: -(2 ** 31) + 1, max: 2 ** 33 }),
        fc.integer({ min: 0, max: 999_999_999 }),
        (sec, nsec) => {
          assert.equal(posix.setFileTimes(fd, sec, nsec), 0);
          posix.stat(fd, read);
          assert.deepEqual([read.mtimeSec, read.mtimeNsec], [sec, nsec]);
          assert.equal(posix.setTimesAt(folder, B, sec, nsec), 0);
          posix.statAt(folder, B, read);
          assert.deepEqual([read.mtimeSec, read.mtimeNsec], [sec, nsec]);
        },
      ));
      posix.close(fd);
    }),
);

libcTest("ctime has a finer grain than a second", [], (posix) =>
  inFolder(posix, (folder) => {
    const fd = posix.createFile(folder, A);
    const [stat, seen] = [newStat(), new Set<number>()];
    // A whole second is one value in a thousand million; ten of them are not luck.
    for (let k = 0; k < 10; k++) {
      posix.setFileMode(fd, 0o600 + k);
      posix.stat(fd, stat);
      seen.add(stat.ctimeNsec);
    }
    assert.notDeepEqual([...seen], [0]);
    posix.close(fd);
  }));

libcTest("FIFOs are made, found and not waited for", [], (posix) =>
  inFolder(posix, (folder) => {
    assert.equal(posix.makeNode(folder, A, KIND_FIFO, 0o600, 0), 0);
    const stat = newStat();
    assert.equal(posix.statAt(folder, A, stat), 0);
    assert.deepEqual([stat.kind, stat.mode, stat.rdev], [KIND_FIFO, 0o600, 0]);
    const fd = posix.openRead(folder, A);
    assert.ok(fd >= 0);
    posix.close(fd);
  }));

libcTest(
  "device nodes keep both numbers, large ones too",
  ["root"],
  (posix) =>
    inFolder(posix, (folder) => {
      const stat = newStat();
      for (const kind of [KIND_CHARACTER_DEVICE, KIND_BLOCK_DEVICE]) {
        for (const [major, minor] of [[1, 3], [259, 70_000], [4095, 1_048_575]] as const) {
          const rdev = major * 2 ** 32 + minor;
          assert.equal(posix.makeNode(folder, A, kind, 0o640, rdev), 0);
          posix.statAt(folder, A, stat);
          assert.deepEqual([stat.kind, stat.mode, stat.rdev], [kind, 0o640, rdev]);
          posix.unlink(folder, A);
        }
      }
    }),
);

libcTest(
  "handles reach deeper than any path, and back up",
  [],
  (posix) =>
    inFolder(posix, (folder) => {
      const [levels, name] = [300, cName("directory name of 30 letters..")];
      const down = (from: number): number => {
        assert.equal(posix.makeDirectory(from, name, 0o700), 0);
        const next = posix.openDirectory(from, name);
        assert.ok(next >= 0);
        return next;
      };
      let at = down(folder);
      for (let level = 1; level < levels; level++) {
        const next = down(at);
        posix.closeDirectory(at);
        at = next;
      }
      putFile(posix, at, A, new TextEncoder().encode("deep"));
      const stat = newStat();
      assert.equal(posix.statAt(at, A, stat), 0);
      assert.equal(stat.sizeBytes, 4);
      assert.equal(posix.unlink(at, A), 0);
      for (let level = 0; level < levels; level++) {
        const above = posix.openParent(at);
        posix.closeDirectory(at);
        assert.equal(posix.removeDirectory(above, name), 0);
        at = above;
      }
      assert.equal(posix.statAt(at, name, stat), -ENOENT);
      posix.closeDirectory(at);
      assert.deepEqual(posix.list(folder), []);
    }),
);

Deno.test({
  ...needsLoopFs("libc alone: on ext4 a flushed file leaves the page cache when asked", "ext4"),
  fn: () =>
    withLoopFs({ type: "ext4", sizeBytes: 16 << 20 }, (mountPoint) => {
      const posix = openLibc();
      const root = posix.openRoot(cName(mountPoint));
      const info = posix.fileSystemInfo(root);
      assert.ok(typeof info === "object");
      assert.equal(info.type, "ext4");
      assert.ok(info.totalBytes > 8 << 20 && info.totalBytes <= 16 << 20);
      assert.ok(info.freeBytes > 0 && info.freeBytes < info.totalBytes);
      const fd = posix.createFile(root, A);
      const sizeBytes = 1_000_003;
      const bytes = new Uint8Array(sizeBytes).fill(7);
      assert.equal(posix.write(fd, bytes), sizeBytes);
      assert.equal(posix.cachedBytes(fd, sizeBytes), sizeBytes);
      // What is not flushed cannot be dropped: this is why the flush comes first.
      posix.dropCache(fd);
      assert.equal(posix.flushFile(fd), 0);
      posix.dropCache(fd);
      assert.equal(posix.cachedBytes(fd, sizeBytes), 0);
      const back = new Uint8Array(sizeBytes);
      assert.equal(posix.readAt(fd, back, 0), sizeBytes);
      assert.deepEqual(back, bytes);
      assert.equal(posix.cachedBytes(fd, sizeBytes), sizeBytes);
      posix.close(fd);
      posix.closeDirectory(root);
    }),
});
