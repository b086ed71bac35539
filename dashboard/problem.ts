/** Errors over HTTP, as RFC 9457 has them. Rule: the status comes from the error's code, and an unexpected one says nothing of itself. */
import { asBackupError, BackupError, type ErrorCode } from "../protocol/base/errors.ts";
import { failureIn } from "../protocol/mesh/rpc_failure.ts";
import { UnreachableError } from "../protocol/rpc/client.ts";
import { RPC_CODES } from "../protocol/rpc/error_codes.ts";
import { RpcError } from "../protocol/rpc/rpc_error.ts";

export const PROBLEM_MEDIA_TYPE = "application/problem+json";
const TYPE_PREFIX = "urn:backup-agent:problem:";

export interface Problem {
  /** Names the kind of problem, for programs. */
  type: string;
  title: string;
  status: number;
  /** What happened, for the person who asked. */
  detail?: string;
  /** What can be done about it. */
  hint?: string;
  /** The file or folder it is about. */
  path?: string;
  /** The fields that are wrong, when it is the request. */
  errors?: { field: string; detail: string }[];
}

const STATUSES: Partial<Record<ErrorCode, number>> = {
  usage: 400,
  config: 409,
  not_found: 404,
  not_a_directory: 409,
  permission: 403,
  unsupported: 501,
  deadline: 504,
  io: 502,
  protocol: 502,
  internal: 500,
};
/** Of the world as it is: a disk is full, a run is over, a destination is busy. */
const CONFLICT = 409;

const TITLES: Readonly<Record<number, string>> = {
  400: "The request is wrong",
  401: "Who are you?",
  403: "Not allowed",
  404: "Not found",
  405: "Not that way",
  409: "Not as things are",
  413: "Too large",
  415: "Not in that form",
  429: "Too often",
  500: "Internal error",
  501: "Not offered",
  502: "The other side cannot",
  503: "Not now",
  504: "No answer in time",
};

export function problem(status: number, code: string, facts: Partial<Problem> = {}): Problem {
  return { type: TYPE_PREFIX + code, title: TITLES[status] ?? "Error", status, ...facts };
}

export function problemOf(thrown: unknown): Problem {
  if (thrown instanceof RpcError) {
    const failure = failureIn(thrown);
    return failure === undefined ? problemOfRpc(thrown) : problemOfError(failure);
  }
  if (thrown instanceof UnreachableError) {
    return problem(503, "coordinator_away", {
      detail: "The coordinator does not answer",
      hint: "Look whether it runs; this page goes on by itself when it is back",
    });
  }
  return problemOfError(asBackupError(thrown));
}

function problemOfError({ code, message, hint, path }: BackupError): Problem {
  const status = STATUSES[code] ?? CONFLICT;
  if (code === "internal") return problem(500, code);
  return problem(status, code, {
    detail: message,
    ...(hint === undefined ? {} : { hint }),
    ...(path === undefined ? {} : { path }),
  });
}

function problemOfRpc({ code, message }: RpcError): Problem {
  switch (code) {
    case RPC_CODES.invalidParams:
      return problem(400, "usage", { detail: message });
    case RPC_CODES.unavailable:
    case RPC_CODES.tooManyCalls:
      return problem(503, "busy", { detail: message });
    case RPC_CODES.unauthenticated:
    case RPC_CODES.forbidden:
      return problem(502, "coordinator_refuses", {
        detail: "The coordinator does not know this dashboard's token",
        hint: "Give both the same --token-file",
      });
    case RPC_CODES.methodNotFound:
      return problem(501, "unsupported", { detail: "The coordinator is an older version" });
    default:
      return problem(500, "internal");
  }
}

export function problemResponse(
  what: Problem,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(JSON.stringify(what), {
    status: what.status,
    headers: {
      "content-type": PROBLEM_MEDIA_TYPE,
      "cache-control": "no-store",
      ...(what.status === 503 ? { "retry-after": "1" } : {}),
      ...headers,
    },
  });
}
