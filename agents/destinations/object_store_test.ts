import assert from "node:assert/strict";
import { join } from "node:path";
import { BackupError } from "../../protocol/base/errors.ts";
import { ENOSPC } from "../platform/errno.ts";
import { openPosix } from "../platform/open_posix.ts";
import { openPortable } from "../platform/portable.ts";
import type { Posix } from "../platform/posix.ts";
import { openLocalObjectStore } from "./local_object_store.ts";
import { MemoryObjectStore } from "./memory_object_store.ts";
import { isTemporaryOf, WRITER_DIGITS } from "./object_store.ts";
import { objectStoreSuite } from "./object_store_suite.ts";

function inFolder(posix: Posix) {
  return () => {
    const folder = Deno.makeTempDirSync();
    return {
      store: openLocalObjectStore(posix, folder),
      dispose: () => Deno.removeSync(folder, { recursive: true }),
    };
  };
}

objectStoreSuite("memory", () => ({ store: new MemoryObjectStore(), dispose() {} }));
objectStoreSuite("local folder", inFolder(openPosix()));
objectStoreSuite("local folder, portable", inFolder(openPortable()));

Deno.test("object store (local folder): a full disk leaves neither the name nor a temporary file", async () => {
  const folder = Deno.makeTempDirSync();
  const posix = openPosix();
  let room = 3;
  const full: Posix = {
    ...posix,
    writeAt: (fd, part, offset) => {
      if (room === 0) return -ENOSPC;
      const some = Math.min(room, part.length);
      room -= some;
      return posix.writeAt(fd, part.subarray(0, some), offset);
    },
  };
  const store = openLocalObjectStore(full, folder);
  await assert.rejects(
    store.put("data/ab/x", [new Uint8Array(10)]),
    (error) => error instanceof BackupError && error.code === "no_space",
  );
  assert.deepEqual([...Deno.readDirSync(join(folder, "data/ab"))], []);
  store.close();
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("object store (local folder): files are 0400 in folders of 0700, and links are not followed", async () => {
  const folder = Deno.makeTempDirSync();
  const store = openLocalObjectStore(openPosix(), folder);
  await store.put("data/ab/x", [new Uint8Array(10)]);
  assert.equal(Deno.statSync(join(folder, "data/ab/x")).mode! & 0o777, 0o400);
  assert.equal(Deno.statSync(join(folder, "data/ab")).mode! & 0o777, 0o700);
  const elsewhere = Deno.makeTempDirSync();
  Deno.symlinkSync(elsewhere, join(folder, "keys"));
  await assert.rejects(store.put("keys/x", [new Uint8Array(1)]), BackupError);
  await assert.rejects(store.list("keys"), BackupError);
  assert.deepEqual([...Deno.readDirSync(elsewhere)], []);
  // A file that a crash left is not listed.
  Deno.writeTextFileSync(join(folder, "data/ab/y-tmp-12ab"), "x");
  assert.deepEqual(await store.list("data"), [{ name: "data/ab/x", sizeBytes: 10 }]);
  assert.deepEqual(await store.leftovers("data"), [{ name: "data/ab/y-tmp-12ab", sizeBytes: 1 }]);
  store.close();
  for (const path of [folder, elsewhere]) Deno.removeSync(path, { recursive: true });
});

Deno.test("object store (local folder): what is being written says who writes it", async () => {
  const folder = Deno.makeTempDirSync();
  const posix = openPosix();
  const seen: string[] = [];
  const watched: Posix = {
    ...posix,
    flushFile: (fd) => {
      seen.push(...[...Deno.readDirSync(join(folder, "data/ab"))].map(({ name }) => name));
      return posix.flushFile(fd);
    },
  };
  const writer = "0123456789abcdef".repeat(3).slice(0, WRITER_DIGITS);
  const store = openLocalObjectStore(watched, folder, writer);
  await store.put("data/ab/x", [new Uint8Array(1)]);
  assert.equal(seen.length, 1);
  assert.equal(isTemporaryOf(seen[0]!, writer), true);
  assert.equal(isTemporaryOf(seen[0]!, writer.replace("f", "e")), false);
  assert.equal(
    isTemporaryOf("x-tmp-0123456789", "0123456789"),
    false,
    "restic's digits are nobody's",
  );
  store.close();
  Deno.removeSync(folder, { recursive: true });
});
