/** The one line that says how a run stands. Rule: counted from states, so it cannot disagree with the lanes. */
import type { LaneState } from "../../protocol/mesh/progress.ts";
import type { EndState } from "./model.ts";

export interface StatusInput {
  readonly name: string;
  readonly state: LaneState;
  readonly end: EndState | undefined;
}

/**
 * "X copying, Y verifying" while anything copies or several verify; "Verifying: NAME" when just one does and none
 * copies. Otherwise "Flushing: NAME", "X flushing", "Analyzing", and at the end what became of the destinations.
 */
export function statusLine(destinations: readonly StatusInput[]): string {
  const at = (state: LaneState) => destinations.filter((d) => d.state === state && !d.end);
  const copying = at("copy");
  const verifying = at("verify");
  const flushing = at("flush");
  if (copying.length === 0 && verifying.length === 1) return `Verifying: ${verifying[0]!.name}`;
  if (copying.length + verifying.length > 0) {
    return `${copying.length} copying, ${verifying.length} verifying`;
  }
  if (flushing.length === 1) return `Flushing: ${flushing[0]!.name}`;
  if (flushing.length > 1) return `${flushing.length} flushing`;
  if (destinations.some((d) => !d.end)) return "Analyzing";
  return endLine(destinations);
}

function endLine(destinations: readonly StatusInput[]): string {
  const ended = (end: EndState) => destinations.filter((d) => d.end === end).length;
  const all = destinations.length;
  if (ended("verified") === all) return "All verified";
  if (ended("planned") === all) return "Planned";
  if (ended("cancelled") > 0) return `Cancelled, ${ended("verified")} of ${all} verified`;
  return `${ended("verified") + ended("planned")} of ${all} ${
    ended("planned") > 0 ? "planned" : "verified"
  }`;
}
