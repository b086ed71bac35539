/**
 * Who gets in, and how far. Rule: a foreign name or web page is refused before anything else is looked at; whoever shows
 * neither token nor session sees only what is open.
 */
import type { Clock } from "../protocol/base/clock.ts";
import { createRateLimiter, type RateLimit } from "../protocol/base/rate_limiter.ts";
import { hasBearerToken } from "../protocol/http/bearer_auth.ts";
import { createGate, secondsOf } from "../protocol/http/gate.ts";
import { problem, problemResponse } from "./problem.ts";
import type { Sessions } from "./sessions.ts";

export interface EntryOptions {
  clock: Pick<Clock, "monotonicMs">;
  token: string;
  sessions: Sessions;
  /** Names this dashboard is reached under, beside loopback's. */
  hosts: readonly string[];
  /** Origins of other web pages that may call with the token. */
  origins: readonly string[];
  /** Of the session's cookie; ports share cookies, so each has a name of its own. */
  cookieName: string;
}

export interface Entry {
  /** A refusal that stands whatever is asked for. */
  refusal(request: Request): Response | undefined;
  /** The session, or `token`; undefined: a stranger. */
  whoIs(request: Request): string | undefined;
  /** For a stranger who asks for what is not open. */
  turnAway(request: Request, peer: string | undefined): Response;
  /** Set when a stranger asks more often than anybody needs to. */
  limitStranger(request: Request, peer: string | undefined): Response | undefined;
  /** How long whoever is at `peer` has to wait before the next try to log in; 0: none. */
  loginWaitMs(peer: string | undefined): number;
  sessionOf(request: Request): string | undefined;
  isAllowedOrigin(origin: string): boolean;
}

/** Wrong tokens, and tries to log in, from one address. What is right passes whatever came before. */
const WRONG_TRIES: RateLimit = { perSecond: 0.5, burst: 10 };

/** The page, its files and a status now and then; all users of one machine are one address. */
const STRANGERS: RateLimit = { perSecond: 50, burst: 500 };

export function createEntry(options: EntryOptions): Entry {
  const { clock, token, sessions, hosts, origins, cookieName } = options;
  const gate = createGate({ clock, hosts, origins });
  const wrongTokens = createRateLimiter(clock, WRONG_TRIES);
  const logins = createRateLimiter(clock, WRONG_TRIES);
  const strangers = createRateLimiter(clock, STRANGERS);
  const isAllowedOrigin = (origin: string): boolean => origins.includes(origin);

  function sessionOf(request: Request): string | undefined {
    const header = request.headers.get("cookie") ?? "";
    for (const part of header.split(";")) {
      const [name, value] = part.trim().split("=", 2);
      if (name === cookieName && value !== undefined) return value;
    }
    return undefined;
  }

  /** Another page on this machine is another site to us, also where browsers share its cookies with ours. */
  function isForeignPage(request: Request): boolean {
    const site = request.headers.get("sec-fetch-site");
    if (site === null || site === "same-origin" || site === "none") return false;
    if (isAllowedOrigin(request.headers.get("origin") ?? "")) return false;
    // A link that somebody follows leads to a page, and gives the page that has it nothing.
    return request.headers.get("sec-fetch-mode") !== "navigate" || request.method !== "GET";
  }

  function whoIs(request: Request): string | undefined {
    if (hasBearerToken(request.headers.get("authorization") ?? undefined, token)) return "token";
    // A page of another origin may use the token it was given, and never the session of ours.
    const origin = request.headers.get("origin");
    if (origin !== null && isAllowedOrigin(origin)) return undefined;
    const session = sessionOf(request);
    return session === undefined ? undefined : sessions.find(session);
  }

  return {
    refusal(request) {
      const refused = gate(request, undefined);
      if (refused !== undefined) {
        return problemResponse(problem(403, "foreign", { detail: refused.error.message }));
      }
      if (!isForeignPage(request)) return undefined;
      const detail = "This dashboard takes no calls from another web page";
      return problemResponse(problem(403, "foreign", { detail }));
    },
    whoIs,
    turnAway(request, peer) {
      const tried = request.headers.has("authorization") || sessionOf(request) !== undefined;
      const waitMs = tried && peer !== undefined ? wrongTokens.take(peer) : 0;
      if (waitMs > 0) {
        return problemResponse(
          problem(429, "too_often", { detail: "Too many calls without a valid token" }),
          { "retry-after": secondsOf(waitMs) },
        );
      }
      return problemResponse(
        problem(401, "unknown_caller", {
          detail: "This needs a session, or the mesh token",
          hint:
            "Open the address that was printed at the start, or send Authorization: Bearer TOKEN",
        }),
        { "www-authenticate": 'Bearer realm="backup-agent"' },
      );
    },
    limitStranger(request, peer) {
      if (peer === undefined || whoIs(request) !== undefined) return undefined;
      const waitMs = strangers.take(peer);
      if (waitMs === 0) return undefined;
      return problemResponse(
        problem(429, "too_often", { detail: "Too many calls without credentials" }),
        { "retry-after": secondsOf(waitMs) },
      );
    },
    loginWaitMs: (peer) => peer === undefined ? 0 : logins.take(peer),
    sessionOf,
    isAllowedOrigin,
  };
}
