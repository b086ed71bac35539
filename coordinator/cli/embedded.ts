/**
 * What `backup` needs of the program: a coordinator and a worker in this process. Rule: the command sees this port only;
 * the entry module joins the two sides behind it.
 */
import type { Log } from "../../protocol/base/log.ts";
import type { SecretSource } from "../../protocol/cli/secret_source.ts";
import type { JobSpec } from "../../protocol/mesh/job.ts";
import type { RunProgress, RunReport } from "../../protocol/mesh/run.ts";

/** A destination's end as it is known the moment it happens; details follow in the run's report. */
export interface DestinationEnd {
  destination: string;
  state: "verified" | "failed" | "cancelled" | "planned";
  elapsedMs: number;
}

export interface EmbeddedRunner {
  /** Runs a job to its end. Aborting `signal` cancels it; the report then says `cancelled`. */
  run(
    job: JobSpec,
    options: {
      onProgress: (progress: RunProgress) => void;
      onDestination: (end: DestinationEnd) => void;
      signal: AbortSignal;
    },
  ): Promise<RunReport>;
  /** Ends threads and closes the store; idempotent. */
  close(): Promise<void>;
}

export type CreateEmbedded = (
  options: {
    stateDir: string;
    log: Log;
    /** Where the secrets are that jobs name. */
    secrets: ReadonlyMap<string, SecretSource>;
  },
) => EmbeddedRunner | Promise<EmbeddedRunner>;
