/** What a command of this user needs to call a coordinator: its token and a way there. */
import { join } from "node:path";
import { fetchAgentCard } from "../a2a/client.ts";
import type { AgentCard } from "../a2a/agent_card.ts";
import { BackupError } from "../base/errors.ts";
import { createMeshClient } from "../mesh/mesh_client.ts";
import type { RpcClient } from "../rpc/client.ts";
import { createMeshFetch, createPlainFetch, type PeerTls } from "./mesh_fetch.ts";
import { existingToken, TOKEN_FILE } from "./mesh_token.ts";

export interface CommandDoor {
  connect(
    peer: { url: string; stateDir: string; token: string | undefined; tls: PeerTls },
  ): RpcClient;
  fetchCard(url: string, tls: PeerTls, signal: AbortSignal): Promise<AgentCard>;
}

export function createCommandDoor(clock: { monotonicMs(): number }): CommandDoor {
  return {
    connect({ url, stateDir, token: chosen, tls }) {
      const path = join(stateDir, TOKEN_FILE);
      const token = chosen ?? existingToken(path);
      if (token === undefined) {
        throw new BackupError("config", "There is no mesh token yet", {
          path,
          hint: "Start a coordinator as this user: backup-agent --role coordinator; or name the " +
            "token of another mesh with --token-file",
        });
      }
      return createMeshClient({ fetch: createMeshFetch({ token, clock, ...tls }), url });
    },
    fetchCard: (url, tls, signal) => fetchAgentCard(createPlainFetch(tls), url, { signal }),
  };
}
