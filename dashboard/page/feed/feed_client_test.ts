import assert from "node:assert/strict";
import { EMPTY_CONSOLE_STATE as STATE } from "../../../tests/support/empty_console_state.ts";
import { ManualClock } from "../../../tests/support/manual_clock.ts";
import type { SocketMessage } from "../../socket_messages.ts";
import {
  createFeedClient,
  type FeedSocket,
  type FeedView,
  LOCKED_EVERY_MS,
  type StatusAnswer,
} from "./feed_client.ts";

const STATUS: StatusAnswer = {
  status: "ok",
  version: "1",
  atMs: 1,
  agents: { alive: 1, total: 1 },
  runs: [],
};

class PlayedSocket implements FeedSocket {
  readonly sent: string[] = [];
  onmessage: FeedSocket["onmessage"] = null;
  onclose: FeedSocket["onclose"] = null;
  isClosed = false;
  send(text: string): void {
    this.sent.push(text);
  }
  close(): void {
    this.isClosed = true;
  }
  say(message: SocketMessage): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }
  end(): void {
    this.onclose?.();
  }
}

function play(getStatus: () => Promise<StatusAnswer>) {
  const clock = new ManualClock();
  const sockets: PlayedSocket[] = [];
  const views: FeedView[] = [];
  const over = new AbortController();
  const client = createFeedClient({
    clock,
    open() {
      const socket = new PlayedSocket();
      sockets.push(socket);
      return socket;
    },
    getStatus,
    onView: (view) => views.push(view),
    random: () => 0.5,
  });
  const ended = client.run(over.signal);
  return {
    clock,
    sockets,
    view: () => views.at(-1)!,
    settle: async () => {
      for (let i = 0; i < 20; i++) await Promise.resolve();
    },
    async end() {
      over.abort();
      await ended;
    },
  };
}

Deno.test("a missing message is asked for by resync, over the same socket", async () => {
  const { sockets, view, end } = play(() => Promise.resolve({ ...STATUS, state: STATE }));
  const socket = sockets[0]!;
  socket.say({ kind: "snapshot", seq: 1, atMs: 1, state: STATE });
  assert.equal(view().connection, "live");
  socket.say({ kind: "change", seq: 3, atMs: 3, change: { put: {}, gone: {} } });
  assert.deepEqual(socket.sent, ['{"kind":"resync"}']);
  socket.say({ kind: "snapshot", seq: 3, atMs: 3, state: STATE });
  assert.equal(view().feed.needsSnapshot, false);
  assert.equal(sockets.length, 1);
  await end();
});

Deno.test("while there is no socket the status is asked for, at longer and longer intervals, and a socket ends that", async () => {
  let asked = 0;
  const { clock, sockets, view, settle, end } = play(() => {
    asked++;
    return Promise.resolve({ ...STATUS, state: STATE });
  });
  sockets[0]!.end();
  await settle();
  assert.equal(asked, 1);
  assert.equal(view().connection, "polling");
  for (const [waitMs, count] of [[500, 2], [1_000, 3], [2_000, 4], [4_000, 5], [5_000, 6]]) {
    await clock.advance(waitMs! - 1);
    assert.equal(sockets.length, count! - 1);
    await clock.advance(1);
    await settle();
    assert.equal(sockets.length, count);
    if (count! < 6) sockets.at(-1)!.end();
    await settle();
  }
  sockets.at(-1)!.say({ kind: "snapshot", seq: 9, atMs: 9, state: STATE });
  assert.equal(view().connection, "live");
  assert.equal(asked, 5);
  await end();
});

Deno.test("who is not logged in sees the open status, and everything as soon as there is a session", async () => {
  let answer: StatusAnswer = STATUS;
  const { clock, sockets, view, settle, end } = play(() => Promise.resolve(answer));
  sockets[0]!.end();
  await settle();
  assert.equal(view().connection, "locked");
  assert.equal(view().feed.state, null);
  assert.equal(view().status?.agents.alive, 1);
  answer = { ...STATUS, state: STATE };
  await clock.advance(LOCKED_EVERY_MS);
  await settle();
  sockets[1]!.end();
  await settle();
  assert.equal(view().connection, "polling");
  await end();
});

Deno.test("when nothing answers the last picture stays and the page says that it is offline", async () => {
  const { sockets, view, settle, end } = play(() => Promise.reject(new Error("no route")));
  sockets[0]!.say({ kind: "snapshot", seq: 1, atMs: 1, state: STATE });
  sockets[0]!.end();
  await settle();
  assert.equal(view().connection, "offline");
  assert.equal(view().feed.state?.coordinator.name, "c");
  await end();
});

Deno.test("what is no message of ours changes nothing", async () => {
  const { sockets, end } = play(() => Promise.resolve(STATUS));
  const socket = sockets[0]!;
  for (const data of ["", "{", "null", "[]", '{"kind":1}', new ArrayBuffer(4)]) {
    socket.onmessage?.({ data });
  }
  assert.deepEqual(socket.sent, []);
  await end();
});
