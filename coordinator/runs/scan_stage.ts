/** Second stage: walk every source, so that all totals are known before copying. Rule: an unreadable source stops no other. */
import type { ScanElsewhere, SourceState, StageContext } from "./run_context.ts";
import { wireErrorOf } from "./wire_error.ts";

/** Walks at once: more only make one disk seek between them. */
export const SCANS_AT_ONCE_MAX = 8;

export async function scanStage(context: StageContext): Promise<void> {
  const waiting = context.sources.filter((s) => s.scan === undefined && s.error === undefined);
  const walker = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      await scan(context, next);
    }
  };
  const walkers = Math.min(SCANS_AT_ONCE_MAX, waiting.length);
  await Promise.all(Array.from({ length: walkers }, walker));
}

async function scan(context: StageContext, state: SourceState): Promise<void> {
  const { home, runId, job, progress, signal } = context;
  const source = state.source.name;
  signal.throwIfAborted();
  let isAtHome = true;
  try {
    const partsMax = context.partsMax?.(state.source);
    const spec = {
      op: "scan",
      runId,
      source: state.source,
      options: job.options,
      ...(partsMax === undefined ? {} : { partsMax }),
    } as const;
    const at = context.scanElsewhere?.(state.source);
    const run: ScanElsewhere = at ?? ((spec, options) => home.client.run(spec, options));
    isAtHome = at === undefined;
    const scan = await run(spec, {
      signal,
      onProgress: (p) => {
        if (p.scan !== undefined) {
          progress.apply({ kind: "scan", source, seq: p.seq, counters: p.scan });
        }
      },
    });
    signal.throwIfAborted();
    state.scan = scan;
    progress.apply({ kind: "scan", source, seq: Infinity, counters: scan.counters });
  } catch (thrown) {
    signal.throwIfAborted();
    if (isAtHome && context.isHomeLost?.(thrown, `scan ${source}`)) throw thrown;
    const error = wireErrorOf(thrown);
    state.error = error;
    context.store.transact((tx) =>
      tx.note({ kind: "source_failed", runId: context.runId, source, error })
    );
  }
}
