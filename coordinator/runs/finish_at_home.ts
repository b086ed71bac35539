/** The last step at a destination whose lanes have all ended. Rule: it is verified only when every lane is and its home has put it in order. */
import type { WireError } from "../../protocol/mesh/task.ts";
import type { LaneLedger } from "./lane_ledger.ts";
import type { DestinationEnd, StageContext } from "./run_context.ts";
import { wireErrorOf } from "./wire_error.ts";

export interface Outcome {
  readonly state: DestinationEnd["state"];
  readonly error?: WireError | undefined;
}

/**
 * Undefined when the run, or this home of it, is over by then. @throws what says that the home is lost, with
 * `context.isHomeLost`
 */
export async function finishAtHome(
  context: StageContext,
  destination: string,
  ledger: LaneLedger,
): Promise<Outcome | undefined> {
  const { home, runId, job, signal } = context;
  const lanes = ledger.accounts(destination);
  const laneError = lanes.find((l) => l.error !== undefined)?.error;
  if (job.options.dryRun) {
    const isPlanned = lanes.every((l) => l.state === "planned");
    return { state: isPlanned ? "planned" : "failed", error: laneError };
  }
  let error: WireError | undefined;
  try {
    error = (await home.client.run({ op: "finish", runId, destination }, { signal })).error;
  } catch (thrown) {
    if (signal.aborted) return undefined;
    if (context.isHomeLost?.(thrown, `finish ${destination}`)) throw thrown;
    error = wireErrorOf(thrown);
  }
  if (error === undefined && lanes.every((l) => l.state === "verified")) {
    return { state: "verified" };
  }
  return { state: "failed", error: error ?? laneError };
}
