/**
 * The destinations of plain copies of one run on one agent. Rule: what cannot be used here is closed at once and out by name; what
 * one that is done does not need any more goes to those that are left.
 */
import { hostname } from "node:os";
import type { Clock } from "../../protocol/base/clock.ts";
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import type { DestinationSpec, MirrorOptions } from "../../protocol/mesh/job.ts";
import type { RunShare } from "../../protocol/mesh/methods.ts";
import type { PreparedDestination } from "../../protocol/mesh/task.ts";
import { toWireError } from "../../protocol/mesh/task_mapping.ts";
import type { KnownDestinations } from "../destinations/known_destinations.ts";
import type { Inspection, WantedBinding } from "../destinations/local_destination.ts";
import {
  DestinationLane,
  type LaneDeps,
  type WantedKeys,
} from "../strategies/mirror/destination_lane.ts";
import type { OpenRequest } from "../strategies/mirror/held_destination.ts";
import type { Inspected } from "./compare_places.ts";
import { type KnownPlace, unknownPlace } from "./unknown_place.ts";

export interface RunMirrorsDeps extends Omit<LaneDeps, "share"> {
  clock: Clock;
  known: KnownDestinations;
  /** What is known of a destination's path on this machine. */
  knownPlace: (spec: DestinationSpec) => KnownPlace;
  /** Processor cores of this machine. */
  processors: number;
}

/** What a destination's thread has said when it was opened. */
export interface OpenedPlace {
  /** By the name of a copy, what it is bound to. */
  keys: Record<string, string>;
  /** False in a dry run for one that is not there yet. */
  exists: boolean;
  foldsCase: boolean;
}

export interface OpenMirrorRequest {
  runId: string;
  wanted: readonly WantedBinding[];
  keys: WantedKeys;
  /** Nothing is made. */
  dryRun: boolean;
  /** A busy one is tried again until then, by the monotonic clock. */
  deadlineMs: number;
  signal: AbortSignal;
}

export interface JoinMirrorRequest {
  runId: string;
  wanted: readonly WantedBinding[];
  keys: WantedKeys;
  /** Of what the run's home has opened: nothing else will do. */
  expectedId: string;
}

/** How often a busy destination is tried again while `--wait` lasts. */
const BUSY_RETRY_MS = 500;

export class RunMirrors {
  readonly #deps: RunMirrorsDeps;
  readonly #lanes = new Map<string, DestinationLane>();
  readonly #opened = new Map<string, OpenedPlace>();

  constructor(deps: RunMirrorsDeps, specs: readonly DestinationSpec[], options: MirrorOptions) {
    this.#deps = deps;
    // A limited destination hardly uses a processor: the fast one beside it gets what it would have alone.
    const unlimited = specs.filter((d) => d.limitBytesPerSecond === undefined).length;
    const share = { processors: deps.processors, unlimited };
    for (const spec of specs) {
      this.#lanes.set(spec.key, new DestinationLane({ ...deps, share }, spec, options));
    }
  }

  /** Of those that are in use. */
  get count(): number {
    return this.#lanes.size;
  }

  has(key: string): boolean {
    return this.#lanes.has(key);
  }

  lane(key: string): DestinationLane | undefined {
    return this.#lanes.get(key);
  }

