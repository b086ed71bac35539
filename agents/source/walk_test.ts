import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { faultyPosix } from "../../tests/support/faulty_posix.ts";
import { inFolder, putFile } from "../../tests/support/posix_folder.ts";
import { needs } from "../../tests/support/tools.ts";
import type { ScanCounters } from "../../protocol/mesh/progress.ts";
import { EACCES, EIO, ENOENT, EOPNOTSUPP, EPERM } from "../platform/errno.ts";
import { openPosix } from "../platform/open_posix.ts";
import { cName, KIND_FILE, KIND_SYMLINK, type Posix } from "../platform/posix.ts";
import { type EntryTable, FLAG_LISTING_FAILED, FLAG_XATTRS_UNKNOWN, NONE } from "./entry_table.ts";
import { walk, walkCancelled, type WalkOptions, type WalkResult } from "./walk.ts";

const posix = openPosix();
const PLAIN: WalkOptions = {
  excludes: [],
  ignoreFiles: false,
  excludeCaches: false,
  oneFileSystem: false,
};

function walked(path: string, port: Posix = posix, options = PLAIN): WalkResult {
  return walk(port, path, "top", options, () => {});
}

function pathsOf(table: EntryTable): string[] {
  return Array.from({ length: table.count }, (_, row) => table.pathLatin1(row));
}

/** What stock `find` sees, one byte a character, in the order of path components. */
function foundBy(path: string): string[] {
  const { stdout } = new Deno.Command("find", { args: [path, "-printf", "%P\\0"] }).outputSync();
  const latin1 = Array.from(stdout, (byte) => String.fromCharCode(byte)).join("");
  return latin1.split("\0").slice(0, -1).map((text) => text.split("/")).sort((a, b) => {
    const at = a.findIndex((part, k) => part !== b[k]);
    if (at < 0) return a.length - b.length;
    return b[at] === undefined ? 1 : a[at]! < b[at]! ? -1 : 1;
  }).map((parts) => parts.join("/"));
}

Deno.test({
  ...needs("every entry is listed in walk order, with names of any bytes", "linux", "find"),
  fn: () =>
    inFolder(posix, (at, path) => {
      for (
        const name of ["a-b", "a.b", "-n", "new\nline", "back\\slash", "😀", " ", "z".repeat(255)]
      ) {
        fs.writeFileSync(join(path, name), name);
      }
      putFile(posix, at, Uint8Array.of(0xff, 0xfe, 0));
      putFile(posix, at, Uint8Array.of(1, 0));
      fs.mkdirSync(join(path, "a/b/c"), { recursive: true });
      fs.mkdirSync(join(path, "empty"));
      fs.writeFileSync(join(path, "a/b/x"), "123");
      fs.symlinkSync("nowhere", join(path, "a/link"));
      const { table, counters, unreadable } = walked(path);
      assert.deepEqual(pathsOf(table), foundBy(path));
      assert.deepEqual(unreadable, []);
      for (let row = 1; row < table.count; row++) {
        const parent = table.columns.parent[row]!;
        assert.ok(parent < row, "a directory before what is in it");
      }
      const { files, directories, others } = counters;
      assert.equal(files + directories + others, table.count);
      assert.deepEqual([files, directories, others], [11, 5, 1]);
      const named = pathsOf(table);
      assert.equal(table.columns.kind[named.indexOf("a/link")], KIND_SYMLINK);
      assert.equal(table.columns.kind[named.indexOf("a/b/x")], KIND_FILE);
    }),
});

Deno.test({
  ...needs(
    "a tree deeper than the levels that stay open is listed whole, on the way up too",
    "linux",
    "find",
  ),
  fn: () =>
    inFolder(posix, (root, path) => {
      let at = posix.openDirectory(root, cName("."));
      // Something to list on every level after the one below it came back.
      for (let level = 0; level < 260; level++) {
        putFile(posix, at, cName("a"));
        putFile(posix, at, cName("z"));
        assert.equal(posix.makeDirectory(at, cName("m"), 0o755), 0);
        const next = posix.openDirectory(at, cName("m"));
        posix.closeDirectory(at);
        at = next;
      }
      posix.closeDirectory(at);
      const watched = faultyPosix(posix);
      const { table, counters } = walked(path, watched.posix);
      assert.equal(watched.openCount(), 0);
      assert.equal(counters.files, 520);
      assert.deepEqual(pathsOf(table), foundBy(path));
    }),
});

