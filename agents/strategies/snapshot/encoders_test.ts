import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import fc from "fast-check";
import { BackupError } from "../../../protocol/base/errors.ts";
import { FaultyObjectStore } from "../../../tests/support/faulty_object_store.ts";
import { inThreadWorker } from "../../../tests/support/in_thread_worker.ts";
import { noise } from "../../../tests/support/random.ts";
import {
  allProblems,
  backupOurs,
  kernels,
  makeRepository,
  type OurBackup,
  posix,
  restoreOurs,
} from "../../../tests/support/restic.ts";
import { MemoryObjectStore } from "../../destinations/memory_object_store.ts";
import { EIO } from "../../platform/errno.ts";
import type { Posix } from "../../platform/posix.ts";
import { loadIndex, Repository } from "../../repository/mod.ts";
import { openEncoderThread } from "./encoder_thread.ts";
import { type EncoderThreadsOptions, startEncoderThreads } from "./encoders.ts";

/** The real thread code in this thread. */
const within = (port: Posix = posix): EncoderThreadsOptions => ({
  spawn: () => inThreadWorker((start, cells) => openEncoderThread(port, start as never, cells)),
});

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync();
  try {
    await run(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

async function backupOnThreads(
  repository: Repository,
  base: string,
  count: number,
  options: Partial<OurBackup> & { port?: Posix; spawn?: (role: string) => Worker } = {},
) {
  const { port, spawn, ...more } = options;
  const how = spawn === undefined ? within(port) : { spawn };
  const threads = startEncoderThreads(repository, { base, count, ...how });
  try {
    return await backupOurs(repository, { base, threads, ...more });
  } finally {
    await threads.close();
  }
}

/** The same keys, and nothing stored. */
function emptyTwin(repository: Repository): Repository {
  const { config, keyId, master } = repository;
  return new Repository(new MemoryObjectStore(), kernels, config, { keyId, master });
}

const MIB = 1 << 20;
const sizes = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 3000 }) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(MIB / 2 - 1, MIB / 2, MIB / 2 + 1, 2 * MIB, 2 * MIB + 1),
  },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 6 * MIB }) },
  { weight: 1, arbitrary: fc.constantFrom(8 * MIB, 16 * MIB, 16 * MIB + 63, 24 * MIB) },
);
const file = fc.record({
  folder: fc.constantFrom("", "a", "a/b", "a/b/c", "z"),
  size: sizes,
  /** Few, so that the same content is met by several threads. */
  seed: fc.nat(3),
  kind: fc.constantFrom("noise", "zeros", "mixed"),
});

function contentOf({ size, seed, kind }: { size: number; seed: number; kind: string }): Uint8Array {
  if (kind === "zeros") return new Uint8Array(size);
  const bytes = noise(size, seed);
  if (kind === "mixed") bytes.fill(0, size >> 2, size >> 1);
  return bytes;
}

Deno.test("encoders: any files give the tree, blobs and counts that one thread gives, each blob stored once", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(file, { maxLength: 12 }),
      fc.constantFrom(1, 2, 5),
      async (files, count) => {
        await inFolder(async (folder) => {
          const base = join(folder, "base");
          for (const [i, file] of files.entries()) {
            Deno.mkdirSync(join(base, file.folder), { recursive: true });
            Deno.writeFileSync(join(base, file.folder, `f${i}`), contentOf(file));
          }
          Deno.mkdirSync(base, { recursive: true });
          const single = await makeRepository(join(folder, "repo"));
          const expected = await backupOurs(single, { base });
          const repository = emptyTwin(single);
          const ours = await backupOnThreads(repository, base, count);
          assert.deepEqual(ours.problems, []);
          assert.equal(ours.snapshot.tree, expected.snapshot.tree);
          assert.deepEqual(ours.builder.counts, expected.builder.counts);
          const { addedBytes, dataBlobs, treeBlobs } = expected.writer.counts;
          const { counts } = ours.writer;
          assert.deepEqual([counts.addedBytes, counts.dataBlobs, counts.treeBlobs], [
            addedBytes,
            dataBlobs,
            treeBlobs,
          ]);
          const { index } = await loadIndex(repository);
          assert.equal(index.rowCount, counts.dataBlobs + counts.treeBlobs);
          assert.deepEqual(await allProblems(repository), []);
        });
      },
    ),
    { numRuns: 12 },
  );
});

