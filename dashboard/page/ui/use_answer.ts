/** Something a view asks the API for. Rule: the latest question counts, and an answer that comes after the view has gone is dropped. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { Outcome } from "../actions.ts";

export interface Answer<T> {
  value: T | undefined;
  problem: string | undefined;
  isAsking: boolean;
  again(): void;
}

/** Asks at first, and when one of `inputs` changes. The last answer stays until there is a new one. */
export function useAnswer<T>(
  question: () => Promise<Outcome<T>>,
  inputs: readonly unknown[],
): Answer<T> {
  const [shown, setShown] = useState<Omit<Answer<T>, "again">>({
    value: undefined,
    problem: undefined,
    isAsking: true,
  });
  const [round, setRound] = useState(0);
  const latest = useRef(0);
  useEffect(() => {
    const mine = ++latest.current;
    setShown((before) => ({ ...before, isAsking: true }));
    void question().then((outcome) => {
      if (mine !== latest.current) return;
      setShown((before) =>
        outcome.ok
          ? { value: outcome.value, problem: undefined, isAsking: false }
          : { value: before.value, problem: outcome.message, isAsking: false }
      );
    });
    return () => void latest.current++;
  }, [...inputs, round]);
  return { ...shown, again: () => setRound((n) => n + 1) };
}

/** Calls `tick` again and again while the view is there and the page is seen. */
export function useEvery(
  clock: { sleep(ms: number, signal?: AbortSignal): Promise<void> },
  ms: number,
  tick: () => void,
  isOn = true,
): void {
  const latest = useRef(tick);
  latest.current = tick;
  useEffect(() => {
    if (!isOn) return;
    const over = new AbortController();
    void (async () => {
      while (!over.signal.aborted) {
        await clock.sleep(ms, over.signal).catch(() => {});
        if (!over.signal.aborted && !document.hidden) latest.current();
      }
    })();
    return () => over.abort();
  }, [ms, isOn]);
}
