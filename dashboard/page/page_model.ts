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
  /** As `feed.state`, one frame later: what need not race is drawn apart from the lanes, so that no frame has to hold both. */
  calm: ConsoleState | null;
  view: ViewName;
  /** The run a person chose to see, and when; null: the newest that works, else the newest. */
  chosen: { runId: string; atMs: number } | null;
  /** Now, by the server's clock. */
  nowMs: number;
}

export const EMPTY_MODEL: PageModel = {
  connection: "connecting",
  feed: EMPTY_FEED,
  status: null,
  rates: new Map(),
  calm: null,
  view: "overview",
  chosen: null,
  nowMs: 0,
};

export interface ShownRun {
  card: RunCard;
  live: RunLive | undefined;
}

/** The run that the overview is about. What was chosen makes room for a run that begins after it has ended. */
export function shownRun(
  state: Pick<ConsoleState, "runs" | "live">,
  chosen: PageModel["chosen"],
): ShownRun | undefined {
  const runs = newestFirst(state);
  const active = runs.find((run) => !isOver(run));
  const wanted = runs.find((run) => run.runId === chosen?.runId);
  const isOvertaken = wanted !== undefined && isOver(wanted) && active !== undefined &&
    active.createdAtMs > chosen!.atMs;
  const card = isOvertaken ? active : wanted ?? active ?? runs[0];
  return card === undefined ? undefined : { card, live: state.live[card.runId] };
}

export function newestFirst(state: Pick<ConsoleState, "runs">): RunCard[] {
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