Deno.test("encoders: real threads give the same, restored to the byte, and a second run reads nothing", async () => {
  await inFolder(async (folder) => {
    const base = join(folder, "base");
    Deno.mkdirSync(join(base, "many"), { recursive: true });
    for (let i = 0; i < 700; i++) Deno.writeFileSync(join(base, "many", `${i}`), noise(i * 7, i));
    Deno.writeFileSync(join(base, "large"), noise(40 * MIB + 5, 1));
    Deno.writeFileSync(join(base, "copy"), noise(40 * MIB + 5, 1));
    const single = await makeRepository(join(folder, "single"));
    const expected = await backupOurs(single, { base });
    const threads = startEncoderThreads(single, { base, count: 2 });
    try {
      const twin = emptyTwin(single);
      const first = await backupOurs(twin, { base, threads });
      assert.equal(first.snapshot.tree, expected.snapshot.tree);
      assert.equal(first.writer.counts.addedBytes, expected.writer.counts.addedBytes);
      assert.deepEqual(await restoreOurs(twin, first.snapshot.tree, join(folder, "out")), []);
      for (const name of ["large", "copy", "many/699"]) {
        const restored = Deno.readFileSync(join(folder, "out", name));
        assert.ok(Buffer.compare(restored, Deno.readFileSync(join(base, name))) === 0, name);
      }
      const second = await backupOurs(twin, { base, threads });
      assert.equal(second.snapshot.tree, expected.snapshot.tree);
      assert.equal(second.writer.counts.dataBlobs, 0);
      assert.equal(second.builder.counts.filesUnmodified, 702);
      assert.deepEqual(await allProblems(twin), []);
    } finally {
      await threads.close();
    }
  });
});

Deno.test("encoders: what cannot be read is told by name and left out, large and small, and the rest is there", async () => {
  await inFolder(async (folder) => {
    const base = join(folder, "base");
    Deno.mkdirSync(join(base, "sub"), { recursive: true });
    for (const [name, size] of [["a", 10], ["large", 20 * MIB], ["b", 10]] as const) {
      Deno.writeFileSync(join(base, "sub", name), noise(size, size));
    }
    // The bytes of `a` and the second half of `large` cannot be read.
    const failing: Posix = {
      ...posix,
      readAt: (fd, into, offset) =>
        into.length < 100_000 && offset === 0 || offset > 10 * MIB
          ? -EIO
          : posix.readAt(fd, into, offset),
    };
    const repository = await makeRepository(join(folder, "repo"));
    const { problems, builder } = await backupOnThreads(repository, base, 2, { port: failing });
    assert.deepEqual(
      problems.map(([path, { code }]) => [path, code]).sort(),
      [["/sub/a", "io"], ["/sub/b", "io"], ["/sub/large", "io"]],
    );
    assert.equal(builder.counts.files, 0);
    assert.deepEqual(await allProblems(repository), []);
  });
});

Deno.test("encoders: a file that grows, shrinks, changes or goes between walk and reading is told", async () => {
  await inFolder(async (folder) => {
    const base = join(folder, "base");
    Deno.mkdirSync(base);
    const path = (name: string) => join(base, name);
    const changes: Record<string, () => void> = {
      gone: () => Deno.removeSync(path("gone")),
      grown: () => Deno.writeFileSync(path("grown"), noise(30 * MIB, 2)),
      replaced: () => Deno.renameSync(path("other"), path("replaced")),
      shrunk: () => Deno.truncateSync(path("shrunk"), 9 * MIB),
    };
    for (const name of [...Object.keys(changes), "other"]) {
      Deno.writeFileSync(path(name), noise(name === "shrunk" ? 30 * MIB : 1000, 1));
    }
    let isWalking = true;
    const changing: Posix = {
      ...posix,
      openRead: (at, name) => {
        if (isWalking) Object.values(changes).forEach((change) => change());
        isWalking = false;
        return posix.openRead(at, name);
      },
    };
    const repository = await makeRepository(join(folder, "repo"));
    const { problems, snapshot } = await backupOnThreads(repository, base, 1, { port: changing });
    assert.deepEqual(
      problems.map(([path, { code }]) => [path, code]).sort(),
      [
        ["/gone", "not_found"],
        ["/grown", "changed_while_read"],
        ["/other", "not_found"],
        ["/replaced", "changed_while_read"],
        ["/shrunk", "changed_while_read"],
      ],
    );
    const out = join(folder, "out");
    assert.deepEqual(await restoreOurs(repository, snapshot.tree, out), []);
    for (const name of ["grown", "replaced", "shrunk"]) {
      const restored = Deno.readFileSync(join(out, name));
      assert.ok(Buffer.compare(restored, Deno.readFileSync(path(name))) === 0, name);
    }
  });
});

