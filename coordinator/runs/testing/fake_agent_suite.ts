/**
 * An agent driven by hand, for tests. Rule: prepare, scan, finish and release answer by themselves unless a test takes
 * them over; a mirror task does only what the test says.
 */
import { BackupError } from "../../../protocol/base/errors.ts";
import {
  type LaneCounters,
  type LaneProgress,
  type LaneState,
  ZERO_COUNTERS,
  ZERO_GAUGES,
  ZERO_SCAN,
} from "../../../protocol/mesh/progress.ts";
import type { LaneReport, TaskResult, TaskSpec } from "../../../protocol/mesh/task.ts";
import type { TaskClient } from "../../../protocol/mesh/task_port.ts";
import type { TaskProgress } from "../../../protocol/mesh/progress.ts";

export type Op = TaskSpec["op"];
export type SpecOf<O extends Op> = Extract<TaskSpec, { op: O }>;

/** One task as the agent got it. */
export interface FakeCall<O extends Op> {
  readonly spec: SpecOf<O>;
  readonly signal: AbortSignal | undefined;
  isOpen: boolean;
  lanes(...lanes: LaneProgress[]): void;
  progress(progress: TaskProgress): void;
  succeed(result: Extract<TaskResult, { op: O }>): Promise<void>;
  fail(error: unknown): Promise<void>;
}

type Answer<O extends Op> = (spec: SpecOf<O>) => Extract<TaskResult, { op: O }>;
export type Answers = { [O in Op]?: Answer<O> | "by hand" };

export interface FakeAgent {
  readonly client: TaskClient;
  calls<O extends Op>(op: O): FakeCall<O>[];
  /** The latest mirror task of a source. */
  mirror(source: string): FakeCall<"mirror">;
  /** Ignores aborts from now on, as a hung agent does. */
  goDeaf(): void;
}

export function createFakeAgent(answers: Answers = {}): FakeAgent {
  const all: FakeCall<Op>[] = [];
  let isDeaf = false;
  const defaults: { [O in Op]: Answer<O> | "by hand" } = {
    prepare: (spec) => ({
      op: "prepare",
      destinations: spec.destinations.map((d) => ({ destination: d.key, warnings: [] })),
    }),
    join: (spec) => ({
      op: "join",
      destinations: spec.destinations.map((d) => ({ destination: d.spec.key, warnings: [] })),
    }),
    scan: (spec) => scanOf(spec.source.name.length, 10),
    mirror: "by hand",
    finish: () => ({ op: "finish" }),
    drop: () => ({ op: "drop" }),
    pause: () => ({ op: "pause" }),
    release: () => ({ op: "release" }),
    restore: () => ({
      op: "restore",
      files: 0,
      bytes: 0,
      alreadyThere: 0,
      failures: [],
      failureCount: 0,
      kept: 0,
      warnings: [],
    }),
  };

  const client: TaskClient = {
    run(spec, options) {
      return new Promise((resolve, reject) => {
        let seq = 0;
        const end = (act: () => void): Promise<void> => {
          call.isOpen = false;
          act();
          return settle();
        };
        const call: FakeCall<Op> = {
          spec,
          signal: options?.signal,
          isOpen: true,
          progress: (progress) => options?.onProgress?.(progress),
          lanes: (...lanes) => options?.onProgress?.({ seq: seq++, lanes }),
          succeed: (result) => end(() => resolve(result as never)),
          fail: (error) => end(() => reject(error)),
        };
        all.push(call);
        options?.signal?.addEventListener("abort", () => {
          if (!isDeaf) void call.fail(new BackupError("cancelled", "Cancelled by the caller"));
        });
        const answer = (answers[spec.op] ?? defaults[spec.op]) as Answer<Op> | "by hand";
        if (answer === "by hand") return;
        try {
          void call.succeed(answer(spec));
        } catch (thrown) {
          void call.fail(thrown);
        }
      });
    },
  };

  return {
    client,
    calls: <O extends Op>(op: O) => all.filter((c) => c.spec.op === op) as unknown as FakeCall<O>[],
    mirror(source) {
      const found = all.findLast((c) => c.spec.op === "mirror" && c.spec.source.name === source);
      if (found === undefined) throw new Error(`No mirror task of ${source} was sent`);
      return found as unknown as FakeCall<"mirror">;
    },
    goDeaf: () => void (isDeaf = true),
  };
}

export function scanOf(files: number, bytes: number): Extract<TaskResult, { op: "scan" }> {
  return {
    op: "scan",
    counters: { ...ZERO_SCAN, files, bytes },
    excluded: [],
    unreadable: [],
    warnings: [],
  };
}

export function lane(
  destination: string,
  state: LaneState,
  counters: Partial<LaneCounters> = {},
): LaneProgress {
  return {
    destination,
    state,
    counters: { ...ZERO_COUNTERS, ...counters },
    gauges: { ...ZERO_GAUGES },
  };
}

export function laneReport(
  destination: string,
  state: LaneReport["state"],
  more: Partial<LaneReport> = {},
): LaneReport {
  return {
    destination,
    state,
    filesTotal: 1,
    filesCopied: 1,
    bytesCopied: 10,
    filesUnchanged: 0,
    filesVerified: 1,
    bytesVerified: 10,
    verification: "disk",
    failures: [],
    failureCount: 0,
    rewritten: [],
    warnings: [],
    ...more,
  };
}

export function mirrorResult(...lanes: LaneReport[]): Extract<TaskResult, { op: "mirror" }> {
  return { op: "mirror", lanes, unreadable: [], unreadableCount: 0 };
}

/** Lets promise reactions run. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}
