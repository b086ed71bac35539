/**
 * One stream from the coordinator for all browsers. Rule: each message is written once, whoever reads; a reader that is slow
 * gets the whole picture when it has caught up, and holds up nobody.
 */
import * as v from "valibot";
import { backoffMs } from "../protocol/base/backoff.ts";
import type { Clock } from "../protocol/base/clock.ts";
import { asBackupError } from "../protocol/base/errors.ts";
import type { Log } from "../protocol/base/log.ts";
import { FollowConsole } from "../protocol/mesh/console_methods.ts";
import { applyChange } from "../protocol/mesh/apply_change.ts";
import type { ConsoleEvent, ConsoleState } from "../protocol/mesh/console_state.ts";
import type { RpcClient } from "../protocol/rpc/client.ts";
import { ReaderMessage, type SocketMessage } from "./socket_messages.ts";

/** What is used of a `WebSocket`. */
export interface SocketLike {
  readonly readyState: number;
  readonly bufferedAmount: number;
  send(text: string): void;
  close(code?: number, reason?: string): void;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: { data: unknown } & never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
}

export interface SocketFeed {
  /** `session` names whose socket it is. */
  join(socket: SocketLike, session: string): void;
  /** Closes the sockets of a session that is over. */
  dismiss(session: string): void;
  readonly readers: number;
  close(): void;
}

export const READERS_MAX = 1_000;
/** More than this on its way to one reader, and it is told nothing more until it has caught up. */
export const BEHIND_BYTES = 1 << 20;
const CAUGHT_UP_BYTES = 64 << 10;
const LOOK_AT_SLOW_MS = 500;
/** Who takes nothing for so long is gone. */
const STUCK_MS = 60_000;
const RETRY_MAX_MS = 5_000;
/** Snapshots that one reader may ask for, one after the other. */
const RESYNC_EVERY_MS = 250;
const OPEN = 1;
const CLOSED_BY_US = 1001;
const LOGGED_OUT = 4401;
const TRY_LATER = 1013;

interface Reader {
  readonly socket: SocketLike;
  readonly session: string;
  behindSinceMs: number | undefined;
  resyncedAtMs: number;
}

export function createSocketFeed(deps: {
  coordinator: RpcClient;
  clock: Clock;
  log: Log;
}): SocketFeed {
  const { coordinator, clock, log } = deps;
  const readers = new Map<SocketLike, Reader>();
  let state: ConsoleState | undefined;
  /** Of our own messages; the coordinator's numbers begin anew with each stream. */
  let seq = 0;
  let snapshot: { seq: number; text: string } | undefined;
  let away: string | undefined;
  let following: AbortController | undefined;
  let stopLooking = () => {};
  let isClosed = false;

  function snapshotText(): string | undefined {
    if (state === undefined) return away;
    if (snapshot?.seq !== seq) {
      const message: SocketMessage = { kind: "snapshot", seq, atMs: now(), state };
      snapshot = { seq, text: JSON.stringify(message) };
    }
    return snapshot.text;
  }

  const now = (): number => Math.round(clock.nowMs());

  function send(reader: Reader, text: string): void {
    const { socket } = reader;
    if (socket.readyState !== OPEN) return;
    if (reader.behindSinceMs !== undefined) return;
    if (socket.bufferedAmount > BEHIND_BYTES) {
      reader.behindSinceMs = clock.monotonicMs();
      return;
    }
    try {
      socket.send(text);
    } catch {
      leave(socket);
    }
  }

  function broadcast(text: string): void {
    for (const reader of readers.values()) send(reader, text);
  }

  function lookAtSlow(): void {
    const nowMs = clock.monotonicMs();
    for (const reader of [...readers.values()]) {
      const { socket, behindSinceMs } = reader;
      if (behindSinceMs === undefined) continue;
      if (socket.bufferedAmount <= CAUGHT_UP_BYTES) {
        reader.behindSinceMs = undefined;
        const text = snapshotText();
        if (text !== undefined) send(reader, text);
      } else if (nowMs - behindSinceMs > STUCK_MS) {
        leave(socket);
        socket.close(TRY_LATER, "Nothing is read");
      }
    }
  }

  function take(event: ConsoleEvent): void {
    seq++;
    away = undefined;
    if (event.kind === "snapshot") {
      state = event.state;
      return broadcast(snapshotText()!);
    }
    if (state === undefined) return;
    state = applyChange(state, event.change);
    const message: SocketMessage = { ...event, seq };
    broadcast(JSON.stringify(message));
  }

  async function follow(signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted;) {
      let reason = "The coordinator ended its report";
      try {
        for await (const event of coordinator.stream(FollowConsole, {}, { signal })) {
          if (signal.aborted) return;
          failures = 0;
          take(event);
        }
      } catch (thrown) {
        reason = asBackupError(thrown).message;
      }
      if (signal.aborted) return;
      if (failures++ === 0) log("warn", "The coordinator does not answer", { reason });
      seq++;
      state = undefined;
      const message: SocketMessage = {
        kind: "away",
        seq,
        atMs: now(),
        reason: "The coordinator does not answer",
      };
      away = JSON.stringify(message);
      broadcast(away);
      await clock.sleep(Math.min(RETRY_MAX_MS, backoffMs(failures)), signal).catch(() => {});
    }
  }

  function begin(): void {
    if (following !== undefined || isClosed) return;
    following = new AbortController();
    void follow(following.signal);
    stopLooking = clock.every(LOOK_AT_SLOW_MS, lookAtSlow);
  }

  function leave(socket: SocketLike): void {
    if (!readers.delete(socket) || readers.size > 0) return;
    following?.abort();
    following = undefined;
    stopLooking();
    state = undefined;
    away = undefined;
  }

  function heard(reader: Reader, data: unknown): void {
    if (typeof data !== "string" || data.length > 1_000) return;
    const message = v.safeParse(v.pipe(v.string(), v.parseJson(), ReaderMessage), data);
    if (!message.success) return;
    const nowMs = clock.monotonicMs();
    if (nowMs - reader.resyncedAtMs < RESYNC_EVERY_MS) return;
    reader.resyncedAtMs = nowMs;
    const text = snapshotText();
    if (text !== undefined) send(reader, text);
  }

  return {
    join(socket, session) {
      const reader: Reader = {
        socket,
        session,
        behindSinceMs: undefined,
        resyncedAtMs: -Infinity,
      };
      const enter = (): void => {
        if (isClosed || readers.size >= READERS_MAX) {
          return socket.close(TRY_LATER, "Too many read already");
        }
        readers.set(socket, reader);
        begin();
        const text = snapshotText();
        if (text !== undefined) send(reader, text);
      };
      socket.onmessage = ({ data }: { data: unknown }) => heard(reader, data);
      socket.onclose = () => leave(socket);
      socket.onerror = () => leave(socket);
      if (socket.readyState === OPEN) enter();
      else socket.onopen = enter;
    },
    dismiss(session) {
      for (const { socket, session: own } of [...readers.values()]) {
        if (own !== session) continue;
        leave(socket);
        socket.close(LOGGED_OUT, "Logged out");
      }
    },
    get readers() {
      return readers.size;
    },
    close() {
      isClosed = true;
      for (const socket of [...readers.keys()]) {
        leave(socket);
        socket.close(CLOSED_BY_US, "The dashboard ends");
      }
    },
  };
}
