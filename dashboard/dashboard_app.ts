/**
 * The dashboard's Hono app: page, API, socket, logging in. Rule: it knows a coordinator and nothing behind it; `fetch` is the
 * whole of it, so it is the same in the coordinator's process and on its own.
 */
import { Hono } from "hono";
import type { Clock } from "../protocol/base/clock.ts";
import { BackupError } from "../protocol/base/errors.ts";
import type { Log } from "../protocol/base/log.ts";
import type { ServerEnv } from "../protocol/http/agent_app.ts";
import { createBodyReader } from "../protocol/http/body_reader.ts";
import { secondsOf } from "../protocol/http/gate.ts";
import { GetPublicStatus } from "../protocol/mesh/console_methods.ts";
import type { PublicStatus } from "../protocol/mesh/console_state.ts";
import type { RpcClient } from "../protocol/rpc/client.ts";
import { assetResponse } from "./assets.ts";
import { createApi } from "./api.ts";
import { createEntry } from "./entry.ts";
import { htmlResponse } from "./html.ts";
import { CODE_LASTS_MS, loginAddress } from "./login_code.ts";
import { openApiDocument } from "./openapi.ts";
import { OPERATIONS } from "./operations/table.ts";
import { problem, problemOf, problemResponse } from "./problem.ts";
import { referencePage } from "./reference_page.ts";
import { preflightResponse, withSafeHeaders } from "./response_headers.ts";
import { createSessions, SESSION_LASTS_MS } from "./sessions.ts";
import { loginPage, pageShell } from "./shell.ts";
import { createSocketFeed, type SocketFeed, type SocketLike } from "./socket_feed.ts";

export interface DashboardOptions {
  coordinator: RpcClient;
  clock: Clock;
  log: Log;
  token: string;
  version: string;
  /** As people reach it, without a slash at its end. */
  origin: string;
  hosts: readonly string[];
  origins: readonly string[];
  /** Makes a socket of a request, in place of the server's own way. */
  upgrade?: (request: Request) => { socket: SocketLike; response: Response };
}

export interface Dashboard {
  fetch(request: Request, env?: ServerEnv): Promise<Response>;
  /** A new one-time address. */
  mintLogin(): string;
  readonly feed: SocketFeed;
  close(): void;
}

const STATUS_WITHIN_MS = 1_000;
const FORM_LIMITS = { bodyBytesMax: 4 << 10, bodiesBytesMax: 1 << 20, bodyMsMax: 5_000 };
const OPEN_OPERATIONS = OPERATIONS.filter((o) => o.isOpen === true);

