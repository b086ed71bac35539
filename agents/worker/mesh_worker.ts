/**
 * A worker under leases: what `agents/server` reports to a coordinator and is told by it. Rule: an attempt whose lease has
 * ended is stopped, whatever it was doing; another agent may have it by now.
 */
import type { BootClock } from "../../protocol/base/boot_clock.ts";
import type { Clock } from "../../protocol/base/clock.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import type { AgentFacts } from "../../protocol/mesh/agent_facts.ts";
import { missingCapabilities } from "../../protocol/mesh/capability.ts";
import { mirrorHoldsSlot } from "../../protocol/mesh/holds_slot.ts";
import type { Acceptance, HeldTask } from "../../protocol/mesh/methods.ts";
import type { LaneProgress } from "../../protocol/mesh/progress.ts";
import type { MirrorTask, TaskSpec } from "../../protocol/mesh/task.ts";
import type { TaskHandler } from "../../protocol/mesh/task_port.ts";
import type { HeldRuns, LinkedAgent, OfferedTask, WorkTotals } from "./linked_agent.ts";
import { LeaseKeeper } from "./lease_keeper.ts";
import { type LoadParts, loadScore } from "./load_score.ts";

export interface MeshWorker extends LinkedAgent {
  readonly handler: TaskHandler;
  close(): void;
}

export interface MeshWorkerDeps {
  /** The engine. `leases` says until when an attempt may publish; it is asked on the engine's side too. */
  handler: TaskHandler;
  identity: Pick<AgentFacts, "agentId" | "bootId" | "hostId" | "capabilities" | "roots">;
  slots: number;
  measure: () => Omit<LoadParts, "slots">;
  clock: Clock;
  bootClock: BootClock;
  /** Told when the lease of an attempt has changed; 0: nothing of it may be published any more. */
  onLease?: (task: HeldTask, endsAtMs: number) => void;
  /** What the engine holds of runs. */
  runs?: HeldRuns;
}

/** How often leases are looked at. */
const CHECK_MS = 100;
/** Facts are made anew at most so often while only the load changes. */
const FACTS_FOR_MS = 1_000;

interface Attempt {
  readonly abort: AbortController;
  /** Whether it uses a slot, or only waits for slow destinations. */
  holdsSlot: boolean;
}

