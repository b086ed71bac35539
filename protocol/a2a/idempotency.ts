/** Recognising a resent request. Rule: same key and same body is the same task; same key and other body is an error. */
import { createHash } from "node:crypto";
import type { SendMessageParams } from "./methods.ts";
import type { JsonObject } from "./proto_json.ts";

const KEY_CHARS_MAX = 1000;

/** The key in the extension's metadata of the message or the request; undefined when the caller gave none. */
export function idempotencyKeyOf(
  params: SendMessageParams,
  extensionUri: string,
): string | undefined {
  for (const metadata of [params.message.metadata, params.metadata]) {
    const own = metadata?.[extensionUri];
    if (!isObject(own)) continue;
    const key = own.idempotencyKey;
    if (typeof key === "string" && key !== "" && key.length <= KEY_CHARS_MAX) return key;
  }
  return undefined;
}

/** A hash of what is asked for. The message id is left out: a resend may carry a new one. */
export function bodyHashOf({ message }: SendMessageParams): string {
  const { role, parts, contextId, taskId } = message;
  return createHash("sha256").update(canonical({ role, parts, contextId, taskId })).digest("hex");
}

/** JSON with sorted keys. Nesting is bounded where requests are parsed. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, member) => {
    if (!isObject(member)) return member;
    return Object.fromEntries(Object.entries(member).sort(([a], [b]) => a < b ? -1 : 1));
  });
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
