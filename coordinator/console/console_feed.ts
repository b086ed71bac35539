/**
 * The picture as it changes, for any number of readers. Rule: at most four changes a second, none while nothing changes, all
 * of it worked out once; a reader that is too slow is given the whole picture instead.
 */
import type { Clock } from "../../protocol/base/clock.ts";
import { asBackupError } from "../../protocol/base/errors.ts";
import type { Log } from "../../protocol/base/log.ts";
import type { ConsoleEvent, ConsoleState } from "../../protocol/mesh/console_state.ts";
import type { EventStream } from "../../protocol/rpc/method.ts";
import { changeBetween } from "./console_model.ts";

export const FEED_TICK_MS = 250;
/** Changes that wait for a reader. */
const WAITING_MAX = 16;
/** Dashboards, each of which has readers of its own. */
export const FEED_READERS_MAX = 64;

export interface ConsoleFeed {
  /** Undefined: too many read already. */
  follow(): EventStream<ConsoleEvent> | undefined;
  close(): void;
}

interface Reader {
  waiting: ConsoleEvent[];
  needsSnapshot: boolean;
  wake: (() => void) | undefined;
}

export function createConsoleFeed(deps: {
  clock: Pick<Clock, "nowMs" | "every">;
  log: Log;
  collect(): ConsoleState;
}): ConsoleFeed {
  const { clock, log, collect } = deps;
  const readers = new Set<Reader>();
  let state: ConsoleState | undefined;
  let seq = 0;
  let stopTicking: (() => void) | undefined;
  let isClosed = false;

  function look(): ConsoleState | undefined {
    try {
      return collect();
    } catch (thrown) {
      log("warn", "The picture for dashboards could not be made", {
        error: asBackupError(thrown).message,
      });
      return undefined;
    }
  }

  function tick(): void {
    const next = look();
    if (next === undefined) return;
    const change = state === undefined ? undefined : changeBetween(state, next);
    const isFirst = state === undefined;
    if (change === undefined && !isFirst) return;
    state = next;
    seq++;
    for (const reader of readers) {
      if (isFirst || change === undefined || reader.waiting.length >= WAITING_MAX) {
        reader.waiting = [];
        reader.needsSnapshot = true;
      } else if (!reader.needsSnapshot) {
        reader.waiting.push({ kind: "change", seq, atMs: clock.nowMs(), change });
      }
      reader.wake?.();
    }
  }

  function stopWhenAlone(): void {
    if (readers.size > 0) return;
    stopTicking?.();
    stopTicking = undefined;
    state = undefined;
  }

  return {
    follow() {
      if (isClosed || readers.size >= FEED_READERS_MAX) return undefined;
      const reader: Reader = { waiting: [], needsSnapshot: true, wake: undefined };
      readers.add(reader);
      if (stopTicking === undefined) {
        tick();
        stopTicking = clock.every(FEED_TICK_MS, tick);
      }
      const over = () => {
        readers.delete(reader);
        reader.wake?.();
        stopWhenAlone();
        return { done: true as const, value: undefined };
      };
      return {
        async next() {
          for (;;) {
            if (!readers.has(reader)) return { done: true, value: undefined };
            if (reader.needsSnapshot && state !== undefined) {
              reader.needsSnapshot = false;
              reader.waiting = [];
              return {
                done: false,
                value: { kind: "snapshot", seq, atMs: clock.nowMs(), state },
              };
            }
            const event = reader.waiting.shift();
            if (event !== undefined) return { done: false, value: event };
            await new Promise<void>((resolve) => reader.wake = resolve);
          }
        },
        return: () => Promise.resolve(over()),
      };
    },
    close() {
      isClosed = true;
      for (const reader of [...readers]) {
        readers.delete(reader);
        reader.wake?.();
      }
      stopWhenAlone();
    },
  };
}
