/** The operations over HTTP. Rule: what comes in and what goes out passes its schema; whatever goes wrong is a problem document. */
import { Hono } from "hono";
import * as v from "valibot";
import type { Clock } from "../protocol/base/clock.ts";
import { asBackupError, BackupError } from "../protocol/base/errors.ts";
import type { Log } from "../protocol/base/log.ts";
import { createBodyReader } from "../protocol/http/body_reader.ts";
import type { RpcClient } from "../protocol/rpc/client.ts";
import { BodyTooLargeError } from "../protocol/rpc/limited_text.ts";
import { RpcError, violationsOf } from "../protocol/rpc/rpc_error.ts";
import type { AnyOperation, OperationContext } from "./operations/operation.ts";
import { OPERATIONS } from "./operations/table.ts";
import { type Problem, problem, problemOf, problemResponse } from "./problem.ts";

export interface ApiDeps {
  coordinator: RpcClient;
  clock: Clock;
  log: Log;
  version: string;
}

/** What was found out about a caller before. */
export type Caller = Pick<OperationContext, "isKnown" | "mintLogin" | "endSession">;

/** A coordinator that does not answer within this is away. Agents that are asked on the way have a deadline of their own. */
const ANSWER_WITHIN_MS = 90_000;
const LIMITS = { bodyBytesMax: 4 << 20, bodiesBytesMax: 32 << 20, bodyMsMax: 30_000 };

class WrongRequest extends Error {
  readonly problem: Problem;

  constructor(what: Problem) {
    super(what.detail);
    this.problem = what;
  }
}

/** `callerOf` knows who it is; an operation that is not open is never reached by strangers. */
export function createApi(
  deps: ApiDeps,
  callerOf: (request: Request) => Caller,
): Hono {
  const { clock, log } = deps;
  const bodies = createBodyReader(LIMITS, clock);
  const app = new Hono({ strict: false });

  for (const operation of OPERATIONS as readonly AnyOperation[]) {
    app.on(operation.method, operation.path, async (c) => {
      try {
        const request = c.req.raw;
        const input = await readInput(operation, {
          params: c.req.param(),
          query: c.req.query(),
          request,
        });
        return await answer(operation, input, callerOf(request));
      } catch (thrown) {
        return refuse(thrown, operation.name);
      }
    });
  }
  for (const path of new Set(OPERATIONS.map((o) => o.path))) {
    const allow = OPERATIONS.filter((o) => o.path === path).map((o) => o.method.toUpperCase());
    app.all(path, () =>
      problemResponse(
        problem(405, "method", { detail: `Use ${allow.join(" or ")}` }),
        { allow: allow.join(", ") },
      ));
  }
  return app;

  async function answer(
    operation: AnyOperation,
    input: Record<string, unknown>,
    caller: Caller,
  ): Promise<Response> {
    const context = contextOf(caller);
    if (operation.kind === "file") return await operation.handler(input as never, context);
    const output = v.safeParse(operation.output, await operation.handler(input as never, context));
    if (!output.success) {
      const [issue] = output.issues;
      throw new TypeError(`Answer of ${operation.name}: ${v.getDotPath(issue)}: ${issue.message}`);
    }
    return new Response(JSON.stringify(output.output), {
      status: operation.status,
      headers: { "content-type": "application/json", "cache-control": "no-store" },
    });
  }

  async function readInput(
    { input }: AnyOperation,
    from: { params: unknown; query: unknown; request: Request },
  ): Promise<Record<string, unknown>> {
    const read: Record<string, unknown> = {};
    if (input.params !== undefined) read["params"] = parsed(input.params, from.params, "path");
    if (input.query !== undefined) read["query"] = parsed(input.query, from.query, "query");
    if (input.body !== undefined) {
      read["body"] = parsed(input.body, await readBody(from.request), "body");
    }
    return read;
  }

  async function readBody(request: Request): Promise<unknown> {
    const mediaType = request.headers.get("content-type")?.split(";")[0]?.trim().toLowerCase();
    // A form of another page cannot send this type without asking first.
    if (mediaType !== "application/json") {
      throw new WrongRequest(problem(415, "media_type", { detail: "Send application/json" }));
    }
    let text: string;
    try {
      text = await bodies.read(request);
    } catch (thrown) {
      if (thrown instanceof BodyTooLargeError) {
        throw new WrongRequest(problem(413, "too_large", { detail: thrown.message }));
      }
      throw thrown;
    }
    try {
      return JSON.parse(text === "" ? "{}" : text);
    } catch {
      throw new WrongRequest(problem(400, "usage", { detail: "The body is not JSON" }));
    }
  }

  /** A request's own signal is not used: under `Deno.serve` it means less, and its use is warned of. */
  function contextOf(caller: Caller): OperationContext {
    const { coordinator, version } = deps;
    return {
      ...caller,
      version,
      async ask(method, params) {
        const over = new AbortController();
        const late = new AbortController();
        clock.sleep(ANSWER_WITHIN_MS, over.signal).then(
          () => late.abort(new BackupError("deadline", "The coordinator does not answer in time")),
          () => {},
        );
        try {
          return await coordinator.call(method, params, { signal: late.signal });
        } finally {
          over.abort();
        }
      },
      stream: (method, params, options) => coordinator.stream(method, params, options),
    };
  }

  function refuse(thrown: unknown, name: string): Response {
    if (thrown instanceof WrongRequest) return problemResponse(thrown.problem);
    const what = problemOf(thrown);
    if (what.status === 500 && !(thrown instanceof RpcError)) {
      const { message, cause } = asBackupError(thrown);
      const stack = cause instanceof Error ? cause.stack : undefined;
      log("error", "An operation failed unexpectedly", {
        operation: name,
        error: stack ?? message,
      });
    }
    return problemResponse(what);
  }
}

function parsed(schema: v.GenericSchema, value: unknown, what: string): unknown {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const errors = violationsOf(result.issues, what).slice(0, 20).map((e) => ({
    field: e.field,
    detail: e.description,
  }));
  const [first] = errors;
  throw new WrongRequest(
    problem(400, "usage", { detail: `${first?.field}: ${first?.detail}`, errors }),
  );
}
