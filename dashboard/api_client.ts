/**
 * The API as the page calls it. Rule: every type here is worked out from the table of operations; nothing is written twice.
 */
import type { Env, Hono, Schema } from "hono";
import { hc } from "hono/client";
import type * as v from "valibot";
import type { OPERATIONS } from "./operations/table.ts";

type Known<S> = S extends v.GenericSchema ? v.InferInput<S> : never;

/** As Hono names the parts of a request. */
type RequestOf<I> =
  & Part<I, "params", "param">
  & Part<I, "query", "query">
  & Part<I, "body", "json">;

type Part<I, Own extends string, Theirs extends string> = I extends { [K in Own]: infer S }
  ? { [K in Theirs]: Known<S> }
  // deno-lint-ignore ban-types -- nothing more is asked for
  : {};

interface Facts<Path, Method, I> {
  path: Path;
  method: Method;
  input: I;
}

type Endpoint<O> = O extends Facts<infer Path extends string, infer Method extends string, infer I>
  ? {
    [P in `/api${Path}`]: {
      [M in `$${Method}`]: {
        input: RequestOf<I>;
        output: O extends { output: infer Out extends v.GenericSchema } ? v.InferOutput<Out>
          : string;
        outputFormat: O extends { kind: "json" } ? "json" : "text";
        status: 200;
      };
    };
  }
  : never;

type Intersection<U> = (U extends unknown ? (one: U) => void : never) extends
  (all: infer All) => void ? All : never;

type ApiSchema = Intersection<Endpoint<(typeof OPERATIONS)[number]>>;
type ApiApp = Hono<Env, ApiSchema extends Schema ? ApiSchema : never, "/">;

/** Typed calls: `client.api.runs[":runId"].pause.$post({ param: { runId } })`. */
export function createApiClient(base: string, options: { fetch?: typeof fetch } = {}) {
  return hc<ApiApp>(base, options);
}
export type ApiClient = ReturnType<typeof createApiClient>;

/** The answer of an operation by its name, for views that keep one. */
export type AnswerOf<Name extends (typeof OPERATIONS)[number]["name"]> =
  Extract<(typeof OPERATIONS)[number], { name: Name }> extends
    { output: infer Out extends v.GenericSchema } ? v.InferOutput<Out> : never;
