import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeCertificates } from "../../tests/support/certificates.ts";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { needs } from "../../tests/support/tools.ts";
import { systemClock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import type { ServerEnv } from "./agent_app.ts";
import { serveApp } from "./serve_app.ts";
import { PING_EVERY_MS, PINGS_UNANSWERED_MAX } from "./upgrades.ts";

/** Says hello, and gives back what it hears; `/closed` takes no sockets. */
function echo(request: Request, env: ServerEnv): Response {
  if (new URL(request.url).pathname === "/closed") {
    return new Response("Not here\n", { status: 403, headers: { "x-why": "closed" } });
  }
  const { socket, response } = env.upgrade!();
  const greet = () => socket.send(`hello from ${env.remoteAddr?.hostname}`);
  if (socket.readyState === WebSocket.OPEN) greet();
  else socket.onopen = greet;
  socket.onmessage = ({ data }) => socket.send(`you said ${data}`);
  return response;
}

interface Talk {
  heard: string[];
  closed: number;
}

/** Hears two messages, and says one in between. */
function talk(socket: WebSocket): Promise<Talk> {
  const heard: string[] = [];
  return new Promise((resolve) => {
    socket.onmessage = ({ data }) => {
      heard.push(String(data));
      if (heard.length === 1) socket.send("é".repeat(40_000 / 2));
      else socket.close(1000);
    };
    socket.onclose = ({ code }) => resolve({ heard, closed: code });
  });
}

const LONG = `you said ${"é".repeat(20_000)}`;

for (const host of ["127.0.0.1", "0.0.0.0"]) {
  Deno.test(`a WebSocket is served at ${host}, and what the app refuses is answered in its words`, async () => {
    const served = await serveApp({
      fetch: echo,
      host,
      port: 0,
      clock: systemClock,
      log: silentLog,
    });
    try {
      const address = served.origin.replace("http", "ws");
      const { heard, closed } = await talk(new WebSocket(address));
      assert.deepEqual(heard, ["hello from 127.0.0.1", LONG]);
      assert.equal(closed, 1000);
      const answer = await fetch(`${served.origin}/closed`, {
        headers: { connection: "Upgrade", upgrade: "websocket" },
      });
      assert.deepEqual([answer.status, await answer.text()], [403, "Not here\n"]);
      const refused = new WebSocket(`${address}/closed`);
      await new Promise((resolve) => refused.onclose = resolve);
      assert.equal(refused.readyState, WebSocket.CLOSED);
    } finally {
      await served.close();
    }
  });
}

Deno.test("who sends more than a reader needs is cut off, and others go on", async () => {
  const served = await serveApp({
    fetch: echo,
    host: "0.0.0.0",
    port: 0,
    clock: systemClock,
    log: silentLog,
  });
  try {
    const address = served.origin.replace("http", "ws");
    const greedy = new WebSocket(address);
    const end = new Promise<number>((resolve) => greedy.onclose = ({ code }) => resolve(code));
    greedy.onopen = () => greedy.send("x".repeat(1 << 20));
    assert.equal(await end, 1009);
    assert.equal((await talk(new WebSocket(address))).heard.length, 2);
  } finally {
    await served.close();
  }
});

Deno.test("what is no handshake gets no socket, and ends nothing", async () => {
  const served = await serveApp({
    fetch: echo,
    host: "0.0.0.0",
    port: 0,
    clock: systemClock,
    log: silentLog,
  });
  try {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port: served.port });
    const bytes = new TextEncoder().encode(
      "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    await connection.write(bytes);
    const answer = new Uint8Array(200);
    const count = await connection.read(answer) ?? 0;
    assert.match(new TextDecoder().decode(answer.subarray(0, count)), /^HTTP\/1\.1 400 /);
    connection.close();
    assert.equal((await talk(new WebSocket(served.origin.replace("http", "ws")))).closed, 1000);
  } finally {
    await served.close();
  }
});

Deno.test("a client that offers HTTP/2 with its request is answered as any other", async () => {
  const served = await serveApp({
    fetch: async (request) => new Response(`${(await request.text()).length} characters`),
    ...{ host: "0.0.0.0", port: 0, clock: systemClock, log: silentLog },
  });
  try {
    const ask = new Request(`${served.origin}/rpc`, {
      method: "POST",
      body: "x".repeat(3_000_000),
    });
    assert.equal(await (await fetch(ask)).text(), "3000000 characters");
    const connection = await Deno.connect({ hostname: "127.0.0.1", port: served.port });
    const head = "POST /rpc HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n" +
      "Upgrade: h2c\r\nConnection: close\r\nHTTP2-Settings: AAMAAABkAAQ\r\nContent-Length: 3000000\r\n\r\n";
    const answer = new Response(connection.readable).text();
    const writer = connection.writable.getWriter();
    await writer.write(new TextEncoder().encode(head));
    await writer.write(new TextEncoder().encode("x".repeat(3_000_000)));
    assert.match(await answer, /^HTTP\/1\.1 200 OK\r\n[\s\S]*3000000 characters/);
  } finally {
    await served.close();
  }
});

