/** What is used of `npm:ws`. Rule: its own types would bring Node's for the whole program. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";

/** Beside all of the web's own. */
export type NodeSocket = WebSocket & {
  on(event: "error", listener: (error: Error) => void): void;
  on(event: "pong", listener: () => void): void;
  /** To one that is closed it does nothing. @throws while it is being opened */
  ping(): void;
  terminate(): void;
};

export class WebSocketServer {
  constructor(options: {
    noServer: true;
    clientTracking: boolean;
    maxPayload: number;
    perMessageDeflate: boolean;
  });
  readonly clients: ReadonlySet<NodeSocket>;
  /** Calls `made` at once, or answers what is no handshake by itself. */
  handleUpgrade(
    request: IncomingMessage,
    connection: Duplex,
    head: Uint8Array,
    made: (socket: NodeSocket) => void,
  ): void;
}
