/** What an agent that copies nothing answers to each task. Rule: everything is verified at once. */
import { ZERO_SCAN } from "../../protocol/mesh/progress.ts";
import type { LaneReport, TaskResult, TaskSpec } from "../../protocol/mesh/task.ts";

export function playedAnswer(spec: TaskSpec, parts = 1): TaskResult {
  switch (spec.op) {
    case "prepare":
      return {
        op: "prepare",
        destinations: spec.destinations.map((d) => ({
          destination: d.key,
          destinationId: `dest-of-${d.key}`,
          warnings: [],
        })),
      };
    case "join":
      return {
        op: "join",
        destinations: spec.destinations.map((d) => ({ destination: d.spec.key, warnings: [] })),
      };
    case "scan":
      return {
        op: "scan",
        counters: { ...ZERO_SCAN, files: parts, bytes: parts * 10 },
        excluded: [],
        unreadable: [],
        warnings: [],
        parts: Array.from({ length: parts }, (_, i) => ({
          part: { key: `p${i}`, label: `part ${i}` },
          counters: { ...ZERO_SCAN, files: 1, bytes: 10 },
        })),
      };
    case "mirror":
      return {
        op: "mirror",
        lanes: spec.destinations.map(verified),
        unreadable: [],
        unreadableCount: 0,
      };
    case "finish":
      return { op: "finish" };
    case "release":
      return { op: "release" };
    default:
      throw new Error(`A played agent is not asked to ${spec.op}`);
  }
}

function verified(destination: string): LaneReport {
  return {
    destination,
    state: "verified",
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
  };
}
