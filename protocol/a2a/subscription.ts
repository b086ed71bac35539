/** One reader of a live task. Rule: its queue is bounded; progress gives way first, then the reader is dropped. */
import type { EventStream } from "../rpc/method.ts";
import type { StreamEvent } from "./stream_event.ts";

/** Events held for one reader. */
export const SUBSCRIPTION_QUEUE_MAX = 256;

export interface Subscription extends EventStream<StreamEvent> {
  push(event: StreamEvent): void;
  /** No more events: the reader gets what is queued, then the end. */
  end(): void;
}

/**
 * `onClosed` is called once when the reader leaves, is dropped for being slow, or after `end`. A dropped reader sees
 * the stream end before the task does and asks for a snapshot again.
 */
export function createSubscription(
  onClosed: () => void,
  queueMax: number = SUBSCRIPTION_QUEUE_MAX,
): Subscription {
  let queue: StreamEvent[] = [];
  let waiting: ((step: IteratorResult<StreamEvent, undefined>) => void) | undefined;
  let ended = false;
  const over: IteratorResult<StreamEvent, undefined> = { done: true, value: undefined };

  function end(): void {
    if (ended) return;
    ended = true;
    waiting?.(over);
    waiting = undefined;
    onClosed();
  }

  return {
    push(event) {
      if (ended) return;
      if (waiting !== undefined) {
        const deliver = waiting;
        waiting = undefined;
        deliver({ done: false, value: event });
        return;
      }
      if (queue.length >= queueMax) {
        // Counters are cumulative, so an older progress says nothing that a newer one does not.
        const oldest = queue.findIndex(isProgress);
        if (oldest === -1) {
          queue = [];
          return end();
        }
        queue.splice(oldest, 1);
      }
      queue.push(event);
    },
    end,
    next() {
      const event = queue.shift();
      if (event !== undefined) return Promise.resolve({ done: false, value: event });
      if (ended) return Promise.resolve(over);
      return new Promise((resolve) => waiting = resolve);
    },
    return() {
      queue = [];
      end();
      return Promise.resolve(over);
    },
  };
}

function isProgress(event: StreamEvent): boolean {
  if (!("statusUpdate" in event)) return false;
  const { status } = event.statusUpdate;
  return status.state === "TASK_STATE_WORKING" && status.message === undefined;
}
