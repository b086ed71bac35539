import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fs from "node:fs";
import { join } from "node:path";
import { type FaultyPosix, faultyPosix } from "../../tests/support/faulty_posix.ts";
import { inFolder } from "../../tests/support/posix_folder.ts";
import { EIO } from "../platform/errno.ts";
import { openPosix } from "../platform/open_posix.ts";
import { cName } from "../platform/posix.ts";
import { threadCells } from "../threads/thread_rpc.ts";
import { EntryTable, FLAG_SPARSE } from "./entry_table.ts";
import { Reader, type ReadVersion } from "./reader.ts";
import { walk } from "./walk.ts";
import type { Xattr } from "./xattrs.ts";

const posix = openPosix();
const SLOT = 1 << 16;
const PLAIN = { excludes: [], ignoreFiles: false, excludeCaches: false, oneFileSystem: false };

interface Scene {
  path: string;
  reader: Reader;
  slots: Uint8Array;
  table: EntryTable;
  row(name: string): number;
  watched: FaultyPosix;
}

/** A folder with these files, a reader that knows them, and a port that can be watched. */
function inScene(
  files: Record<string, string>,
  use: (scene: Scene) => void,
  watched = faultyPosix(posix),
): Promise<void> {
  return inFolder(posix, (_, path) => {
    for (const [name, text] of Object.entries(files)) fs.writeFileSync(join(path, name), text);
    const share = walk(posix, path, "top", PLAIN, () => {}).table.freeze();
    const table = EntryTable.fromShare(share);
    const memory = new SharedArrayBuffer(4 * SLOT);
    const reader = new Reader(watched.posix, memory, threadCells(new SharedArrayBuffer(24)));
    reader.addSource({ source: "s", path, table: share });
    const row = (name: string) => Object.keys(files).sort().indexOf(name) + 1;
    use({ path, reader, slots: new Uint8Array(memory), table, row, watched });
    reader.removeSource({ source: "s" });
    assert.equal(watched.openCount(), 0, "left open");
  });
}

const textAt = (slots: Uint8Array, from: number, to: number) =>
  new TextDecoder().decode(slots.slice(from, to));
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

Deno.test("small files come one after the other into the slot, each with its hash in the table", () =>
  inScene({ a: "first", b: "", c: "third" }, ({ reader, slots, table }) => {
    const result = reader.readFiles({
      source: "s",
      rows: Uint32Array.of(3, 1, 2),
      slotOffset: SLOT,
      slotBytes: SLOT,
    });
    assert.deepEqual([...result.ends], [5, 10, 10]);
    assert.deepEqual([result.problems, result.versions], [[], []]);
    assert.equal(textAt(slots, SLOT, SLOT + 10), "thirdfirst");
    ["first", "", "third"].forEach((text, k) => {
      assert.equal(table.sha256Hex(k + 1), sha256(text));
    });
  }));

Deno.test("one file that vanished is named and the others are read", () =>
  inScene({ a: "first", b: "second", c: "third" }, ({ path, reader, slots }) => {
    fs.rmSync(join(path, "b"));
    const result = reader.readFiles({
      source: "s",
      rows: Uint32Array.of(1, 2, 3),
      slotOffset: 0,
      slotBytes: SLOT,
    });
    assert.deepEqual(result.problems.map(({ item, code }) => [item, code]), [[1, "vanished"]]);
    assert.equal(textAt(slots, 0, result.ends[2]!), "firstthird");
  }));

Deno.test("a file that is not what was read before is a version of its own", () =>
  inScene({ a: "first" }, ({ path, reader }) => {
    const read = () =>
      reader.readFiles({ source: "s", rows: Uint32Array.of(1), slotOffset: 0, slotBytes: SLOT });
    assert.deepEqual(read().versions, []);
    assert.deepEqual(read().versions, [], "the same file again");
    fs.writeFileSync(join(path, "a"), "second");
    const [version] = read().versions;
    assert.equal(version!.version.sizeBytes, 6);
    assert.equal(version!.version.sha256, sha256("second"));
  }));

