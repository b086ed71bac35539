/**
 * Keeps a page supplied: the socket, and while there is none, `/api/status`. Rule: it goes on for ever, waits longer after
 * each failure, and asks for a snapshot when a message is missing.
 */
import { backoffMs } from "../../../protocol/base/backoff.ts";
import type { Clock } from "../../../protocol/base/clock.ts";
import type { ConsoleState, PublicStatus } from "../../../protocol/mesh/console_state.ts";
import type { ReaderMessage, SocketMessage } from "../../socket_messages.ts";
import { EMPTY_FEED, type FeedState, polled, receive, reconnected } from "./feed_state.ts";

/** `live`: by the socket; `polling`: it is asked for again and again; `locked`: nobody is logged in here. */
export type Connection = "connecting" | "live" | "polling" | "offline" | "locked";

/** What is used of a `WebSocket`. */
export interface FeedSocket {
  send(text: string): void;
  close(): void;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: (() => void) | null;
}

export type StatusAnswer = PublicStatus & { state?: ConsoleState | undefined };

export interface FeedView {
  connection: Connection;
  feed: FeedState;
  /** What everybody may know; of the last time it was asked for. */
  status: PublicStatus | null;
}

export interface FeedDeps {
  clock: Pick<Clock, "sleep">;
  open(): FeedSocket;
  /** @throws when there is no answer. */
  getStatus(): Promise<StatusAnswer>;
  onView(view: FeedView): void;
  random?: () => number;
}

export const RETRY_MAX_MS = 5_000;
/** Without a session the open status is all there is. */
export const LOCKED_EVERY_MS = 2_000;

export interface FeedClient {
  /** Ends when `signal` does. */
  run(signal: AbortSignal): Promise<void>;
}

export function createFeedClient(deps: FeedDeps): FeedClient {
  const { clock, open, getStatus, onView, random } = deps;
  let view: FeedView = { connection: "connecting", feed: EMPTY_FEED, status: null };

  function show(next: Partial<FeedView>): void {
    view = { ...view, ...next };
    onView(view);
  }

  /** True when at least one message came. */
  function readSocket(signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      let heard = false;
      let socket: FeedSocket;
      try {
        socket = open();
      } catch {
        return resolve(false);
      }
      const over = (): void => {
        signal.removeEventListener("abort", over);
        socket.onmessage = null;
        socket.onclose = null;
        socket.close();
        resolve(heard);
      };
      signal.addEventListener("abort", over);
      socket.onclose = over;
      socket.onmessage = ({ data }) => {
        const message = parse(data);
        if (message === undefined) return;
        if (!heard) view = { ...view, feed: reconnected(view.feed) };
        heard = true;
        const feed = receive(view.feed, message);
        if (message.kind === "change" && feed.needsSnapshot) {
          // Asked again with each message until it comes: the server answers only so often.
          const ask: ReaderMessage = { kind: "resync" };
          socket.send(JSON.stringify(ask));
        }
        if (feed !== view.feed || view.connection !== "live") show({ feed, connection: "live" });
      };
    });
  }

  async function poll(): Promise<void> {
    try {
      const { state, ...status } = await getStatus();
      if (state === undefined) return show({ connection: "locked", status, feed: EMPTY_FEED });
      show({ connection: "polling", status, feed: polled(view.feed, state, status.atMs) });
    } catch {
      show({ connection: "offline" });
    }
  }

  return {
    async run(signal) {
      for (let failures = 0; !signal.aborted;) {
        failures = await readSocket(signal) ? 1 : failures + 1;
        if (signal.aborted) return;
        await poll();
        const waitMs = view.connection === "locked"
          ? LOCKED_EVERY_MS
          : backoffMs(failures, { maxMs: RETRY_MAX_MS, ...(random && { random }) });
        await clock.sleep(waitMs, signal).catch(() => {});
      }
    },
  };
}

function parse(data: unknown): SocketMessage | undefined {
  if (typeof data !== "string") return undefined;
  try {
    // From the server that sent this page, written from the same schema.
    const message = JSON.parse(data) as Partial<SocketMessage> | null;
    return typeof message?.kind === "string" && typeof message.seq === "number"
      ? message as SocketMessage
      : undefined;
  } catch {
    return undefined;
  }
}
