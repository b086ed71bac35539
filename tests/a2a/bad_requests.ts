/**
 * Requests as attackers, broken programs and bad lines send them. Rule: everything comes from fast-check, so that what
 * fails can be had again by its seed.
 */
import * as fc from "fast-check";

export interface BadRequest {
  method: string;
  path: string;
  headers: Record<string, string>;
  body: string | Uint8Array<ArrayBuffer>;
}

const JSON_HEADERS = { "content-type": "application/json", "a2a-version": "1.0" };

const MESSAGE = {
  messageId: "m-1",
  role: "ROLE_USER",
  parts: [{ text: "Hello", mediaType: "text/plain" }, { data: { a: [1, null] } }],
  contextId: "c-1",
  metadata: { "urn:backup-agent:a2a:mesh:v1": { idempotencyKey: "k-1" } },
};
/** One valid call of each method, to be broken. */
const VALID: [method: string, params: unknown][] = [
  ["SendMessage", { message: MESSAGE, configuration: { historyLength: 2 } }],
  ["SendStreamingMessage", { message: MESSAGE, configuration: { returnImmediately: true } }],
  ["GetTask", { id: "task-1", historyLength: 1 }],
  ["ListTasks", { contextId: "c-1", pageSize: 2, statusTimestampAfter: "2026-01-01T00:00:00Z" }],
  ["CancelTask", { id: "task-1" }],
  ["SubscribeToTask", { id: "task-1" }],
  ["GetExtendedAgentCard", {}],
  ["CreateTaskPushNotificationConfig", { taskId: "task-1", url: "https://hooks.example/" }],
  ["GetTaskPushNotificationConfig", { taskId: "task-1", id: "c" }],
  ["ListTaskPushNotificationConfigs", { taskId: "task-1" }],
  ["DeleteTaskPushNotificationConfig", { taskId: "task-1", id: "c" }],
];

const anyJson = fc.jsonValue({ maxDepth: 4, stringUnit: "binary" });
const anyId = fc.oneof(fc.integer(), fc.string(), anyJson);
const validCall = validCallOf(VALID);

function validCallOf(valid: readonly (readonly [method: string, params: unknown])[]) {
  return fc.constantFrom(...valid).map(([method, params]) => ({
    jsonrpc: "2.0",
    id: 1,
    method,
    params,
  }));
}

const nastyKey = fc.constantFrom(
  ...["__proto__", "constructor", "toString", "message_id", "task_id", "", "parts", "0"],
);
const nastyValue = fc.oneof(
  anyJson,
  fc.constantFrom<unknown>(
    ...[null, "", -1, 1.5, 1e308, -0, true, [], {}, [[]], "task-1", "../../etc/passwd", "\u0000"],
    ...["TASK_STATE_UNSPECIFIED", 2 ** 53, "\ud800", { length: 1e9 }, "x".repeat(5_000)],
  ),
);

/** Where a value has members: at each level one is taken by its number. */
const pathIn = fc.array(fc.nat({ max: 20 }), { minLength: 1, maxLength: 6 });

/** A valid call in which some places are replaced, removed, added or renamed. */
export function brokenCallOf(
  valid: readonly (readonly [method: string, params: unknown])[],
  mutationsMin = 1,
): fc.Arbitrary<Record<string, unknown>> {
  return mutatedCallOf(validCallOf(valid), mutationsMin);
}

const mutatedCall = mutatedCallOf(validCall, 1);

function mutatedCallOf(call: typeof validCall, minLength: number) {
  return fc.tuple(
    call,
    fc.array(
      fc.record({
        path: pathIn,
        how: fc.constantFrom("replace", "remove", "add", "snake"),
        key: nastyKey,
        value: nastyValue,
        isOuter: fc.integer({ min: 0, max: 4 }).map((n) => n === 0),
      }),
      { minLength, maxLength: 4 },
    ),
  ).map(([call, mutations]) => {
    const root: Record<string, unknown> = structuredClone(call);
    for (const mutation of mutations) {
      // The envelope is soon told; what is in it should be looked at more often.
      const inParams = typeof root.params === "object" && root.params !== null && !mutation.isOuter;
      mutate(inParams ? root.params as Record<string, unknown> : root, mutation);
    }
    return root;
  });
}