Deno.test("a file that grows while it is read is told so and can be tried again", () => {
  let grow = () => {};
  const watched = faultyPosix({
    ...posix,
    readAt(fd, into, offset) {
      grow();
      return posix.readAt(fd, into, offset);
    },
  });
  return inScene({ a: "first" }, ({ path, reader, table }) => {
    grow = () => fs.appendFileSync(join(path, "a"), "!");
    const result = reader.readFiles({
      source: "s",
      rows: Uint32Array.of(1),
      slotOffset: 0,
      slotBytes: SLOT,
    });
    grow = () => {};
    assert.deepEqual(result.problems.map(({ code, retry }) => [code, retry]), [
      ["changed_while_read", true],
    ]);
    assert.equal(table.isHashed(1), false);
    const stream = () => {
      reader.openStream({ source: "s", stream: 1, row: 1 });
      fs.appendFileSync(join(path, "a"), "more");
      return reader.readStream({ stream: 1, slotOffset: 0, slotBytes: SLOT });
    };
    assert.throws(stream, { code: "changed_while_read", retry: "later" });
  }, watched);
});

Deno.test("a large file comes in chunks with the hash of the whole at its end, and again by parts", () => {
  const text = "0123456789".repeat(20_000);
  return inScene({ a: text }, ({ reader, slots, table }) => {
    assert.equal(reader.openStream({ source: "s", stream: 5, row: 1 }).sizeBytes, text.length);
    let got = "";
    for (let isOver = false; !isOver;) {
      const chunk = reader.readStream({ stream: 5, slotOffset: SLOT, slotBytes: SLOT });
      got += textAt(slots, SLOT, SLOT + chunk.bytes);
      isOver = chunk.end !== undefined;
    }
    assert.equal(got, text);
    assert.equal(table.sha256Hex(1), sha256(text));
    const c = table.columns;
    const part = (sizeBytes: number) =>
      reader.readPart({
        source: "s",
        row: 1,
        offset: SLOT,
        slotOffset: 0,
        slotBytes: SLOT,
        sizeBytes,
        mtimeSec: c.mtimeSec[1]!,
        mtimeNsec: c.mtimeNsec[1]!,
      });
    assert.equal(part(text.length).bytes, SLOT);
    assert.equal(textAt(slots, 0, SLOT), text.slice(SLOT, 2 * SLOT));
    assert.throws(() => part(text.length + 1), { code: "changed_while_read" });
  });
});

Deno.test("a stream that nobody reads to its end is closed with its source", () =>
  inScene({ a: "x".repeat(SLOT * 2) }, ({ reader }) => {
    reader.openStream({ source: "s", stream: 1, row: 1 });
    reader.readStream({ stream: 1, slotOffset: 0, slotBytes: SLOT });
  }));

Deno.test("a disk error at any call is a problem of one file or an error, and nothing stays open", async () => {
  for (let number = 2; number < 12; number++) {
    const watched = faultyPosix(
      posix,
      (call) => call.number === number ? { kind: "error", errno: EIO } : undefined,
    );
    await inScene({ a: "first", b: "second" }, ({ reader, table }) => {
      const result = reader.readFiles({
        source: "s",
        rows: Uint32Array.of(1, 2),
        slotOffset: 0,
        slotBytes: SLOT,
      });
      for (const item of [0, 1]) {
        const isTold = result.problems.some((problem) => problem.item === item);
        assert.equal(table.isHashed(item + 1), !isTold, `call ${number}, file ${item}`);
      }
    }, watched);
  }
});

/** `user.` attributes, where the scratch folder keeps them. */
function setUser(path: string, name: string, value: string): boolean {
  const folder = posix.openRoot(cName(path.slice(0, path.lastIndexOf("/"))));
  const file = cName(path.slice(path.lastIndexOf("/") + 1));
  const result = posix.setXattr(folder, file, `user.${name}`, new TextEncoder().encode(value));
  posix.closeDirectory(folder);
  return result === 0;
}

