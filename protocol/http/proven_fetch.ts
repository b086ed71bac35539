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
/** Whoever has not answered by then is asked anew; its machine may be gone, and nobody is told when that happens. */
const PROOF_WITHIN_MS = 5_000;

interface Proof {
  endpoint: Promise<string>;
  isOpen: boolean;
  atMs: number;
}

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
  const proofs = new Map<string, Proof>();
  /** Addresses that were proven once, by origin. */
  const addresses = new Map<string, string>();

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
    const known = proofs.get(origin);
    const nowMs = clock.monotonicMs();
    const keptForMs = known?.isOpen === true ? PROOF_WITHIN_MS : PROVEN_FOR_MS;
    if (known !== undefined && nowMs - known.atMs < keptForMs) return known.endpoint;
    const endpoint = prove(origin, addresses.get(origin));
    const proof: Proof = { endpoint, isOpen: true, atMs: nowMs };
    proofs.set(origin, proof);
    endpoint.then((url) => {
      proof.isOpen = false;
      addresses.set(origin, url);
    }, () => forget(origin, proof));
    return endpoint;
  }

  /** Whoever answers there next may be somebody else. */
  function forget(origin: string, proof: Proof | undefined): void {
    if (proofs.get(origin) !== proof) return;
    proofs.delete(origin);
    addresses.delete(origin);
  }

  return async (request) => {
    const { origin } = new URL(request.url);
    const endpoint = await endpointAt(origin);
    const proof = proofs.get(origin);
    const carrying = new Request(endpoint, request);
    carrying.headers.set("authorization", `Bearer ${token}`);
    try {
      return await fetch(carrying);
    } catch (thrown) {
      forget(origin, proof);
      throw thrown;
    }
  };
}
