/** Everything the page is drawn from. Rule: one object, replaced as a whole; what a view asks for by itself stays in that view. */
import type { ConsoleState, RunCard, RunLive } from "../../protocol/mesh/console_state.ts";
import { EMPTY_FEED } from "./feed/feed_state.ts";
import type { FeedView } from "./feed/feed_client.ts";
import type { RateHistory } from "./feed/rate_history.ts";

export const VIEWS = [
  ["overview", "Overview"],
  ["backup", "Back up"],
  ["restore", "Restore"],
  ["history", "History"],
  ["schedules", "Schedules"],
  ["logs", "Logs"],
  ["settings", "Settings"],
] as const;
export type ViewName = (typeof VIEWS)[number][0];

export interface PageModel extends FeedView {
  rates: RateHistory;
  view: ViewName;
  /** The run a person chose to see; null: the newest that works, else the newest. */
  chosenRunId: string | null;
  /** Now, by the server's clock. */
  nowMs: number;
}

export const EMPTY_MODEL: PageModel = {
  connection: "connecting",
  feed: EMPTY_FEED,
  status: null,
  rates: new Map(),
  view: "overview",
  chosenRunId: null,
  nowMs: 0,
};

export interface ShownRun {
  card: RunCard;
  live: RunLive | undefined;
}

/** The run that the overview is about. */
export function shownRun(state: ConsoleState, chosenRunId: string | null): ShownRun | undefined {
  const runs = newestFirst(state);
  const card = runs.find((run) => run.runId === chosenRunId) ??
    runs.find((run) => state.coordinator.activeRunIds.includes(run.runId)) ?? runs[0];
  return card === undefined ? undefined : { card, live: state.live[card.runId] };
}

export function newestFirst(state: ConsoleState): RunCard[] {
  return Object.values(state.runs).sort((a, b) =>
    b.createdAtMs - a.createdAtMs || (a.runId < b.runId ? 1 : -1)
  );
}

export function isOver({ endedAtMs }: RunCard): boolean {
  return endedAtMs !== null;
}

/** `#restore`, and anything else is the overview. */
export function viewOf(hash: string): ViewName {
  const name = hash.replace(/^#\/?/, "").split("/")[0];
  return VIEWS.find(([view]) => view === name)?.[0] ?? "overview";
}
