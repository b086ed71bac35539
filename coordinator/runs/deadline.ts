/** Waiting with an end. Rule: whoever waits for another process says for how long. */
import type { Clock } from "../../protocol/base/clock.ts";
import { BackupError } from "../../protocol/base/errors.ts";

type Sleeper = Pick<Clock, "sleep">;

/** A reason of one's own: the default one is an exception with a stack, made anew each time. */
const SETTLED = "It is settled";

/**
 * `work`'s own end, or, once `signal` is aborted, a `cancelled` error at the latest `graceMs` later. What `work`
 * does after that is nobody's concern any more, so it must look at the signal itself.
 */
export async function untilAborted<T>(
  work: Promise<T>,
  signal: AbortSignal,
  clock: Sleeper,
  graceMs: number,
): Promise<T> {
  const settled = new AbortController();
  const cut = new Promise<never>((_, reject) => {
    const onAbort = (): void => {
      clock.sleep(graceMs, settled.signal).then(
        () => reject(new BackupError("cancelled", "Cancelled", { cause: signal.reason })),
        () => {},
      );
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true, signal: settled.signal });
  });
  try {
    return await Promise.race([work, cut]);
  } finally {
    settled.abort(SETTLED);
  }
}

/** `work`'s own end, or a `deadline` error after `ms`; its signal is aborted then. */
export async function within<T>(
  work: (signal: AbortSignal) => Promise<T>,
  clock: Sleeper,
  ms: number,
): Promise<T> {
  const cut = new AbortController();
  const settled = new AbortController();
  const late = new Promise<never>((_, reject) => {
    clock.sleep(ms, settled.signal).then(() => {
      reject(new BackupError("deadline", `Gave up after ${ms} ms`));
      cut.abort();
    }, () => {});
  });
  try {
    return await Promise.race([work(cut.signal), late]);
  } finally {
    settled.abort(SETTLED);
  }
}
