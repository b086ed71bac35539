/** Where a caller wants to be told what happens to its task. Rule: nothing in it can break out of an HTTP header. */
import * as v from "valibot";
import { JsonObject, protoMessage } from "./proto_json.ts";

const TEXT_CHARS_MAX = 4_096;
const URL_CHARS_MAX = 2_048;

const id = v.pipe(v.string(), v.maxLength(200));
/** What may stand in a header: printable ASCII. */
const headerText = v.pipe(v.string(), v.maxLength(TEXT_CHARS_MAX), v.regex(/^[\x20-\x7e]*$/));

const CONFIG_MEMBERS = {
  /** Given by the agent when it is missing; the same id again replaces. */
  id: v.exactOptional(id),
  url: v.pipe(v.string(), v.minLength(1), v.maxLength(URL_CHARS_MAX)),
  /** Sent as it is, so that the receiver knows whose notification it gets. */
  token: v.exactOptional(headerText),
  authentication: v.exactOptional(protoMessage({
    /** As in `Authorization: SCHEME CREDENTIALS`. */
    scheme: v.pipe(headerText, v.regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/)),
    credentials: v.exactOptional(headerText),
  })),
  tenant: v.exactOptional(v.string()),
};

/** As it comes with a message, whose task has no id yet. */
export const InlinePushConfig = protoMessage({ ...CONFIG_MEMBERS, taskId: v.exactOptional(id) });
export type InlinePushConfig = v.InferOutput<typeof InlinePushConfig>;

export const TaskPushNotificationConfig = protoMessage({
  ...CONFIG_MEMBERS,
  taskId: v.pipe(id, v.minLength(1)),
});
export type TaskPushNotificationConfig = v.InferOutput<typeof TaskPushNotificationConfig>;

export const PushConfigName = protoMessage({
  taskId: v.pipe(id, v.minLength(1)),
  id: v.pipe(id, v.minLength(1)),
});

export const ListPushConfigsParams = protoMessage({
  taskId: v.pipe(id, v.minLength(1)),
  pageSize: v.exactOptional(v.pipe(v.number(), v.integer(), v.minValue(0))),
  pageToken: v.exactOptional(v.string()),
});
export type ListPushConfigsParams = v.InferOutput<typeof ListPushConfigsParams>;

export const ListPushConfigsResult = protoMessage({
  configs: v.exactOptional(v.array(TaskPushNotificationConfig), () => []),
  nextPageToken: v.exactOptional(v.string()),
});
export type ListPushConfigsResult = v.InferOutput<typeof ListPushConfigsResult>;

/** An empty object; some agents send null. */
export const DeletePushConfigResult = v.nullable(JsonObject);
