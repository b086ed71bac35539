/** The agents a run can use, whoever keeps the list. */
import type { TaskClient } from "../../protocol/mesh/task_port.ts";
import type { AgentView } from "../scheduler/view.ts";

export interface AgentPool {
  /** In the order of registration, the coordinator's own last. */
  views(): readonly AgentView[];
  /** @throws {BackupError} `not_found` for one that is not known any more. */
  client(agentId: string): TaskClient;
  /** Tasks it has now, for choosing. */
  heldBy(agentId: string): number;
  /** Told when what an agent had is over. */
  onLost(listener: (agentId: string, why: string) => void): () => void;
}
