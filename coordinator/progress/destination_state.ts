/** Where a destination stands, from its lanes. Rule: state comes from state, never from the events that led to it. */
import { type LaneState, type Phase, PHASES } from "../../protocol/mesh/progress.ts";
import type { PillState } from "../../protocol/mesh/run.ts";
import type { DestinationModel } from "./model.ts";
import { rank } from "./reduce.ts";

/**
 * The lowest phase that a lane has not finished. Once any lane copies, a lane that has not begun is one that
 * waits to copy, so the destination does not go back to analysing with each directory.
 */
export function phaseOf(destination: DestinationModel): Phase {
  const lanes = [...destination.lanes.values()];
  if (lanes.length === 0) return "analyze";
  const hasBegun = lanes.some((l) => rank(l.state) >= rank("copy"));
  const live = lanes.filter((l) => rank(l.state) < PHASES.length);
  const open = live.length > 0 ? live : lanes.filter((l) => l.state !== "verified");
  if (open.length === 0) return "verify";
  const lowest = Math.min(...open.map((l) => rank(l.phase)));
  return PHASES[Math.max(lowest, hasBegun ? rank("copy") : 0)]!;
}

/** A phase while it works; its end afterwards. A destination that was only planned stays at its manifest. */
export function stateOf(destination: DestinationModel): LaneState {
  if (destination.end === null) return phaseOf(destination);
  return destination.end.state === "planned" ? "manifest" : destination.end.state;
}

/** One pill per phase. The phase in which a destination failed or was cancelled is marked failed. */
export function pillsOf(destination: DestinationModel): Record<Phase, PillState> {
  const end = destination.end?.state;
  const at = end === "verified"
    ? PHASES.length
    : end === "planned"
    ? rank("copy")
    : rank(phaseOf(destination));
  const here = end === undefined ? "active" : end === "planned" ? "pending" : "failed";
  const pill = (phase: Phase): PillState =>
    rank(phase) < at ? "done" : rank(phase) === at ? here : "pending";
  return {
    analyze: pill("analyze"),
    manifest: pill("manifest"),
    copy: pill("copy"),
    flush: pill("flush"),
    verify: pill("verify"),
  };
}
