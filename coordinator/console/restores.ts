/**
 * Restores that were asked for here. Rule: each is one task at an agent that can reach the place; it goes on whoever looks,
 * and its end says what was not restored.
 */
import type { Clock } from "../../protocol/base/clock.ts";
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import { newId } from "../../protocol/base/ids.ts";
import type { Log } from "../../protocol/base/log.ts";
import type { RestoreCard } from "../../protocol/mesh/console_state.ts";
import type { KeyNames } from "../../protocol/mesh/job.ts";
import type { AgentReach } from "../mesh/mesh_coordinator.ts";
import { chooseAgent } from "./choose_agent.ts";
import type { Places } from "./places.ts";

/** Ended ones that are remembered, and those at once. */
const ENDED_KEPT = 50;
const AT_ONCE_MAX = 8;
const FAILURES_SHOWN = 100;

export interface Restores {
  /** The newest first. */
  cards(): RestoreCard[];
  start(wanted: {
    place: string;
    target: string;
    paths: readonly string[];
    overwrite?: boolean;
    keys?: KeyNames;
  }): RestoreCard;
  /** A second time, or after its end, changes nothing. @throws {BackupError} `not_found` */
  cancel(restoreId: string): RestoreCard;
  close(): void;
}

interface Entry {
  card: RestoreCard;
  readonly abort: AbortController;
}

export function createRestores(deps: {
  clock: Clock;
  log: Log;
  reach(): AgentReach;
  places: Pick<Places, "find">;
}): Restores {
  const { clock, log, places } = deps;
  const entries = new Map<string, Entry>();

  function change(entry: Entry, by: Partial<RestoreCard>): void {
    entry.card = { ...entry.card, ...by };
  }

  async function carryOut(entry: Entry, wanted: Parameters<Restores["start"]>[0]): Promise<void> {
    const { card: { restoreId }, abort: { signal } } = entry;
    const { path, hostId } = places.find(wanted.place);
    const reach = deps.reach();
    const agent = chooseAgent(reach.views(), { hostId });
    const result = await reach.tasks(agent.agentId).run({
      op: "restore",
      runId: restoreId,
      destinations: [path],
      target: wanted.target,
      paths: [...wanted.paths],
      overwrite: wanted.overwrite ?? false,
      ...(wanted.keys === undefined ? {} : { keys: wanted.keys }),
    }, {
      signal,
      onProgress: ({ restore }) => {
        if (restore !== undefined) change(entry, restore);
      },
    });
    const kept = result.kept === 0 ? [] : [{
      path: wanted.target,
      message: `${result.kept} files stand there and were not replaced`,
    }];
    const failureCount = result.failureCount + result.kept;
    change(entry, {
      state: failureCount === 0 ? "completed" : "failed",
      filesDone: result.files + result.alreadyThere,
      bytesDone: result.bytes,
      failureCount,
      failures: [
        ...kept,
        ...result.failures.slice(0, FAILURES_SHOWN).map(({ path, message }) => ({ path, message })),
      ],
    });
  }

  function forgetOld(): void {
    const ended = [...entries.values()].filter(({ card }) => card.state !== "running");
    for (const { card } of ended.slice(0, Math.max(0, ended.length - ENDED_KEPT))) {
      entries.delete(card.restoreId);
    }
  }

  return {
    cards: () => [...entries.values()].map(({ card }) => card).reverse(),
    start(wanted) {
      const running = [...entries.values()].filter(({ card }) => card.state === "running").length;
      if (running >= AT_ONCE_MAX) {
        throw new BackupError("rejected", `${AT_ONCE_MAX} restores go on already`, {
          retry: "later",
        });
      }
      const { label, hostId } = places.find(wanted.place);
      chooseAgent(deps.reach().views(), { hostId });
      const entry: Entry = {
        abort: new AbortController(),
        card: {
          restoreId: newId("restore"),
          state: "running",
          destination: label,
          target: wanted.target,
          paths: [...wanted.paths],
          startedAtMs: Math.round(clock.nowMs()),
          endedAtMs: null,
          ...{ filesDone: 0, filesTotal: 0, bytesDone: 0, bytesTotal: 0 },
          failures: [],
          failureCount: 0,
          error: null,
        },
      };
      const { restoreId } = entry.card;
      entries.set(restoreId, entry);
      log("info", "A restore was started", { restore: restoreId });
      carryOut(entry, wanted).catch((thrown) => {
        const { code, message } = asBackupError(thrown);
        const isCancelled = entry.abort.signal.aborted || code === "cancelled";
        change(entry, {
          state: isCancelled ? "cancelled" : "failed",
          error: isCancelled ? null : message,
        });
      }).finally(() => {
        change(entry, { endedAtMs: Math.round(clock.nowMs()) });
        log("info", `A restore is ${entry.card.state}`, { restore: restoreId });
        forgetOld();
      });
      return entry.card;
    },
    cancel(restoreId) {
      const entry = entries.get(restoreId);
      if (entry === undefined) {
        throw new BackupError("not_found", `No restore ${restoreId} is known`);
      }
      entry.abort.abort(new BackupError("cancelled", "Cancelled"));
      return entry.card;
    },
    close() {
      for (const { abort } of entries.values()) abort.abort();
    },
  };
}
