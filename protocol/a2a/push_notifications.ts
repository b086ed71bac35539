/**
 * Who is to be told of which task. Rule: the table is bounded, and a config goes with its task; whose task it is has
 * been checked before anything here is asked.
 */
import { newId } from "../base/ids.ts";
import { RPC_CODES } from "../rpc/error_codes.ts";
import { invalidParams, RpcError } from "../rpc/rpc_error.ts";
import { a2aError } from "./a2a_error.ts";
import type {
  InlinePushConfig,
  ListPushConfigsParams,
  ListPushConfigsResult,
  TaskPushNotificationConfig,
} from "./push_config.ts";
import { deliver, type DeliveryDeps } from "./push_delivery.ts";
import { isTerminal } from "./task_state.ts";

export const PUSH_CONFIGS_PER_TASK_MAX = 16;
export const PUSH_CONFIGS_MAX = 256;
/** How long closing waits for the last notifications. */
const CLOSE_WAIT_MS = 2_000;

export interface PushNotifications {
  /** @throws {RpcError} -32602 for a URL that may not be called, -32093 when no further task can have a config. */
  check(config: InlinePushConfig): void;
  /** Begins to tell; a config of the same id is replaced. @throws {RpcError} as `check`, -32093 over a limit. */
  create(taskId: string, config: InlinePushConfig): TaskPushNotificationConfig;
  /** @throws {RpcError} -32001. */
  get(taskId: string, id: string): TaskPushNotificationConfig;
  list(params: ListPushConfigsParams): ListPushConfigsResult;
  /** Deleting what is not there changes nothing. */
  delete(taskId: string, id: string): void;
  /** Waits a moment for what is on its way, then stops. */
  close(): Promise<void>;
}

interface Entry {
  config: TaskPushNotificationConfig & { id: string };
  stop: AbortController;
}

export function createPushNotifications(deps: DeliveryDeps): PushNotifications {
  const { table, webhooks, clock } = deps;
  const byTask = new Map<string, Map<string, Entry>>();
  const deliveries = new Set<Promise<void>>();

  function checkUrl({ url }: InlinePushConfig): void {
    const refusal = webhooks.refusal(url);
    if (refusal !== undefined) throw invalidParams([{ field: "url", description: refusal }]);
  }

  function forgetDeadTasks(): void {
    for (const taskId of byTask.keys()) {
      if (table.find(taskId) === undefined) byTask.delete(taskId);
    }
  }

  function remove(taskId: string, id: string): void {
    const ofTask = byTask.get(taskId);
    ofTask?.get(id)?.stop.abort();
    ofTask?.delete(id);
    if (ofTask?.size === 0) byTask.delete(taskId);
  }

  function requireRoom(taskId?: string): void {
    forgetDeadTasks();
    const total = [...byTask.values()].reduce((sum, ofTask) => sum + ofTask.size, 0);
    const ofTask = taskId === undefined ? 0 : byTask.get(taskId)?.size ?? 0;
    if (ofTask < PUSH_CONFIGS_PER_TASK_MAX && total < PUSH_CONFIGS_MAX) return;
    throw new RpcError(RPC_CODES.unavailable, "Too many push notification configs");
  }

  return {
    check(config) {
      checkUrl(config);
      requireRoom();
    },

    create(taskId, given) {
      checkUrl(given);
      const id = given.id || newId("push");
      remove(taskId, id);
      requireRoom(taskId);
      const config = { ...given, id, taskId };
      const entry: Entry = { config, stop: new AbortController() };
      const ofTask = byTask.get(taskId) ?? new Map<string, Entry>();
      byTask.set(taskId, ofTask.set(id, entry));
      const state = table.find(taskId)?.status.state;
      if (state !== undefined && !isTerminal(state)) {
        const delivery = deliver(taskId, config, entry.stop.signal, deps)
          .finally(() => deliveries.delete(delivery));
        deliveries.add(delivery);
      }
      return config;
    },

    get(taskId, id) {
      const entry = byTask.get(taskId)?.get(id);
      if (entry !== undefined) return entry.config;
      throw a2aError("TASK_NOT_FOUND", "Push notification config not found", { taskId });
    },

    list({ taskId, pageSize, pageToken }) {
      const all = [...byTask.get(taskId)?.values() ?? []].map((entry) => entry.config);
      const start = pageToken ? all.findIndex((config) => config.id === pageToken) + 1 : 0;
      const configs = all.slice(start, start + (pageSize || PUSH_CONFIGS_PER_TASK_MAX));
      const last = configs.at(-1);
      const hasMore = start + configs.length < all.length;
      return hasMore && last !== undefined ? { configs, nextPageToken: last.id } : { configs };
    },

    delete: remove,

    async close() {
      const timer = new AbortController();
      if (deliveries.size > 0) {
        await Promise.race([
          Promise.all(deliveries),
          clock.sleep(CLOSE_WAIT_MS, timer.signal).catch(() => {}),
        ]);
      }
      timer.abort();
      for (const ofTask of byTask.values()) for (const { stop } of ofTask.values()) stop.abort();
      byTask.clear();
    },
  };
}
