import assert from "node:assert/strict";
import { inFolder } from "../../tests/support/posix_folder.ts";
import { EINVAL, ENOSYS, ENXIO } from "./errno.ts";
import { Holes } from "./holes.ts";
import { openPosix } from "./open_posix.ts";
import { cName, newStat, type Posix } from "./posix.ts";

const posix = openPosix();
const SIZE = 1000;

/** A disk with one file of `SIZE` bytes that has data from 100 to 200 and from 500 to 600. */
function diskWithTwoParts(): { disk: Posix; asked: number[] } {
  const asked: number[] = [];
  const disk = {
    ...posix,
    seekData(_fd: number, offset: number) {
      asked.push(offset);
      return offset < 100
        ? 100
        : offset < 200
        ? offset
        : offset < 500
        ? 500
        : offset < 600
        ? offset
        : -ENXIO;
    },
    seekHole: (_fd: number, offset: number) => offset < 200 ? 200 : 600,
  };
  return { disk, asked };
}

Deno.test("holes and data are told apart in rising order, and each is asked for once", () => {
  const { disk, asked } = diskWithTwoParts();
  const holes = new Holes(disk, 3, SIZE);
  const zeros = Array.from({ length: SIZE / 50 }, (_, k) => holes.zerosAt(k * 50));
  assert.deepEqual(zeros, [
    ...[100, 50, 0, 0, 300, 250, 200, 150, 100, 50, 0, 0],
    ...[400, 350, 300, 250, 200, 150, 100, 50],
  ]);
  assert.deepEqual(asked, [0, 100, 200, 500, 600]);
});

Deno.test("where nobody can tell, all is data", () => {
  for (const errno of [EINVAL, ENOSYS]) {
    let calls = 0;
    const holes = new Holes({ ...posix, seekData: () => (calls++, -errno) }, 3, SIZE);
    assert.deepEqual([0, 10, 900].map((at) => holes.zerosAt(at)), [0, 0, 0]);
    assert.equal(calls, 1);
  }
});

Deno.test("what a real file calls a hole reads as zeros", () =>
  inFolder(posix, (folder) => {
    const fd = posix.createFile(folder, cName("a"));
    const block = new Uint8Array(4096).fill(7);
    const places = [0, 1 << 20, 5 << 20];
    for (const at of places) posix.writeAt(fd, block, at);
    posix.truncate(fd, 8 << 20);
    const stat = newStat();
    posix.stat(fd, stat);
    const holes = new Holes(posix, fd, stat.sizeBytes);
    const into = new Uint8Array(4096);
    let found = 0;
    for (let at = 0; at < stat.sizeBytes; at += into.length) {
      posix.readAt(fd, into, at);
      const isZero = into.every((byte) => byte === 0);
      if (holes.zerosAt(at) >= into.length) {
        found += into.length;
        assert.ok(isZero, `at ${at}`);
      }
    }
    // A file system may know of none; libc on the ones of this machine does.
    if (stat.allocatedBytes < stat.sizeBytes && posix.name === "libc") assert.ok(found > 6 << 20);
    posix.close(fd);
  }));
