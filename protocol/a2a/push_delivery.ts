/**
 * Telling one webhook what happens to one task. Rule: events keep their order, each is tried at least once and not for
 * ever, and what waits is bounded as for any reader of the task.
 */
import { backoffMs } from "../base/backoff.ts";
import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { InlinePushConfig } from "./push_config.ts";
import type { StreamEvent } from "./stream_event.ts";
import { isTerminal } from "./task_state.ts";
import type { TaskTable } from "./task_table.ts";
import type { Webhooks } from "./webhooks.ts";

/** How long a receiver may take to answer. */
export const PUSH_ATTEMPT_MS = 10_000;
/** Attempts an event. */
export const PUSH_ATTEMPTS_MAX = 4;
/** Events lost one after another before a receiver is given up. */
export const PUSH_LOST_EVENTS_MAX = 3;

const MEDIA_TYPE = "application/a2a+json";
const TOKEN_HEADER = "x-a2a-notification-token";

export interface DeliveryDeps {
  table: TaskTable;
  webhooks: Webhooks;
  clock: Clock;
  log: Log;
}

/** Tells of `taskId` until it has ended, `signal` is aborted or the receiver is given up. Never rejects. */
export async function deliver(
  taskId: string,
  config: InlinePushConfig,
  signal: AbortSignal,
  { table, webhooks, clock, log }: DeliveryDeps,
): Promise<void> {
  const headers = headersOf(config);
  const facts = { taskId, host: new URL(config.url).host };
  let lostEvents = 0;

  async function send(event: StreamEvent): Promise<void> {
    const body = JSON.stringify(event);
    for (let attempt = 1; !signal.aborted; attempt++) {
      const outcome = await post(body);
      if (outcome === "taken") {
        lostEvents = 0;
        return;
      }
      if (outcome.isFinal || attempt === PUSH_ATTEMPTS_MAX) {
        lostEvents++;
        log("warn", "A notification was lost", { ...facts, why: outcome.why, attempt });
        return;
      }
      await clock.sleep(backoffMs(attempt), signal).catch(() => {});
    }
  }

  async function post(body: string): Promise<"taken" | { why: string; isFinal: boolean }> {
    const attempt = new AbortController();
    const timer = new AbortController();
    const onAbort = () => attempt.abort(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    clock.sleep(PUSH_ATTEMPT_MS, timer.signal)
      .then(() => attempt.abort(new Error(`No answer within ${PUSH_ATTEMPT_MS} ms`)), () => {});
    try {
      const status = await webhooks.post(config.url, headers, body, attempt.signal);
      if (status >= 200 && status < 300) return "taken";
      return { why: `HTTP ${status}`, isFinal: !isWorthRepeating(status) };
    } catch (thrown) {
      return { why: thrown instanceof Error ? thrown.message : String(thrown), isFinal: false };
    } finally {
      timer.abort();
      signal.removeEventListener("abort", onAbort);
    }
  }

  const isLive = () => !signal.aborted && lostEvents < PUSH_LOST_EVENTS_MAX;
  let hasTold = false;
  // A reader that fell behind is dropped: a new one begins with the task as it is.
  while (isLive() && !hasTold && table.find(taskId) !== undefined) {
    const events = table.subscribe(taskId);
    const leave = () => void events.return();
    signal.addEventListener("abort", leave, { once: true });
    for (let step = await events.next(); !step.done && isLive(); step = await events.next()) {
      await send(step.value);
      hasTold = isEnd(step.value);
    }
    signal.removeEventListener("abort", leave);
    await events.return();
  }
  if (lostEvents >= PUSH_LOST_EVENTS_MAX) {
    log("warn", "A receiver of notifications is given up", facts);
  }
}

function isEnd(event: StreamEvent): boolean {
  if ("task" in event) return isTerminal(event.task.status.state);
  return "statusUpdate" in event && isTerminal(event.statusUpdate.status.state);
}

function headersOf({ token, authentication }: InlinePushConfig): Record<string, string> {
  const headers: Record<string, string> = { "content-type": MEDIA_TYPE };
  if (token) headers[TOKEN_HEADER] = token;
  if (authentication !== undefined) {
    const { scheme, credentials = "" } = authentication;
    headers.authorization = `${scheme} ${credentials}`.trim();
  }
  return headers;
}

function isWorthRepeating(status: number): boolean {
  return status >= 500 || status === 408 || status === 425 || status === 429;
}
