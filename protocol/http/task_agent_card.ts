/** The card of an agent that runs mesh tasks. Rule: skills are capability ids, so matching is set inclusion. */
import type { AgentCard, AgentSkill } from "../a2a/agent_card.ts";
import { A2A_VERSION } from "../a2a/version.ts";
import type { AgentFacts } from "../mesh/agent_facts.ts";
import { type Capability, capabilityId } from "../mesh/capability.ts";
import { EXTENSION_URI } from "../mesh/task_over_a2a.ts";

/** What a card is made of. */
export interface TaskAgentFacts {
  /** For people. */
  name: string;
  /** Of the program. */
  version: string;
  /** Absolute JSON-RPC endpoint as peers reach it. */
  url: string;
  /** Public, as the card is: it holds labels of roots, never paths. */
  facts: AgentFacts;
}

const SKILLS: Record<Capability, Omit<AgentSkill, "id">> = {
  "backup.sequential": {
    name: "Sequential backup",
    description: "Copies a directory file by file",
    tags: ["sequential"],
  },
  "backup.parallel": {
    name: "Parallel backup",
    description: "Copies several files of a directory at once",
    tags: ["parallel"],
  },
  "backup.verify": {
    name: "Verification",
    description: "Reads copies back and compares them with what was read from the source",
    tags: ["verify", "sha256"],
  },
  "backup.restore": {
    name: "Restore",
    description: "Writes copies back to a directory",
    tags: ["restore"],
  },
  compress: { name: "Compression", description: "Compresses copies", tags: ["compress", "zstd"] },
  encrypt: { name: "Encryption", description: "Encrypts copies", tags: ["encrypt"] },
  mirror: {
    name: "Mirror",
    description: "Keeps plain copies under their own names",
    tags: ["mirror"],
  },
  snapshot: {
    name: "Snapshots",
    description: "Keeps deduplicated snapshots in a repository",
    tags: ["snapshot"],
  },
};

/** What agents offer that is no task. */
const COORDINATE: AgentSkill = {
  id: "coordinate",
  name: "Coordination",
  description: "Takes jobs, gives their directories to agents and sees each to its end",
  tags: ["coordinate"],
};

const JSON_MEDIA_TYPE = "application/json";
export const TASK_INPUT_MODES: readonly string[] = [JSON_MEDIA_TYPE];

export function taskAgentCard(
  { name, version, url, facts }: TaskAgentFacts,
  { hasToken, hasPush }: { hasToken: boolean; hasPush: boolean },
): AgentCard {
  return {
    name,
    description: "Backs up directories to several destinations at once and verifies every copy",
    version,
    supportedInterfaces: [
      { url, protocolBinding: "JSONRPC", protocolVersion: A2A_VERSION },
    ],
    capabilities: {
      streaming: true,
      ...(hasPush && { pushNotifications: true }),
      extensions: [{
        uri: EXTENSION_URI,
        description: "Backup tasks with progress counters, idempotency keys and typed errors",
        params: { ...facts },
      }],
    },
    defaultInputModes: [...TASK_INPUT_MODES],
    defaultOutputModes: [JSON_MEDIA_TYPE],
    skills: facts.capabilities.flatMap(skillOf),
    ...(hasToken && {
      securitySchemes: { bearer: { httpAuthSecurityScheme: { scheme: "Bearer" } } },
      securityRequirements: [{ schemes: { bearer: {} } }],
    }),
  };
}

/** What is not known here is no skill, and stays in our extension's params. */
function skillOf(text: string): AgentSkill[] {
  if (text === COORDINATE.id) return [COORDINATE];
  const id = capabilityId(text);
  return id === undefined ? [] : [{ id, ...SKILLS[id] }];
}