/** Attempts that wait for nothing. */
function inThree(onPause: (attempt: number) => void = () => {}) {
  const pauses: number[] = [];
  const pause = (attempt: number) => {
    pauses.push(attempt);
    onPause(attempt);
    return Promise.resolve();
  };
  return { pauses, again: { attempts: 3, pause } };
}

Deno.test("encoders: a file that changes while it is read is read again, and told only when it changes at every attempt", async () => {
  await inFolder(async (folder) => {
    const base = join(folder, "base");
    Deno.mkdirSync(join(base, "sub"), { recursive: true });
    const path = (name: string) => join(base, "sub", name);
    for (const name of ["always", "gone", "large", "once", "quiet"]) {
      Deno.writeFileSync(path(name), noise(name === "large" ? 9 * MIB : 1000, 1));
    }
    let version = 1;
    const write = (name: string) =>
      Deno.writeFileSync(path(name), noise(1000 * ++version, version));
    const changing: Posix = {
      ...posix,
      openRead: (at, name) => {
        // The walk is over by then.
        if (version === 1) ["once", "large", "gone"].forEach(write);
        if (new TextDecoder().decode(name) === "always\0") write("always");
        return posix.openRead(at, name);
      },
    };
    const { pauses, again } = inThree((attempt) => attempt === 1 && Deno.removeSync(path("gone")));
    const repository = await makeRepository(join(folder, "repo"));
    const { problems, snapshot, builder } = await backupOnThreads(repository, base, 1, {
      ...{ port: changing, again },
    });
    assert.deepEqual(problems.map(([path, { code, message }]) => [path, code, message]).sort(), [
      ["/sub/always", "changed_while_read", "/sub/always changed while it was read, 3 times"],
      ["/sub/gone", "changed_while_read", "/sub/gone changed while it was read"],
    ]);
    assert.deepEqual(pauses, [1, 2]);
    assert.equal(builder.counts.files, 5);
    const out = join(folder, "out");
    assert.deepEqual(await restoreOurs(repository, snapshot.tree, out), []);
    for (const name of ["large", "once", "quiet"]) {
      const restored = Deno.readFileSync(join(out, "sub", name));
      assert.ok(Buffer.compare(restored, Deno.readFileSync(path(name))) === 0, name);
      const times = [join(out, "sub", name), path(name)].map((at) => Deno.statSync(at).mtime);
      assert.deepEqual(times[0], times[1]);
    }
    assert.deepEqual(await allProblems(repository), []);
  });
});

Deno.test("archive: without other threads too, a file that changes while it is read is read again", async () => {
  await inFolder(async (folder) => {
    const base = join(folder, "base");
    Deno.mkdirSync(base);
    const path = (name: string) => join(base, name);
    for (const name of ["always", "once"]) Deno.writeFileSync(path(name), noise(1000, 1));
    let version = 1;
    const names = new Map<number, string>();
    const changing: Posix = {
      ...posix,
      openRead: (at, name) => {
        const fd = posix.openRead(at, name);
        names.set(fd, new TextDecoder().decode(name).replace("\0", ""));
        return fd;
      },
      read: (fd, into) => {
        const name = names.get(fd);
        const isFirst = name === "once" && Deno.statSync(path(name)).size === 1000;
        if (name === "always" || isFirst) {
          // Not longer each time: such a file would have no end.
          Deno.writeFileSync(path(name), noise(1001, ++version));
        }
        return posix.read(fd, into);
      },
    };
    const { pauses, again } = inThree();
    const repository = await makeRepository(join(folder, "repo"));
    const { problems, snapshot } = await backupOurs(repository, { base, port: changing, again });
    assert.deepEqual(problems.map(([path]) => path), ["/always"]);
    assert.deepEqual(pauses, [1, 2, 1]);
    const out = join(folder, "out");
    assert.deepEqual(await restoreOurs(repository, snapshot.tree, out), []);
    const restored = Deno.readFileSync(join(out, "once"));
    assert.ok(Buffer.compare(restored, Deno.readFileSync(path("once"))) === 0);
  });
});

