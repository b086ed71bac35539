import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { tableOfFiles } from "../../../tests/support/sample_table.ts";
import { inScratch } from "../../../tests/support/small_tree.ts";
import { needs } from "../../../tests/support/tools.ts";
import { openDestination } from "../../destinations/local_destination.ts";
import { unlimited } from "../../destinations/pacer.ts";
import { EINVAL, EOPNOTSUPP } from "../../platform/errno.ts";
import { openPosix } from "../../platform/open_posix.ts";
import { newStat, type Posix } from "../../platform/posix.ts";
import { FLAG_SPARSE } from "../../source/entry_table.ts";
import { type ThreadCells, threadCells } from "../../threads/thread_rpc.ts";
import { STATUS_STAGED, STATUS_WANTED } from "./entry_status.ts";
import { LaneCall } from "./lane_call.ts";
import { LaneTask } from "./lane_task.ts";
import { LaneWriter } from "./lane_writer.ts";
import { NOT_KEPT_XATTRS } from "./not_kept.ts";

const posix = openPosix();
const ROW = 1;

interface Scene {
  writer: LaneWriter;
  task: LaneTask;
  cells: ThreadCells;
  staged: string;
  copy: string;
}

/** One file; `portOf` makes the disk of the thread, which may give itself up in the middle of a call. */
function inScene(
  portOf: (giveUp: () => void) => Posix,
  use: (scene: Scene) => void,
  slots: SharedArrayBuffer = threeBytes(),
): Promise<void> {
  return inScratch((folder) => {
    const cells = threadCells(new SharedArrayBuffer(24));
    const port = portOf(() => Atomics.store(cells.fenced, 0, 1));
    const wanted = { name: "copy", hostId: "h", hostName: "h", sourcePath: "/s" };
    const destination = openDestination(posix, join(folder, "to"), [wanted], "test", "now");
    // Whatever file system the scratch folder is on.
    destination.directWrites = true;
    const share = tableOfFiles([slots.byteLength]).freeze();
    const task = new LaneTask(port, destination.root, destination.stage, {
      task: "task",
      name: "copy",
      bindingKey: "s1",
      sourcePath: "/s",
      runId: "run",
      stageName: "run-1",
      table: share,
      status: new SharedArrayBuffer(share.count),
      knownSha256: new SharedArrayBuffer(0),
    });
    task.status[ROW] = STATUS_WANTED;
    const identity = { uid: 0, gid: 0 };
    const writer = new LaneWriter(
      port,
      destination,
      slots,
      new LaneCall(cells),
      unlimited,
      identity,
    );
    writer.folders.make(task);
    const staged = join(folder, "to/.backup-agent/stage/s1/run-1/t1");
    use({ writer, task, cells, staged, copy: join(folder, "to/copy/f000000") });
    task.close();
    destination.close();
  });
}

function threeBytes(): SharedArrayBuffer {
  const slots = new SharedArrayBuffer(3);
  new Uint8Array(slots).set([97, 98, 99]);
  return slots;
}

/** Memory that starts at a page, with a pattern in it. */
function pageOfBytes(): SharedArrayBuffer {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  new Uint8Array(memory.buffer).forEach((_, i, bytes) => bytes[i] = i % 251);
  return memory.buffer as unknown as SharedArrayBuffer;
}

const ITEMS = [{ row: ROW, offset: 0, sizeBytes: 3 }];
const STANDING = { keepOld: true, strangers: new Set<number>(), ours: new Set<number>() };

Deno.test({
  ...needs("a thread that wakes after it was given up leaves its successor's file alone", "linux"),
  fn: () => {
    let isAsleep = true;
    const theirs = newStat();
    return inScene((giveUp) => ({
      ...posix,
      createFile(at, name) {
        // While it slept here its successor made the file.
        if (isAsleep) {
          const fd = posix.createFile(at, name);
          posix.stat(fd, theirs);
          posix.close(fd);
        }
        isAsleep = false;
        giveUp();
        return posix.createFile(at, name);
      },
    }), ({ writer, task, staged }) => {
      const problems = writer.files.writeFiles(task, ITEMS);
      assert.deepEqual(problems.map(({ code }) => code), ["cancelled"]);
      assert.equal(fs.statSync(staged).ino % 2 ** 32, theirs.inodeLow);
      assert.equal(task.status[ROW], STATUS_WANTED);
    });
  },
});

Deno.test({
  ...needs("a thread that was given up says of no file that it is staged", "linux"),
  fn: () =>
    inScene((giveUp) => ({
      ...posix,
      close(fd) {
        giveUp();
        return posix.close(fd);
      },
    }), ({ writer, task }) => {
      writer.files.writeFiles(task, ITEMS);
      assert.equal(task.status[ROW], STATUS_WANTED);
    }),
});

Deno.test({
  ...needs("a thread that was given up renames nothing any more", "linux"),
  fn: () => {
    let isPublishing = false;
    return inScene((giveUp) => ({
      ...posix,
      link(...names) {
        if (isPublishing) giveUp();
        return posix.link(...names);
      },
    }), ({ writer, task, copy }) => {
      assert.deepEqual(writer.files.writeFiles(task, ITEMS), []);
      fs.writeFileSync(copy, "what stood there");
      isPublishing = true;
      const moved = writer.publisher.publish(task, Uint32Array.of(ROW), new Map(), STANDING);
      assert.deepEqual([moved.published, moved.problems], [0, []]);
      assert.equal(fs.readFileSync(copy, "utf8"), "what stood there");
      assert.equal(task.status[ROW], STATUS_STAGED);
    });
  },
});

