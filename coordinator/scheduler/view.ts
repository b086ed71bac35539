/** The picture a plan is made from, and the commands a plan consists of. Rule: plain data, no ports, no clock. */

export interface AgentView {
  readonly agentId: string;
  readonly capabilities: readonly string[];
  /** Tasks it may copy at once; tasks that wait for slow lanes only are not counted. */
  readonly slots: number;
  /** What the agent says about itself, 0.0 idle … 1.0 busy; values outside are clamped. */
  readonly load: number;
}

export interface TaskView {
  readonly taskId: string;
  readonly runId: string;
  readonly requires: readonly string[];
  readonly sizeBytes: number;
  /** The agent that has it now; null while it is queued. */
  readonly agentId: string | null;
  /** Whether it uses one of its agent's slots; see `mirrorHoldsSlot`. Meaningless while queued. */
  readonly holdsSlot: boolean;
  /** The only agents that may have it, because the run's data or locks live there; null = any. */
  readonly onlyAgents: readonly string[] | null;
  /** Not before this time (backoff after a failed attempt); 0 = at once. */
  readonly notBeforeMs: number;
}

/** Runs and tasks are listed oldest first; the order breaks ties. */
export interface SchedulerView {
  readonly agents: readonly AgentView[];
  readonly tasks: readonly TaskView[];
}

export type Command =
  | { readonly kind: "assign"; readonly taskId: string; readonly agentId: string }
  /** The task stays queued, and this is what a person is told about it. */
  | { readonly kind: "wait"; readonly taskId: string; readonly reason: string };
