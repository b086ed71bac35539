/**
 * The threads that touch sources. Rule: the main thread never does; a thread that a dead source holds is replaced, and the
 * new one knows the same sources.
 */
import type { ThreadClient } from "../threads/thread_rpc.ts";
import type { EntryTableShare } from "./entry_table.ts";

interface SharedSource {
  source: string;
  path: string;
  table: EntryTableShare;
}

export class ReaderThreads {
  readonly #threads: ThreadClient[] = [];
  readonly #sources = new Map<string, SharedSource>();
  readonly #max: number;
  readonly #spawn: () => ThreadClient;

  /** Starts one thread; further ones, up to `max`, when all have something to do. */
  constructor(max: number, spawn: () => ThreadClient) {
    this.#max = max;
    this.#spawn = spawn;
    this.#threads.push(spawn());
  }

  /** The thread with the least to do; a new one in place of each that was given up. */
  idlest(): ThreadClient {
    let best: ThreadClient | undefined;
    for (let n = 0; n < this.#threads.length; n++) {
      if (this.#threads[n]!.isClosed) this.#threads[n] = this.#another();
      const thread = this.#threads[n]!;
      if (best === undefined || thread.pendingCount < best.pendingCount) best = thread;
    }
    if (best!.pendingCount === 0 || this.#threads.length === this.#max) return best!;
    const further = this.#another();
    this.#threads.push(further);
    return further;
  }

  /** Makes a source known to every thread. @throws {BackupError} when it cannot be opened */
  async addSource(source: string, path: string, table: EntryTableShare): Promise<void> {
    const shared = { source, path, table };
    this.#sources.set(source, shared);
    await Promise.all(this.#open().map((thread) => thread.call("addSource", shared)));
  }

  async removeSource(source: string): Promise<void> {
    this.#sources.delete(source);
    await Promise.all(this.#open().map((thread) => thread.call("removeSource", { source })));
  }

  /** Asks calls under way to end early. */
  cancel(): void {
    for (const thread of this.#threads) thread.cancel();
  }

  /** Gives back what idle threads hold open, then ends them all; does not wait for one that is stuck. */
  async close(): Promise<void> {
    const idle = this.#open().filter((thread) => thread.pendingCount === 0);
    await Promise.all(
      [...this.#sources.keys()].flatMap((source) =>
        idle.map((thread) => thread.call("removeSource", { source }).catch(() => {}))
      ),
    );
    this.#sources.clear();
    for (const thread of this.#threads) thread.close();
  }

  #open(): ThreadClient[] {
    return this.#threads.filter((thread) => !thread.isClosed);
  }

  #another(): ThreadClient {
    const thread = this.#spawn();
    for (const shared of this.#sources.values()) {
      // When it cannot be opened any more, the reads that follow say so, each by name.
      thread.call("addSource", shared).catch(() => {});
    }
    return thread;
  }
}
