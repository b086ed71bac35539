/**
 * Which destination lies under a path, as agents have found it. Rule: known of a host, since elsewhere the same path may
 * be another disk; but where nothing stands under a path that others know, nothing is made without a person's word.
 */
import type { RunScope } from "./run_scope.ts";

export class DestinationMemory {
  readonly #scope: Pick<RunScope, "job" | "store" | "pool">;

  constructor(scope: Pick<RunScope, "job" | "store" | "pool">) {
    this.#scope = scope;
  }

  /** As `PrepareTask.knownIds` has it, for this agent. */
  knownBy(agentId: string): Record<string, string | null> {
    const { job, store } = this.#scope;
    const hostId = this.#hostOf(agentId);
    const known = job.destinations.filter(({ isNew }) => !isNew).flatMap(({ key, path }) => {
      const all = store.knownDestinations(path);
      const own = all.find((one) => one.hostId === hostId);
      return all.length === 0 ? [] : [[key, own?.destinationId ?? null] as const];
    });
    return Object.fromEntries(known);
  }

  /** The agent has opened these. */
  remember(
    agentId: string,
    found: readonly { key: string; destinationId: string | undefined }[],
  ): void {
    const { job, store } = this.#scope;
    const hostId = this.#hostOf(agentId);
    if (hostId === undefined) return;
    const news = found.flatMap(({ key, destinationId }) => {
      const path = job.destinations.find((d) => d.key === key)?.path;
      if (path === undefined || destinationId === undefined) return [];
      const before = store.knownDestinations(path).find((one) => one.hostId === hostId);
      return before?.destinationId === destinationId ? [] : [{ hostId, path, destinationId }];
    });
    if (news.length === 0) return;
    store.transact((tx) => news.forEach((one) => tx.rememberDestination(one)));
  }

  #hostOf(agentId: string): string | undefined {
    return this.#scope.pool.views().find((a) => a.agentId === agentId)?.hostId;
  }
}
