import assert from "node:assert/strict";
import { BackupError } from "../../protocol/base/errors.ts";
import { inThreadWorker } from "../../tests/support/in_thread_worker.ts";
import {
  type AnswerThread,
  type Methods,
  Moved,
  type ThreadCells,
  ThreadClient,
} from "./thread_rpc.ts";

/** A real thread that can be asked to block for ever. */
const SCRIPT = `
  import { Moved, serveThread } from "${new URL("./thread_rpc.ts", import.meta.url).href}";
  import { BackupError } from "${new URL("../../protocol/base/errors.ts", import.meta.url).href}";
  let kept;
  serveThread(self, (argument, cells, ask) => ({
    argument: () => argument,
    give: (length) => new Moved(kept = new Uint8Array(length).fill(7)),
    givePart: () => new Moved((kept = new Uint8Array(9)).subarray(1, 4)),
    keptBytes: () => kept.length,
    async relay(length) {
      const bytes = await ask("bytes", length);
      return [bytes.length, bytes[0]];
    },
    add: ([a, b]) => a + b,
    fail: () => {
      throw new BackupError("no_space", "full", { path: "/p", hint: "delete", retry: "elsewhere" });
    },
    crash: () => null.x,
    tick() {
      Atomics.add(cells.operations, 0, 1);
      cells.bytes[0] += 5;
    },
    untilCancelled() {
      Atomics.add(cells.operations, 0, 1);
      Atomics.wait(cells.cancelled, 0, 0);
      return "cancelled";
    },
    block({ shared }) {
      const view = new Int32Array(shared);
      Atomics.store(view, 0, 1);
      Atomics.notify(view, 0);
      Atomics.wait(view, 1, 0);
      Atomics.store(view, 2, 1 + Atomics.load(cells.fenced, 0));
      Atomics.notify(view, 2);
    },
  }));`;

async function withThread(
  use: (client: ThreadClient) => Promise<void>,
  answer?: AnswerThread,
): Promise<void> {
  const path = Deno.makeTempFileSync({ suffix: ".mjs" });
  Deno.writeTextFileSync(path, SCRIPT);
  const worker = new Worker(new URL(`file://${path}`), { type: "module" });
  const client = new ThreadClient(worker, { hello: "thread" }, answer);
  try {
    await use(client);
  } finally {
    client.close();
    Deno.removeSync(path);
  }
}

Deno.test("calls are answered in order, errors keep their fields, and a mistake is internal", () =>
  withThread(async (client) => {
    const order: number[] = [];
    const calls = [1, 2, 3].map(async (k) => {
      assert.equal(await client.call("add", [k, 10]), k + 10);
      order.push(k);
    });
    assert.equal(client.pendingCount, 3);
    await Promise.all(calls);
    assert.deepEqual(order, [1, 2, 3]);
    assert.deepEqual(await client.call("argument", undefined), { hello: "thread" });
    await assert.rejects(client.call("fail", undefined), (error) => {
      assert.ok(error instanceof BackupError);
      const { code, message, path, hint, retry } = error;
      assert.deepEqual(
        { code, message, path, hint, retry },
        { code: "no_space", message: "full", path: "/p", hint: "delete", retry: "elsewhere" },
      );
      return true;
    });
    await assert.rejects(client.call("crash", undefined), { code: "internal" });
    await assert.rejects(client.call("unknown", undefined), { code: "internal" });
    assert.equal(client.pendingCount, 0);
  }));

Deno.test("bytes that are given away come whole and are not kept, a part of some memory is copied", () => {
  let given = new Uint8Array(0);
  const answer = (_: string, length: unknown) => {
    given = new Uint8Array(length as number).fill(5);
    return Promise.resolve(new Moved(given));
  };
  return withThread(async (client) => {
    assert.deepEqual(await client.call("give", 3), new Uint8Array([7, 7, 7]));
    assert.equal(await client.call("keptBytes", undefined), 0);
    assert.deepEqual(await client.call("givePart", undefined), new Uint8Array(3));
    assert.equal(await client.call("keptBytes", undefined), 9);
    assert.deepEqual(await client.call("relay", 4), [4, 5]);
    assert.equal(given.length, 0);
  }, answer);
});

Deno.test("operations and bytes can be read while the thread works, and cancel ends what waits", () =>
  withThread(async (client) => {
    await client.call("tick", undefined);
    await client.call("tick", undefined);
    assert.equal(client.operations, 2);
    assert.equal(client.bytes, 10);
    const waiting = client.call("untilCancelled", undefined);
    client.cancel();
    assert.equal(await waiting, "cancelled");
  }));

Deno.test("a thread stuck in a call is given up at once, is fenced, and answers nothing more", () =>
  withThread(async (client) => {
    const shared = new SharedArrayBuffer(12);
    const view = new Int32Array(shared);
    const stuck = client.callFlush("block", { shared });
    const queued = client.call("add", [1, 2]);
    const started = Atomics.waitAsync(view, 0, 0);
    await started.value;
    assert.equal(client.isFlushing, true);
    const error = new BackupError("deadline", "gave up");
    client.abandon(error);
    await assert.rejects(stuck, { code: "deadline" });
    await assert.rejects(queued, { code: "deadline" });
    await assert.rejects(client.call("add", [1, 2]), { code: "deadline" });
    assert.equal(client.isClosed, true);
    assert.equal(client.isFlushing, false);
    assert.equal(client.pendingCount, 0);
    client.close();
    await assert.rejects(
      client.call("add", [1, 2]),
      { code: "deadline" },
      "the first reason stays",
    );
  }));

Deno.test("a thread that is given up sees that it is fenced and cancelled", async () => {
  let cells: ThreadCells | undefined;
  const methods: Methods = { add: ([a, b]: [number, number]) => a + b };
  const client = new ThreadClient(
    inThreadWorker((_, shared) => {
      cells = shared;
      return methods;
    }),
    undefined,
  );
  assert.equal(await client.call("add", [1, 2]), 3);
  assert.deepEqual([cells!.fenced[0], cells!.cancelled[0]], [0, 0]);
  client.abandon(new BackupError("deadline", "gave up"));
  assert.deepEqual([cells!.fenced[0], cells!.cancelled[0]], [1, 1]);
});

Deno.test("a module that cannot be loaded fails every call with the reason", async () => {
  const worker = new Worker(new URL("data:text/javascript,throw new Error('no such thread')"), {
    type: "module",
  });
  const client = new ThreadClient(worker, undefined);
  await assert.rejects(client.call("add", [1, 2]), /no such thread/);
  assert.equal(client.isClosed, true);
});
