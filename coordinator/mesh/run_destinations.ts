/** How the destinations of a run end. Rule: an end is stored before it is told, and stands over every restart and home. */
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import type { WireError } from "../../protocol/mesh/task.ts";
import { finishAtHome } from "../runs/finish_at_home.ts";
import type { LaneLedger } from "../runs/lane_ledger.ts";
import {
  type DestinationEnd,
  type DestinationState,
  endDestination,
  noteEnd,
  openDestinations,
  type StageContext,
} from "../runs/run_context.ts";
import { NOBODY } from "./homes.ts";
import type { Participants } from "./participants.ts";
import type { RunScope } from "./run_scope.ts";
import type { RunTasks } from "./run_tasks.ts";

type DestinationsScope = Pick<RunScope, "runId" | "store" | "log" | "destinations">;

export class RunDestinations {
  readonly #scope: DestinationsScope;
  readonly #participants: Pick<Participants, "tellAll" | "tellOthers">;
  readonly #tasks: Pick<RunTasks, "ledger" | "keepVerified">;
  readonly #allEnded = new AbortController();

  constructor(
    scope: DestinationsScope,
    participants: Pick<Participants, "tellAll" | "tellOthers">,
    tasks: Pick<RunTasks, "ledger" | "keepVerified">,
  ) {
    this.#scope = scope;
    this.#participants = participants;
    this.#tasks = tasks;
  }

  /** Aborted when no destination is left to work for. */
  get allEnded(): AbortSignal {
    return this.#allEnded.signal;
  }

  isCancelled(key: string): boolean {
    return this.#scope.destinations.find((d) => d.key === key)?.end?.state === "cancelled";
  }

  /** `context` is of no home. */
  cancel(context: StageContext, key: string): void {
    const { store, runId, destinations } = this.#scope;
    const destination = destinations.find((d) => d.key === key);
    if (destination === undefined || destination.end !== undefined) return;
    store.transact((tx) => tx.changeDestination(runId, key, { isCancelled: true }));
    this.#tasks.ledger?.close(key);
    this.end(context, destination, "cancelled");
    this.#participants.tellAll({ op: "drop", runId, destination: key });
  }

  /** What preparing has found out is stored. */
  keepPrepared(context: StageContext): void {
    const { store, runId } = this.#scope;
    store.transact((tx) => {
      for (const d of context.destinations) {
        tx.changeDestination(runId, d.key, {
          warnings: [...d.warnings],
          destinationId: d.id ?? null,
        });
      }
    });
    for (const { key, end } of context.destinations) {
      if (end !== undefined) this.#tasks.ledger?.close(key);
    }
  }

  /** With all that it stands on: nobody looks at it again, also after a restart. */
  keepEnd(end: DestinationEnd): void {
    const { store, log, runId } = this.#scope;
    store.transact((tx) => {
      noteEnd(tx, runId, end);
      tx.changeDestination(runId, end.destination, { end });
      if (end.state === "verified") this.#tasks.keepVerified(tx);
    });
    if (end.state !== "verified") return;
    try {
      // Another run may have it a moment later, and then nothing could be looked at again.
      store.flush();
    } catch (thrown) {
      log("warn", "What is verified may have to be looked at again after a power cut", {
        run: runId,
        destination: end.destination,
        error: asBackupError(thrown).message,
      });
    }
  }

  async finish(
    context: StageContext,
    destination: DestinationState,
    ledger: LaneLedger,
  ): Promise<void> {
    const { home, runId, job } = context;
    const outcome = await finishAtHome(context, destination.key, ledger);
    if (outcome === undefined) return;
    this.end(context, destination, outcome.state, outcome.error);
    if (job.options.dryRun) return;
    // The home has given it back by finishing it.
    this.#participants.tellOthers(home.id, {
      op: "drop",
      runId,
      destination: destination.key,
      isDone: true,
    });
  }

  end(
    context: StageContext,
    destination: DestinationState,
    state: DestinationEnd["state"],
    error?: WireError,
  ): void {
    endDestination(context, destination, state, error);
    if (openDestinations(context).length > 0 || context.home !== NOBODY) return;
    this.#allEnded.abort(new BackupError("cancelled", "No destination is left"));
  }
}
