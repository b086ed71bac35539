/**
 * Which agent is the home of a run, and what its errors mean for the next choice. Rule: whoever refuses is out, whoever
 * fails is only asked later, and nothing is tried for ever.
 */
import { backoffMs } from "../../protocol/base/backoff.ts";
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import type { PrepareResult } from "../../protocol/mesh/task.ts";
import type { Agent } from "../runs/run_context.ts";
import { isAgentLost, isAgentsFault } from "./agent_faults.ts";
import { chooseHome, type HomeFacts } from "./choose_home.ts";
import type { Participants } from "./participants.ts";
import type { RunScope } from "./run_scope.ts";

/** How often one step of a run may fail at its home, and all agents may refuse the run, before that is the run's error. */
export const HOME_FAULTS_MAX = 3;
export const LOOK_AGAIN_MS = 200;
export const FALLBACK_NOTE =
  "No worker can be reached: the coordinator does the work itself, one directory at a time";
/** A destination that another agent may reach. */
const NOT_HERE: ReadonlySet<string> = new Set([
  "destination_missing",
  "destination_changed",
  "destination_lost",
  "not_found",
  "not_a_directory",
]);

/** The home of a run that has none. */
export const NOBODY: Agent = {
  id: "",
  client: { run: () => Promise.reject(new BackupError("internal", "The run has no home")) },
  capabilities: [],
  slots: 1,
};

/** The home is gone: not an error of the run. */
export class HomeLost extends Error {
  /** Whether it is worth a pause before the next one is asked. */
  readonly isFault: boolean;

  constructor(message: string, isFault = false) {
    super(message);
    this.isFault = isFault;
  }
}

type HomesScope = Pick<RunScope, "job" | "pool" | "clock" | "note">;

export class Homes {
  readonly #scope: HomesScope;
  readonly #participants: Pick<Participants, "excluded" | "exclude" | "readmitAll">;
  /** Homes that failed without refusing: others are preferred. */
  readonly #poorHomes = new Map<string, string>();
  readonly #homeFaults = new Map<string, number>();
  /** How many destinations each home that was tried could not reach. */
  readonly #unreached = new Map<string, number>();
  /** What the home said last that made it unfit, as a stage throws it. */
  #homeFailure: unknown;

  constructor(
    scope: HomesScope,
    participants: Pick<Participants, "excluded" | "exclude" | "readmitAll">,
  ) {
    this.#scope = scope;
    this.#participants = participants;
  }

  /** Waits until there is one. @throws {BackupError} `rejected` when all refuse, again and again */
  async choose(isOver: AbortSignal): Promise<Agent> {
    const { job: { sources }, pool, clock, note } = this.#scope;
    const { excluded } = this.#participants;
    for (;;) {
      isOver.throwIfAborted();
      const views = pool.views();
      const poor = this.#poorHomes;
      const facts = this.facts();
      let choice = chooseHome(sources, views, {
        ...facts,
        excluded: new Map([...excluded, ...poor]),
      });
      // A poor one is better than none, and than the coordinator itself.
      if ((choice.agent === undefined || choice.agent.isFallback === true) && poor.size > 0) {
        poor.clear();
        choice = chooseHome(sources, views, facts);
      }
      // All that could are out: what kept them out may have passed.
      if (choice.agent === undefined && excluded.size > 0) {
        const [refusal] = excluded.values();
        this.#participants.readmitAll();
        choice = chooseHome(sources, views, facts);
        if (choice.agent !== undefined) {
          const refusals = this.#countFault("refused");
          if (refusals >= HOME_FAULTS_MAX) {
            throw new BackupError("rejected", `No agent can carry out the run: ${refusal}`);
          }
          await clock.sleep(backoffMs(refusals), isOver);
          continue;
        }
      }
      const { agent, reason } = choice;
      if (agent !== undefined) {
        if (agent.isFallback) note(FALLBACK_NOTE);
        return {
          id: agent.agentId,
          client: pool.client(agent.agentId),
          capabilities: agent.capabilities,
          slots: agent.slots,
        };
      }
      if (reason !== undefined) note(`The run waits: ${reason}`);
      await clock.sleep(LOOK_AGAIN_MS, isOver);
    }
  }

  facts(): HomeFacts {
    return {
      excluded: this.#participants.excluded,
      heldBy: (id) => this.#scope.pool.heldBy(id),
      unreached: (id) => this.#unreached.get(id) ?? 0,
    };
  }

  /**
   * A destination that lies somewhere else may be within reach of another agent: each is asked once.
   *
   * @throws {HomeLost}
   */
  prepared(home: Agent, { destinations }: PrepareResult): void {
    const away = destinations.filter(({ error }) =>
      error !== undefined && NOT_HERE.has(error.code)
    );
    const isNews = !this.#unreached.has(home.id);
    this.#unreached.set(home.id, away.length);
    const [first] = away;
    if (!isNews || first === undefined) return;
    const { job, pool } = this.#scope;
    const { agent } = chooseHome(job.sources, pool.views(), this.facts());
    if (agent === undefined || agent.agentId === home.id || agent.isFallback === true) return;
    if ((this.#unreached.get(agent.agentId) ?? 0) >= away.length) return;
    const why = first.error!.message;
    throw new HomeLost(`${home.id} cannot reach ${first.destination}: ${why}; another is asked`);
  }

  #countFault(what: string): number {
    const count = (this.#homeFaults.get(what) ?? 0) + 1;
    this.#homeFaults.set(what, count);
    return count;
  }

  /** Whether another home, or the same one after a while, could do better; not for ever. */
  isLost(thrown: unknown, what: string): boolean {
    const { code, retry } = asBackupError(thrown);
    const isLost = isAgentLost(thrown) || code === "superseded" ||
      retry === "elsewhere" ||
      (isAgentsFault(thrown) && this.#countFault(what) < HOME_FAULTS_MAX);
    if (isLost) this.#homeFailure = thrown;
    return isLost;
  }

  /** What made `home` unfit is kept for the next choice; any other error stays the run's. @throws {HomeLost} */
  rethrow(home: Agent, thrown: unknown): never {
    if (thrown !== this.#homeFailure) throw thrown;
    const { message, retry } = asBackupError(thrown);
    if (retry === "elsewhere") this.#participants.exclude(home.id, message);
    else this.#poorHomes.set(home.id, message);
    // Who refuses is out, so the next one is asked at once.
    const isFault = retry !== "elsewhere";
    throw new HomeLost(`${home.id} cannot go on with the run: ${message}`, isFault);
  }
}
