/** How many threads a destination has to begin with, and between which numbers its queue may choose. Rule: pure. */
import type { DestinationSpec, MirrorOptions } from "../../../protocol/mesh/job.ts";
import type { QueueLimits } from "../../queue/destination_queue.ts";

/** Processors, and the destinations without a limit, which share them. */
export interface Share {
  processors: number;
  unlimited: number;
}

export function laneWorkers(
  spec: Pick<DestinationSpec, "limitBytesPerSecond">,
  options: Pick<MirrorOptions, "workersMin" | "workersMax" | "encoding">,
  { processors, unlimited }: Share,
): Pick<QueueLimits, "workersMin" | "workersMax" | "workersStart"> {
  // With a limit the limit is the bottleneck, and one thread keeps it exactly.
  if (spec.limitBytesPerSecond !== undefined) {
    return { workersMin: 1, workersMax: 1, workersStart: 1 };
  }
  const { workersMin, workersMax } = options;
  // Encoding needs processors. How fast it goes says little about the threads: it depends on what is read.
  const encoders = options.encoding === undefined
    ? 1
    : Math.max(1, Math.floor(processors / Math.max(1, unlimited)));
  return {
    workersMin: Math.max(workersMin, Math.min(workersMax, encoders)),
    workersMax,
    workersStart: Math.max(encoders, unlimited < processors ? 2 : 1),
  };
}
