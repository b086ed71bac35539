/**
 * Calls that carry the mesh's token. Rule: an address gets the token only after whoever listens there has proven to know
 * it; on a shared machine that may be anybody.
 */
import * as v from "valibot";
import { fetchAgentCard } from "../a2a/client.ts";
import { BackupError } from "../base/errors.ts";
import { randomBytes } from "../base/random_bytes.ts";
import { isMeshProof, MESH_PROOF_PATH, MeshProof } from "../mesh/mesh_proof.ts";
import type { FetchLike } from "../rpc/client.ts";
import { readLimitedText } from "../rpc/limited_text.ts";

const PROOF_BYTES_MAX = 10_000;
const NONCE_BYTES = 24;
/** So long an address counts as proven; whoever takes over a port later must prove it again. */
const PROVEN_FOR_MS = 60_000;

/**
 * A fetch that adds the token. The first request to an origin asks there for the card and a proof over the address in
 * it, and every request goes to that address.
 * @throws {BackupError} `io` when nobody listens, `permission` when somebody does who does not know the token.
 */
export function createProvenFetch(deps: {
  fetch: FetchLike;
  token: string;
  clock: { monotonicMs(): number };
}): FetchLike {
  const { fetch, token, clock } = deps;
  const proven = new Map<string, { endpoint: Promise<string>; atMs: number }>();

  async function prove(origin: string, before: string | undefined): Promise<string> {
    // Proven once, its address is known: whoever listens there now must prove that very one.
    if (before !== undefined && await isProven(before).catch(() => false)) return before;
    const card = await fetchAgentCard(fetch, `${origin}/agent-card`);
    const url = card.supportedInterfaces[0]!.url;
    if (await isProven(url)) return url;
    throw new BackupError("permission", `The agent at ${origin} does not know this mesh's token`, {
      hint: "It belongs to another user or mesh; name the right token with --token-file",
    });
  }

  async function isProven(url: string): Promise<boolean> {
    const nonce = Buffer.from(randomBytes(NONCE_BYTES)).toString("base64url");
    const response = await fetch(
      new Request(`${new URL(url).origin}${MESH_PROOF_PATH}?nonce=${nonce}`),
    );
    const text = await readLimitedText(response.body, PROOF_BYTES_MAX);
    const answer = v.safeParse(v.pipe(v.string(), v.parseJson(), MeshProof), text);
    return answer.success && isMeshProof(answer.output.proof, token, nonce, url);
  }

  /** Several calls at once share one proof; a failed one is not kept. */
  function endpointAt(origin: string): Promise<string> {
    const known = proven.get(origin);
    const nowMs = clock.monotonicMs();
    if (known !== undefined && nowMs - known.atMs < PROVEN_FOR_MS) return known.endpoint;
    const endpoint = (async () => await prove(origin, await known?.endpoint))();
    proven.set(origin, { endpoint, atMs: nowMs });
    endpoint.catch(() => {
      if (proven.get(origin)?.endpoint === endpoint) proven.delete(origin);
    });
    return endpoint;
  }

  return async (request) => {
    const endpoint = await endpointAt(new URL(request.url).origin);
    const carrying = new Request(endpoint, request);
    carrying.headers.set("authorization", `Bearer ${token}`);
    try {
      return await fetch(carrying);
    } catch (thrown) {
      // Whoever answers there next may be somebody else.
      proven.delete(new URL(request.url).origin);
      throw thrown;
    }
  };
}
