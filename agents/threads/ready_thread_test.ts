import assert from "node:assert/strict";
import { ReadyThread } from "./ready_thread.ts";
import { spawnThread } from "./spawn.ts";
import { ThreadClient } from "./thread_rpc.ts";

Deno.test("a thread that breaks before it is taken ends no program, and fails what it is then asked", async () => {
  const worker = spawnThread("no role of ours");
  const broken = new Promise((resolve) => worker.addEventListener("error", resolve));
  const ready = new ReadyThread(worker);
  await broken;
  const client = new ThreadClient(ready.take(), {});
  await assert.rejects(client.call("anything", undefined), {
    code: "internal",
    message: /Unknown thread role/,
  });
  assert.ok(client.isClosed);
});

Deno.test("a thread that is taken answers as any other, and only one that is not is ended", async () => {
  const taken = new ReadyThread(spawnThread("place"));
  const client = new ThreadClient(taken.take(), { roots: [] });
  taken.endUnlessTaken();
  await client.call("listDirectories", { path: "/", withinMs: 0 });
  client.close();
  let ended = 0;
  const unneeded = new ReadyThread({
    onmessage: null,
    onerror: null,
    postMessage() {},
    terminate: () => void ended++,
  });
  unneeded.endUnlessTaken();
  assert.equal(ended, 1);
});