export function createMeshWorker(deps: MeshWorkerDeps): MeshWorker {
  const { identity, slots, measure, clock, bootClock, onLease = () => {} } = deps;
  const leases = new LeaseKeeper();
  const attempts = new Map<string, Attempt>();
  const totals: WorkTotals = { bytes: 0, files: 0, tasks: 0 };
  /** Because the coordinator wants it; and for good, because the process is about to end. */
  let isDrained = false;
  let isEnding = false;
  let latest: { facts: AgentFacts; atMs: number } | undefined;

  const stopChecking = clock.every(CHECK_MS, () => {
    const expired = leases.expired(bootClock.bootMs());
    if (expired.length > 0) {
      stop(expired, "Its lease has ended: the coordinator was not heard in time");
    }
  });

  function stop(tasks: readonly HeldTask[], why: string): void {
    for (const task of tasks) {
      if (leases.endsAtMs(task) === undefined) continue;
      leases.end(task);
      onLease(task, 0);
      attempts.get(keyOf(task))?.abort.abort(new BackupError("superseded", why));
    }
    if (tasks.length > 0) latest = undefined;
  }

  async function attempt(spec: MirrorTask, context: Parameters<TaskHandler>[1]) {
    const task = { taskId: spec.taskId, epoch: spec.epoch };
    const endsAtMs = spec.leaseMs === undefined ? Infinity : bootClock.bootMs() + spec.leaseMs;
    const older = leases.held().filter((l) => l.taskId === task.taskId && l.epoch < task.epoch);
    stop(older, "A newer attempt of the same task has begun here");
    if (!leases.begin(task, endsAtMs)) {
      throw new BackupError("superseded", `A newer attempt of ${task.taskId} is known here`);
    }
    onLease(task, endsAtMs);
    const own: Attempt = { abort: new AbortController(), holdsSlot: true };
    attempts.set(keyOf(task), own);
    latest = undefined;
    const counted = new Map<string, { bytes: number; files: number }>();
    try {
      const result = await deps.handler(spec, {
        signal: AbortSignal.any([context.signal, own.abort.signal]),
        progress(progress) {
          // Lanes that end because the attempt was taken away have no end of their own.
          if (own.abort.signal.aborted) return;
          own.holdsSlot = mirrorHoldsSlot(progress.lanes.map(({ state }) => state));
          for (const lane of progress.lanes) count(lane, counted);
          context.progress(progress);
        },
      });
      // The engine reports what it was made to give up as cancelled lanes, which nobody has cancelled.
      own.abort.signal.throwIfAborted();
      return result;
    } catch (thrown) {
      throw own.abort.signal.aborted ? own.abort.signal.reason : thrown;
    } finally {
      totals.tasks++;
      leases.end(task);
      attempts.delete(keyOf(task));
      latest = undefined;
    }
  }

  /** Counters of an attempt only grow, so what is new since the last word is added. */
  function count(
    { destination, counters }: LaneProgress,
    counted: Map<string, { bytes: number; files: number }>,
  ): void {
    const before = counted.get(destination) ?? { bytes: 0, files: 0 };
    const now = {
      bytes: Math.max(before.bytes, Math.round(counters.bytesDone - counters.bytesUnchanged)),
      files: Math.max(before.files, Math.round(counters.verifyFilesDone)),
    };
    totals.bytes += now.bytes - before.bytes;
    totals.files += now.files - before.files;
    counted.set(destination, now);
  }

  function slotsHeld(): number {
    return [...attempts.values()].filter((a) => a.holdsSlot).length;
  }

  return {
    async handler(spec: TaskSpec, context) {
      return spec.op === "mirror"
        ? await attempt(spec, context)
        : await deps.handler(spec, context);
    },
    facts() {
      const nowMs = clock.monotonicMs();
      if (latest !== undefined && nowMs - latest.atMs < FACTS_FOR_MS) return latest.facts;
      const score = loadScore({ slots: slotsHeld() / slots, ...measure() });
      const facts: AgentFacts = {
        ...identity,
        limits: { slots },
        load: { score: Math.round(score * 1_000) / 1_000, observedAtMs: Math.round(clock.nowMs()) },
        state: isDrained || isEnding ? "draining" : "ready",
      };
      latest = { facts, atMs: nowMs };
      return facts;
    },
    heldTasks: () => leases.held(),
    renew(tasks, sentAtMs, leaseMs) {
      for (const task of tasks) {
        leases.renew(task, sentAtMs + leaseMs);
        const endsAtMs = leases.endsAtMs(task);
        if (endsAtMs !== undefined) onLease(task, endsAtMs);
      }
    },
    revoke: (tasks) => stop(tasks, "Another agent has this task now"),
    heldRuns: () => deps.runs?.held() ?? [],
    async endRuns(runs) {
      await Promise.allSettled(runs.map((run) => deps.runs?.release(run)));
    },
    share(shares) {
      for (const share of shares) deps.runs?.share(share);
    },
    totals: () => ({ ...totals }),
    setDraining(draining) {
      if (draining !== isDrained) latest = undefined;
      isDrained = draining;
    },
    beginEnding() {
      isEnding = true;
      latest = undefined;
    },
    isEnding: () => isEnding,
    offer: (task) => offer(task),
    close: stopChecking,
  };

  function offer({ source, requires }: OfferedTask): Acceptance {
    if (isDrained || isEnding) return refused("It is draining and takes nothing more");
    if (slotsHeld() >= slots) return refused(`All of its ${slots} slots are in use`);
    const missing = missingCapabilities(requires, identity.capabilities);
    if (missing.length > 0) return refused(`It does not offer ${missing.join(", ")}`);
    const isNear = source.root === undefined
      ? source.hostId === undefined || source.hostId === identity.hostId
      : identity.roots.includes(source.root);
    return isNear ? { accepted: true } : refused(`It cannot reach ${source.name}`);
  }
}

function keyOf({ taskId, epoch }: HeldTask): string {
  return `${taskId}:${epoch}`;
}

function refused(reason: string): Acceptance {
  return { accepted: false, reason };
}
