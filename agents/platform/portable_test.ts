/** Where the fallback must say no instead of guessing. */
import assert from "node:assert/strict";
import { inFolder, putFile } from "../../tests/support/posix_folder.ts";
import { needs } from "../../tests/support/tools.ts";
import { EAGAIN, EILSEQ, EINVAL, ENAMETOOLONG, ENOENT, ENOSYS, ESTALE } from "./errno.ts";
import { openLibc } from "./linux_libc.ts";
import { openPortable } from "./portable.ts";
import { cName, KIND_FIFO, newStat } from "./posix.ts";

const A = cName("a");
const B = cName("b");
const NOT_UTF8 = new Uint8Array([0xff, 0x41, 0]);
const NOT_UTF8_TOO = new Uint8Array([0xfe, 0x41, 0]);

Deno.test("portable alone: names and targets that are no UTF-8 cannot be made", () => {
  const posix = openPortable();
  return inFolder(posix, (folder) => {
    assert.equal(posix.createFile(folder, NOT_UTF8), -EILSEQ);
    assert.equal(posix.symlink(NOT_UTF8, folder, A), -EILSEQ);
    assert.equal(posix.makeNode(folder, A, KIND_FIFO, 0o600, 0), -ENOSYS);
    assert.deepEqual(posix.list(folder), []);
  });
});

Deno.test({
  ...needs("portable alone: names that are no UTF-8 never pass for other files", "linux"),
  fn() {
    const [posix, libc] = [openPortable(), openLibc()];
    return inFolder(posix, (folder, path) => {
      const raw = libc.openRoot(cName(path));
      putFile(libc, raw, NOT_UTF8);
      const names = posix.list(folder);
      assert.ok(Array.isArray(names));
      assert.equal(names.length, 1);
      const listed = Uint8Array.from(names[0]! + "\0", (letter) => letter.charCodeAt(0));
      assert.equal(posix.statAt(folder, listed, newStat()), -ENOENT);
      putFile(libc, raw, NOT_UTF8_TOO);
      assert.equal(posix.list(folder), -EILSEQ);
      libc.symlink(NOT_UTF8, raw, B);
      assert.equal(posix.readLink(folder, B), -EILSEQ);
      for (const name of [NOT_UTF8, NOT_UTF8_TOO, B]) libc.unlink(raw, name);
      libc.closeDirectory(raw);
    });
  },
});

Deno.test("portable alone: a tree deeper than a path is refused by name", () => {
  const posix = openPortable();
  return inFolder(posix, (folder) => {
    const name = cName("x".repeat(250));
    let [at, result] = [folder, 0];
    for (let level = 0; level < 40 && result === 0; level++) {
      result = posix.makeDirectory(at, name, 0o700);
      if (result !== 0) break;
      const next = posix.openDirectory(at, name);
      if (at !== folder) posix.closeDirectory(at);
      at = next;
    }
    assert.equal(result, -ENAMETOOLONG);
    posix.closeDirectory(at);
  });
});

Deno.test("portable alone: a file that was renamed or replaced is not locked by its old path", () => {
  const posix = openPortable();
  return inFolder(posix, (folder) => {
    const [one, two] = [posix.createFile(folder, A), posix.createFile(folder, B)];
    assert.equal(posix.rename(folder, B, folder, A), 0);
    assert.equal(posix.tryLock(one), -ESTALE);
    assert.equal(posix.tryLock(two), -ENOENT);
    const three = posix.openAppend(folder, A);
    const four = posix.openAppend(folder, A);
    assert.equal(posix.tryLock(three), 0);
    assert.equal(posix.tryLock(four), -EAGAIN);
    for (const fd of [one, two, three, four]) posix.close(fd);
  });
});

Deno.test("portable alone: a time before 1970 on a link is refused, not turned into now", () => {
  const posix = openPortable();
  return inFolder(posix, (folder) => {
    posix.symlink(B, folder, A);
    assert.equal(posix.setTimesAt(folder, A, 1_000_000_000, 0), 0);
    assert.equal(posix.setTimesAt(folder, A, -1, 0), -EINVAL);
    const stat = newStat();
    posix.statAt(folder, A, stat);
    assert.equal(stat.mtimeSec, 1_000_000_000);
  });
});
