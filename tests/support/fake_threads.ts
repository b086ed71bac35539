/** A reader thread whose answers the test gives, one at a time and in any order. */
import type { Readers } from "../../agents/source/fan_out_reader.ts";
import type { ThreadClient } from "../../agents/threads/thread_rpc.ts";

export interface FakeCall {
  method: string;
  // deno-lint-ignore no-explicit-any -- the test knows what it asked for
  argument: any;
  resolve(result: unknown): void;
  reject(error: Error): void;
}

export interface FakeThread {
  client: ThreadClient;
  /** Calls without an answer, oldest first. */
  pending: FakeCall[];
  /** Every call so far. */
  made: FakeCall[];
}

export function fakeThread(): FakeThread {
  const pending: FakeCall[] = [];
  const made: FakeCall[] = [];
  const client = {
    isClosed: false,
    get pendingCount() {
      return pending.length;
    },
    call(method: string, argument: unknown) {
      if (method === "addSource" || method === "removeSource") return Promise.resolve();
      return new Promise((resolve, reject) => {
        const forget = () => pending.splice(pending.indexOf(call), 1);
        const call: FakeCall = {
          method,
          argument,
          resolve: (result) => (forget(), resolve(result)),
          reject: (error) => (forget(), reject(error)),
        };
        pending.push(call);
        made.push(call);
      });
    },
  };
  return { client: client as unknown as ThreadClient, pending, made };
}

/** One thread as all the readers there are. */
export function oneReader(thread: ThreadClient): Readers {
  return {
    idlest: () => thread,
    addSource: () => Promise.resolve(),
    removeSource: () => Promise.resolve(),
  };
}

/** Lets all promise reactions run. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 30; i++) await Promise.resolve();
}