const texts = (list: readonly Xattr[]) =>
  list.map(({ name, value }) => `${name}=${new TextDecoder().decode(value)}`);

for (const way of ["at once", "in chunks"] as const) {
  Deno.test(`attributes that change after the listing are those of the version that was read, ${way}`, () =>
    inScene({ a: "first", b: "second" }, ({ path, reader, table }) => {
      const read = (): ReadVersion | undefined => {
        if (way === "at once") {
          const result = reader.readFiles({
            source: "s",
            rows: Uint32Array.of(1),
            slotOffset: 0,
            slotBytes: SLOT,
          });
          assert.deepEqual(result.problems, []);
          return result.versions[0]?.version;
        }
        reader.openStream({ source: "s", stream: 1, row: 1 });
        return reader.readStream({ stream: 1, slotOffset: 0, slotBytes: SLOT }).end!.version;
      };
      const file = join(path, "a");
      if (!setUser(file, "one", "1")) return;
      assert.deepEqual(table.xattrs(1), [], "the listing knows none");
      assert.equal(read(), undefined);
      assert.deepEqual(texts(table.xattrs(1)), ["user.one=1"], "the first read fills the row in");
      assert.equal(read(), undefined, "the same again");
      setUser(file, "two", "2");
      const version = read()!;
      assert.deepEqual(texts(version.xattrs!), ["user.one=1", "user.two=2"]);
      assert.equal(version.sha256, table.sha256Hex(1));
      assert.deepEqual(texts(table.xattrs(1)), ["user.one=1"], "the row stays as it was");
      fs.chmodSync(file, 0o600);
      assert.deepEqual(texts(read()!.xattrs!), ["user.one=1", "user.two=2"]);
      assert.deepEqual(table.xattrs(2), []);
    }));
}

Deno.test("another file under the name while the attributes are read is a change", () => {
  let swap = () => {};
  const watched = faultyPosix({
    ...posix,
    listXattrs(at, name) {
      swap();
      return posix.listXattrs(at, name);
    },
  });
  return inScene({ a: "first" }, ({ path, reader }) => {
    fs.writeFileSync(join(path, "a"), "changed");
    fs.writeFileSync(join(path, "other"), "changed");
    swap = () => fs.renameSync(join(path, "other"), join(path, "a"));
    const request = { source: "s", rows: Uint32Array.of(1), slotOffset: 0, slotBytes: SLOT };
    const result = reader.readFiles(request);
    swap = () => {};
    assert.deepEqual(result.problems.map(({ code, retry }) => [code, retry]), [
      ["changed_while_read", true],
    ]);
  }, watched);
});

Deno.test("the holes of a large file are not read, and come as zeros", () => {
  let readBytes = 0;
  const watched = faultyPosix({
    ...posix,
    readAt(fd, into, offset) {
      readBytes += into.length;
      return posix.readAt(fd, into, offset);
    },
  });
  return inScene({ a: "" }, ({ path, reader, slots, table }) => {
    const file = join(path, "a");
    const size = 40 << 20;
    fs.truncateSync(file, size);
    const fd = fs.openSync(file, "r+");
    fs.writeSync(fd, "data", 20 << 20);
    fs.closeSync(fd);
    const hash = createHash("sha256");
    reader.openStream({ source: "s", stream: 1, row: 1 });
    for (;;) {
      slots.fill(9);
      const chunk = reader.readStream({ stream: 1, slotOffset: 0, slotBytes: slots.length });
      hash.update(slots.subarray(0, chunk.bytes));
      if (chunk.end !== undefined) break;
    }
    const expected = createHash("sha256").update(fs.readFileSync(file)).digest("hex");
    assert.deepEqual([hash.digest("hex"), table.sha256Hex(1)], [expected, expected]);
    assert.equal(table.columns.flags[1]! & FLAG_SPARSE, FLAG_SPARSE);
    if (posix.name === "libc") assert.ok(readBytes < 1 << 20, `${readBytes}`);
  }, watched);
});
