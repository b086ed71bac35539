/** What the serving of a worker needs of its engine. Rule: leases are counted by the engine, on its own clock. */
import type { AgentFacts } from "../../protocol/mesh/agent_facts.ts";
import type { Acceptance, HeldRun, HeldTask, RunShare } from "../../protocol/mesh/methods.ts";
import type { SourceSpec } from "../../protocol/mesh/job.ts";

export interface WorkTotals {
  /** Written to destinations since the start of the process. */
  bytes: number;
  files: number;
  tasks: number;
}

/** What another agent, or a person, would like it to take. */
export interface OfferedTask {
  taskId: string;
  source: SourceSpec;
  requires: readonly string[];
  sizeBytes: number;
}

/** What an engine holds of runs. */
export interface HeldRuns {
  held(): HeldRun[];
  /** Gives it back; a later epoch of the run stays. */
  release(run: HeldRun): Promise<void>;
  share(share: RunShare): void;
}

export interface LinkedAgent {
  /** As they are now; the same object while nothing has changed. */
  facts(): AgentFacts;
  /** The attempts it works on. */
  heldTasks(): HeldTask[];
  /** Their leases run so long from `sentAtMs` on, which is of the boot clock. */
  renew(tasks: readonly HeldTask[], sentAtMs: number, leaseMs: number): void;
  /** They are somebody else's: nothing of them is published any more. */
  revoke(tasks: readonly HeldTask[]): void;
  /** The runs it takes part in. */
  heldRuns(): HeldRun[];
  /** They are over, or go on without it: what is held of these epochs is given back. Never rejects. */
  endRuns(runs: readonly HeldRun[]): Promise<void>;
  /** What is left to it of each run's limits. */
  share(shares: readonly RunShare[]): void;
  totals(): WorkTotals;
  /** What the coordinator wants. */
  setDraining(isDraining: boolean): void;
  /** It takes nothing more, whatever the coordinator wants: its process is about to end. */
  beginEnding(): void;
  isEnding(): boolean;
  /** Whether it would take the task now; promises nothing. */
  offer(task: OfferedTask): Acceptance;
}
