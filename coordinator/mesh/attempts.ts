/**
 * The attempts at a run's tasks under one home. Rule: what ends an attempt is held against its task only when it says
 * something about the task; what was verified before it is never lost.
 */
import { BackupError } from "../../protocol/base/errors.ts";
import { mirrorHoldsSlot } from "../../protocol/mesh/holds_slot.ts";
import type { TaskProgress } from "../../protocol/mesh/progress.ts";
import type { MirrorResult, MirrorTask } from "../../protocol/mesh/task.ts";
import { UnreachableError } from "../../protocol/rpc/client.ts";
import type { LaneLedger } from "../runs/lane_ledger.ts";
import { laneReport } from "../runs/report.ts";
import type { StageContext } from "../runs/run_context.ts";
import {
  joinUnreadable,
  NOTHING_UNREADABLE,
  resultOf,
  withUnreadable,
} from "../runs/unreadable.ts";
import { wireError, wireErrorOf } from "../runs/wire_error.ts";
import { isAgentLost, isAgentsFault, UNREACHABLE_LEASES_MAX } from "./agent_faults.ts";
import type { AttemptEnd, MeshTask } from "./mesh_dispatcher.ts";
import type { Participants } from "./participants.ts";
import type { RunDestinations } from "./run_destinations.ts";
import { isPaused, type RunScope } from "./run_scope.ts";
import type { RunShares } from "./run_shares.ts";
import { addUnreadable, type PlannedTask } from "./run_tasks.ts";
import { watchSilence } from "./silence.ts";

/** Faults of one task, over all agents; a task that fails so often fails alone. */
export const TASK_FAULTS_MAX = 3;
/** Attempts of one task whatever ended them; takeovers and handoffs are no faults. */
const TASK_ATTEMPTS_MAX = 200;
/** Pause before an attempt whose agent does not answer is picked up again. */
const REACH_AGAIN_MS = 500;

export interface AttemptsDeps {
  readonly scope: RunScope;
  readonly participants: Pick<Participants, "join" | "drop">;
  readonly shares: Pick<RunShares, "shared">;
  readonly destinations: Pick<RunDestinations, "isCancelled">;
}

export class Attempts {
  readonly #deps: AttemptsDeps;
  readonly #scope: RunScope;
  readonly #context: StageContext;
  readonly #ledger: LaneLedger;
  readonly #closeSettled: () => void;

  /** `context.signal` ends them all; `closeSettled`: the ledger may know of a destination's end. */
  constructor(
    deps: AttemptsDeps,
    context: StageContext,
    ledger: LaneLedger,
    closeSettled: () => void,
  ) {
    this.#deps = deps;
    this.#scope = deps.scope;
    this.#context = context;
    this.#ledger = ledger;
    this.#closeSettled = closeSettled;
  }

