/**
 * The lists of a run's sources on one agent: walked when somebody asks first, kept until they are used up. Rule: a source
 * is walked on a reader thread, never on the main one.
 */
import type { Clock } from "../../protocol/base/clock.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import type { MirrorOptions, SourceSpec } from "../../protocol/mesh/job.ts";
import type { ScanCounters } from "../../protocol/mesh/progress.ts";
import { SCAN_COUNTERS_BYTES, scanCountersOf, type Scanned } from "../source/scan.ts";
import type { WalkOptions } from "../source/walk.ts";
import type { ThreadClient } from "../threads/thread_rpc.ts";
import type { Stretch } from "../source/stretch.ts";

/** Progress of a walk, so often. */
const TICK_MS = 250;

export interface Listed extends Scanned {
  /** When the walk began. */
  listedAtMs: number;
}

export interface KeptList {
  scanned: Listed;
  /** What it could not list was said in the result of a scan. */
  isReported: boolean;
}

export interface WalkRequest {
  /** `path` is where it is on this machine. */
  source: Pick<SourceSpec, "name" | "path">;
  options: MirrorOptions;
  /** Only this part of it. */
  stretch?: Stretch | undefined;
  signal: AbortSignal;
  progress: (counters: ScanCounters) => void;
}

export class SourceLists {
  readonly #clock: Clock;
  readonly #idleReader: () => ThreadClient;
  readonly #kept = new Map<string, KeptList>();

  constructor(clock: Clock, idleReader: () => ThreadClient) {
    this.#clock = clock;
    this.#idleReader = idleReader;
  }

  /** The kept list of a whole source. */
  get(name: string): KeptList | undefined {
    return this.#kept.get(name);
  }

  keep(name: string, list: KeptList): void {
    this.#kept.set(name, list);
  }

  drop(name: string): void {
    this.#kept.delete(name);
  }

  /** @throws {BackupError} when the source cannot be listed, `cancelled` */
  async walk({ source, options, stretch, signal, progress }: WalkRequest): Promise<Listed> {
    if (signal.aborted) throw new BackupError("cancelled", "Cancelled");
    const counters = new SharedArrayBuffer(SCAN_COUNTERS_BYTES);
    const stop = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
    const onAbort = () => Atomics.store(new Int32Array(stop), 0, 1);
    signal.addEventListener("abort", onAbort, { once: true });
    const report = () => progress(scanCountersOf(counters));
    const stopTicks = this.#clock.every(TICK_MS, report);
    const listedAtMs = this.#clock.nowMs();
    try {
      const scanned = await this.#idleReader().call<Scanned>("scan", {
        path: source.path,
        name: source.name,
        options: walkOptions(options),
        stretch,
        counters,
        stop,
      });
      report();
      return { ...scanned, listedAtMs };
    } finally {
      stopTicks();
      signal.removeEventListener("abort", onAbort);
    }
  }
}

export function walkOptions(options: MirrorOptions): WalkOptions {
  const { excludes, ignoreFiles, excludeCaches, oneFileSystem } = options;
  return { excludes, ignoreFiles, excludeCaches, oneFileSystem };
}