Deno.test("a server that is closed cuts its sockets off", async () => {
  const served = await serveApp({
    fetch: echo,
    host: "0.0.0.0",
    port: 0,
    clock: systemClock,
    log: silentLog,
  });
  const socket = new WebSocket(served.origin.replace("http", "ws"));
  await new Promise((resolve) => socket.onmessage = resolve);
  const end = new Promise((resolve) => socket.onclose = resolve);
  await served.close();
  await end;
});

/** A WebSocket as bytes on a connection, which answers a ping only when it is told to. */
class RawReader implements Disposable {
  readonly #connection: Deno.TcpConn;
  #bytes = new Uint8Array();

  constructor(connection: Deno.TcpConn) {
    this.#connection = connection;
  }

  static async open(port: number): Promise<RawReader> {
    const reader = new RawReader(await Deno.connect({ hostname: "127.0.0.1", port }));
    const head = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    await reader.#connection.write(new TextEncoder().encode(head));
    await reader.#until((text) => text.includes("\r\n\r\n"));
    await reader.hears("hello from");
    return reader;
  }

  async #until(is: (text: string) => boolean): Promise<void> {
    while (!is(String.fromCharCode(...this.#bytes))) {
      const piece = new Uint8Array(1_000);
      const count = await this.#connection.read(piece);
      if (count === null) throw new Error("It was closed");
      this.#bytes = new Uint8Array([...this.#bytes, ...piece.subarray(0, count)]);
    }
  }

  async hears(text: string): Promise<void> {
    await this.#until((all) => all.includes(text));
    this.#bytes = new Uint8Array();
  }

  /** What it says once it has pinged back is heard by a server that has the pong. */
  async answers(): Promise<void> {
    await this.hears("\x89\x00");
    await this.#connection.write(new Uint8Array([0x8a, 0x80, 0, 0, 0, 0]));
    await this.#connection.write(new Uint8Array([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69]));
    await this.hears("you said hi");
  }

  [Symbol.dispose](): void {
    this.#connection.close();
  }
}

Deno.test("a reader that answers no ping is cut off, by the clock, and one that does is not", async () => {
  const clock = new ManualClock();
  const app = { fetch: echo, host: "0.0.0.0", port: 0, clock, log: silentLog };
  const served = await serveApp(app);
  try {
    using gone = await RawReader.open(served.port);
    using there = await RawReader.open(served.port);
    for (let pings = 1; pings <= PINGS_UNANSWERED_MAX; pings++) {
      await clock.advance(PING_EVERY_MS);
      await gone.hears("\x89\x00");
      await there.answers();
    }
    await clock.advance(PING_EVERY_MS);
    await assert.rejects(gone.hears("anything"), /It was closed|reset/);
    await there.answers();
  } finally {
    await served.close();
  }
});

Deno.test({
  ...needs("with a client CA a caller with a certificate of it gets a WebSocket too", "openssl"),
  async fn() {
    const folder = mkdtempSync(join(tmpdir(), "tls-"));
    try {
      const pem = makeCertificates(folder).read;
      const served = await serveApp({
        fetch: echo,
        ...{ host: "127.0.0.1", port: 0, clock: systemClock, log: silentLog },
        tls: { cert: pem("server.pem"), key: pem("server.key"), clientCa: pem("ca.pem") },
      });
      try {
        using client = Deno.createHttpClient({
          caCerts: [pem("ca.pem")],
          cert: pem("client.pem"),
          key: pem("client.key"),
        });
        const options = { client } as unknown as string[];
        const socket = new WebSocket(served.origin.replace("http", "ws"), options);
        assert.deepEqual((await talk(socket)).heard, ["hello from 127.0.0.1", LONG]);
        using stranger = Deno.createHttpClient({ caCerts: [pem("ca.pem")] });
        const refused = new WebSocket(
          served.origin.replace("http", "ws"),
          { client: stranger } as unknown as string[],
        );
        await new Promise((resolve) => refused.onclose = resolve);
      } finally {
        await served.close();
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
});
