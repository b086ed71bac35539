/**
 * A method as data: name, params schema, result schema. Rule: dispatcher and client read the same object, and the
 * handler's type is derived from it.
 */
import * as v from "valibot";
import { invalidParams, violationsOf } from "./rpc_error.ts";

/** A method that answers once. */
export interface Method<P extends v.GenericSchema, R extends v.GenericSchema> {
  readonly name: string;
  readonly params: P;
  readonly result: R;
}

/** A method that answers with a stream of events. */
export interface StreamMethod<P extends v.GenericSchema, E extends v.GenericSchema> {
  readonly name: string;
  readonly params: P;
  readonly event: E;
}

/** What a handler may know about the call besides its params. */
export interface CallContext {
  /** Who calls, for scoping what they see; the same for all calls under one credential. */
  caller: string;
  /** A request header by its name; undefined when it is missing. */
  header(name: string): string | undefined;
  /** Asked before a stream begins, so that one for which there is no place has no effect. @throws {RpcError} */
  admitStream?(): void;
}

/** Events one after another; `return` must be called when nobody wants the rest. */
export interface EventStream<E> {
  next(): Promise<IteratorResult<E, undefined>>;
  return(): Promise<IteratorResult<E, undefined>>;
}

/** A method with its handler, its types erased so that a dispatcher can hold many. */
export type Binding =
  | { kind: "call"; name: string; invoke(params: unknown, context: CallContext): Promise<unknown> }
  | {
    kind: "stream";
    name: string;
    invoke(params: unknown, context: CallContext): Promise<EventStream<unknown>>;
  };

export function defineMethod<P extends v.GenericSchema, R extends v.GenericSchema>(
  method: Method<P, R>,
): Method<P, R> {
  return method;
}

export function defineStreamMethod<P extends v.GenericSchema, E extends v.GenericSchema>(
  method: StreamMethod<P, E>,
): StreamMethod<P, E> {
  return method;
}

/** Binds a handler; it is called only with params its schema has accepted. */
export function onCall<P extends v.GenericSchema, R extends v.GenericSchema>(
  method: Method<P, R>,
  handler: (
    params: v.InferOutput<P>,
    context: CallContext,
  ) => v.InferOutput<R> | Promise<v.InferOutput<R>>,
): Binding {
  return {
    kind: "call",
    name: method.name,
    invoke: async (params, context) => await handler(parseParams(method.params, params), context),
  };
}

/** As `onCall`; what the handler throws before it returns the stream is answered as one plain error. */
export function onStream<P extends v.GenericSchema, E extends v.GenericSchema>(
  method: StreamMethod<P, E>,
  handler: (
    params: v.InferOutput<P>,
    context: CallContext,
  ) => EventStream<v.InferOutput<E>> | Promise<EventStream<v.InferOutput<E>>>,
): Binding {
  return {
    kind: "stream",
    name: method.name,
    invoke: async (params, context) => await handler(parseParams(method.params, params), context),
  };
}

function parseParams<P extends v.GenericSchema>(schema: P, params: unknown): v.InferOutput<P> {
  // The first fault is enough: a list of a million wrong items would make a million issues.
  const parsed = v.safeParse(schema, params ?? {}, { abortEarly: true });
  if (!parsed.success) throw invalidParams(violationsOf(parsed.issues, "params"));
  return parsed.output;
}
