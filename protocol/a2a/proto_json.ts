/**
 * ProtoJSON as A2A uses it. Rule: members go out in camelCase, come in as camelCase or snake_case, unknown ones are
 * ignored and null means absent; nothing inside free-form JSON (metadata, data, params) is touched.
 */
import * as v from "valibot";

/** A JSON object of any content, passed through as it is. */
export const JsonObject = v.custom<Record<string, unknown>>(
  (value) => typeof value === "object" && value !== null && !Array.isArray(value),
  "Invalid type: Expected Object",
);
export type JsonObject = v.InferOutput<typeof JsonObject>;

/** A time as RFC 3339 has it, which is what ProtoJSON writes. */
export const Timestamp = v.pipe(
  v.string(),
  v.regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/, "Invalid timestamp"),
  v.check((text) => !Number.isNaN(Date.parse(text)), "Invalid timestamp"),
);

/** A required, non-empty list. */
export function someOf<S extends v.GenericSchema>(
  item: S,
): v.GenericSchema<v.InferInput<S>[], v.InferOutput<S>[]> {
  return v.pipe(v.array(item), v.minLength(1));
}

/** The schema of one protobuf message. `nullable` names members for which null is a value. */
export function protoMessage<E extends v.ObjectEntries>(
  entries: E,
  nullable: readonly string[] = [],
): v.GenericSchema<JsonObject, v.InferOutput<v.ObjectSchema<E, undefined>>> {
  return v.pipe(
    JsonObject,
    v.transform((object) => withProtoKeys(object, nullable)),
    v.object(entries),
  );
}

function withProtoKeys(object: JsonObject, nullable: readonly string[]): JsonObject {
  const entries = Object.entries(object);
  const isPlain = entries.every(([key, value]) => !key.includes("_") && value !== null);
  if (isPlain) return object;
  const result: JsonObject = {};
  for (const [key, value] of entries) {
    const name = key.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
    if (value === null && !nullable.includes(name)) continue;
    // Where both spellings are given, the canonical one counts.
    if (name !== key && Object.hasOwn(object, name)) continue;
    result[name] = value;
  }
  return result;
}
