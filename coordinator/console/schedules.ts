/**
 * Runs that begin by themselves. Rule: each time is seen to once, also over restarts and sleep: it is carried out, made up
 * for, or left out with a reason; two runs of one schedule never overlap.
 */
import type { Clock } from "../../protocol/base/clock.ts";
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import { newId } from "../../protocol/base/ids.ts";
import type { Log } from "../../protocol/base/log.ts";
import type { JobRequest, NewSchedule, Schedule } from "../../protocol/mesh/console_documents.ts";
import type { ScheduleCard } from "../../protocol/mesh/console_state.ts";
import { NEXT_RUN_STATES } from "../../protocol/mesh/job.ts";
import type { JobStore } from "../store/job_store.ts";
import { checkTimes, dueMs, nextTimeMs } from "./schedule_times.ts";

/** How often the times are looked at. */
export const SCHEDULE_LOOK_MS = 1_000;
/** Clocks are set back at times, and files are changed by others. */
const LOOK_ANYWAY_MS = 60_000;
/** What is later than this was missed, as the machine slept or nobody served. */
export const LATE_AFTER_MS = 5 * 60_000;

export interface Schedules {
  cards(): ScheduleCard[];
  put(scheduleId: string | undefined, wanted: NewSchedule): ScheduleCard;
  drop(scheduleId: string): boolean;
  /** Now. Returns the run's id. */
  start(scheduleId: string): string;
  /** Begins to look at the times. */
  watch(): void;
  close(): void;
}

export function createSchedules(deps: {
  store: JobStore;
  clock: Clock;
  log: Log;
  /** @throws {BackupError} `not_found` */
  profile(name: string): JobRequest;
  /** Checks the job, as far as it can be now. @throws {BackupError} */
  check(job: JobRequest): void;
  /** Starts a run of it. The same key again is the same run. @throws {BackupError} */
  run(job: JobRequest, idempotencyKey: string): string;
}): Schedules {
  const { store, clock, log } = deps;
  let stop = () => {};
  /** Nothing is due before, on the wall clock; schedules are not read until then. */
  let quietToMs = -Infinity;

  function cardOf(schedule: Schedule): ScheduleCard {
    const { times, isOn, seenToMs, createdAtMs } = schedule;
    return { ...schedule, nextAtMs: isOn ? nextTimeMs(times, seenToMs, createdAtMs) : null };
  }

  function known(scheduleId: string): Schedule {
    const schedule = store.document("schedule", scheduleId);
    if (schedule !== undefined) return schedule;
    throw new BackupError("not_found", `No schedule ${scheduleId} is known`);
  }

  function save(schedule: Schedule): void {
    quietToMs = -Infinity;
    store.transact((tx) => tx.putDocument("schedule", schedule.scheduleId, schedule));
  }

  function jobOf({ profile, job }: Pick<Schedule, "profile" | "job">): JobRequest {
    if (profile !== undefined) return deps.profile(profile);
    if (job !== undefined) return job;
    throw new BackupError("usage", "A schedule needs a job, or the name of a profile");
  }

  /** The run of its last time, while that goes on. */
  function runningOf({ lastRunId }: Schedule): string | undefined {
    const run = lastRunId === null ? undefined : store.run(lastRunId);
    return run !== undefined && NEXT_RUN_STATES[run.state].length > 0 ? run.runId : undefined;
  }

  function begin(schedule: Schedule, key: string): Schedule {
    const running = runningOf(schedule);
    if (running !== undefined) {
      throw new BackupError("rejected", `Its run ${running} still goes on`, { retry: "later" });
    }
    const lastRunId = deps.run(jobOf(schedule), key);
    return { ...schedule, lastRunId, lastStartedAtMs: now(), lastProblem: null };
  }

  function look(): void {
    const nowMs = clock.nowMs();
    if (nowMs < quietToMs) return;
    for (const schedule of store.documents("schedule")) {
      const due = dueMs(schedule, nowMs);
      if (due !== undefined) seeTo(schedule, due.lastMs);
    }
    const nexts = store.documents("schedule").flatMap((s) => cardOf(s).nextAtMs ?? []);
    quietToMs = Math.min(...nexts, nowMs + LOOK_ANYWAY_MS);
  }

  function seeTo(schedule: Schedule, dueAtMs: number): void {
    const { name, scheduleId, catchesUp } = schedule;
    // Noted in any case: a time that cannot be carried out must not come again every second.
    let next: Schedule = { ...schedule, seenToMs: dueAtMs };
    if (clock.nowMs() - dueAtMs > LATE_AFTER_MS && !catchesUp) {
      next = { ...next, lastProblem: "Its time was missed, and it does not catch up" };
      log("info", `Schedule ${name} has missed its time`, { schedule: scheduleId });
    } else {
      try {
        // The key makes one run of one time, whatever happens between starting it and noting that here.
        next = begin(next, `${scheduleId}:${dueAtMs}`);
        log("info", `Schedule ${name} started a run`, {
          schedule: scheduleId,
          run: next.lastRunId,
        });
      } catch (thrown) {
        const { message } = asBackupError(thrown);
        next = { ...next, lastProblem: message };
        log("warn", `Schedule ${name} could not start: ${message}`, { schedule: scheduleId });
      }
    }
    save(next);
  }

  const now = (): number => Math.round(clock.nowMs());

  return {
    cards: () => store.documents("schedule").map(cardOf),
    put(scheduleId, wanted) {
      const before = scheduleId === undefined ? undefined : known(scheduleId);
      if ((wanted.profile === undefined) === (wanted.job === undefined)) {
        throw new BackupError("usage", "A schedule needs a job or the name of a profile, not both");
      }
      checkTimes(wanted.times, now());
      deps.check(jobOf(wanted));
      const schedule: Schedule = {
        ...wanted,
        isOn: wanted.isOn ?? true,
        catchesUp: wanted.catchesUp ?? true,
        scheduleId: before?.scheduleId ?? newId("schedule"),
        createdAtMs: before?.createdAtMs ?? now(),
        // Times that passed while it was off, or had other times, are not made up for.
        seenToMs: now(),
        lastRunId: before?.lastRunId ?? null,
        lastStartedAtMs: before?.lastStartedAtMs ?? null,
        lastProblem: null,
      };
      save(schedule);
      return cardOf(schedule);
    },
    drop: (scheduleId) => store.transact((tx) => tx.dropDocument("schedule", scheduleId)),
    start(scheduleId) {
      const schedule = begin(known(scheduleId), `${scheduleId}:${newId("msg")}`);
      save(schedule);
      return schedule.lastRunId!;
    },
    watch() {
      stop = clock.every(SCHEDULE_LOOK_MS, () => {
        try {
          look();
        } catch (thrown) {
          log("error", "The schedules cannot be read", { error: asBackupError(thrown).message });
        }
      });
    },
    close: () => stop(),
  };
}
