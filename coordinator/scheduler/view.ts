/** The picture a plan is made from, and the commands a plan consists of. Rule: plain data, no ports, no clock. */

/** Whether an agent can be given work: `suspect` has not been heard of for a while, and may be back soon. */
export type AgentReadiness = "ready" | "draining" | "suspect" | "dead";

export interface AgentView {
  readonly agentId: string;
  readonly capabilities: readonly string[];
  /** Tasks it may copy at once; tasks that wait for slow lanes only are not counted. */
  readonly slots: number;
  /** What the agent says about itself, 0.0 idle … 1.0 busy; values outside are clamped. */
  readonly load: number;
  /** The host whose paths it means by a path. Absent: it is asked for sources of its own process only. */
  readonly hostId?: string | undefined;
  /** Labels of the roots it serves. */
  readonly roots?: readonly string[];
  /** Default: ready. */
  readonly readiness?: AgentReadiness;
  /** The coordinator's own: used only where no other agent can be reached. */
  readonly isFallback?: boolean;
}

/** Where a task's source lies. `root` wins over `hostId`; neither: wherever the run is. */
export interface Place {
  readonly hostId?: string | undefined;
  readonly root?: string | undefined;
}

export interface TaskView {
  readonly taskId: string;
  readonly runId: string;
  /** Name of its source within the run; what `after` refers to. */
  readonly source?: string;
  readonly place?: Place;
  readonly requires: readonly string[];
  readonly sizeBytes: number;
  /** Sources of the same run all of whose tasks must have ended first. */
  readonly after?: readonly string[];
  /** The agent that has it now; null while it is queued. */
  readonly agentId: string | null;
  /** Whether it uses one of its agent's slots; see `mirrorHoldsSlot`. Meaningless while queued. */
  readonly holdsSlot: boolean;
  /** The only agents that may have it; null = any. */
  readonly onlyAgents: readonly string[] | null;
  /** Agents that failed it: they get it only when there is no other. */
  readonly avoid?: readonly string[];
  /** Not before this time (backoff after a failed attempt); 0 = at once. */
  readonly notBeforeMs: number;
}

export interface RunView {
  readonly runId: string;
  readonly isPaused?: boolean;
  /** Agents that cannot reach its destinations, and why. */
  readonly excluded?: ReadonlyMap<string, string>;
}

/** Runs and tasks are listed oldest first; the order breaks ties. A run that is not listed has no restrictions. */
export interface SchedulerView {
  readonly agents: readonly AgentView[];
  readonly tasks: readonly TaskView[];
  readonly runs?: readonly RunView[];
}

export type Command =
  | { readonly kind: "assign"; readonly taskId: string; readonly agentId: string }
  /** The task stays queued, and this is what a person is told about it. */
  | { readonly kind: "wait"; readonly taskId: string; readonly reason: string }
  /** A task that its busy agent has not begun goes back to the queue, where an idle one waits for it. */
  | { readonly kind: "revoke"; readonly taskId: string; readonly agentId: string };

export interface PlannerLimits {
  /** Tasks at once over all agents and runs. */
  readonly tasksMax?: number;
  /** How long there must have been no other agent before the coordinator's own is used. */
  readonly fallbackAfterMs?: number;
}
