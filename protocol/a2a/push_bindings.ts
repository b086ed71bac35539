/** The four methods about push notifications. Rule: a task of somebody else looks like an unknown one here too. */
import { type Binding, type CallContext, onCall } from "../rpc/method.ts";
import { a2aError } from "./a2a_error.ts";
import * as methods from "./methods.ts";
import type { PushNotifications } from "./push_notifications.ts";

/** @throws {RpcError} -32003 when this agent sends none. */
export function requirePush(push: PushNotifications | undefined): PushNotifications {
  if (push !== undefined) return push;
  throw a2aError("PUSH_NOTIFICATION_NOT_SUPPORTED", "This agent sends no push notifications");
}

/** `requireTask` throws -32001 unless the caller may see the task. */
export function pushBindings(
  push: PushNotifications | undefined,
  requireTask: (taskId: string, context: CallContext) => unknown,
): Binding[] {
  if (push === undefined) {
    // Whatever the params are: the method is what is not supported.
    const { CreatePushConfig, GetPushConfig, ListPushConfigs, DeletePushConfig } = methods;
    return [CreatePushConfig, GetPushConfig, ListPushConfigs, DeletePushConfig]
      .map(({ name }) => ({
        kind: "call",
        name,
        invoke: () => Promise.resolve(requirePush(push)),
      }));
  }
  return [
    onCall(methods.CreatePushConfig, (config, context) => {
      requireTask(config.taskId, context);
      return push.create(config.taskId, config);
    }),
    onCall(methods.GetPushConfig, ({ taskId, id }, context) => {
      requireTask(taskId, context);
      return push.get(taskId, id);
    }),
    onCall(methods.ListPushConfigs, (params, context) => {
      requireTask(params.taskId, context);
      return push.list(params);
    }),
    onCall(methods.DeletePushConfig, ({ taskId, id }, context) => {
      requireTask(taskId, context);
      push.delete(taskId, id);
      return {};
    }),
  ];
}
