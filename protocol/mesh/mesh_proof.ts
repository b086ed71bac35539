/**
 * How an agent proves that it belongs to a mesh before anybody sends it the mesh's token. Rule: a token is sent only to
 * an address that has proven to know it; whoever listens on a port may be another user's.
 *
 * `GET /mesh-proof?nonce=N` at an agent's origin answers `{ "proof": meshProof(token, N, url) }` with the agent's own
 * JSON-RPC url: a proof that was fetched from the true agent does not fit another address.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import * as v from "valibot";

export const MESH_PROOF_PATH = "/mesh-proof";

/** What a nonce must look like; anything else is not answered. */
export const MeshNonce = v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{16,64}$/));

export const MeshProof = v.object({ proof: v.pipe(v.string(), v.maxLength(100)) });

export function meshProof(token: string, nonce: string, url: string): string {
  return createHmac("sha256", token).update(`backup-agent mesh proof\n${nonce}\n${url}`)
    .digest("base64url");
}

/** Whether `proof` was made with `token` for this nonce and url. */
export function isMeshProof(proof: string, token: string, nonce: string, url: string): boolean {
  const [given, right] = [proof, meshProof(token, nonce, url)].map((text) =>
    createHmac("sha256", "equal lengths").update(text).digest()
  );
  return timingSafeEqual(given!, right!);
}
