/**
 * What is owed and what is paid: one account for each (task, destination). Rule: an account is closed only by the
 * word of its own task about its own destination; a later word can make an end worse, never better.
 */
import type { WireError } from "../../protocol/mesh/task.ts";
import {
  type LaneCounters,
  type LaneProgress,
  type LaneState,
  ZERO_COUNTERS,
} from "../../protocol/mesh/progress.ts";
import type { LaneReport, MirrorResult } from "../../protocol/mesh/task.ts";
import { wireError } from "./wire_error.ts";

export type LaneEnd = LaneReport["state"];

export interface LaneAccount {
  /** In progress, or the end as far as it is known. */
  state: LaneState | "planned";
  /** Whether the end stands: no further attempt will work on this lane. */
  settled: boolean;
  counters: LaneCounters;
  report?: LaneReport;
  error?: WireError;
}

export interface LaneLedger {
  readonly destinations: readonly string[];
  /** Starts an attempt of a task; the destinations it still has to serve, none when nothing is owed. */
  begin(task: number): string[];
  /** States of the lanes that the task's current attempt works on. */
  statesOf(task: number): LaneState[];
  /** `verified`: what the agent reports of lanes that have ended so. */
  heard(task: number, lanes: readonly LaneProgress[], verified?: readonly LaneReport[]): void;
  /** Before a first attempt: what earlier ones had verified, as far as it was kept. */
  restore(task: number, verified: readonly LaneReport[]): void;
  reported(task: number, result: MirrorResult): void;
  /** The attempt died. True when `mayRetry` and another attempt has something left to do. */
  broke(task: number, error: WireError, mayRetry: boolean): boolean;
  /** Whether every lane of a destination stands at its end. */
  isSettled(destination: string): boolean;
  /** From now on no attempt serves this destination any more. */
  close(destination: string): void;
  /** One account a task, in the order of the tasks. */
  accounts(destination: string): readonly LaneAccount[];
}

const ENDS: ReadonlySet<string> = new Set(["verified", "failed", "cancelled", "planned"]);

export function createLaneLedger(destinations: readonly string[], tasks: number): LaneLedger {
  const books = new Map(destinations.map((key) => [key, Array.from({ length: tasks }, fresh)]));
  const served = Array.from({ length: tasks }, () => new Set<string>());
  const closed = new Set<string>();

  const account = (key: string, task: number): LaneAccount => books.get(key)![task]!;
  const accountsOf = (task: number) => [...served[task]!].map((key) => account(key, task));
  const isEnded = (lane: LaneAccount): boolean => ENDS.has(lane.state);

  return {
    destinations,
    begin(task) {
      const owed = destinations.filter((key) => !closed.has(key) && !account(key, task).settled);
      served[task] = new Set(owed);
      for (const key of owed) account(key, task).state = "analyze";
      return owed;
    },
    statesOf: (task) => accountsOf(task).map((l) => l.state).filter((s) => s !== "planned"),
    restore(task, verified) {
      for (const report of verified) {
        const lane = books.get(report.destination)?.[task];
        if (lane === undefined || lane.settled || !isWhole(report)) continue;
        Object.assign(lane, { state: "verified", settled: true, report });
      }
    },
    heard(task, lanes, verified = []) {
      for (const { destination, state, counters } of lanes) {
        if (!served[task]!.has(destination)) continue;
        const lane = account(destination, task);
        if (isEnded(lane)) continue;
        lane.state = state;
        lane.counters = counters;
      }
      for (const report of verified) {
        if (!served[task]!.has(report.destination) || !isWhole(report)) continue;
        const lane = account(report.destination, task);
        if (lane.state === "verified") lane.report ??= report;
      }
      // When all lanes have ended, the task itself is about to: only its report says what could not be read, and its
      // failure may call for another attempt. A cancelled lane never stands: its agent may be giving up the whole task,
      // one lane after the other.
      if (accountsOf(task).every(isEnded)) return;
      for (const lane of accountsOf(task)) {
        if (lane.state === "verified" || lane.state === "failed") lane.settled = true;
      }
    },
    reported(task, result) {
      for (const key of served[task]!) {
        const lane = account(key, task);
        const report = result.lanes.find((r) => r.destination === key);
        if (report === undefined) {
          lane.state = "failed";
          lane.error = wireError(
            "protocol",
            "The agent's result has no report for this destination",
          );
        } else {
          lane.report = report;
          lane.state = worse(lane.state, report);
          if (report.error !== undefined) lane.error = report.error;
        }
        lane.settled = true;
      }
    },
    broke(task, error, mayRetry) {
      // What has ended with its task is looked at again: its report is missing.
      const stands = ({ state, settled }: LaneAccount): boolean =>
        state === "verified" && (settled || !mayRetry);
      const open: string[] = [];
      for (const key of served[task]!) {
        const lane = account(key, task);
        if (stands(lane)) lane.settled = true;
        else open.push(key);
      }
      const again = mayRetry ? open.filter((key) => !closed.has(key)) : [];
      for (const key of open) {
        const lane = account(key, task);
        if (again.includes(key)) {
          lane.state = "analyze";
          lane.settled = false;
          continue;
        }
        if (!isEnded(lane)) lane.state = error.code === "cancelled" ? "cancelled" : "failed";
        lane.error ??= error;
        lane.settled = true;
      }
      return again.length > 0;
    },
    isSettled: (key) => books.get(key)!.every((l) => l.settled),
    close: (key) => void closed.add(key),
    accounts: (key) => books.get(key)!,
  };
}

function isWhole({ state, failureCount }: LaneReport): boolean {
  return state === "verified" && failureCount === 0;
}

function fresh(): LaneAccount {
  return { state: "analyze", settled: false, counters: ZERO_COUNTERS };
}

/** A report that says verified and names failures is not believed; nor is one that mends an announced failure. */
function worse(known: LaneAccount["state"], report: LaneReport): LaneEnd {
  if (known === "failed" || known === "cancelled") {
    return report.state === "cancelled" ? "cancelled" : known;
  }
  return report.state === "verified" && report.failureCount > 0 ? "failed" : report.state;
}
