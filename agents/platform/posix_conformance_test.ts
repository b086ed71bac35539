/** What every platform port must do, run against each of them: libc where it loads, and the fallback. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { withTmpfs } from "../../tests/support/loop_fs.ts";
import { inFolder, putFile } from "../../tests/support/posix_folder.ts";
import { runScript } from "../../tests/support/run_script.ts";
import { startProgram } from "../../tests/support/run_program.ts";
import { needs } from "../../tests/support/tools.ts";
import {
  EACCES,
  EAGAIN,
  EBADF,
  EEXIST,
  EINVAL,
  EISDIR,
  ELOOP,
  ENAMETOOLONG,
  ENODATA,
  ENOENT,
  ENOSPC,
  ENOSYS,
  ENOTDIR,
  ENOTEMPTY,
  ENXIO,
  EOPNOTSUPP,
  EPERM,
  EROFS,
  EXDEV,
} from "./errno.ts";
import { openLibc } from "./linux_libc.ts";
import { openPortable } from "./portable.ts";
import {
  cName,
  DIRECT_BLOCK_BYTES,
  KIND_CHARACTER_DEVICE,
  KIND_DIRECTORY,
  KIND_FIFO,
  KIND_FILE,
  KIND_SOCKET,
  KIND_SYMLINK,
  newStat,
  type Posix,
} from "./posix.ts";

const A = cName("a");
const B = cName("b");
const C = cName("c");
const UNKNOWN_FD = 987_654;

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** A shared view that neither starts nor ends where its buffer does. */
function sharedBytes(length: number): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(length + 16), 8, length);
}

/** A program that tries what it may not do in the folder of the test that starts it. */
function refusedCalls(port: Posix["name"], path: string): string {
  const [file, open] = port === "libc" ? ["linux_libc", "openLibc"] : ["portable", "openPortable"];
  return `
    import { ${open} } from "${new URL(`./${file}.ts`, import.meta.url).href}";
    import { cName, newStat } from "${new URL("./posix.ts", import.meta.url).href}";
    const posix = ${open}();
    const folder = posix.openRoot(cName(${JSON.stringify(path)}));
    const fixed = posix.openDirectory(folder, cName("fixed"));
    const [a, b] = [cName("a"), cName("b")];
    console.log(JSON.stringify({
      openRead: posix.openRead(folder, a),
      openAppend: posix.openAppend(folder, a),
      openDirectory: posix.openDirectory(folder, cName("closed")),
      createFile: posix.createFile(fixed, b),
      unlink: posix.unlink(fixed, a),
      makeDirectory: posix.makeDirectory(fixed, b, 0o700),
      rename: posix.rename(fixed, a, folder, b),
      setOwnerAt: posix.setOwnerAt(folder, a, 12345, 12345),
      statAt: posix.statAt(fixed, a, newStat()),
    }));`;
}

