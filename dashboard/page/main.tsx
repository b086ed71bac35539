/** Joins connection, model and views. Rule: however much comes at once, the page is drawn once a frame, and a tick in two. */
import { render } from "preact";
import { systemClock } from "../../protocol/base/clock.ts";
import { createApiClient } from "../api_client.ts";
import { App } from "./app.tsx";
import { answerOf } from "./actions.ts";
import { createFeedClient, type FeedSocket, type StatusAnswer } from "./feed/feed_client.ts";
import { withRates } from "./feed/rate_history.ts";
import { EMPTY_MODEL, type PageModel, viewOf } from "./page_model.ts";
import { createNotes } from "./ui/toast.tsx";

/** Ages and clocks go on while nothing comes. */
const CLOCK_EVERY_MS = 1_000;

const root = document.getElementById("app");
if (root !== null) start(root);

function start(root: HTMLElement): void {
  const clock = systemClock;
  const api = createApiClient(location.origin);
  const notes = createNotes();
  let model: PageModel = { ...EMPTY_MODEL, view: viewOf(location.hash), nowMs: clock.nowMs() };
  /** Of the server's clock, above our own monotonic one. */
  let aheadMs = clock.nowMs() - clock.monotonicMs();
  let isDrawing = false;
  let hasDrawn = false;

  function draw(): void {
    isDrawing = false;
    if (model.connection === "connecting") return;
    // What the server drew stands until there is something to put in its place.
    if (!hasDrawn) root.replaceChildren();
    hasDrawn = true;
    render(<App model={model} tools={{ api, notes, clock, chooseRun }} />, root);
    if (model.calm === model.feed.state) return;
    model = { ...model, calm: model.feed.state };
    isDrawing = true;
    requestAnimationFrame(draw);
  }

  function change(next: Partial<PageModel>): void {
    model = { ...model, ...next, nowMs: clock.monotonicMs() + aheadMs };
    if (isDrawing) return;
    isDrawing = true;
    requestAnimationFrame(draw);
  }

  function chooseRun(runId: string): void {
    change({ chosen: { runId, atMs: model.nowMs }, view: "overview" });
    if (viewOf(location.hash) !== "overview") location.hash = "#overview";
  }

  addEventListener("hashchange", () => {
    const view = viewOf(location.hash);
    if (view === model.view) return;
    change({ view });
    document.getElementById("main")?.focus({ preventScroll: true });
    scrollTo({ top: 0 });
  });

  const client = createFeedClient({
    clock,
    open: openSocket,
    async getStatus() {
      const outcome = await answerOf<StatusAnswer>(
        api.api.status.$get() as unknown as Promise<Response>,
      );
      if (!outcome.ok) throw new Error(outcome.message);
      return outcome.value;
    },
    onView(view) {
      const { state, atMs } = view.feed;
      if (view.feed !== model.feed && state !== null) {
        aheadMs = atMs - clock.monotonicMs();
        change({ ...view, rates: withRates(model.rates, state, atMs) });
      } else change(view);
    },
  });
  const forEver = new AbortController().signal;
  void client.run(forEver);
  void keepTime(forEver);

  async function keepTime(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await clock.sleep(CLOCK_EVERY_MS, signal);
      if (!document.hidden && model.feed.state !== null) change({});
    }
  }
}

function openSocket(): FeedSocket {
  const url = new URL("/ws", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return new WebSocket(url) as unknown as FeedSocket;
}