function mutate(
  root: Record<string, unknown>,
  { path, how, key, value }: { path: number[]; how: string; key: string; value: unknown },
): void {
  let node: Record<string, unknown> = root;
  const put = structuredClone(value);
  for (const [depth, number] of path.entries()) {
    const keys = Object.keys(node);
    const name = keys[number % keys.length];
    if (name === undefined) break;
    const child = node[name];
    const isLeaf = depth === path.length - 1 || typeof child !== "object" || child === null;
    if (!isLeaf) {
      node = child as Record<string, unknown>;
      continue;
    }
    if (how === "replace") node[name] = put;
    else if (how === "remove") delete node[name];
    else if (how === "snake") node[name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`)] = put;
    else define(node, key, put);
    return;
  }
}

/** As JSON.parse does: `__proto__` becomes a member like any other. */
function define(node: Record<string, unknown>, key: string, value: unknown): void {
  const attributes = { enumerable: true, configurable: true, writable: true };
  Object.defineProperty(node, key, { value, ...attributes });
}

const text = fc.oneof(
  { weight: 12, arbitrary: mutatedCall.map((call) => JSON.stringify(call)) },
  { weight: 2, arbitrary: anyJson.map((value) => JSON.stringify(value)) },
  {
    weight: 2,
    arbitrary: fc.record({
      jsonrpc: fc.oneof(fc.constant("2.0"), nastyValue),
      id: anyId,
      method: fc.oneof(fc.constantFrom(...VALID.map(([name]) => name)), fc.string()),
      params: nastyValue,
    }, { requiredKeys: [] }).map((envelope) => JSON.stringify(envelope)),
  },
  { weight: 1, arbitrary: fc.string({ unit: "binary" }) },
  // Cut off, or with something behind it.
  {
    weight: 1,
    arbitrary: fc.tuple(validCall, fc.nat()).map(([call, at]) => {
      const whole = JSON.stringify(call);
      return whole.slice(0, at % whole.length);
    }),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(validCall, fc.string()).map(([call, tail]) => JSON.stringify(call) + tail),
  },
  { weight: 1, arbitrary: fc.array(validCall).map((batch) => JSON.stringify(batch)) },
);

/** Deep or wide beyond reason, as a whole or where free-form JSON is allowed. */
const hugeText = fc.tuple(
  fc.constantFrom("deep", "deepObject", "wide", "long", "parts", "keys"),
  fc.integer({ min: 100, max: 20_000 }),
  fc.boolean(),
).map(([kind, size, isWhole]) => {
  const value = huge(kind, size);
  if (isWhole) return value;
  const params = kind === "parts"
    ? `{"message":{"messageId":"m","role":"ROLE_USER","parts":${value}}}`
    : `{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"data":${value}}]}}`;
  return `{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":${params}}`;
});

function huge(kind: string, size: number): string {
  switch (kind) {
    case "deep":
      return "[".repeat(size) + "]".repeat(size);
    case "deepObject":
      return '{"a":'.repeat(size) + "1" + "}".repeat(size);
    case "wide":
      return `[${"0,".repeat(size)}0]`;
    case "long":
      return JSON.stringify("x".repeat(size * 5));
    case "parts":
      return `[${'{"text":1},'.repeat(size)}{}]`;
    default:
      return `{${Array.from({ length: size }, (_, i) => `"k_${i}":${i}`).join(",")}}`;
  }
}

const brokenBytes = fc.tuple(validCall, fc.uint8Array({ minLength: 1, maxLength: 8 }), fc.nat())
  .map(([call, noise, at]) => {
    const bytes = new TextEncoder().encode(JSON.stringify(call));
    bytes.set(noise, at % Math.max(1, bytes.length - noise.length));
    return bytes;
  });

const body: fc.Arbitrary<string | Uint8Array<ArrayBuffer>> = fc.oneof(
  { weight: 40, arbitrary: text },
  { weight: 5, arbitrary: brokenBytes },
  { weight: 1, arbitrary: hugeText },
);

const headerValue = fc.string({ unit: fc.constantFrom(..."abz019 .,;:=/*-_".split("")) });
const headers = fc.oneof(
  { weight: 12, arbitrary: fc.constant<Record<string, string>>(JSON_HEADERS) },
  {
    weight: 1,
    arbitrary: fc.record({
      "content-type": fc.oneof(fc.constantFrom("text/plain", "application/json;"), headerValue),
      "a2a-version": fc.oneof(fc.constantFrom("0.3", "1.0.7", "2.0"), headerValue),
      "a2a-extensions": headerValue,
      "content-encoding": fc.constantFrom("gzip", "identity", "br"),
      authorization: headerValue,
      accept: headerValue,
    }, { requiredKeys: [] }).map((given) => given as Record<string, string>),
  },
);

export const badRequest: fc.Arbitrary<BadRequest> = fc.record({
  method: fc.oneof(
    { weight: 20, arbitrary: fc.constant("POST") },
    { weight: 1, arbitrary: fc.constantFrom("PUT", "PATCH", "DELETE") },
  ),
  path: fc.oneof(
    { weight: 20, arbitrary: fc.constantFrom("/rpc", "/rpc/", "/") },
    {
      weight: 1,
      arbitrary: fc.constantFrom("/agent-card", "/ready", "/nothing", "/rpc/x", "/%00"),
    },
  ),
  headers,
  body,
});