function conformance(posix: Posix): void {
  const test = (name: string, body: () => Promise<void> | void): void =>
    Deno.test(`${posix.name}: ${name}`, body);
  const testWith = (name: string, tools: string[], body: () => Promise<void> | void): void =>
    Deno.test({ ...needs(`${posix.name}: ${name}`, ...tools), fn: body });
  const statAt = (at: number, name: Uint8Array) => {
    const stat = newStat();
    assert.equal(posix.statAt(at, name, stat), 0);
    return stat;
  };
  const contents = (at: number, name: Uint8Array): string => {
    const fd = posix.openRead(at, name);
    assert.ok(fd >= 0);
    const into = new Uint8Array(1000);
    const got = posix.read(fd, into);
    posix.close(fd);
    return Buffer.from(into.subarray(0, got)).toString();
  };

  test("a file keeps what is written at any offset, also from and into shared memory", () =>
    inFolder(posix, (folder) => {
      const fd = posix.createFile(folder, A);
      const whole = sharedBytes(5);
      whole.set(bytesOf("hello"));
      assert.equal(posix.writeAt(fd, whole, 3), 5);
      assert.equal(posix.writeAt(fd, bytesOf("J"), 3), 1);
      const into = sharedBytes(7);
      assert.equal(posix.readAt(fd, into, 2), 6);
      assert.deepEqual([...into], [...bytesOf("\0Jello"), 0]);
      // Neither positional call moved the position.
      assert.equal(posix.read(fd, into), 7);
      assert.deepEqual([...into], [...bytesOf("\0\0\0Jell")]);
      assert.equal(posix.read(fd, into), 1);
      assert.equal(posix.read(fd, into), 0);
      assert.equal(posix.read(fd, new Uint8Array(0)), 0);
      assert.equal(posix.close(fd), 0);
    }));

  test("offsets beyond 4 GiB are exact", () =>
    inFolder(posix, (folder) => {
      const fd = posix.createFile(folder, A);
      const offset = 2 ** 33 + 5;
      assert.equal(posix.writeAt(fd, bytesOf("x"), offset), 1);
      const into = new Uint8Array(2);
      assert.equal(posix.readAt(fd, into, offset), 1);
      assert.deepEqual([...into], [...bytesOf("x\0")]);
      const stat = newStat();
      assert.equal(posix.stat(fd, stat), 0);
      assert.equal(stat.sizeBytes, offset + 1);
      assert.equal(posix.truncate(fd, 2 ** 32 + 1), 0);
      posix.stat(fd, stat);
      assert.equal(stat.sizeBytes, 2 ** 32 + 1);
      posix.close(fd);
    }));

  test("a new file is private, and its name cannot be taken twice", () =>
    inFolder(posix, (folder) => {
      putFile(posix, folder, A, bytesOf("first"));
      assert.equal(statAt(folder, A).mode, 0o600);
      assert.equal(posix.createFile(folder, A), -EEXIST);
      assert.equal(posix.symlink(cName("nowhere"), folder, B), 0);
      assert.equal(posix.createFile(folder, B), -EEXIST);
      assert.equal(contents(folder, A), "first");
    }));

  test("appending goes to the end, whoever else writes", () =>
    inFolder(posix, (folder) => {
      const one = posix.openAppend(folder, A);
      const two = posix.openAppend(folder, A);
      assert.equal(statAt(folder, A).mode, 0o600);
      for (const [fd, text] of [[one, "1,"], [two, "2,"], [one, "3,"]] as const) {
        assert.equal(posix.write(fd, bytesOf(text)), 2);
      }
      posix.close(one);
      posix.close(two);
      assert.equal(contents(folder, A), "1,2,3,");
    }));

  test("no call follows a symbolic link in the name it is given", () =>
    inFolder(posix, (folder) => {
      putFile(posix, folder, A, bytesOf("target"));
      posix.makeDirectory(folder, B, 0o700);
      posix.symlink(A, folder, cName("to-a"));
      posix.symlink(B, folder, cName("to-b"));
      const before = statAt(folder, A);
      assert.equal(posix.openRead(folder, cName("to-a")), -ELOOP);
      assert.equal(posix.openAppend(folder, cName("to-a")), -ELOOP);
      assert.ok([-ELOOP, -ENOTDIR].includes(posix.openDirectory(folder, cName("to-b"))));
      assert.equal(posix.removeDirectory(folder, cName("to-b")), -ENOTDIR);
      assert.equal(posix.setModeAt(folder, cName("to-a"), 0o777), -EOPNOTSUPP);
      assert.equal(posix.setTimesAt(folder, cName("to-a"), 1_000_000_000, 5_000_000), 0);
      assert.equal(statAt(folder, cName("to-a")).kind, KIND_SYMLINK);
      assert.equal(statAt(folder, cName("to-a")).mtimeSec, 1_000_000_000);
      assert.equal(posix.link(folder, cName("to-a"), folder, C), 0);
      assert.equal(statAt(folder, C).kind, KIND_SYMLINK);
      assert.equal(posix.unlink(folder, cName("to-a")), 0);
      assert.deepEqual(statAt(folder, A), before);
    }));

  test("directories open one name at a time, list the same twice, and know their parent", () =>
    inFolder(posix, (folder) => {
      assert.equal(posix.makeDirectory(folder, A, 0o750), 0);
      assert.equal(posix.makeDirectory(folder, A, 0o750), -EEXIST);
      const inner = posix.openDirectory(folder, A);
      assert.ok(inner >= 0);
      assert.deepEqual(posix.list(inner), []);
      for (let k = 0; k < 2000; k++) putFile(posix, inner, cName(`file number ${k}`));
      const names = posix.list(inner);
      assert.ok(Array.isArray(names));
      assert.equal(new Set(names).size, 2000);
      assert.deepEqual(posix.list(inner), names);
      const above = posix.openParent(inner);
      assert.deepEqual(posix.list(above), ["a"]);
      const [one, two] = [newStat(), newStat()];
      assert.equal(posix.statDirectory(above, one), 0);
      assert.equal(posix.statDirectory(folder, two), 0);
      assert.deepEqual(one, two);
      assert.equal(statAt(folder, A).mode, 0o750);
      posix.closeDirectory(above);
      posix.closeDirectory(inner);
      assert.equal(posix.list(inner), -EBADF);
    }));

  test("a root may be named through a link, and must be a directory", () =>
    inFolder(posix, (folder, path) => {
      posix.makeDirectory(folder, A, 0o700);
      posix.symlink(A, folder, B);
      putFile(posix, folder, C);
      const root = posix.openRoot(cName(`${path}/b`));
      assert.ok(root >= 0);
      assert.deepEqual(posix.list(root), []);
      const above = posix.openParent(root);
      assert.deepEqual((posix.list(above) as string[]).sort(), ["a", "b", "c"]);
      posix.closeDirectory(above);
      posix.closeDirectory(root);
      assert.equal(posix.openRoot(cName(`${path}/c`)), -ENOTDIR);
      assert.equal(posix.openRoot(cName(`${path}/none`)), -ENOENT);
      assert.equal(posix.openDirectory(folder, C), -ENOTDIR);
      assert.equal(posix.openDirectory(folder, cName("none")), -ENOENT);
    }));

  test("what is missing is ENOENT in every call", () =>
    inFolder(posix, (folder) => {
      const results = {
        openRead: posix.openRead(folder, A),
        statAt: posix.statAt(folder, A, newStat()),
        readLink: posix.readLink(folder, A),
        link: posix.link(folder, A, folder, B),
        rename: posix.rename(folder, A, folder, B),
        unlink: posix.unlink(folder, A),
        removeDirectory: posix.removeDirectory(folder, A),
        setModeAt: posix.setModeAt(folder, A, 0o600),
        setOwnerAt: posix.setOwnerAt(folder, A, 1, 1),
        setTimesAt: posix.setTimesAt(folder, A, 1, 0),
      };
      for (const [call, result] of Object.entries(results)) assert.equal(result, -ENOENT, call);
    }));

  test("what is closed or was never open is EBADF", () =>
    inFolder(posix, (folder) => {
      const fd = posix.createFile(folder, A);
      assert.equal(posix.close(fd), 0);
      // The number of a closed file may serve a new one at once, so one that never was is used.
      const results = {
        close: posix.close(UNKNOWN_FD),
        read: posix.read(UNKNOWN_FD, new Uint8Array(1)),
        readAt: posix.readAt(UNKNOWN_FD, new Uint8Array(1), 0),
        write: posix.write(UNKNOWN_FD, new Uint8Array(1)),
        writeAt: posix.writeAt(UNKNOWN_FD, new Uint8Array(1), 0),
        stat: posix.stat(UNKNOWN_FD, newStat()),
        truncate: posix.truncate(UNKNOWN_FD, 0),
        flushFile: posix.flushFile(UNKNOWN_FD),
        flushDirectory: posix.flushDirectory(UNKNOWN_FD),
        setFileMode: posix.setFileMode(UNKNOWN_FD, 0o600),
        setFileOwner: posix.setFileOwner(UNKNOWN_FD, 1, 1),
        setFileTimes: posix.setFileTimes(UNKNOWN_FD, 1, 0),
        tryLock: posix.tryLock(UNKNOWN_FD),
        list: posix.list(UNKNOWN_FD),
        statAt: posix.statAt(UNKNOWN_FD, A, newStat()),
        fileSystemInfo: posix.fileSystemInfo(UNKNOWN_FD),
      };
      for (const [call, result] of Object.entries(results)) assert.equal(result, -EBADF, call);
    }));

  test("unlink takes files only and removeDirectory empty directories only", () =>
    inFolder(posix, (folder) => {
      posix.makeDirectory(folder, A, 0o700);
      putFile(posix, folder, B);
      assert.equal(posix.unlink(folder, A), -EISDIR);
      assert.equal(posix.removeDirectory(folder, B), -ENOTDIR);
      const inner = posix.openDirectory(folder, A);
      putFile(posix, inner, C);
      assert.equal(posix.removeDirectory(folder, A), -ENOTEMPTY);
      assert.equal(posix.unlink(inner, C), 0);
      posix.closeDirectory(inner);
      assert.equal(posix.removeDirectory(folder, A), 0);
      assert.equal(posix.unlink(folder, B), 0);
      assert.deepEqual(posix.list(folder), []);
    }));

  test("link targets come back as they were given, and only links have one", () =>
    inFolder(posix, (folder) => {
      putFile(posix, folder, A);
      assert.equal(posix.readLink(folder, A), -EINVAL);
      assert.equal(posix.symlink(B, folder, A), -EEXIST);
      const targets = ["/", "../..//x/", "a\n\\b 🗝️", "-f", "x".repeat(4000)];
      for (const target of targets) {
        assert.equal(posix.symlink(cName(target), folder, B), 0);
        const got = posix.readLink(folder, B);
        assert.ok(got instanceof Uint8Array);
        assert.equal(Buffer.from(got).toString(), target);
        assert.equal(statAt(folder, B).sizeBytes, Buffer.byteLength(target));
        posix.unlink(folder, B);
      }
    }));

  test("hard links are one file with a count", () =>
    inFolder(posix, (folder) => {
      putFile(posix, folder, A, bytesOf("one"));
      assert.equal(posix.link(folder, A, folder, B), 0);
      assert.equal(statAt(folder, A).linkCount, 2);
      assert.deepEqual(statAt(folder, A), statAt(folder, B));
      assert.equal(posix.link(folder, A, folder, B), -EEXIST);
      posix.unlink(folder, A);
      assert.equal(statAt(folder, B).linkCount, 1);
      assert.equal(contents(folder, B), "one");
    }));

  test("rename replaces a file at once and refuses what would lose a directory", () =>
    inFolder(posix, (folder) => {
      putFile(posix, folder, A, bytesOf("new"));
      putFile(posix, folder, B, bytesOf("old"));
      assert.equal(posix.rename(folder, A, folder, B), 0);
      assert.equal(contents(folder, B), "new");
      posix.makeDirectory(folder, A, 0o700);
      posix.makeDirectory(folder, C, 0o700);
      const inner = posix.openDirectory(folder, C);
      assert.equal(posix.rename(folder, B, inner, A), 0);
      assert.equal(posix.rename(folder, A, folder, C), -ENOTEMPTY);
      assert.equal(posix.rename(inner, A, folder, A), -EISDIR);
      assert.equal(posix.rename(folder, A, inner, A), -ENOTDIR);
      assert.equal(posix.rename(folder, C, inner, B), -EINVAL);
      assert.equal(contents(inner, A), "new");
      posix.closeDirectory(inner);
    }));

  test("renameNew takes no name that is taken, or says that it cannot promise it", () =>
    inFolder(posix, (folder) => {
      putFile(posix, folder, A, bytesOf("new"));
      putFile(posix, folder, B, bytesOf("old"));
      posix.makeDirectory(folder, cName("folder"), 0o700);
      const free = posix.renameNew(folder, A, folder, C);
      if (posix.name === "portable") return assert.equal(free, -ENOSYS);
      assert.equal(free, 0);
      assert.equal(posix.renameNew(folder, C, folder, B), -EEXIST);
      assert.equal(posix.renameNew(folder, C, folder, cName("folder")), -EEXIST);
      assert.equal(posix.renameNew(folder, A, folder, A), -ENOENT);
      assert.deepEqual([contents(folder, B), contents(folder, C)], ["old", "new"]);
    }));

  test("mode bits are kept, the special ones too", () =>
    inFolder(posix, (folder) => {
      const fd = posix.createFile(folder, A);
      posix.makeDirectory(folder, B, 0o700);
      for (const mode of [0o4755, 0o2640, 0o1777, 0o000]) {
        assert.equal(posix.setFileMode(fd, mode), 0);
        assert.equal(statAt(folder, A).mode, mode);
        assert.equal(posix.setModeAt(folder, A, 0o644), 0);
        assert.equal(statAt(folder, A).mode, 0o644);
        assert.equal(posix.setModeAt(folder, B, mode), 0);
        assert.equal(statAt(folder, B).mode, mode);
      }
      posix.setModeAt(folder, B, 0o700);
      posix.close(fd);
    }));

  testWith(
    "owners are set on the thing itself, links included",
    ["root"],
    () =>
      inFolder(posix, (folder) => {
        const fd = posix.createFile(folder, A);
        posix.symlink(A, folder, B);
        assert.equal(posix.setFileOwner(fd, 3_000_000_001, 4), 0);
        assert.equal(posix.setOwnerAt(folder, B, 5, 6), 0);
        const [file, link] = [statAt(folder, A), statAt(folder, B)];
        assert.deepEqual([file.uid, file.gid, link.uid, link.gid], [3_000_000_001, 4, 5, 6]);
        posix.close(fd);
      }),
  );

  test("times are exact to the millisecond from 1970 on, and atime is none of them", () =>
    inFolder(posix, (folder, path) => {
      const fd = posix.createFile(folder, A);
      posix.symlink(A, folder, B);
      posix.makeDirectory(folder, C, 0o700);
      const atime = new Date(1_234_567_890_123);
      Deno.utimeSync(`${path}/a`, atime, atime);
      const read = newStat();
      fc.assert(fc.property(
        fc.integer({ min: 0, max: 2 ** 33 }),
        fc.integer({ min: 0, max: 999 }),
        (sec, ms) => {
          const nsec = ms * 1_000_000;
          assert.equal(posix.setFileTimes(fd, sec, nsec), 0);
          posix.stat(fd, read);
          assert.deepEqual([read.mtimeSec, read.mtimeNsec], [sec, nsec]);
          for (const name of [A, B, C]) {
            assert.equal(posix.setTimesAt(folder, name, sec, nsec), 0);
            posix.statAt(folder, name, read);
            assert.deepEqual([read.mtimeSec, read.mtimeNsec], [sec, nsec]);
          }
        },
      ));
      // Left alone, or now: what was set last above is either way not among them.
      assert.ok(Deno.statSync(`${path}/a`).atime!.getTime() >= atime.getTime());
      posix.close(fd);
    }));

  test("times before 1970 are exact to the millisecond on files and directories", () =>
    inFolder(posix, (folder) => {
      const fd = posix.createFile(folder, A);
      posix.makeDirectory(folder, B, 0o700);
      const read = newStat();
      fc.assert(fc.property(
        fc.integer({ min: -(2 ** 31) + 1, max: -1 }),
        fc.integer({ min: 0, max: 999 }),
        (sec, ms) => {
          const nsec = ms * 1_000_000;
          assert.equal(posix.setFileTimes(fd, sec, nsec), 0);
          assert.equal(posix.setTimesAt(folder, B, sec, nsec), 0);
          for (const name of [A, B]) {
            posix.statAt(folder, name, read);
            assert.equal(read.mtimeSec, sec);
            // The fallback may be late by the grain of a double.
            assert.equal(Math.floor(read.mtimeNsec / 1_000_000), ms);
          }
        },
      ));
      posix.close(fd);
    }));

  test("names of every odd kind are kept", () =>
    inFolder(posix, (folder) => {
      const names = [
        ...[
          "new\nline",
          "back\\slash",
          "-rf",
          "🗝️ ключ",
          " ",
          "...",
          '*?"<>|:',
          "\ufeffbom",
          "\x01",
        ],
        ...["x".repeat(255), "é".repeat(127), "🗝".repeat(63), "e\u0301", "é"],
      ];
      for (const name of names) putFile(posix, folder, cName(name), bytesOf(name));
      const listed = posix.list(folder);
      assert.ok(Array.isArray(listed));
      assert.deepEqual(listed.map((n) => Buffer.from(n, "latin1").toString()).sort(), names.sort());
      for (const name of names) assert.equal(contents(folder, cName(name)), name);
      assert.equal(posix.createFile(folder, cName("x".repeat(256))), -ENAMETOOLONG);
    }));

  test("any UTF-8 name makes the round trip from create to list to unlink", () =>
    inFolder(posix, (folder) => {
      const anyName = fc.string({ unit: "binary", minLength: 1, maxLength: 60 }).filter((name) =>
        !/[\0/]/.test(name) && name !== "." && name !== ".."
      );
      fc.assert(fc.property(anyName, (name) => {
        putFile(posix, folder, cName(name));
        assert.deepEqual(posix.list(folder), [Buffer.from(name).toString("latin1")]);
        assert.equal(posix.rename(folder, cName(name), folder, A), 0);
        assert.equal(posix.rename(folder, A, folder, cName(name)), 0);
        assert.equal(posix.unlink(folder, cName(name)), 0);
      }));
    }));

  testWith(
    "every kind of thing is told apart, and a FIFO does not make us wait",
    ["mkfifo"],
    () =>
      inFolder(posix, (folder, path) => {
        putFile(posix, folder, A);
        posix.makeDirectory(folder, B, 0o700);
        posix.symlink(A, folder, C);
        new Deno.Command("mkfifo", { args: [`${path}/fifo`] }).outputSync();
        using _listener = Deno.listen({ transport: "unix", path: `${path}/socket` });
        const kinds = ["a", "b", "c", "fifo", "socket"].map((n) => statAt(folder, cName(n)).kind);
        assert.deepEqual(kinds, [KIND_FILE, KIND_DIRECTORY, KIND_SYMLINK, KIND_FIFO, KIND_SOCKET]);
        const fd = posix.openRead(folder, cName("fifo"));
        const stat = newStat();
        assert.equal(posix.stat(fd, stat), 0);
        assert.equal(stat.kind, KIND_FIFO);
        posix.close(fd);
        const devices = posix.openRoot(cName("/dev"));
        const device = statAt(devices, cName("null"));
        assert.equal(device.kind, KIND_CHARACTER_DEVICE);
        if (Deno.build.os === "linux") assert.equal(device.rdev, 1 * 2 ** 32 + 3);
        posix.closeDirectory(devices);
      }),
  );

  test("the three ways to stat agree", () =>
    inFolder(posix, (folder) => {
      const fd = posix.createFile(folder, A);
      posix.write(fd, bytesOf("12345"));
      const stat = newStat();
      assert.equal(posix.stat(fd, stat), 0);
      assert.deepEqual(stat, statAt(folder, A));
      assert.equal(stat.sizeBytes, 5);
      posix.close(fd);
      posix.makeDirectory(folder, B, 0o700);
      const inner = posix.openDirectory(folder, B);
      assert.equal(posix.statDirectory(inner, stat), 0);
      assert.deepEqual(stat, statAt(folder, B));
      posix.closeDirectory(inner);
    }));

  test("what is written past the page cache is there, and the odd rest through it", () =>
    inFolder(posix, (folder) => {
      const fd = posix.createFile(folder, A);
      const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
      const bytes = new Uint8Array(memory.buffer);
      bytes.fill(7);
      const on = posix.setDirect(fd, true);
      if (posix.name === "portable") assert.equal(on, -ENOSYS);
      // Some file systems know no such thing.
      if (on !== 0) return void posix.close(fd);
      assert.equal(posix.writeAt(fd, bytes.subarray(0, DIRECT_BLOCK_BYTES), 0), DIRECT_BLOCK_BYTES);
      assert.equal(posix.setDirect(fd, false), 0);
      assert.equal(posix.writeAt(fd, bytes.subarray(1, 4), DIRECT_BLOCK_BYTES), 3);
      const read = new Uint8Array(DIRECT_BLOCK_BYTES + 10);
      assert.equal(posix.readAt(fd, read, 0), DIRECT_BLOCK_BYTES + 3);
      assert.ok(read.subarray(0, DIRECT_BLOCK_BYTES + 3).every((byte) => byte === 7));
      posix.close(fd);
    }));

  test("extended attributes are listed, read, replaced and removed, also on links and folders", () =>
    inFolder(posix, (folder) => {
      if (posix.name === "portable") return assert.equal(posix.listXattrs(folder, A), -ENOSYS);
      const fd = posix.createFile(folder, A);
      assert.deepEqual(posix.listXattrs(folder, A), []);
      const value = Uint8Array.of(0, 255, 10, 0);
      const set = posix.setXattr(folder, A, "user.one", value);
      // Not every scratch folder keeps them.
      if (set === -EOPNOTSUPP) return void posix.close(fd);
      assert.equal(set, 0);
      assert.equal(posix.setFileXattr(fd, "user.two", new Uint8Array(0)), 0);
      posix.close(fd);
      assert.deepEqual([...posix.listXattrs(folder, A) as string[]].sort(), [
        "user.one",
        "user.two",
      ]);
      assert.deepEqual(posix.getXattr(folder, A, "user.one"), value);
      assert.deepEqual(posix.getXattr(folder, A, "user.two"), new Uint8Array(0));
      assert.equal(posix.getXattr(folder, A, "user.three"), -ENODATA);
      assert.equal(posix.setXattr(folder, A, "user.one", bytesOf("new")), 0);
      assert.deepEqual(posix.getXattr(folder, A, "user.one"), bytesOf("new"));
      assert.equal(posix.removeXattr(folder, A, "user.one"), 0);
      assert.equal(posix.removeXattr(folder, A, "user.one"), -ENODATA);
      posix.symlink(bytesOf("a\0"), folder, B);
      // A link has its own: never those of what it points at, and `user.` ones are not for links.
      assert.deepEqual(posix.listXattrs(folder, B), []);
      assert.equal(posix.setXattr(folder, cName("."), "user.dir", bytesOf("d")), 0);
      assert.deepEqual(posix.listXattrs(folder, cName(".")), ["user.dir"]);
      assert.equal(posix.listXattrs(folder, cName("missing")), -ENOENT);
    }));

  test("holes take no room and are found where the system can tell", () =>
    inFolder(posix, (folder) => {
      const fd = posix.createFile(folder, A);
      posix.writeAt(fd, new Uint8Array(1 << 16).fill(1), 1 << 20);
      posix.truncate(fd, 4 << 20);
      const stat = newStat();
      assert.equal(posix.stat(fd, stat), 0);
      assert.equal(stat.sizeBytes, 4 << 20);
      assert.ok(stat.allocatedBytes >= 1 << 16 && stat.allocatedBytes < 1 << 20);
      if (posix.name === "portable") {
        assert.deepEqual([posix.seekData(fd, 0), posix.seekHole(fd, 0)], [-ENOSYS, -ENOSYS]);
      } else {
        assert.equal(posix.seekData(fd, 0), 1 << 20);
        assert.equal(posix.seekHole(fd, 1 << 20), (1 << 20) + (1 << 16));
        assert.equal(posix.seekData(fd, 2 << 20), -ENXIO);
        assert.equal(posix.seekHole(fd, 2 << 20), 2 << 20);
      }
      posix.close(fd);
    }));

  test("flushing works, and hints never fail", () =>
    inFolder(posix, (folder) => {
      const fd = posix.createFile(folder, A);
      posix.write(fd, new Uint8Array(100_000));
      posix.startWriteback(fd, 0, 100_000);
      assert.equal(posix.flushFile(fd), 0);
      assert.equal(posix.flushDirectory(folder), 0);
      assert.equal(posix.flushFileSystem(folder), posix.name === "libc" ? 0 : -ENOSYS);
      posix.dropCache(fd);
      posix.willNeed(fd);
      const cached = posix.cachedBytes(fd, 100_000);
      assert.ok(posix.name === "libc" ? cached >= -1 : cached === -1);
      posix.close(fd);
    }));

  test("a lock keeps a second open out until it is closed", () =>
    inFolder(posix, (folder) => {
      const one = posix.createFile(folder, A);
      const two = posix.openAppend(folder, A);
      assert.equal(posix.tryLock(one), 0);
      assert.equal(posix.tryLock(one), 0);
      assert.equal(posix.tryLock(two), -EAGAIN);
      posix.close(one);
      assert.equal(posix.tryLock(two), 0);
      posix.close(two);
    }));

  test("shared locks go together and keep an exclusive one out", () =>
    inFolder(posix, (folder) => {
      posix.close(posix.createFile(folder, A));
      const [one, two, three] = [1, 2, 3].map(() => posix.openRead(folder, A)) as [
        number,
        number,
        number,
      ];
      assert.equal(posix.tryLock(one, true), 0);
      assert.equal(posix.tryLock(two, true), 0);
      assert.equal(posix.tryLock(three), -EAGAIN);
      posix.close(one);
      posix.close(two);
      assert.equal(posix.tryLock(three), 0);
      posix.close(three);
    }));

  test("a lock of another process ends when that process is killed", () =>
    inFolder(posix, async (folder, path) => {
      const fd = posix.createFile(folder, A);
      const holder = `const file = Deno.openSync(Deno.args[0], { write: true });
        file.lockSync(true);
        console.log("locked");
        setInterval(() => file, 1000);`;
      await using other = startProgram(Deno.execPath(), ["eval", holder, `${path}/a`], {
        env: { DENO_DIR: `${path}/deno`, DENO_NO_UPDATE_CHECK: "1" },
      });
      await other.saw("locked");
      assert.equal(posix.tryLock(fd), -EAGAIN);
      other.kill("SIGKILL");
      await other.outcome;
      assert.equal(posix.tryLock(fd), 0);
      posix.close(fd);
    }));

  const rights = Deno.build.os === "linux" && Deno.uid() === 0 ? ["setpriv"] : [];
  testWith(
    "what the user may not do is EACCES or EPERM",
    rights,
    () =>
      inFolder(posix, async (folder, path) => {
        putFile(posix, folder, A);
        posix.setModeAt(folder, A, 0o000);
        for (const [name, mode] of [["closed", 0o000], ["fixed", 0o500]] as const) {
          posix.makeDirectory(folder, cName(name), 0o700);
          const inner = posix.openDirectory(folder, cName(name));
          putFile(posix, inner, A);
          posix.closeDirectory(inner);
          posix.setModeAt(folder, cName(name), mode);
        }
        const { out, err } = await runScript(refusedCalls(posix.name, path), {
          unprivileged: true,
        });
        assert.equal(err, "");
        assert.deepEqual(JSON.parse(out), {
          openRead: -EACCES,
          openAppend: -EACCES,
          openDirectory: -EACCES,
          createFile: -EACCES,
          unlink: -EACCES,
          makeDirectory: -EACCES,
          rename: -EACCES,
          setOwnerAt: -EPERM,
          statAt: 0,
        });
        for (const name of ["closed", "fixed"]) posix.setModeAt(folder, cName(name), 0o700);
      }),
  );

  testWith(
    "a full file system is ENOSPC and a small one tells its size",
    ["linux", "root"],
    () =>
      withTmpfs({ sizeBytes: 1 << 20 }, (mountPoint) => {
        const root = posix.openRoot(cName(mountPoint));
        assert.deepEqual(posix.fileSystemInfo(root), {
          type: "tmpfs",
          totalBytes: 1 << 20,
          freeBytes: 1 << 20,
        });
        const fd = posix.createFile(root, A);
        const block = new Uint8Array(1 << 20);
        assert.equal(posix.writeAt(fd, block, 0), 1 << 20);
        assert.equal(posix.writeAt(fd, block, 1 << 20), -ENOSPC);
        posix.close(fd);
        posix.closeDirectory(root);
      }),
  );

  testWith(
    "a read-only file system is EROFS",
    ["linux", "root"],
    () =>
      withTmpfs({ sizeBytes: 1 << 20, mountOptions: "ro" }, (mountPoint) => {
        const root = posix.openRoot(cName(mountPoint));
        assert.equal(posix.createFile(root, A), -EROFS);
        assert.equal(posix.makeDirectory(root, A, 0o700), -EROFS);
        assert.equal(posix.symlink(A, root, B), -EROFS);
        posix.closeDirectory(root);
      }),
  );

  testWith(
    "neither rename nor link crosses file systems",
    ["linux", "root"],
    () =>
      withTmpfs({ sizeBytes: 1 << 20 }, (mountPoint) =>
        inFolder(posix, (folder) => {
          const root = posix.openRoot(cName(mountPoint));
          putFile(posix, folder, A);
          assert.notEqual(statAt(folder, A).device, statAt(root, cName(".")).device);
          assert.equal(posix.rename(folder, A, root, A), -EXDEV);
          assert.equal(posix.link(folder, A, root, A), -EXDEV);
          assert.deepEqual([posix.list(folder), posix.list(root)], [["a"], []]);
          posix.closeDirectory(root);
        })),
  );
}

if (Deno.build.os === "linux") conformance(openLibc());
conformance(openPortable());