export function createDashboard(options: DashboardOptions): Dashboard {
  const { coordinator, clock, log, token, version, origin, hosts, origins } = options;
  const { port, protocol } = new URL(origin);
  const isSecure = protocol === "https:";
  const cookieName = `${isSecure ? "__Host-" : ""}backup-agent-${port || "443"}`;
  const sessions = createSessions(token, clock);
  const entry = createEntry({ clock, token, sessions, hosts, origins, cookieName });
  const feed = createSocketFeed({ coordinator, clock, log });
  const forms = createBodyReader(FORM_LIMITS, clock);
  const mintLogin = (): string => loginAddress(origin, sessions.mintCode());
  const document = once(() => JSON.stringify(openApiDocument(version)));
  const reference = once(() => referencePage(version));

  const api = createApi({ coordinator, clock, log, version }, (request) => ({
    isKnown: entry.whoIs(request) !== undefined,
    mintLogin: () => ({ url: mintLogin(), expiresInMs: CODE_LASTS_MS }),
    endSession() {
      const session = entry.sessionOf(request);
      const name = session === undefined ? undefined : sessions.end(session);
      if (name !== undefined) feed.dismiss(name);
    },
  }));

  const app = new Hono<{ Bindings: ServerEnv }>({ strict: false });
  app.get("/health", () => Response.json({ status: "ok" }));
  app.get("/assets/:name", (c) => assetResponse(c.req.param("name"), c.req.raw) ?? c.notFound());
  app.get("/", async () => htmlResponse(pageShell(await statusNow())));
  app.get("/login", (c) => {
    // A look that is no visit, as mail programs and proxies have, must not use it up.
    const code = c.req.method === "HEAD" ? undefined : c.req.query("code");
    return code === undefined ? htmlResponse(loginPage(false)) : logIn(code, c.env);
  });
  app.post("/login", async (c) => {
    const form = await forms.read(c.req.raw).catch(() => "");
    return logIn(new URLSearchParams(form).get("code") ?? "", c.env);
  });
  app.get("/api/openapi.json", () => jsonText(document()));
  app.use("*", async (c, next) => {
    if (isOpenPath(c.req.method, c.req.path) || entry.whoIs(c.req.raw) !== undefined) {
      return await next();
    }
    return entry.turnAway(c.req.raw, peerOf(c.env));
  });
  app.get("/api", () => htmlResponse(reference()));
  app.get("/ws", (c) => {
    const session = entry.whoIs(c.req.raw)!;
    const { upgrade: own } = options;
    const upgrade = own === undefined ? c.env?.upgrade : () => own(c.req.raw);
    if (c.req.header("upgrade")?.toLowerCase() !== "websocket" || upgrade === undefined) {
      const detail = "This is a WebSocket; GET /api/status tells the same to those who ask";
      return problemResponse(problem(426, "upgrade", { detail }), { upgrade: "websocket" });
    }
    const { socket, response } = upgrade();
    feed.join(socket, session);
    return response;
  });
  app.route("/api", api);
  app.notFound(() => problemResponse(problem(404, "not_found")));
  app.onError((error, c) => {
    log("error", "A request failed unexpectedly", { path: c.req.path, error: error.stack });
    return problemResponse(problem(500, "internal"));
  });

  function logIn(code: string, env: ServerEnv | undefined): Response {
    const secret = sessions.redeem(code);
    if (secret === undefined) {
      // Only wrong tries are counted: whoever has a good code is never kept waiting by others.
      const waitMs = entry.loginWaitMs(peerOf(env));
      if (waitMs > 0) {
        return problemResponse(
          problem(429, "too_often", { detail: "Too many tries to log in" }),
          { "retry-after": secondsOf(waitMs) },
        );
      }
      return htmlResponse(loginPage(true), 401);
    }
    const cookie = [
      `${cookieName}=${secret}`,
      "Path=/",
      "HttpOnly",
      "SameSite=Strict",
      `Max-Age=${SESSION_LASTS_MS / 1000}`,
      ...(isSecure ? ["Secure"] : []),
    ].join("; ");
    log("info", "Somebody has logged in");
    return new Response(null, {
      status: 303,
      headers: { location: "/", "set-cookie": cookie, "cache-control": "no-store" },
    });
  }

  async function statusNow(): Promise<PublicStatus | undefined> {
    const late = new AbortController();
    const over = new AbortController();
    clock.sleep(STATUS_WITHIN_MS, over.signal).then(
      () => late.abort(new BackupError("deadline", "No answer in time")),
      () => {},
    );
    try {
      return await coordinator.call(GetPublicStatus, {}, { signal: late.signal });
    } catch {
      return undefined;
    } finally {
      over.abort();
    }
  }

  async function answer(request: Request, env: ServerEnv): Promise<Response> {
    const refused = entry.refusal(request);
    if (refused !== undefined) return refused;
    const tooOften = entry.limitStranger(request, peerOf(env));
    if (tooOften !== undefined) return tooOften;
    const from = request.headers.get("origin");
    if (request.method === "OPTIONS" && from !== null && entry.isAllowedOrigin(from)) {
      return preflightResponse();
    }
    return await app.fetch(request, env);
  }

  return {
    async fetch(request, env = {}) {
      const from = request.headers.get("origin");
      const allowed = from !== null && entry.isAllowedOrigin(from) ? from : undefined;
      let response: Response;
      try {
        response = await answer(request, env);
      } catch (thrown) {
        response = problemResponse(problemOf(thrown));
      }
      return withSafeHeaders(response, allowed, isSecure);
    },
    mintLogin,
    feed,
    close: () => feed.close(),
  };
}

function isOpenPath(method: string, path: string): boolean {
  if (method !== "GET" && method !== "HEAD") return false;
  const plain = path.replace(/(?<=.)\/$/, "");
  return OPEN_OPERATIONS.some((o) => `/api${o.path}` === plain);
}

function peerOf(env: ServerEnv | undefined): string | undefined {
  return env?.remoteAddr?.hostname;
}

function jsonText(text: string): Response {
  return new Response(text, {
    headers: { "content-type": "application/json", "cache-control": "no-cache" },
  });
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}
