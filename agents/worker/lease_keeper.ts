/**
 * Which attempts this agent may still work on. Rule: a lease counts from the moment it was asked for, on a clock that runs
 * in suspend, so it never ends later here than with whoever gave it.
 */
import type { HeldTask } from "../../protocol/mesh/methods.ts";

interface Lease extends HeldTask {
  /** On the boot clock; Infinity for an attempt that was given without a lease. */
  endsAtMs: number;
}

/** Pure but for what it holds: times come in, nothing is waited for. */
export class LeaseKeeper {
  readonly #leases = new Map<string, Lease>();

  /** A newer attempt takes the place of an older one; an older one than the known is refused. */
  begin(task: HeldTask, endsAtMs: number): boolean {
    const known = this.#leases.get(task.taskId);
    if (known !== undefined && known.epoch > task.epoch) return false;
    this.#leases.set(task.taskId, { ...task, endsAtMs });
    return true;
  }

  /** Only ever lengthens; a renewal for another attempt changes nothing. */
  renew({ taskId, epoch }: HeldTask, endsAtMs: number): void {
    const lease = this.#leases.get(taskId);
    if (lease?.epoch === epoch) lease.endsAtMs = Math.max(lease.endsAtMs, endsAtMs);
  }

  end({ taskId, epoch }: HeldTask): void {
    if (this.#leases.get(taskId)?.epoch === epoch) this.#leases.delete(taskId);
  }

  endsAtMs({ taskId, epoch }: HeldTask): number | undefined {
    const lease = this.#leases.get(taskId);
    return lease?.epoch === epoch ? lease.endsAtMs : undefined;
  }

  /** Those whose time is over. */
  expired(nowMs: number): HeldTask[] {
    return [...this.#leases.values()].filter((l) => l.endsAtMs <= nowMs).map(heldOf);
  }

  held(): HeldTask[] {
    return [...this.#leases.values()].map(heldOf);
  }
}

function heldOf({ taskId, epoch }: Lease): HeldTask {
  return { taskId, epoch };
}