const ODD_BYTES = 1234;

/** Writes the memory as one large file in two chunks, the last of odd length; answers what was asked of the disk. */
async function largeFile(change: Partial<Posix>): Promise<string[]> {
  const asked: string[] = [];
  const slots = pageOfBytes();
  const half = slots.byteLength / 2;
  await inScene(
    () => ({
      ...posix,
      ...change,
      writeAt(fd, bytes, offset) {
        asked.push(`${bytes.byteLength}@${offset}`);
        return (change.writeAt ?? posix.writeAt)(fd, bytes, offset);
      },
    }),
    ({ writer, task, staged }) => {
      assert.equal(writer.files.beginFile(task, 1, ROW), undefined);
      assert.equal(writer.files.writeChunk(task, 1, 0, half), undefined);
      assert.equal(writer.files.writeChunk(task, 1, half, half - ODD_BYTES), undefined);
      assert.equal(writer.files.endFile(task, 1, undefined), undefined);
      assert.equal(task.status[ROW], STATUS_STAGED);
      const wanted = new Uint8Array(slots).slice(0, slots.byteLength - ODD_BYTES);
      assert.deepEqual(new Uint8Array(fs.readFileSync(staged)), wanted);
    },
    slots,
  );
  return asked;
}

Deno.test({
  ...needs("a large file is written past the page cache up to its last whole block", "linux"),
  fn: async () => {
    const switched: boolean[] = [];
    const asked = await largeFile({
      setDirect(_fd, on) {
        switched.push(on);
        return 0;
      },
    });
    assert.deepEqual(switched, [true, false]);
    assert.deepEqual(asked, ["32768@0", "28672@32768", "2862@61440"]);
  },
});

Deno.test({
  ...needs("a large file is written through the page cache where the disk wants that", "linux"),
  fn: async () => {
    let isDirect = false;
    const asked = await largeFile({
      setDirect(_fd, on) {
        isDirect = on;
        return 0;
      },
      writeAt: (fd, bytes, offset) => isDirect ? -EINVAL : posix.writeAt(fd, bytes, offset),
    });
    assert.deepEqual(asked, ["32768@0", "32768@0", "31534@32768"]);
    assert.deepEqual(await largeFile({ setDirect: () => -EINVAL }), ["32768@0", "31534@32768"]);
  },
});

Deno.test({
  ...needs(
    "of a file with holes whole blocks of zeros are not written, and its length is right",
    "linux",
  ),
  fn: async () => {
    const slots = pageOfBytes();
    const bytes = new Uint8Array(slots);
    bytes.fill(0, 4096, 40_960);
    bytes.fill(0, 50_000);
    const half = slots.byteLength / 2;
    for (const way of ["whole", "chunks"] as const) {
      const asked: string[] = [];
      await inScene(
        () => ({
          ...posix,
          setDirect: () => assert.fail("zeros are looked for in the page cache"),
          writeAt(fd, part, offset) {
            asked.push(`${part.byteLength}@${offset}`);
            return posix.writeAt(fd, part, offset);
          },
        }),
        ({ writer, task, staged }) => {
          task.table.columns.flags[ROW]! |= FLAG_SPARSE;
          if (way === "whole") {
            const item = { row: ROW, offset: 0, sizeBytes: slots.byteLength };
            assert.deepEqual(writer.files.writeFiles(task, [item]), []);
          } else {
            assert.equal(writer.files.beginFile(task, 1, ROW), undefined);
            assert.equal(writer.files.writeChunk(task, 1, 0, half), undefined);
            assert.equal(writer.files.writeChunk(task, 1, half, half), undefined);
            assert.equal(writer.files.endFile(task, 1, undefined), undefined);
          }
          assert.deepEqual(new Uint8Array(fs.readFileSync(staged)), bytes.slice());
        },
        slots,
      );
      assert.deepEqual(asked, ["4096@0", "12288@40960"], way);
    }
  },
});

Deno.test({
  ...needs(
    "a later version of a file gets its own attributes; refused ones are counted once a file",
    "linux",
  ),
  fn: () => {
    const set: string[] = [];
    return inScene(() => ({
      ...posix,
      setFileXattr(_fd, attribute) {
        set.push(attribute);
        return attribute === "user.fits" ? 0 : -EOPNOTSUPP;
      },
    }), ({ writer, task }) => {
      const value = Uint8Array.of(1);
      const xattrs = ["user.a", "user.b", "user.fits"].map((name) => ({ name, value }));
      const version = { ...newStat(), sizeBytes: 3, mode: 0o640, sha256: "00".repeat(32), xattrs };
      assert.deepEqual(writer.files.writeFiles(task, [{ ...ITEMS[0]!, version }]), []);
      assert.deepEqual(set, ["user.a", "user.b", "user.fits"]);
      assert.equal(task.status[ROW], STATUS_STAGED);
      assert.equal(task.notKept[NOT_KEPT_XATTRS], 1);
    });
  },
});
