/**
 * Restores that were asked for here. Rule: each is one task at an agent that offers it and can reach the place; it goes on whoever looks,
 * its end says what was not restored, and it is stored, so that a restart neither forgets it nor takes it for done.
 */
import type { Clock } from "../../protocol/base/clock.ts";
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import { newId } from "../../protocol/base/ids.ts";
import type { Log } from "../../protocol/base/log.ts";
import type { RestoreCard } from "../../protocol/mesh/console_state.ts";
import type { KeyNames } from "../../protocol/mesh/job.ts";
import type { AgentReach } from "../mesh/mesh_coordinator.ts";
import type { JobStore } from "../store/job_store.ts";
import { chooseAgent } from "./choose_agent.ts";
import type { Places } from "./places.ts";

/** Ended ones that are remembered, and those at once. */
const ENDED_KEPT = 50;
const AT_ONCE_MAX = 8;
const FAILURES_SHOWN = 100;
/** Of one that goes on: how far it has come is stored so often. */
const STORE_EVERY_MS = 5_000;
/** What brings back writes where people have their files: not every agent may. */
const REQUIRES = ["backup.restore"];
const INTERRUPTED = "The coordinator ended in the middle of it. What is restored stays; start it " +
  "again for the rest";

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
  /** Takes up what a former process has left: those that went on then are interrupted. Once, before anything is started. */
  recover(): void;
  /** Those that go on are interrupted. */
  close(): void;
}

interface Entry {
  card: RestoreCard;
  readonly abort: AbortController;
  storedAtMs: number;
}

export function createRestores(deps: {
  store: JobStore;
  clock: Clock;
  log: Log;
  reach(): AgentReach;
  places: Pick<Places, "find">;
}): Restores {
  const { store, clock, log, places } = deps;
  const entries = new Map<string, Entry>();
  let isClosed = false;

  function change(entry: Entry, by: Partial<RestoreCard>): void {
    // What is told of it from here on is not about its end.
    if (isClosed) return;
    entry.card = { ...entry.card, ...by };
  }

  /** A store that fails must not end a restore that is well; it is said, and the next change is tried again. */
  function save(entry: Entry): void {
    entry.storedAtMs = clock.monotonicMs();
    const { card } = entry;
    try {
      store.transact((tx) => tx.putDocument("restore", card.restoreId, card));
    } catch (thrown) {
      log("warn", "What is known of a restore could not be stored", {
        restore: card.restoreId,
        error: asBackupError(thrown).message,
      });
    }
  }

  async function carryOut(entry: Entry, wanted: Parameters<Restores["start"]>[0]): Promise<void> {
    const { card: { restoreId }, abort: { signal } } = entry;
    const { path, hostId } = places.find(wanted.place);
    const reach = deps.reach();
    const agent = chooseAgent(reach.views(), { hostId, requires: REQUIRES });
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
        if (restore === undefined) return;
        change(entry, restore);
        if (!isClosed && clock.monotonicMs() - entry.storedAtMs >= STORE_EVERY_MS) save(entry);
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
      store.transact((tx) => tx.dropDocument("restore", card.restoreId));
    }
  }

  function interrupt(entry: Entry): void {
    const endedAtMs = Math.round(clock.nowMs());
    change(entry, { state: "interrupted", endedAtMs, error: INTERRUPTED });
    save(entry);
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
      chooseAgent(deps.reach().views(), { hostId, requires: REQUIRES });
      const entry: Entry = {
        abort: new AbortController(),
        storedAtMs: -Infinity,
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
      // One that could not be remembered is not begun.
      store.transact((tx) => tx.putDocument("restore", restoreId, entry.card));
      entry.storedAtMs = clock.monotonicMs();
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
        if (isClosed) return;
        change(entry, { endedAtMs: Math.round(clock.nowMs()) });
        save(entry);
        log("info", `A restore is ${entry.card.state}`, { restore: restoreId });
        forgetOld();
      }).catch((thrown) => {
        log("warn", "Old restores could not be forgotten", {
          error: asBackupError(thrown).message,
        });
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
    recover() {
      for (const card of store.documents("restore")) {
        const entry: Entry = { abort: new AbortController(), storedAtMs: -Infinity, card };
        entries.set(card.restoreId, entry);
        if (card.state === "running") interrupt(entry);
      }
    },
    close() {
      if (isClosed) return;
      for (const entry of entries.values()) if (entry.card.state === "running") interrupt(entry);
      isClosed = true;
      for (const { abort } of entries.values()) abort.abort();
    },
  };
}
