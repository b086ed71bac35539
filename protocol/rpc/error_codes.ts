/** Every JSON-RPC error code that is not A2A's own. Rule: a code is written down here once and used by name. */

export const RPC_CODES = {
  parseError: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internal: -32603,
  /** Ours, next to HTTP 401. */
  unauthenticated: -32090,
  /** Ours, next to HTTP 403 and 421: not from that page, not under that name. */
  forbidden: -32091,
  /** Ours, next to HTTP 413. */
  bodyTooLarge: -32092,
  /** Ours, next to HTTP 503: a limit is reached, or the agent is closing; the same call may succeed later. */
  unavailable: -32093,
  /** Ours, next to HTTP 429: this caller is too fast. */
  tooManyCalls: -32094,
  /** Ours, next to HTTP 408: the request did not arrive in time. */
  tooSlow: -32095,
} as const;
