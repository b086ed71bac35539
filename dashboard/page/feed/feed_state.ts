/**
 * What the page knows of the coordinator, from messages of the socket. Rule: pure; whatever is lost, doubled or late, the
 * state is either the server's at `seq` or marked as one that needs a snapshot.
 */
import { applyChange } from "../../../protocol/mesh/apply_change.ts";
import type { ConsoleState } from "../../../protocol/mesh/console_state.ts";
import type { SocketMessage } from "../../socket_messages.ts";

export interface FeedState {
  /** Of the last message that counted; null before the first. */
  seq: number | null;
  /** By the server's clock, when `state` was so. */
  atMs: number;
  /** Null: nothing is known yet, or the coordinator is away. */
  state: ConsoleState | null;
  /** A message is missing: what comes next is no use before a snapshot. */
  needsSnapshot: boolean;
  /** Why there is no state, for people. */
  awayReason: string | null;
}

export const EMPTY_FEED: FeedState = {
  seq: null,
  atMs: 0,
  state: null,
  needsSnapshot: true,
  awayReason: null,
};

/** After one more message. The same object when it changes nothing. */
export function receive(feed: FeedState, message: SocketMessage): FeedState {
  const { seq, atMs } = message;
  switch (message.kind) {
    case "snapshot":
      return { seq, atMs, state: message.state, needsSnapshot: false, awayReason: null };
    case "away":
      return { seq, atMs, state: null, needsSnapshot: true, awayReason: message.reason };
    case "change": {
      if (feed.seq === null || feed.state === null || feed.needsSnapshot) return feed;
      if (seq <= feed.seq) return feed;
      if (seq > feed.seq + 1) return { ...feed, needsSnapshot: true };
      return { ...feed, seq, atMs, state: applyChange(feed.state, message.change) };
    }
  }
}

/** A socket begins its numbers as it likes: what comes over a new one says nothing about what came over the last. */
export function reconnected(feed: FeedState): FeedState {
  return { ...feed, needsSnapshot: true };
}

/** The whole picture as `/api/status` gives it. */
export function polled(feed: FeedState, state: ConsoleState, atMs: number): FeedState {
  return { ...feed, atMs, state, needsSnapshot: true, awayReason: null };
}
