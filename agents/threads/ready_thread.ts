/**
 * A thread that is started before anybody calls it. Rule: what breaks it meanwhile is kept for whoever takes it; an error that
 * nobody listens for would end the program.
 */
import type { ThreadEnd } from "./thread_rpc.ts";

export class ReadyThread {
  readonly #worker: ThreadEnd;
  #failure: ErrorEvent | undefined;
  #isTaken = false;

  constructor(worker: ThreadEnd) {
    this.#worker = worker;
    worker.onerror = (event) => {
      event.preventDefault();
      this.#failure ??= event;
    };
  }

  /** Once; from then on it is the caller's. */
  take(): ThreadEnd {
    this.#isTaken = true;
    return this.#failure === undefined ? this.#worker : failed(this.#worker, this.#failure);
  }

  endUnlessTaken(): void {
    if (!this.#isTaken) this.#worker.terminate();
  }
}

/** Says so to whoever begins to listen. */
function failed(worker: ThreadEnd, failure: ErrorEvent): ThreadEnd {
  return {
    onmessage: null,
    get onerror() {
      return null;
    },
    set onerror(listener: ThreadEnd["onerror"]) {
      queueMicrotask(() => listener?.(failure));
    },
    postMessage() {},
    terminate: () => worker.terminate(),
  };
}
