/**
 * Finding agents that have not registered. Rule: nobody waits for an address; one that knows the token is invited to
 * register, one that does not is shown as foreign and told nothing.
 */
import * as v from "valibot";
import { fetchAgentCard } from "../../protocol/a2a/client.ts";
import type { Clock } from "../../protocol/base/clock.ts";
import { newId } from "../../protocol/base/ids.ts";
import type { Log } from "../../protocol/base/log.ts";
import { AgentFacts } from "../../protocol/mesh/agent_facts.ts";
import { isMeshProof, MESH_PROOF_PATH, MeshProof } from "../../protocol/mesh/mesh_proof.ts";
import { type AgentInfo, InviteAgent } from "../../protocol/mesh/methods.ts";
import { EXTENSION_URI } from "../../protocol/mesh/task_mapping.ts";
import { createMeshClient } from "../../protocol/mesh/mesh_client.ts";
import type { FetchLike } from "../../protocol/rpc/client.ts";
import { readLimitedText } from "../../protocol/rpc/limited_text.ts";
import { within } from "../runs/deadline.ts";

export const LOCAL_PORTS = { first: 8801, last: 8899 } as const;
/** A local port answers in a millisecond or not at all. */
const ANSWER_WITHIN_MS = 1_000;
const AT_ONCE = 16;
const PROOF_BYTES_MAX = 10_000;

export interface Discovery {
  /** Looks at every address once; never rejects. Returns those of other meshes. */
  look(): Promise<AgentInfo[]>;
}

export function createDiscovery(deps: {
  /** Origins, as `http://nas.lan:8801`. */
  addresses: readonly string[];
  scansLocalPorts: boolean;
  /** Of the coordinator itself, as agents reach it. */
  coordinatorUrl: string;
  /** Ids of agents that are in contact: they are not asked again. */
  isKnown: (agentId: string) => boolean;
  /** Without the token. */
  fetch: FetchLike;
  /** With it, for the invitation. */
  meshFetch: FetchLike;
  token: string;
  clock: Clock;
  log: Log;
}): Discovery {
  const { addresses, scansLocalPorts, fetch, meshFetch, token, clock, log } = deps;
  const complained = new Set<string>();

  async function ask(origin: string, isConfigured: boolean): Promise<AgentInfo | undefined> {
    try {
      return await within((signal) => meet(origin, signal), clock, ANSWER_WITHIN_MS);
    } catch (thrown) {
      if (isConfigured && !complained.has(origin)) {
        complained.add(origin);
        log("warn", `No agent answers at ${origin}; looking again`, { error: String(thrown) });
      }
      return undefined;
    }
  }

  async function meet(origin: string, signal: AbortSignal): Promise<AgentInfo | undefined> {
    const card = await fetchAgentCard(fetch, `${origin}/agent-card`, { signal });
    const params = card.capabilities.extensions?.find((e) => e.uri === EXTENSION_URI)?.params;
    const facts = v.safeParse(AgentFacts, params);
    complained.delete(origin);
    if (!facts.success || deps.isKnown(facts.output.agentId)) return undefined;
    const { url } = card.supportedInterfaces[0]!;
    const nonce = newId("msg");
    const answer = await fetch(
      new Request(`${origin}${MESH_PROOF_PATH}?nonce=${nonce}`, { signal }),
    );
    const text = await readLimitedText(answer.body, PROOF_BYTES_MAX);
    const proof = v.safeParse(v.pipe(v.string(), v.parseJson(), MeshProof), text);
    if (proof.success && isMeshProof(proof.output.proof, token, nonce, url)) {
      const { coordinatorUrl } = deps;
      await createMeshClient({ fetch: meshFetch, url }).call(InviteAgent, { coordinatorUrl }, {
        signal,
      });
      return undefined;
    }
    const { agentId, hostId, capabilities, roots, limits } = facts.output;
    return {
      agentId,
      name: card.name.slice(0, 200),
      url,
      version: card.version,
      hostId,
      capabilities,
      roots,
      slots: limits.slots,
      load: 0,
      state: "foreign",
      heartbeatAgeMs: null,
      tasks: [],
      totals: { bytes: 0, files: 0, tasks: 0 },
      reason: "It belongs to another mesh",
    };
  }

  return {
    async look() {
      const waiting = addresses.map((origin) => ({ origin, isConfigured: true }));
      if (scansLocalPorts) {
        for (let port = LOCAL_PORTS.first; port <= LOCAL_PORTS.last; port++) {
          waiting.push({ origin: `http://127.0.0.1:${port}`, isConfigured: false });
        }
      }
      const foreign: AgentInfo[] = [];
      const walker = async (): Promise<void> => {
        for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
          const found = await ask(next.origin, next.isConfigured);
          if (found !== undefined) foreign.push(found);
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, walker));
      return foreign;
    },
  };
}
