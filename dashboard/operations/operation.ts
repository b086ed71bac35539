/**
 * One operation of the HTTP API as data. Rule: routes, OpenAPI document, reference page and the page's typed client read the
 * same object, so none of them can differ from what is served.
 */
import type * as v from "valibot";
import type { RpcClient } from "../../protocol/rpc/client.ts";

export type HttpMethod = "get" | "post" | "put" | "patch" | "delete";

/** What a request brings. Values of `params` and `query` are texts until their schemas have read them. */
export interface InputSchemas {
  readonly params?: v.GenericSchema;
  readonly query?: v.GenericSchema;
  readonly body?: v.GenericSchema;
}

export type InputOf<I extends InputSchemas> = {
  [K in keyof I]: I[K] extends v.GenericSchema ? v.InferOutput<I[K]> : never;
};

/** What a handler may use. */
export interface OperationContext {
  /** Asks the coordinator, within a deadline. */
  ask: RpcClient["call"];
  stream: RpcClient["stream"];
  /** The caller has shown the token or a session; false only at operations that are open. */
  isKnown: boolean;
  /** A new one-time address to log in at. */
  mintLogin(): { url: string; expiresInMs: number };
  endSession(): void;
  version: string;
}

interface OperationFacts<
  Path extends string,
  Method extends HttpMethod,
  I extends InputSchemas,
  Name extends string,
> {
  /** Unique; `operationId` in OpenAPI. */
  readonly name: Name;
  readonly group: string;
  readonly method: Method;
  /** Below `/api`, with `:name` for params. */
  readonly path: Path;
  readonly summary: string;
  readonly input: I;
  /** Needs no credentials. */
  readonly isOpen?: boolean;
}

/** Answers JSON. */
export interface Operation<
  Path extends string = string,
  Method extends HttpMethod = HttpMethod,
  I extends InputSchemas = InputSchemas,
  O extends v.GenericSchema = v.GenericSchema,
  Name extends string = string,
> extends OperationFacts<Path, Method, I, Name> {
  readonly kind: "json";
  readonly output: O;
  /** 201: made; 202: it goes on. */
  readonly status: 200 | 201 | 202;
  // Method syntax: a table holds operations of every input.
  handler(input: InputOf<I>, context: OperationContext): Promise<v.InferOutput<O>>;
}

/** Answers a file. */
export interface Download<
  Path extends string = string,
  I extends InputSchemas = InputSchemas,
  Name extends string = string,
> extends OperationFacts<Path, "get", I, Name> {
  readonly kind: "file";
  handler(input: InputOf<I>, context: OperationContext): Promise<Response>;
}

export function operation<
  const Path extends string,
  const Method extends HttpMethod,
  const I extends InputSchemas,
  O extends v.GenericSchema,
  const Name extends string,
>(
  facts:
    & Omit<Operation<Path, Method, I, O, Name>, "kind" | "status">
    & Partial<Pick<Operation, "status">>,
): Operation<Path, Method, I, O, Name> {
  return { kind: "json", status: 200, ...facts };
}

export function download<
  const Path extends string,
  const I extends InputSchemas,
  const Name extends string,
>(facts: Omit<Download<Path, I, Name>, "kind" | "method">): Download<Path, I, Name> {
  return { kind: "file", method: "get", ...facts };
}

export type AnyOperation = Operation | Download;
