/** What each agent of a run may use. Rule: the job's limits hold for the whole run, however many work at it. */
import type { SourceSpec } from "../../protocol/mesh/job.ts";
import type { RunShare } from "../../protocol/mesh/methods.ts";
import { match } from "../scheduler/match.ts";
import type { Participants } from "./participants.ts";
import type { RunScope, SharedJob } from "./run_scope.ts";
import type { RunTasks } from "./run_tasks.ts";

const COUNTED_FOR_MS = 1_000;

export class RunShares {
  readonly #scope: Pick<RunScope, "job" | "pool" | "clock">;
  readonly #participants: Pick<Participants, "count" | "excluded">;
  readonly #tasks: Pick<RunTasks, "arePlanned" | "openCount">;
  #counted: { agents: number; atMs: number } | undefined;

  constructor(
    scope: Pick<RunScope, "job" | "pool" | "clock">,
    participants: Pick<Participants, "count" | "excluded">,
    tasks: Pick<RunTasks, "arePlanned" | "openCount">,
  ) {
    this.#scope = scope;
    this.#participants = participants;
    this.#tasks = tasks;
  }

  /** Agents that could take a task of the run now. */
  agentsFor(): number {
    const { job, pool } = this.#scope;
    const regular = pool.views().filter((a) => a.isFallback !== true);
    const counts = job.sources.map(({ hostId, root, requires = [] }) =>
      match(
        {
          requires: ["mirror", ...job.requiredCapabilities, ...requires],
          onlyAgents: null,
          place: { hostId, root },
        },
        regular,
        this.#participants.excluded,
      ).candidates.length
    );
    return Math.max(1, ...counts);
  }

  canSplit({ requires = [] }: SourceSpec): boolean {
    const { options, destinations } = this.#scope.job;
    const { deleteGone, keepVersions, mhl, dryRun } = options;
    const isForSnapshots = destinations.some(({ kind }) => kind === "restic");
    return !isForSnapshots && !deleteGone && !keepVersions && !mhl && !dryRun &&
      !requires.includes("backup.sequential");
  }

  /** How many agents work at its destinations at once, or will. */
  #shares(): number {
    const { sources } = this.#scope.job;
    const agents = Math.max(this.#agentsNow(), this.#participants.count);
    const tasks = this.#tasks.arePlanned
      ? this.#tasks.openCount
      : sources.some((s) => this.canSplit(s))
      ? Infinity
      : sources.length;
    return Math.max(1, Math.min(agents, tasks));
  }

  /** Counted at most once a second: every heartbeat asks. */
  #agentsNow(): number {
    const nowMs = this.#scope.clock.monotonicMs();
    if (this.#counted === undefined || nowMs - this.#counted.atMs >= COUNTED_FOR_MS) {
      this.#counted = { agents: this.agentsFor(), atMs: nowMs };
    }
    return this.#counted.agents;
  }

  /** The agents are counted anew when they are next needed. */
  forgetCount(): void {
    this.#counted = undefined;
  }

  /** The job's limits, divided among those who work at once. */
  shared(): SharedJob {
    const { options, destinations } = this.#scope.job;
    const share = this.#shares();
    const workersMax = Math.max(1, Math.floor(options.workersMax / share));
    return {
      options: { ...options, workersMax, workersMin: Math.min(options.workersMin, workersMax) },
      destinations: destinations.map((d) =>
        d.limitBytesPerSecond === undefined
          ? d
          : { ...d, limitBytesPerSecond: Math.max(1, d.limitBytesPerSecond / share) }
      ),
    };
  }

  share(): Pick<RunShare, "workersMax" | "limits"> {
    const { options: { workersMax }, destinations } = this.shared();
    return {
      workersMax,
      limits: destinations.flatMap(({ key, limitBytesPerSecond }) =>
        limitBytesPerSecond === undefined
          ? []
          : [{ destination: key, bytesPerSecond: limitBytesPerSecond }]
      ),
    };
  }
}