  lanes(): [key: string, lane: DestinationLane][] {
    return [...this.#lanes];
  }

  opened(key: string): OpenedPlace | undefined {
    return this.#opened.get(key);
  }

  /** Looks without changing anything. @throws {BackupError} */
  async inspect(spec: DestinationSpec, names: string[]): Promise<Inspected> {
    const inspection = await this.#must(spec.key).inspect(names);
    // What holds something else was named by mistake, whatever stood there before.
    const error = inspection.otherKind === undefined
      ? unknownPlace(spec, inspection.destinationId, this.#deps.knownPlace(spec))
      : undefined;
    return { spec, inspection, error };
  }

  /** Opens one that was looked at, waiting while it is busy; its error is in what comes back. */
  async open(
    { spec, inspection, error }: Inspected,
    request: OpenMirrorRequest,
  ): Promise<PreparedDestination> {
    const prepared: PreparedDestination = { destination: spec.key, warnings: [] };
    if (error !== undefined || inspection === undefined) {
      await this.close(spec.key);
      return error === undefined ? prepared : { ...prepared, error: toWireError(error) };
    }
    const lane = this.#must(spec.key);
    const asked = this.#openRequest(request, false);
    const { clock, known } = this.#deps;
    for (;;) {
      try {
        if (request.dryRun) {
          return await this.#openForDryRun(spec, inspection, asked, prepared, request.keys);
        }
        const opened = await lane.open(asked, request.keys);
        this.#opened.set(spec.key, { ...opened, exists: true });
        known.remember(spec.path, opened.destinationId);
        return {
          ...prepared,
          warnings: opened.warnings,
          destinationId: opened.destinationId,
          freeBytes: opened.freeBytes,
        };
      } catch (thrown) {
        const failed = asBackupError(thrown);
        const left = request.deadlineMs - clock.monotonicMs();
        if (failed.code === "destination_busy" && left > 0) {
          await clock.sleep(Math.min(left, BUSY_RETRY_MS), request.signal);
          continue;
        }
        await this.close(spec.key);
        return { ...prepared, error: toWireError(failed) };
      }
    }
  }

  /** Opens what another agent has opened for the run already. @throws {BackupError} */
  async join(spec: DestinationSpec, request: JoinMirrorRequest): Promise<PreparedDestination> {
    const asked = { ...this.#openRequest(request, true), expectedId: request.expectedId };
    const opened = await this.#must(spec.key).open(asked, request.keys);
    this.#opened.set(spec.key, { ...opened, exists: true });
    this.#deps.known.remember(spec.path, opened.destinationId);
    return {
      destination: spec.key,
      destinationId: opened.destinationId,
      freeBytes: opened.freeBytes,
      warnings: opened.warnings,
    };
  }

  /** Puts a destination's lists in order and gives it back. @throws {BackupError} when the end could not be written */
  async finish(key: string): Promise<void> {
    const lane = this.#must(key);
    try {
      await lane.finish();
    } finally {
      await this.leave(key);
    }
  }

  /** Gives back what it holds of one destination. */
  async leave(key: string): Promise<void> {
    const lane = this.#lanes.get(key);
    if (lane === undefined) return;
    this.#lanes.delete(key);
    this.#handOn(lane);
    await lane.close();
  }

  /** It never took part. */
  async close(key: string): Promise<void> {
    const lane = this.#lanes.get(key);
    this.#lanes.delete(key);
    await lane?.close();
  }

  /** What is left to this agent of the run's limits. */
  share({ workersMax, limits }: Pick<RunShare, "workersMax" | "limits">): void {
    const byKey = new Map(limits.map((l) => [l.destination, l.bytesPerSecond]));
    for (const [key, lane] of this.#lanes) {
      const limit = byKey.get(key);
      lane.share({ workersMax, ...(limit !== undefined && { limitBytesPerSecond: limit }) });
    }
  }

  /** Ends the work at one destination. */
  drop(key: string): void {
    this.#lanes.get(key)?.drop();
  }

  /** Files that are in hand are ended, and no further one is begun until it goes on. */
  pause(isPaused: boolean): void {
    for (const lane of this.#lanes.values()) lane.pause(isPaused);
  }

  cancel(): void {
    for (const lane of this.#lanes.values()) lane.cancel();
  }

  async closeAll(): Promise<void> {
    await Promise.all([...this.#lanes.values()].map((lane) => lane.close()));
    this.#lanes.clear();
  }

  #openRequest(
    { runId, wanted }: { runId: string; wanted: readonly WantedBinding[] },
    joins: boolean,
  ): OpenRequest {
    return {
      wanted: [...wanted],
      holder: `${runId} on ${hostname()}, process ${Deno.pid}`,
      createdAt: new Date(this.#deps.clock.nowMs()).toISOString(),
      run: { id: runId, joins },
    };
  }

  /** Nothing is created: a destination that is not there yet would get everything. */
  async #openForDryRun(
    spec: DestinationSpec,
    inspection: Inspection,
    request: OpenRequest,
    prepared: PreparedDestination,
    wanted: WantedKeys,
  ): Promise<PreparedDestination> {
    if (inspection.destinationId !== undefined) {
      await this.#must(spec.key).attach({ ...request, wanted: [] }, wanted);
    }
    const keys = Object.fromEntries(inspection.bindings.map(({ name, key }) => [name, key]));
    const exists = inspection.destinationId !== undefined;
    this.#opened.set(spec.key, { keys, exists, foldsCase: false });
    return inspection.freeBytes === undefined
      ? prepared
      : { ...prepared, freeBytes: inspection.freeBytes };
  }

  /** A destination is done: its processors go to all that are left, its workers to the busiest (S2-05). */
  #handOn(done: DestinationLane): void {
    const left = [...this.#lanes.values()];
    const unlimited = Math.max(
      1,
      left.filter(({ spec }) => spec.limitBytesPerSecond === undefined).length,
    );
    const [busiest] = left.filter((lane) => lane.wantsHelp > 0)
      .toSorted((a, b) => b.wantsHelp - a.wantsHelp);
    for (const lane of left) {
      lane.takeOver({ unlimited, helpers: lane === busiest ? done.workers : 0 });
    }
  }

  #must(key: string): DestinationLane {
    const lane = this.#lanes.get(key);
    if (lane === undefined) throw new BackupError("rejected", `${key} was not prepared here`);
    return lane;
  }
}
