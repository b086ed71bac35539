/** An error as JSON-RPC carries it. Rule: what is not an `RpcError` leaves as -32603 without text or stack. */
import type * as v from "valibot";
import { getDotPath } from "valibot";
import { RPC_CODES } from "./error_codes.ts";

const BAD_REQUEST_TYPE = "type.googleapis.com/google.rpc.BadRequest";
const VIOLATIONS_MAX = 20;
/** What a caller sent is repeated to it no longer than this. */
const TEXT_CHARS_MAX = 200;

export interface FieldViolation {
  field: string;
  description: string;
}

export class RpcError extends Error {
  override readonly name: string = "RpcError";
  readonly code: number;
  /** What goes out as `error.data`; undefined leaves the member out. */
  readonly data: unknown;

  constructor(code: number, message: string, data?: unknown) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

/** -32602 with the fields that are wrong, at most 20 of them. */
export function invalidParams(violations: readonly FieldViolation[]): RpcError {
  const first = violations[0];
  const message = first === undefined
    ? "Invalid parameters"
    : `Invalid parameters: ${first.field}: ${first.description}`;
  const fieldViolations = violations.slice(0, VIOLATIONS_MAX);
  return new RpcError(RPC_CODES.invalidParams, message, [
    { "@type": BAD_REQUEST_TYPE, fieldViolations },
  ]);
}

/** What a schema found wrong, in the order it was found; the whole value is called `root`. */
export function violationsOf(
  issues: readonly v.BaseIssue<unknown>[],
  root: string,
): FieldViolation[] {
  return issues.map((issue) => ({
    field: (getDotPath(issue) ?? root).slice(0, TEXT_CHARS_MAX),
    description: issue.message.slice(0, TEXT_CHARS_MAX),
  }));
}