Deno.test("further names of one file point to the first and cost no bytes", () =>
  inFolder(posix, (_, path) => {
    fs.mkdirSync(join(path, "d"));
    fs.writeFileSync(join(path, "d/first"), "12345");
    fs.linkSync(join(path, "d/first"), join(path, "z"));
    fs.linkSync(join(path, "d/first"), join(path, "d/second"));
    fs.writeFileSync(join(path, "single"), "1");
    const { table, counters } = walked(path);
    const at = (name: string) => pathsOf(table).indexOf(name);
    assert.equal(table.columns.linkTo[at("d/first")], NONE);
    assert.equal(table.columns.linkTo[at("d/second")], at("d/first"));
    assert.equal(table.columns.linkTo[at("z")], at("d/first"));
    assert.equal(table.columns.linkTo[at("single")], NONE);
    assert.deepEqual([counters.files, counters.bytes], [4, 6]);
  }));

Deno.test("what vanishes or may not be read is named, once, and the rest is listed", () =>
  inFolder(posix, (_, path) => {
    fs.symlinkSync("a", join(path, "dirlink"));
    for (const name of ["a", "b", "dir", "dir2"]) {
      if (name.startsWith("dir")) {
        fs.mkdirSync(join(path, name));
        fs.writeFileSync(join(path, name, "inner"), "");
      } else fs.writeFileSync(join(path, name), "");
    }
    const fails = (name: string, errno: number, of: string) => {
      const text = new TextEncoder().encode(`${of}\0`);
      return faultyPosix({
        ...posix,
        [name]: (at: number, bytes: Uint8Array, ...rest: unknown[]) =>
          bytes.length === text.length && bytes.every((byte, k) => byte === text[k])
            ? -errno
            // deno-lint-ignore no-explicit-any -- one of the calls that take a handle and a name
            : (posix as any)[name](at, bytes, ...rest),
      });
    };
    const gone = fails("statAt", ENOENT, "a");
    const first = walked(path, gone.posix);
    assert.equal(gone.openCount(), 0);
    assert.deepEqual(first.unreadable.map((one) => [one.path, one.code]), [["top/a", "not_found"]]);
    const others = ["b", "dir", "dir/inner", "dir2", "dir2/inner"];
    assert.deepEqual(pathsOf(first.table), ["", ...others, "dirlink"]);
    assert.equal(first.counters.unreadable, 1);

    const closed = fails("openDirectory", EACCES, "dir");
    const second = walked(path, closed.posix);
    assert.equal(closed.openCount(), 0);
    assert.deepEqual(second.unreadable.map((one) => [one.path, one.code]), [
      ["top/dir", "permission"],
    ]);
    const row = pathsOf(second.table).indexOf("dir");
    assert.equal(second.table.columns.flags[row]! & FLAG_LISTING_FAILED, FLAG_LISTING_FAILED);
    assert.ok(pathsOf(second.table).includes("dir2/inner"));
  }));

Deno.test("a directory with an entry that cannot be told is marked as not fully listed, unless the entry vanished", () =>
  inFolder(posix, (_, path) => {
    fs.mkdirSync(join(path, "dir"));
    fs.writeFileSync(join(path, "dir/file"), "");
    fs.symlinkSync("file", join(path, "dir/link"));
    const marked = (port: Partial<Posix>) => {
      const { table, unreadable } = walked(path, { ...posix, ...port });
      const flagged = pathsOf(table).filter((_, row) =>
        (table.columns.flags[row]! & FLAG_LISTING_FAILED) !== 0
      );
      return [flagged, unreadable.length];
    };
    const statFails = (errno: number): Partial<Posix> => ({
      statAt: (at, name, out) =>
        new TextDecoder().decode(name) === "file\0" ? -errno : posix.statAt(at, name, out),
    });
    assert.deepEqual(marked({}), [[], 0]);
    assert.deepEqual(marked(statFails(EACCES)), [["dir"], 1]);
    assert.deepEqual(marked(statFails(ENOENT)), [[], 1]);
    assert.deepEqual(marked({ readLink: () => -EACCES }), [["dir"], 1]);
    assert.deepEqual(marked({ readLink: () => -ENOENT }), [[], 1]);
  }));

