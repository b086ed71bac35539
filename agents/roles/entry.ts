/**
 * What a Web Worker started by `spawnThread` becomes. Rule: `onmessage` is set before anything is awaited, and a thread loads
 * what its role needs and nothing else, which is half of its time to start and of its memory.
 */
import { openPosix } from "../platform/open_posix.ts";
import { END_THREAD, type PortMessage } from "../threads/lent_thread.ts";
import type { Role } from "./role.ts";
import { type DedicatedScope, serveThread } from "../threads/thread_rpc.ts";

/** What a thread can be. */
const ROLES: Readonly<Record<string, () => Promise<{ role: Role }>>> = {
  reader: () => import("./reader.ts"),
  lane: () => import("./lane.ts"),
  encoder: () => import("./encoder.ts"),
  restore: () => import("./restore.ts"),
  place: () => import("./place.ts"),
  repository: () => import("./repository.ts"),
  store: () => import("./store.ts"),
  archive: () => import("./archive.ts"),
  packs: () => import("./packs.ts"),
  repositoryLoad: () => import("./repository_load.ts"),
  repositoryRestore: () => import("./repository_restore.ts"),
};

/** Called by the entry module of a worker, with the worker's name. */
export function startThread(name: string): void {
  const load = ROLES[name];
  if (load === undefined) throw new TypeError(`Unknown thread role: ${name}`);
  const { scope, ready } = thisThread();
  load().then(({ role }) => {
    serveThread(scope, (argument, cells, ask) => role(openPosix(), argument, cells, ask));
    ready();
  });
}

/** Where this thread is called: by its owner, or at the port that the first message brings. What comes too early waits. */
function thisThread(): { scope: DedicatedScope; ready(): void } {
  const own = globalThis as unknown as DedicatedScope & { close(): void };
  let used: Pick<DedicatedScope, "postMessage"> = own;
  let early: MessageEvent[] | undefined = [];
  const scope: DedicatedScope = {
    onmessage: null,
    postMessage: (message, transfer = []) => used.postMessage(message, transfer),
  };
  const take = (event: MessageEvent): void => {
    if (event.data === END_THREAD) return own.close();
    if (early === undefined) scope.onmessage?.(event);
    else early.push(event);
  };
  own.onmessage = (event) => {
    const { port } = event.data as Partial<PortMessage>;
    if (port === undefined) return take(event);
    used = port;
    port.onmessage = take;
  };
  return {
    scope,
    ready() {
      const waiting = early ?? [];
      early = undefined;
      for (const event of waiting) scope.onmessage?.(event);
    },
  };
}
