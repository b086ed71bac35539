/**
 * The Hono app every agent serves: card, health, readiness, JSON-RPC. Rule: `app.fetch` is the whole agent, so it
 * works the same behind a socket and inside one process.
 */
import { Hono } from "hono";
import type { AgentCard } from "../a2a/agent_card.ts";
import { WELL_KNOWN_CARD_PATH } from "../a2a/client.ts";
import type { Log } from "../base/log.ts";
import { MESH_PROOF_PATH } from "../mesh/mesh_proof.ts";
import { createCardEndpoint } from "./card_endpoint.ts";
import { createGate, type GateOptions } from "./gate.ts";
import { meshProofResponse } from "./mesh_proof_response.ts";
import { createRpcEndpoint, type RpcEndpointDeps } from "./rpc_endpoint.ts";

export interface AgentAppDeps
  extends Omit<RpcEndpointDeps, "gate" | "caller">, Omit<GateOptions, "clock"> {
  card: () => AgentCard;
  /** Why this agent would refuse work now; empty when it is ready. */
  ready: () => readonly string[];
  log: Log;
}

/** What a server passes beside the request, as `Deno.serve` does; absent within one process. */
export interface ServerEnv {
  remoteAddr?: { hostname?: string };
  /** Makes a WebSocket of this request. Its response is to be the answer. */
  upgrade?: () => Upgraded;
}

/** `socket` may be open already. */
export interface Upgraded {
  socket: WebSocket;
  response: Response;
}

/**
 * GET /agent-card and /.well-known/agent-card.json (same bytes), GET /health (200 while the process serves),
 * GET /ready (200, or 503 with reasons; needs the token where one is set), GET /mesh-proof (where a token is set),
 * POST /rpc and POST /. Every path works with and without a trailing slash. Card, health and proof are for everybody
 * and under every host name.
 */
export function createAgentApp(deps: AgentAppDeps): Hono {
  const { ready, log, token, clock } = deps;
  const gate = createGate(deps);
  const caller = token === undefined ? "anyone" : "mesh";
  const rpc = createRpcEndpoint({ ...deps, gate, caller });
  const card = createCardEndpoint(deps.card, clock);
  const app = new Hono({ strict: false });

  for (const path of [WELL_KNOWN_CARD_PATH, "/agent-card"]) {
    app.get(path, (c) => card(c.req.raw));
  }
  app.get("/health", (c) => c.json({ status: "ok" }));
  app.get("/ready", (c) => {
    const refusal = gate(c.req.raw, peerOf(c.env));
    if (refusal !== undefined) {
      return c.json({ error: refusal.error.message }, refusal.status, refusal.headers);
    }
    const reasons = ready();
    return c.json({ ready: reasons.length === 0, reasons }, reasons.length === 0 ? 200 : 503);
  });
  if (token !== undefined) {
    app.get(MESH_PROOF_PATH, (c) => meshProofResponse(deps.card(), token, c.req.query("nonce")));
    onlyMethods(app, MESH_PROOF_PATH, "GET, HEAD, OPTIONS");
  }
  for (const path of ["/rpc", "/"]) app.post(path, (c) => rpc(c.req.raw, peerOf(c.env)));

  for (const path of [WELL_KNOWN_CARD_PATH, "/agent-card", "/health", "/ready"]) {
    onlyMethods(app, path, "GET, HEAD, OPTIONS");
  }
  for (const path of ["/rpc", "/"]) onlyMethods(app, path, "POST, OPTIONS");
  app.notFound((c) => c.json({ error: "Not found" }, 404));
  app.onError((error, c) => {
    log("error", "A request failed unexpectedly", { path: c.req.path, error: error.stack });
    return c.json({ error: "Internal error" }, 500);
  });
  return app;
}

/** OPTIONS says what a path takes; without CORS headers, so that it opens nothing to web pages. */
function onlyMethods(app: Hono, path: string, allow: string): void {
  app.options(path, (c) => c.body(null, 204, { allow }));
  app.all(path, (c) => c.json({ error: `Use ${allow}` }, 405, { allow }));
}

function peerOf(env: unknown): string | undefined {
  return (env as ServerEnv | undefined)?.remoteAddr?.hostname;
}