Deno.test("every entry is a sign of life and a chance to stop, also those that a rule leaves out", () =>
  inFolder(posix, (_, path) => {
    fs.mkdirSync(join(path, "cache"));
    const tag = "Signature: 8a477f597d28d172789f06886806bc55\n";
    fs.writeFileSync(join(path, "cache/CACHEDIR.TAG"), tag);
    for (let k = 0; k < 50; k++) {
      fs.writeFileSync(join(path, `left-out-${k}`), "");
      fs.writeFileSync(join(path, `cache/${k}`), "");
    }
    const excludes = [{ pattern: "left-out-*", origin: "here" }];
    const options = { ...PLAIN, excludes, excludeCaches: true };
    const watched = faultyPosix(posix);
    const statsAtProgress: number[] = [];
    const stats = () => watched.calls.filter(({ name }) => name === "statAt").length;
    walk(watched.posix, path, "top", options, () => statsAtProgress.push(stats()));
    assert.equal(stats(), 102);
    for (let n = 0; n < 102; n++) assert.ok(statsAtProgress.includes(n), `before stat ${n + 1}`);

    let entries = 0;
    const stop = () => {
      if (++entries === 40) throw walkCancelled();
    };
    assert.throws(() => walk(watched.posix, path, "top", options, stop), { code: "cancelled" });
    assert.equal(watched.openCount(), 0);
  }));

Deno.test("whichever call fails, the walk ends with an error or with a name for it, and nothing stays open", () =>
  inFolder(posix, (_, path) => {
    fs.mkdirSync(join(path, "a/b"), { recursive: true });
    fs.writeFileSync(join(path, "a/file"), "1");
    fs.symlinkSync("x", join(path, "a/link"));
    fs.writeFileSync(join(path, ".backupignore"), "nothing-like-this\n");
    const options = { ...PLAIN, ignoreFiles: true };
    const whole = faultyPosix(posix);
    const all = walked(path, whole.posix, options);
    assert.equal(all.counters.unreadable, 0);
    for (const { number, name } of whole.calls) {
      if (name === "closeDirectory" || name === "close") continue;
      const faulty = faultyPosix(
        posix,
        (call) => call.number === number ? { kind: "error", errno: EACCES } : undefined,
      );
      let told = false;
      try {
        told = walked(path, faulty.posix, options).counters.unreadable === 1;
      } catch {
        told = true;
      }
      assert.ok(told, `call ${number} (${name})`);
      assert.equal(faulty.openCount(), 0, `call ${number} (${name})`);
    }
  }));

Deno.test("a walk can be stopped from its progress and closes what it opened", () =>
  inFolder(posix, (_, path) => {
    for (let k = 0; k < 2100; k++) fs.writeFileSync(join(path, `f${k}`), "");
    const watched = faultyPosix(posix);
    let seen: ScanCounters | undefined;
    const stop = (counters: ScanCounters) => {
      seen = counters;
      throw walkCancelled();
    };
    assert.throws(() => walk(watched.posix, path, "top", PLAIN, stop), { code: "cancelled" });
    assert.ok(seen!.files < 2100);
    assert.equal(watched.openCount(), 0);
  }));