  meshTask(task: PlannedTask, index: number): MeshTask {
    const { dispatcher, pool, leaseMs, clock, runId, progress, taskChanged } = this.#scope;
    const { stored: { taskId, part, requires, sizeBytes }, source } = task;
    const ledger = this.#ledger;
    const spec = source.source;
    return {
      view: {
        taskId,
        runId,
        source: spec.name,
        place: { hostId: spec.hostId, root: spec.root },
        requires,
        sizeBytes,
        ...(spec.after === undefined ? {} : { after: spec.after }),
        onlyAgents: null,
      },
      holdsSlot: () => mirrorHoldsSlot(ledger.statesOf(index)),
      gaveUp: (why) => {
        ledger.broke(index, wireError("superseded", why), true);
        taskChanged(taskId);
      },
      attempt: async (agentId, epoch, begun, signal) => {
        taskChanged(taskId);
        if (ledger.begin(index).length === 0) return this.#endOf(index);
        const both = AbortSignal.any([signal, this.#context.signal]);
        const isOver = () => both.aborted;
        let end: AttemptEnd;
        const before = task.unreadable;
        let hasBegun = false;
        let hasJoined = false;
        try {
          await this.#deps.participants.join(this.#context, agentId);
          hasJoined = true;
          // A handoff moves a task of a paused run as well; whoever gets it waits like the others.
          if (isPaused(this.#scope)) {
            await pool.client(agentId).run({ op: "pause", runId, isPaused: true });
          }
          both.throwIfAborted();
          // What has been given up meanwhile is nothing that the agent still has.
          const owed = ledger.begin(index);
          if (owed.length === 0) return this.#endOf(index);
          const isOwn = pool.views().find((a) => a.agentId === agentId)?.isFallback === true;
          const result = await this.#mirrorAt(agentId, {
            op: "mirror",
            runId,
            taskId,
            epoch,
            source: spec,
            ...(part === null ? {} : { part }),
            destinations: owed,
            options: this.#deps.shares.shared().options,
            ...(isOwn ? {} : { leaseMs }),
          }, {
            signal: both,
            onProgress: ({ seq, lanes, verified, unreadable }) => {
              if (isOver()) return;
              if (!hasBegun) {
                hasBegun = true;
                begun();
                taskChanged(taskId);
              }
              const atMs = Math.round(clock.nowMs());
              progress.apply({ kind: "lanes", taskId, agentId, epoch, seq, lanes, atMs });
              if (unreadable !== undefined) task.unreadable = joinUnreadable(before, unreadable);
              ledger.heard(index, lanes, verified);
              dispatcher.hold(taskId, mirrorHoldsSlot(ledger.statesOf(index)));
              this.#closeSettled();
            },
          });
          if (isOver()) return this.#over();
          if (this.#isGivenUp(result)) {
            const why = "The agent gave it up without being told to";
            throw new BackupError("superseded", why, { retry: "elsewhere" });
          }
          ledger.reported(index, result);
          const whole = withUnreadable(task.unreadable, result);
          addUnreadable(source, whole);
          end = { ...this.#endOf(index), result: this.#resultOf(index, whole) };
        } catch (thrown) {
          if (isOver()) return this.#over();
          return this.#failed({ task, index, agentId, epoch, hasJoined, thrown });
        }
        queueMicrotask(() => taskChanged(taskId));
        return end;
      },
    };
  }

  /** An attempt goes on while we cannot reach its agent, so it is picked up again until the agent is lost. */
  async #mirrorAt(
    agentId: string,
    spec: MirrorTask,
    options: { signal: AbortSignal; onProgress: (progress: TaskProgress) => void },
  ): Promise<MirrorResult> {
    const { pool, clock, dispatcher, leaseMs } = this.#scope;
    let giveUpMs = clock.monotonicMs() + leaseMs * UNREACHABLE_LEASES_MAX;
    // Its lease begins when it is told of the attempt, and joining the run may have taken long.
    dispatcher.renew(agentId, [{ taskId: spec.taskId, epoch: spec.epoch }]);
    const silence = watchSilence(this.#scope, spec.taskId, agentId);
    const onProgress = (progress: TaskProgress): void => {
      silence.heard(progress.lanes);
      giveUpMs = clock.monotonicMs() + leaseMs * UNREACHABLE_LEASES_MAX;
      options.onProgress(progress);
    };
    // It is waited for until then, however late its client hears of that.
    options.signal.addEventListener("abort", silence.end, { once: true });
    try {
      for (;;) {
        try {
          return await pool.client(agentId).run(spec, { signal: options.signal, onProgress });
        } catch (thrown) {
          if (!(thrown instanceof UnreachableError) || options.signal.aborted) throw thrown;
          silence.lost();
          if (clock.monotonicMs() >= giveUpMs) {
            dispatcher.mayStillRun(spec.taskId, agentId);
            throw thrown;
          }
          await clock.sleep(REACH_AGAIN_MS, options.signal);
        }
      }
    } finally {
      silence.end();
    }
  }

  /** How an attempt ends that nobody waits for any more. */
  #over(): AttemptEnd {
    return this.#scope.signal.aborted
      ? { kind: "cancelled" }
      : { kind: "retry", reason: "The run goes on elsewhere", avoidsAgent: false };
  }

  /** What the attempt reported, and what earlier attempts had verified before it: the next start knows only this. */
  #resultOf(index: number, result: MirrorResult): MirrorResult {
    const ledger = this.#ledger;
    const lanes = ledger.destinations.flatMap((key) => {
      const account = ledger.accounts(key)[index]!;
      return account.settled ? [laneReport(key, account)] : [];
    });
    return { ...result, lanes };
  }

  #failed(
    { task, index, agentId, epoch, hasJoined, thrown }: {
      task: PlannedTask;
      index: number;
      agentId: string;
      epoch: number;
      hasJoined: boolean;
      thrown: unknown;
    },
  ): AttemptEnd {
    const { log, runId, taskChanged } = this.#scope;
    const error = wireErrorOf(thrown);
    const isTakenBack = error.code === "superseded" || error.code === "cancelled";
    const isRefused = error.code === "rejected" && error.retry === "elsewhere";
    // It may have lost the run, as after a start anew: it joins again. The home would have to prepare.
    if (isRefused && agentId !== this.#context.home.id) this.#deps.participants.drop(agentId);
    // What says nothing about the task is no fault of it.
    const isTasksFault = hasJoined && !isTakenBack && !isRefused &&
      !isAgentLost(thrown);
    if (isTasksFault) task.faults++;
    const mayRetry = isAgentsFault(thrown) && task.faults < TASK_FAULTS_MAX &&
      epoch < TASK_ATTEMPTS_MAX;
    log("warn", "An attempt at a directory has failed", {
      run: runId,
      task: task.stored.taskId,
      agent: agentId,
      attempt: epoch,
      again: mayRetry,
      error: error.message,
    });
    const again = this.#ledger.broke(index, error, mayRetry);
    const unreadable = resultOf(task.unreadable ?? NOTHING_UNREADABLE);
    if (!again) addUnreadable(task.source, unreadable);
    const result = this.#resultOf(index, unreadable);
    queueMicrotask(() => taskChanged(task.stored.taskId));
    return again
      ? { kind: "retry", reason: error.message, avoidsAgent: !isTakenBack }
      : { ...this.#endOf(index), result };
  }

  /** A lane that ended as cancelled, though nobody here has cancelled it. */
  #isGivenUp({ lanes }: MirrorResult): boolean {
    const { destinations } = this.#deps;
    return lanes.some((l) => l.state === "cancelled" && !destinations.isCancelled(l.destination));
  }

  #endOf(index: number): { kind: "succeeded" } | { kind: "failed"; reason: string } {
    const { destinations } = this.#deps;
    const ledger = this.#ledger;
    const lanes = ledger.destinations.map((key) => ({ key, lane: ledger.accounts(key)[index]! }));
    const bad = lanes.filter(({ key, lane }) =>
      lane.state !== "verified" && lane.state !== "planned" && !destinations.isCancelled(key)
    );
    if (bad.length === 0) return { kind: "succeeded" };
    return { kind: "failed", reason: `Not verified at ${bad.map((b) => b.key).join(", ")}` };
  }
}
