/** An agent's proof that it knows the mesh's token. Rule: it tells nobody anything about the token. */
import * as v from "valibot";
import type { AgentCard } from "../a2a/agent_card.ts";
import { MeshNonce, meshProof } from "../mesh/mesh_proof.ts";

export function meshProofResponse(
  card: AgentCard,
  token: string,
  nonce: string | undefined,
): Response {
  const [endpoint] = card.supportedInterfaces;
  if (endpoint === undefined || !v.is(MeshNonce, nonce)) {
    return Response.json({ error: "A nonce is needed" }, { status: 400 });
  }
  const proof = meshProof(token, nonce, endpoint.url);
  return Response.json({ proof }, { headers: { "cache-control": "no-store" } });
}