Deno.test("a root that is missing or no folder is an error that names it", () =>
  inFolder(posix, (_, path) => {
    fs.writeFileSync(join(path, "file"), "");
    assert.throws(() => walked(join(path, "missing")), { code: "not_found", hint: undefined });
    assert.throws(() => walked(join(path, "not \uFFFD UTF-8")), /No such file/);
    assert.throws(() => walked(join(path, "not \uFFFD UTF-8")), { hint: /not UTF-8/ });
    assert.throws(() => walked(join(path, "file")), {
      code: "not_a_directory",
      message: `${join(path, "file")} is no folder`,
    });
  }));

Deno.test({
  ...needs(
    "sockets are counted under a rule, FIFOs are kept, and neither is ever opened",
    "linux",
    "mkfifo",
  ),
  fn: () =>
    inFolder(posix, async (_, path) => {
      new Deno.Command("mkfifo", { args: [join(path, "fifo")] }).outputSync();
      const listener = Deno.listen({ transport: "unix", path: join(path, "socket") });
      const { table, counters, excluded } = walked(path);
      listener.close();
      await Promise.resolve();
      assert.deepEqual(pathsOf(table), ["", "fifo"]);
      assert.equal(counters.others, 1);
      assert.equal(counters.excluded, 1);
      assert.equal(excluded[0]!.files, 1);
    }),
});

Deno.test("a file system without attributes is asked once, and a walk that wants none never", () =>
  inFolder(posix, (_, path) => {
    for (let k = 0; k < 20; k++) fs.writeFileSync(join(path, `f${k}`), "");
    let asked = 0;
    const without: Posix = { ...posix, listXattrs: () => (asked++, -EOPNOTSUPP) };
    const { counters, table } = walked(path, without);
    assert.deepEqual([asked, counters.unreadable, table.count], [1, 0, 21]);
    walked(path, without, { ...PLAIN, skipXattrs: true });
    assert.equal(asked, 1);
  }));

Deno.test("attributes that cannot be read are named and flagged, and the entry is listed all the same", () =>
  inFolder(posix, (_, path) => {
    fs.writeFileSync(join(path, "bad"), "");
    fs.writeFileSync(join(path, "refused"), "");
    fs.writeFileSync(join(path, "well"), "");
    const answers: Record<string, number> = { "bad\0": -EIO, "refused\0": -EPERM };
    const { table, unreadable, counters } = walked(path, {
      ...posix,
      listXattrs: (_at, name) => answers[new TextDecoder().decode(name)] ?? ["user.a"],
      getXattr: () => Uint8Array.of(1),
    });
    assert.deepEqual(unreadable.map((one) => [one.path, one.code]), [["top/bad", "io"]]);
    assert.equal(counters.unreadable, 1);
    const rows = pathsOf(table).map((name, row) => [
      name,
      table.columns.flags[row]! & FLAG_XATTRS_UNKNOWN,
      table.xattrs(row).map((one) => one.name).join(),
    ]);
    assert.deepEqual(rows, [
      ["", 0, "user.a"],
      ["bad", FLAG_XATTRS_UNKNOWN, ""],
      ["refused", 0, ""],
      ["well", 0, "user.a"],
    ]);
  }));

Deno.test("where /proc is missing the walk says that attributes are not kept", () =>
  inFolder(posix, (_, path) => {
    const { warnings, counters } = walked(path, { ...posix, listXattrs: () => -ENOENT });
    assert.equal(warnings.length, 1);
    assert.match(warnings[0]!, /Extended attributes and ACLs are not kept/);
    assert.equal(counters.unreadable, 0);
  }));

Deno.test({
  ...needs("links and nodes with several names are one thing too", "linux", "mkfifo"),
  fn: () =>
    inFolder(posix, (_, path) => {
      fs.symlinkSync("x", join(path, "link"));
      fs.linkSync(join(path, "link"), join(path, "link-too"));
      new Deno.Command("mkfifo", { args: [join(path, "pipe")] }).outputSync();
      fs.linkSync(join(path, "pipe"), join(path, "pipe-too"));
      const { table, counters } = walked(path);
      const { linkTo } = table.columns;
      assert.deepEqual([...linkTo.subarray(0, 5)], [NONE, NONE, 1, NONE, 3]);
      assert.deepEqual([counters.others, counters.files], [4, 0]);
    }),
});
