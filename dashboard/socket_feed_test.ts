import assert from "node:assert/strict";
import * as v from "valibot";
import { BackupError } from "../protocol/base/errors.ts";
import { silentLog } from "../protocol/base/log.ts";
import type { ConsoleEvent, TaskCard } from "../protocol/mesh/console_state.ts";
import type { RpcClient } from "../protocol/rpc/client.ts";
import { EMPTY_CONSOLE_STATE as STATE } from "../tests/support/empty_console_state.ts";
import { ManualClock } from "../tests/support/manual_clock.ts";
import { BEHIND_BYTES, createSocketFeed, type SocketLike } from "./socket_feed.ts";
import { SocketMessage } from "./socket_messages.ts";

const TASK: TaskCard = {
  taskId: "t",
  runId: "run-1",
  source: { path: "/a", name: "a" },
  state: "queued",
  epoch: 0,
  agent: null,
  agentName: null,
  requires: [],
  files: 1,
  sizeBytes: 1,
  reason: null,
};

/** A browser. */
class FakeSocket implements SocketLike {
  readyState = 1;
  bufferedAmount = 0;
  onopen: SocketLike["onopen"] = null;
  onmessage: SocketLike["onmessage"] = null;
  onclose: SocketLike["onclose"] = null;
  onerror: SocketLike["onerror"] = null;
  readonly texts: string[] = [];
  closedWith: number | undefined;

  send(text: string): void {
    this.texts.push(text);
  }

  close(code?: number): void {
    this.closedWith = code;
    this.readyState = 3;
  }

  say(data: unknown): void {
    this.onmessage!({ data } as never);
  }

  get messages(): SocketMessage[] {
    return this.texts.map((text) => v.parse(SocketMessage, JSON.parse(text)));
  }
}

/** A coordinator whose streams are fed by hand. */
class FakeCoordinator {
  streams = 0;
  #push: ((event: ConsoleEvent | Error) => void) | undefined;
  seq = 0;

  readonly client: RpcClient = {
    call: () => Promise.reject(new Error("not asked here")),
    stream:
      ((_method: unknown, _params: unknown, { signal }: { signal: AbortSignal }) =>
        this.#stream(signal)) as never,
  };

  async *#stream(signal: AbortSignal): AsyncGenerator<ConsoleEvent, void, undefined> {
    this.streams++;
    const waiting: (ConsoleEvent | Error)[] = [];
    let wake = () => {};
    this.#push = (event) => {
      waiting.push(event);
      wake();
    };
    signal.addEventListener("abort", () => wake());
    yield { kind: "snapshot", seq: this.seq, atMs: 0, state: STATE };
    while (!signal.aborted) {
      const event = waiting.shift();
      if (event instanceof Error) throw event;
      if (event !== undefined) yield event;
      else await new Promise<void>((resolve) => wake = resolve);
    }
  }

  change(taskId: string): void {
    const tasks = { [taskId]: { ...TASK, taskId } };
    const change = { put: { tasks }, gone: {} };
    this.#push!({ kind: "change", seq: ++this.seq, atMs: 0, change });
  }

  fail(): void {
    this.#push!(new BackupError("io", "gone"));
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setTimeout(resolve, 0));
}

function open() {
  const clock = new ManualClock();
  const coordinator = new FakeCoordinator();
  const feed = createSocketFeed({ coordinator: coordinator.client, clock, log: silentLog });
  const join = (session = "s") => {
    const socket = new FakeSocket();
    feed.join(socket, session);
    return socket;
  };
  return { clock, coordinator, feed, join };
}

Deno.test("all readers share one stream and the very same texts, and the last one to leave ends it", async () => {
  const { coordinator, feed, join } = open();
  const first = join();
  await settle();
  const second = join();
  coordinator.change("t1");
  await settle();
  assert.equal(coordinator.streams, 1);
  assert.deepEqual(first.messages.map((m) => [m.kind, m.seq]), [["snapshot", 1], ["change", 2]]);
  assert.deepEqual(second.messages.map((m) => [m.kind, m.seq]), [["snapshot", 1], ["change", 2]]);
  assert.equal(first.texts.at(-1), second.texts.at(-1));
  for (const socket of [first, second]) socket.onclose!({} as never);
  assert.equal(feed.readers, 0);
  join();
  await settle();
  assert.equal(coordinator.streams, 2);
  feed.close();
});

Deno.test("a reader that does not read is told nothing more, and everything when it has caught up", async () => {
  const { clock, coordinator, feed, join } = open();
  const slow = join();
  const fast = join();
  await settle();
  slow.bufferedAmount = BEHIND_BYTES + 1;
  for (let k = 0; k < 5; k++) coordinator.change(`t${k}`);
  await settle();
  assert.equal(slow.messages.length, 1);
  assert.equal(fast.messages.length, 6);
  slow.bufferedAmount = 0;
  await clock.advance(1_000);
  const last = slow.messages.at(-1)!;
  assert.ok(last.kind === "snapshot");
  assert.equal(last.seq, fast.messages.at(-1)!.seq);
  assert.deepEqual(Object.keys(last.state.tasks), ["t0", "t1", "t2", "t3", "t4"]);
  // One that never reads again is let go.
  slow.bufferedAmount = BEHIND_BYTES + 1;
  coordinator.change("t9");
  await settle();
  await clock.advance(120_000);
  assert.notEqual(slow.closedWith, undefined);
  assert.equal(feed.readers, 1);
  feed.close();
});

Deno.test("a reader that finds a gap asks, and is given a snapshot; nonsense is not answered, and asking all the time neither", async () => {
  const { clock, coordinator, feed, join } = open();
  const reader = join();
  await settle();
  coordinator.change("t1");
  await settle();
  for (const nonsense of ["", "{", '{"kind":"run"}', new Uint8Array(9), "x".repeat(5_000)]) {
    reader.say(nonsense);
  }
  assert.equal(reader.messages.length, 2);
  for (let k = 0; k < 100; k++) reader.say('{"kind":"resync"}');
  assert.deepEqual(reader.messages.map((m) => [m.kind, m.seq]), [
    ["snapshot", 1],
    ["change", 2],
    ["snapshot", 2],
  ]);
  await clock.advance(300);
  reader.say('{"kind":"resync"}');
  assert.equal(reader.messages.length, 4);
  feed.close();
});

Deno.test("when the coordinator goes away readers are told, and get a snapshot when it is back", async () => {
  const { clock, coordinator, feed, join } = open();
  const reader = join();
  await settle();
  coordinator.fail();
  await settle();
  assert.equal(reader.messages.at(-1)!.kind, "away");
  const late = join();
  assert.deepEqual(late.messages.map((m) => m.kind), ["away"]);
  await clock.advance(10_000);
  await settle();
  assert.deepEqual(late.messages.map((m) => m.kind), ["away", "snapshot"]);
  const seqs = reader.messages.map((m) => m.seq);
  assert.deepEqual(seqs, [1, 2, 3]);
  feed.close();
});

Deno.test("whoever logs out is closed at once, and nobody else", async () => {
  const { feed, join } = open();
  const one = join("one");
  const two = join("two");
  await settle();
  feed.dismiss("one");
  assert.deepEqual([one.closedWith, two.closedWith], [4401, undefined]);
  feed.close();
  assert.notEqual(two.closedWith, undefined);
});
