/** Which agents a destination waits for. Rule: an agent that is silent is called silent, and nothing worse. */
import type { DestinationProgress } from "../mesh/run.ts";
import { formatPlural } from "./format.ts";

const ENDS: ReadonlySet<string> = new Set(["verified", "failed", "cancelled"]);

/** Such as “waiting for agent w1, silent for 12 s”; undefined while all are heard. */
export function waitingText(lane: DestinationProgress): string | undefined {
  const { waitsFor = [] } = lane;
  const [first] = waitsFor.toSorted((a, b) => b.silentForMs - a.silentForMs);
  if (first === undefined || ENDS.has(lane.state)) return undefined;
  const silent = `silent for ${Math.floor(first.silentForMs / 1000)} s`;
  const more = waitsFor.length - 1;
  return more === 0
    ? `waiting for agent ${first.agent}, ${silent}`
    : `waiting for agent ${first.agent} and ${formatPlural(more, "other")}, ${silent}`;
}
