/**
 * The Hono app every agent serves: card, health, readiness, JSON-RPC. Rule: `app.fetch` is the whole agent, so it
 * works the same behind a socket and inside one process.
 */
import { Hono } from "hono";
import type { AgentCard } from "../a2a/agent_card.ts";
import { WELL_KNOWN_CARD_PATH } from "../a2a/client.ts";
import type { Log } from "../base/log.ts";
import { MESH_PROOF_PATH } from "../mesh/mesh_proof.ts";
import { cardResponse } from "./card_response.ts";
import { hasBearerToken } from "./bearer_auth.ts";
import { meshProofResponse } from "./mesh_proof_response.ts";
import { createRpcEndpoint, type RpcEndpointDeps } from "./rpc_endpoint.ts";

export interface AgentAppDeps extends RpcEndpointDeps {
  card: () => AgentCard;
  /** Why this agent would refuse work now; empty when it is ready. */
  ready: () => readonly string[];
  log: Log;
}

/**
 * GET /agent-card and /.well-known/agent-card.json (same bytes), GET /health (200 while the process serves),
 * GET /ready (200, or 503 with reasons; needs the token where one is set), GET /mesh-proof (where a token is set),
 * POST /rpc and POST /. Every path works with and without a trailing slash.
 */
export function createAgentApp(deps: AgentAppDeps): Hono {
  const { card, ready, log, token } = deps;
  const rpc = createRpcEndpoint(deps);
  const app = new Hono({ strict: false });

  for (const path of [WELL_KNOWN_CARD_PATH, "/agent-card"]) {
    app.get(path, (c) => cardResponse(card(), c.req.header("if-none-match")));
  }
  app.get("/health", (c) => c.json({ status: "ok" }));
  app.get("/ready", (c) => {
    if (token !== undefined && !hasBearerToken(c.req.header("authorization"), token)) {
      return c.json({ error: "A valid bearer token is needed" }, 401, {
        "www-authenticate": 'Bearer realm="backup-agent"',
      });
    }
    const reasons = ready();
    return c.json({ ready: reasons.length === 0, reasons }, reasons.length === 0 ? 200 : 503);
  });
  if (token !== undefined) {
    app.get(MESH_PROOF_PATH, (c) => meshProofResponse(card(), token, c.req.query("nonce")));
  }
  for (const path of ["/rpc", "/"]) {
    app.post(path, (c) => rpc(c.req.raw));
    app.all(path, (c) => c.json({ error: "Use POST" }, 405, { allow: "POST" }));
  }
  app.notFound((c) => c.json({ error: "Not found" }, 404));
  app.onError((error, c) => {
    log("error", "A request failed unexpectedly", { path: c.req.path, error: error.stack });
    return c.json({ error: "Internal error" }, 500);
  });
  return app;
}
