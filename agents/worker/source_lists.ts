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
/** What was listed ahead longer ago is listed again. */
const BEGUN_MAX_MS = 10_000;

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

interface Walk {
  listed: Promise<Listed>;
  counters: SharedArrayBuffer;
  listedAtMs: number;
  stop(): void;
}

export class SourceLists {
  readonly #clock: Clock;
  readonly #idleReader: () => ThreadClient;
  readonly #kept = new Map<string, KeptList>();
  readonly #begun = new Map<string, Walk>();

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

  /** Walks a whole source while its destinations are opened, for the scan that will be asked for. */
  begin(source: WalkRequest["source"], options: MirrorOptions): void {
    if (!this.#begun.has(source.name)) this.#begun.set(source.name, this.#start(source, options));
  }

  /** Ends walks that nobody has asked for yet. */
  close(): void {
    for (const { stop } of this.#begun.values()) stop();
    this.#begun.clear();
  }

  /** @throws {BackupError} when the source cannot be listed, `cancelled` */
  async walk({ source, options, stretch, signal, progress }: WalkRequest): Promise<Listed> {
    if (signal.aborted) throw new BackupError("cancelled", "Cancelled");
    const begun = stretch === undefined ? this.#takeBegun(source.name) : undefined;
    const { listed, counters, stop } = begun ?? this.#start(source, options, stretch);
    signal.addEventListener("abort", stop, { once: true });
    const report = () => progress(scanCountersOf(counters));
    const stopTicks = this.#clock.every(TICK_MS, report);
    try {
      const result = await listed;
      report();
      return result;
    } finally {
      stopTicks();
      signal.removeEventListener("abort", stop);
    }
  }

  #takeBegun(name: string): Walk | undefined {
    const begun = this.#begun.get(name);
    if (begun === undefined) return undefined;
    this.#begun.delete(name);
    if (this.#clock.nowMs() - begun.listedAtMs <= BEGUN_MAX_MS) return begun;
    // A destination was waited for: much may be new.
    begun.stop();
    return undefined;
  }

  #start(source: WalkRequest["source"], options: MirrorOptions, stretch?: Stretch): Walk {
    const counters = new SharedArrayBuffer(SCAN_COUNTERS_BYTES);
    const stopped = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
    const listedAtMs = this.#clock.nowMs();
    const listed = this.#idleReader().call<Scanned>("scan", {
      path: source.path,
      name: source.name,
      options: walkOptions(options),
      stretch,
      counters,
      stop: stopped,
    }).then((scanned) => ({ ...scanned, listedAtMs }));
    // It may be that nobody asks for it.
    listed.catch(() => {});
    const stop = () => void Atomics.store(new Int32Array(stopped), 0, 1);
    return { listed, counters, listedAtMs, stop };
  }
}

export function walkOptions(options: MirrorOptions): WalkOptions {
  const { excludes, ignoreFiles, excludeCaches, oneFileSystem } = options;
  return { excludes, ignoreFiles, excludeCaches, oneFileSystem };
}
