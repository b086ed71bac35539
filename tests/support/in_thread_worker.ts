/**
 * A Web Worker that is none: the real thread code, served in this thread in microtasks. Rule: messages are cloned and
 * come later, in order, exactly as between threads; only the parallelism is missing.
 */
import {
  type Ask,
  type DedicatedScope,
  type Methods,
  serveThread,
  type ThreadCells,
} from "../../agents/threads/thread_rpc.ts";

const ALIVE_MS = 3_600_000;

/** Serves the method table that `open` makes, as `serveThread` does. `hangs` answers whether a method never returns. */
export function inThreadWorker(
  open: (argument: unknown, cells: ThreadCells, ask: Ask) => Methods,
  hangs: (method: string) => boolean = () => false,
): Worker {
  let isStuck = false;
  let terminated = false;
  // A thread may wait for memory to change, which keeps nothing going by itself.
  const alive = setInterval(() => {}, ALIVE_MS);
  const worker = {
    onmessage: null as ((event: MessageEvent) => void) | null,
    onerror: null,
    postMessage(message: unknown): void {
      const data = structuredClone(message);
      queueMicrotask(() => {
        isStuck ||= hangs((data as { method?: string }).method ?? "");
        if (!terminated && !isStuck) scope.onmessage?.({ data } as MessageEvent);
      });
    },
    terminate(): void {
      terminated = true;
      clearInterval(alive);
    },
  };
  const scope: DedicatedScope = {
    onmessage: null,
    postMessage(message: unknown): void {
      const data = structuredClone(message);
      queueMicrotask(() => {
        if (!terminated) worker.onmessage?.({ data } as MessageEvent);
      });
    },
  };
  serveThread(scope, open);
  return worker as unknown as Worker;
}
