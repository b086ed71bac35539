/**
 * WebSockets of a server of `node:http`, whose requests `Deno.upgradeWebSocket` does not know. Rule: the app is asked first, as
 * with every request; what it does not take up is answered as the app says, and the connection ends.
 */
import { type IncomingMessage, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
// @ts-types="./ws_types.d.ts"
import { type NodeSocket, WebSocketServer } from "ws";
import type { Clock } from "../base/clock.ts";
import type { Upgraded } from "./agent_app.ts";

/** A reader of ours sends a few words; whoever sends more is no reader. */
const MESSAGE_BYTES_MAX = 64 << 10;
/** A machine that has gone away says no goodbye: without a question TCP notices it after a quarter of an hour. */
export const PING_EVERY_MS = 15_000;
/** Whoever has answered none of so many is gone; one that only takes long is as patient with us. */
export const PINGS_UNANSWERED_MAX = 4;

export interface Upgrades {
  /** Answers one request for an upgrade; never throws. */
  answer(
    incoming: IncomingMessage,
    connection: Duplex,
    head: Uint8Array,
    ask: (upgrade: () => Upgraded) => Promise<Response>,
  ): Promise<void>;
  /** Cuts off those that are still open. */
  close(): void;
}

export function wantsSocket({ method, headers }: IncomingMessage): boolean {
  return method === "GET" && headers.upgrade?.toLowerCase() === "websocket";
}

/** Until `close` its readers are pinged by this clock. */
export function createUpgrades(clock: Pick<Clock, "every">): Upgrades {
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: true,
    maxPayload: MESSAGE_BYTES_MAX,
    // What is told is small and changes often; compressing it for each reader would cost more than it saves.
    perMessageDeflate: false,
  });
  /** Counted in pings, not in time: what has come while this process stood still is read before the next one. */
  const unanswered = new WeakMap<NodeSocket, number>();
  const stopPinging = clock.every(PING_EVERY_MS, () => {
    for (const socket of server.clients) {
      const pings = unanswered.get(socket) ?? 0;
      if (pings >= PINGS_UNANSWERED_MAX) socket.terminate();
      else if (socket.readyState === WebSocket.OPEN) socket.ping();
      unanswered.set(socket, pings + 1);
    }
  });
  return {
    async answer(incoming, connection, head, ask) {
      let isTaken = false;
      connection.on("error", () => connection.destroy());
      const upgrade = (): Upgraded => {
        // Whatever comes of it, `ws` has answered.
        isTaken = true;
        const made: NodeSocket[] = [];
        server.handleUpgrade(incoming, connection, head, (socket) => made.push(socket));
        const [socket] = made;
        if (socket === undefined) throw new TypeError("The request is no handshake");
        // Without a listener an error of the connection would end the process.
        socket.on("error", () => {});
        socket.on("pong", () => unanswered.delete(socket));
        return { socket, response: new Response(null) };
      };
      try {
        const response = await ask(upgrade);
        if (!isTaken) await answerPlainly(connection, response);
      } catch {
        if (!isTaken) connection.destroy();
      }
    },
    close() {
      stopPinging();
      for (const socket of server.clients) socket.terminate();
    },
  };
}

/** The app's answer, on a connection that is nobody's any more; it ends with that. */
async function answerPlainly(connection: Duplex, response: Response): Promise<void> {
  const headers = new Headers(response.headers);
  headers.set("connection", "close");
  const lines = [...headers].map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const reason = response.statusText || STATUS_CODES[response.status] || "";
  connection.write(`HTTP/1.1 ${response.status} ${reason}\r\n${lines}\r\n`);
  const reader = response.body?.getReader();
  const gone = new Promise<void>((resolve) => connection.once("close", () => resolve()));
  void gone.then(() => reader?.cancel().catch(() => {}));
  for (;;) {
    const step = await reader?.read();
    if (step === undefined || step.done || connection.destroyed) break;
    if (!connection.write(step.value)) {
      await Promise.race([gone, new Promise((resolve) => connection.once("drain", resolve))]);
    }
  }
  connection.end();
}