Deno.test("encoders: files of the kernel that say they are empty are read to their end", {
  ignore: Deno.build.os !== "linux",
}, async () => {
  await inFolder(async (folder) => {
    const repository = await makeRepository(join(folder, "repo"));
    const { builder } = await backupOnThreads(repository, "/proc/sys/kernel/random", 1);
    assert.ok(builder.counts.bytes > 0);
  });
});

Deno.test("encoders: after a pack could not be stored the backup ends with that error, and nothing refers to it", async () => {
  await inFolder(async (folder) => {
    const base = join(folder, "base");
    Deno.mkdirSync(base);
    for (let i = 0; i < 40; i++) Deno.writeFileSync(join(base, `${i}`), noise(MIB, i));
    const single = await makeRepository(join(folder, "repo"));
    for (const left of [0, 2]) {
      const store = new FaultyObjectStore(new MemoryObjectStore());
      store.changesLeft = left;
      const { config, keyId, master } = single;
      const repository = new Repository(store, kernels, config, { keyId, master });
      const failed = await backupOnThreads(repository, base, 2, {
        writer: { packTargetBytes: 2 * MIB },
      }).then(() => undefined, (error) => error);
      assert.ok(failed instanceof BackupError, String(failed));
      store.changesLeft = Infinity;
      assert.deepEqual(await repository.list("snapshot"), []);
      assert.deepEqual(await repository.list("index"), []);
    }
  });
});

Deno.test("encoders: when they are closed nothing is open any more, however soon their threads end", () =>
  inFolder(async (folder) => {
    const base = join(folder, "base");
    Deno.mkdirSync(base);
    Deno.writeFileSync(join(base, "file"), noise(100_000, 1));
    const roots = new Set<number>();
    const port: Posix = {
      ...posix,
      openRoot(path) {
        const handle = posix.openRoot(path);
        roots.add(handle);
        return handle;
      },
      closeDirectory(handle) {
        roots.delete(handle);
        posix.closeDirectory(handle);
      },
    };
    const repository = await makeRepository(join(folder, "repo"));
    const threads = startEncoderThreads(repository, { base, count: 2, ...within(port) });
    await backupOurs(repository, { base, threads });
    assert.equal(roots.size, 2);
    await threads.close();
    assert.equal(roots.size, 0);
  }));

Deno.test("archive: a file that grows as fast as it is read ends where it ended when it was opened, with other threads and without", async () => {
  for (const count of [0, 1, 5]) {
    await inFolder(async (folder) => {
      const base = join(folder, "base");
      Deno.mkdirSync(base);
      const path = join(base, "log");
      const first = noise(11 * MIB + 5, 1);
      Deno.writeFileSync(path, first);
      let reads = 0;
      const grow = () => {
        assert.ok(++reads < 200, "it is read for ever");
        Deno.truncateSync(path, Deno.statSync(path).size + 16 * MIB);
      };
      const growing: Posix = {
        ...posix,
        read: (fd, into) => (grow(), posix.read(fd, into)),
        readAt: (fd, into, offset) => (grow(), posix.readAt(fd, into, offset)),
      };
      const repository = await makeRepository(join(folder, "repo"));
      const { problems, snapshot } = count === 0
        ? await backupOurs(repository, { base, port: growing })
        : await backupOnThreads(repository, base, count, { port: growing });
      assert.deepEqual(problems.map(([path, { code }]) => [path, code]), [
        ["/log", "changed_while_read"],
      ]);
      const out = join(folder, "out");
      assert.deepEqual(await restoreOurs(repository, snapshot.tree, out), []);
      assert.ok(Buffer.compare(Deno.readFileSync(join(out, "log")), first) === 0, `${count}`);
    });
  }
});
