/**
 * How a command reaches a mesh. Rule: commands know this port only; the entry module finds token and host id, so that
 * neither is a word of any command line.
 */
import type { AgentCard } from "../../../protocol/a2a/agent_card.ts";
import type { PeerTls } from "../../../protocol/http/mesh_fetch.ts";
import type { RpcClient } from "../../../protocol/rpc/client.ts";

export interface MeshDoor {
  /**
   * Calls to the coordinator at `url`. `token`: the one that was chosen on purpose, else that of the state folder.
   * @throws {BackupError} `config` when there is no token.
   */
  connect(
    peer: { url: string; stateDir: string; token: string | undefined; tls: PeerTls },
  ): RpcClient;
  /** @throws {BackupError} `io` or `protocol`. */
  fetchCard(url: string, tls: PeerTls, signal: AbortSignal): Promise<AgentCard>;
  /** Of this machine. */
  hostId(stateDir: string): string;
}
