/**
 * The single source of progress for people. Rule: speaks at its start, at its end and at most four times a second
 * between, and only when there is something new.
 */
import type { Clock } from "../../protocol/base/clock.ts";
import type { RunProgress } from "../../protocol/mesh/run.ts";
import { emptyModel, type ProgressEvent } from "./model.ts";
import { reduce } from "./reduce.ts";
import { type Rates, runView, sampleRates } from "./run_view.ts";

export const TICK_MS = 250;

export interface Aggregator {
  apply(event: ProgressEvent): void;
  /** The last word, at once; later events change nothing. Idempotent. */
  end(): void;
  /** Milliseconds since the aggregator was made, which is the start of the run. */
  elapsedMs(): number;
}

/** Emits all destinations at zero before it returns. */
export function createAggregator(dependencies: {
  clock: Pick<Clock, "monotonicMs" | "every">;
  runId: string;
  destinations: readonly string[];
  onProgress: (progress: RunProgress) => void;
}): Aggregator {
  const { clock, onProgress } = dependencies;
  const startedMs = clock.monotonicMs();
  let model = emptyModel(dependencies.runId, dependencies.destinations);
  let rates: Rates = new Map();
  let told = "";
  let ended = false;

  const elapsedMs = (): number => clock.monotonicMs() - startedMs;

  function emit(always: boolean): void {
    rates = sampleRates(model, rates, clock.monotonicMs());
    const view = runView(model, rates, elapsedMs());
    const news = withoutTime(view);
    if (!always && news === told) return;
    told = news;
    onProgress(view);
  }

  emit(true);
  const stopTicking = clock.every(TICK_MS, () => emit(false));
  return {
    apply(event) {
      if (!ended) model = reduce(model, event);
    },
    end() {
      if (ended) return;
      ended = true;
      stopTicking();
      emit(true);
    },
    elapsedMs,
  };
}

function withoutTime(view: RunProgress): string {
  const destinations = view.destinations.map((d) => ({ ...d, elapsedMs: 0 }));
  return JSON.stringify({ ...view, elapsedMs: 0, destinations });
}
