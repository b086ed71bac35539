/** What A2A peers say to each other: messages made of parts. */
import * as v from "valibot";
import { JsonObject, protoMessage, someOf } from "./proto_json.ts";

export const Role = v.picklist(["ROLE_USER", "ROLE_AGENT"]);
export type Role = v.InferOutput<typeof Role>;

const CONTENT_MEMBERS = ["text", "raw", "url", "data"] as const;

/** A piece of content; exactly one of text, raw, url and data. `data` may be any JSON value, null included. */
export const Part = v.pipe(
  protoMessage({
    text: v.exactOptional(v.string()),
    /** Base64. */
    raw: v.exactOptional(v.pipe(v.string(), v.regex(/^[A-Za-z0-9+/_-]*={0,2}$/))),
    url: v.exactOptional(v.string()),
    data: v.exactOptional(v.unknown()),
    mediaType: v.exactOptional(v.string()),
    filename: v.exactOptional(v.string()),
    metadata: v.exactOptional(JsonObject),
  }, ["data"]),
  v.check(
    (part) => CONTENT_MEMBERS.filter((name) => Object.hasOwn(part, name)).length === 1,
    "A part has exactly one of text, raw, url and data",
  ),
);
export type Part = v.InferOutput<typeof Part>;

const id = v.pipe(v.string(), v.maxLength(1000));
const requiredId = v.pipe(id, v.minLength(1));

/** `messageId` is made by the sender and never used to recognise a repeated request. */
export const Message = protoMessage({
  messageId: requiredId,
  role: Role,
  parts: someOf(Part),
  contextId: v.exactOptional(id),
  taskId: v.exactOptional(id),
  metadata: v.exactOptional(JsonObject),
  extensions: v.exactOptional(v.array(v.string())),
  referenceTaskIds: v.exactOptional(v.array(v.string())),
});
export type Message = v.InferOutput<typeof Message>;
