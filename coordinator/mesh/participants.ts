/**
 * Which agents take part in a run: they join it, are told what changes, and give back what they hold. Rule: whoever was
 * ever asked is told of the run's end, since one that was thought dead may still hold locks.
 */
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import type { TaskSpec } from "../../protocol/mesh/task.ts";
import { within } from "../runs/deadline.ts";
import { openDestinations, type StageContext } from "../runs/run_context.ts";
import type { DestinationMemory } from "./destination_memory.ts";
import type { RunScope, SharedJob } from "./run_scope.ts";

const EVENTS_AT_ONCE = 10_000;
const TOLD_WITHIN_MS = 5_000;

type ParticipantsScope = Pick<
  RunScope,
  "runId" | "job" | "store" | "clock" | "log" | "pool" | "dispatcher"
>;

type Told = Extract<TaskSpec, { op: "drop" | "release" | "pause" }>;

export class Participants {
  readonly #scope: ParticipantsScope;
  readonly #memory: Pick<DestinationMemory, "remember">;
  readonly #sharedByOneMore: () => SharedJob;
  /** Agents that hold something for the run, with the run epoch they have joined. */
  #joined = new Map<string, Promise<void>>();
  readonly #excluded = new Map<string, string>();
  /** Everybody who was asked to take part in any epoch; one that was thought dead may still hold something. */
  readonly #asked = new Set<string>();

  /** `sharedByOneMore`: what one that joins now may use. */
  constructor(
    scope: ParticipantsScope,
    memory: Pick<DestinationMemory, "remember">,
    sharedByOneMore: () => SharedJob,
  ) {
    this.#scope = scope;
    this.#memory = memory;
    this.#sharedByOneMore = sharedByOneMore;
  }

  get count(): number {
    return this.#joined.size;
  }

  /** Those that cannot take part, and why; a live view. */
  get excluded(): ReadonlyMap<string, string> {
    return this.#excluded;
  }

  exclude(agentId: string, why: string): void {
    this.#excluded.set(agentId, why);
  }

  readmitAll(): void {
    this.#excluded.clear();
  }

  /** It takes part without having joined: as the home, or since before a restart. */
  add(agentId: string): void {
    this.#joined.set(agentId, Promise.resolve());
    this.#asked.add(agentId);
  }

  /** What it held is over, or it has to join again. */
  drop(agentId: string): void {
    this.#joined.delete(agentId);
  }

  /** Whoever took part before a restart is asked to give it back; who does not answer may work on for one lease. */
  addStored(homeAgentId: string | null): void {
    const known = new Set(this.#scope.pool.views().map((a) => a.agentId));
    if (homeAgentId !== null && known.has(homeAgentId)) this.add(homeAgentId);
    // A task knows only who had it last; others have joined as well, and their locks would keep the next run out.
    for (const agentId of this.#joinedBefore()) if (known.has(agentId)) this.add(agentId);
  }

  #joinedBefore(): Set<string> {
    const { store, runId } = this.#scope;
    const joined = new Set<string>();
    for (let after = 0;;) {
      const events = store.eventsAfter(after, EVENTS_AT_ONCE, runId);
      for (const { event } of events) if (event.kind === "run_joined") joined.add(event.agentId);
      const last = events.at(-1);
      if (last === undefined || events.length < EVENTS_AT_ONCE) return joined;
      after = last.seq;
    }
  }

  /** The agent becomes part of the run, once for each home. @throws {BackupError} */
  join(context: StageContext, agentId: string): Promise<void> {
    const known = this.#joined.get(agentId);
    if (known !== undefined) return known;
    const { pool, dispatcher, store, runId, job } = this.#scope;
    if (!this.#asked.has(agentId)) {
      store.transact((tx) => tx.note({ kind: "run_joined", runId, agentId }));
    }
    const shared = this.#sharedByOneMore();
    const destinations = openDestinations(context).flatMap(({ key, id }) => {
      const spec = shared.destinations.find((d) => d.key === key)!;
      return id === undefined ? [] : [{ spec, destinationId: id }];
    });
    const joined = (async () => {
      const result = await pool.client(agentId).run({
        op: "join",
        runId,
        runEpoch: context.runEpoch ?? 1,
        sources: job.sources,
        destinations,
        options: shared.options,
      });
      const refused = result.destinations.find((d) => d.error !== undefined);
      if (refused?.error === undefined) {
        const opened = destinations.map(({ spec: { key }, destinationId }) => ({
          key,
          destinationId,
        }));
        this.#memory.remember(agentId, opened);
        const stillOpen = new Set(openDestinations(context).map(({ key }) => key));
        for (const { key } of opened.filter((d) => !stillOpen.has(d.key))) {
          this.#tell(agentId, { op: "drop", runId, destination: key, isDone: true });
        }
        return;
      }
      const why = `${refused.destination}: ${refused.error.message}`;
      throw new BackupError("rejected", why, { retry: "elsewhere" });
    })();
    this.#joined.set(agentId, joined);
    this.#asked.add(agentId);
    return joined.catch((thrown) => {
      if (this.#joined.get(agentId) !== joined) throw thrown;
      this.#joined.delete(agentId);
      const error = asBackupError(thrown);
      if (error.retry === "elsewhere" && !context.signal.aborted) {
        this.#excluded.set(agentId, error.message);
        dispatcher.putRun(runId, { excluded: new Map(this.#excluded) });
        this.#tell(agentId, { op: "release", runId });
      }
      throw thrown;
    });
  }

  tellAll(task: Told): void {
    for (const agentId of this.#joined.keys()) this.#tell(agentId, task);
  }

  tellOthers(agentId: string, task: Told): void {
    for (const other of this.#joined.keys()) if (other !== agentId) this.#tell(other, task);
  }

  /** Whether it hears us or not. */
  #tell(agentId: string, task: Told): void {
    const { pool, clock } = this.#scope;
    within(
      async (signal) => await pool.client(agentId).run(task, { signal }),
      clock,
      TOLD_WITHIN_MS,
    )
      .catch(() => {});
  }

  /**
   * Those that were lost are not waited for: most are dead, but one that is not holds locks. Between two homes they are
   * not told, as they may be part of the run again by then.
   */
  releaseLost(): void {
    const { runId } = this.#scope;
    for (const agentId of this.#asked) {
      if (!this.#joined.has(agentId)) this.#tell(agentId, { op: "release", runId });
    }
  }

  /** Everybody gives back what they hold; who does not answer is not waited for long. */
  async releaseAll(): Promise<void> {
    const { pool, clock, log, dispatcher, runId } = this.#scope;
    const agents = [...this.#joined.keys()];
    this.#joined = new Map();
    await Promise.all(agents.map(async (agentId) => {
      try {
        const client = pool.client(agentId);
        await within(
          (cut) => client.run({ op: "release", runId }, { signal: cut }),
          clock,
          TOLD_WITHIN_MS,
        );
        dispatcher.released(runId, agentId);
      } catch (thrown) {
        log("info", "An agent did not confirm that it gave back what it held", {
          run: runId,
          agent: agentId,
          error: asBackupError(thrown).message,
        });
      }
    }));
  }
}
