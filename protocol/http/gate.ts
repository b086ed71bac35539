/**
 * Who gets in. Rule: a request under a foreign name, from a foreign web page or without the token is refused before
 * anything of it is read.
 */
import { isIP } from "node:net";
import type { Clock } from "../base/clock.ts";
import { createRateLimiter, type RateLimit } from "../base/rate_limiter.ts";
import { RPC_CODES } from "../rpc/error_codes.ts";
import { RpcError } from "../rpc/rpc_error.ts";
import { hasBearerToken } from "./bearer_auth.ts";

export interface GateOptions {
  clock: Pick<Clock, "monotonicMs">;
  /** When set, every request needs it as bearer token. */
  token?: string | undefined;
  /**
   * Names and addresses this agent is reached under, beside those of loopback; ports do not matter. `0.0.0.0` or `::`
   * stand for every address. Undefined: whatever is asked for, as in one process.
   */
  hosts?: readonly string[] | undefined;
  /** Origins of web pages that may call, beside the agent's own, e.g. `http://127.0.0.1:8080`. */
  origins?: readonly string[] | undefined;
}

/** Why a request gets no further, in the words of HTTP and of JSON-RPC. */
export interface Refusal {
  status: 401 | 403 | 421 | 429;
  error: RpcError;
  headers: Readonly<Record<string, string>>;
}

/** `peer` is the remote address, undefined within one process. */
export type Gate = (request: Request, peer: string | undefined) => Refusal | undefined;

/** Wrong tokens from one address. A right one passes whatever came before, so nobody can lock the owner out. */
const WRONG_TOKENS: RateLimit = { perSecond: 1, burst: 20 };

const LOOPBACK_HOSTS = ["localhost", "127.0.0.1", "[::1]"];

export function createGate({ clock, token, hosts, origins = [] }: GateOptions): Gate {
  const wrongTokens = createRateLimiter(clock, WRONG_TOKENS);
  const names = hosts && new Set([...LOOPBACK_HOSTS, ...hosts.map(asHostname)]);
  const isEveryAddress = names?.has("0.0.0.0") || names?.has("[::]");

  function isOurName(host: string): boolean {
    const name = hostnameOf(host);
    if (name === undefined || names === undefined) return names === undefined;
    // A page cannot make a browser send an address that its own URL has not.
    return names.has(name) || (isEveryAddress === true && isAddress(name));
  }

  return (request, peer) => {
    const host = request.headers.get("host") ?? new URL(request.url).host;
    if (!isOurName(host)) {
      return refuse(421, RPC_CODES.forbidden, "This agent is not reached under that host name");
    }
    const origin = request.headers.get("origin");
    if (origin !== null && !origins.includes(origin) && hostOfOrigin(origin) !== host) {
      return refuse(403, RPC_CODES.forbidden, "This agent takes no calls from that web page");
    }
    if (token === undefined) return undefined;
    if (hasBearerToken(request.headers.get("authorization") ?? undefined, token)) return undefined;
    const waitMs = peer === undefined ? 0 : wrongTokens.take(peer);
    if (waitMs > 0) {
      const message = "Too many calls without a valid token";
      return refuse(429, RPC_CODES.tooManyCalls, message, { "retry-after": secondsOf(waitMs) });
    }
    return refuse(401, RPC_CODES.unauthenticated, "A valid bearer token is needed", {
      "www-authenticate": 'Bearer realm="backup-agent"',
    });
  };
}

/** For `Retry-After`. */
export function secondsOf(waitMs: number): string {
  return String(Math.ceil(waitMs / 1000));
}

function refuse(
  status: Refusal["status"],
  code: number,
  message: string,
  headers: Refusal["headers"] = {},
): Refusal {
  return { status, error: new RpcError(code, message), headers };
}

/** As URLs have it: lower case, IPv6 in brackets, without port. */
function hostnameOf(host: string): string | undefined {
  if (/[/?#@\\\s]/.test(host)) return undefined;
  return URL.parse(`http://${host}`)?.hostname.replace(/\.$/, "") || undefined;
}

function asHostname(host: string): string {
  const name = host.trim();
  return (isIP(name) === 6 ? hostnameOf(`[${name}]`) : hostnameOf(name)) ?? name;
}

function isAddress(hostname: string): boolean {
  return isIP(hostname.replace(/^\[(.*)\]$/, "$1")) !== 0;
}

/** Host and port of a page's origin; `null`, as sandboxed pages send it, has none. */
function hostOfOrigin(origin: string): string | undefined {
  return URL.parse(origin)?.host || undefined;
}
