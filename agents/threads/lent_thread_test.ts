import assert from "node:assert/strict";
import { borrowThread, LEND_THREAD, lendThread, type LendThreadRequest } from "./lent_thread.ts";
import { spawnThread } from "./spawn.ts";
import { type Ask, ThreadClient, type ThreadEnd } from "./thread_rpc.ts";

const ROOM = { path: "/", withinMs: 0 };

/** The owner's side in this thread. */
function owner(spawn = spawnThread): { ask: Ask; workers: ThreadEnd[]; errors: string[] } {
  const workers: ThreadEnd[] = [];
  const errors: string[] = [];
  const ask = ((method: string, argument: unknown) => {
    assert.equal(method, LEND_THREAD);
    try {
      const request = argument as LendThreadRequest;
      workers.push(lendThread(request, spawn, (message) => errors.push(message)));
      return Promise.resolve();
    } catch (error) {
      return Promise.reject(error);
    }
  }) as Ask;
  return { ask, workers, errors };
}

Deno.test("a borrowed thread answers whoever has borrowed it, and ends when it is told to", async () => {
  const { ask, workers, errors } = owner();
  const client = new ThreadClient(borrowThread(ask, "place"), { roots: [] });
  const [first, second] = await Promise.all([
    client.call<{ folders: unknown[] }>("listDirectories", ROOM),
    client.call("listDirectories", ROOM),
  ]);
  assert.deepEqual(first, second);
  await assert.rejects(client.call("nothing", undefined), /Unknown thread method/);
  client.close();
  assert.equal(workers.length, 1);
  assert.deepEqual(errors, []);
  workers[0]!.terminate();
});

Deno.test("one that cannot be had fails what was asked of it", async () => {
  const { ask } = owner(() => {
    throw new Error("no threads left");
  });
  const client = new ThreadClient(borrowThread(ask, "place"), { roots: [] });
  await assert.rejects(client.call("listDirectories", ROOM), /no threads left/);
});

Deno.test("one that breaks is told to its owner", async () => {
  const told = Promise.withResolvers<string>();
  const worker = lendThread(
    { role: "no role of ours", port: new MessageChannel().port1 },
    spawnThread,
    told.resolve,
  );
  assert.match(await told.promise, /Unknown thread role/);
  worker.terminate();
});
