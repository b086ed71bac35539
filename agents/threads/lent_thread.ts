/**
 * A thread that a thread asks its owner to start, and then calls by itself. Rule: only the main thread starts threads. Deno 2.9
 * lets a worker that another worker has started stand still for half a second twice before it runs anything.
 */
import type { Ask, ThreadEnd } from "./thread_rpc.ts";

/** What the owner is asked for; it answers with `lendThread`. */
export const LEND_THREAD = "lendThread";

export interface LendThreadRequest {
  role: string;
  /** Where the new thread is called. */
  port: MessagePort;
}

/** The first message of a lent thread. */
export interface PortMessage {
  port: MessagePort;
}

/** The last one. */
export const END_THREAD = "end";

/** In a thread: another one, which can be called at once. What keeps it from starting is told to `onerror`. */
export function borrowThread(ask: Ask, role: string): ThreadEnd {
  const { port1: port, port2 } = new MessageChannel();
  const end: ThreadEnd = {
    onmessage: null,
    onerror: null,
    postMessage: (message, transfer = []) => port.postMessage(message, transfer),
    terminate() {
      port.postMessage(END_THREAD);
      port.close();
    },
  };
  port.onmessage = (event) => end.onmessage?.(event);
  ask(LEND_THREAD, { role, port: port2 } satisfies LendThreadRequest, [port2]).catch((error) =>
    end.onerror?.(new ErrorEvent("error", { message: String(error?.message ?? error) }))
  );
  return end;
}

/** In the main thread: starts it. It ends itself when it is told to; one that is stuck is the owner's to end. */
export function lendThread(
  { role, port }: LendThreadRequest,
  spawn: (role: string) => ThreadEnd,
  onError: (message: string) => void,
): ThreadEnd {
  const worker = spawn(role);
  worker.onerror = (event) => {
    event.preventDefault();
    onError(event.message);
  };
  worker.postMessage({ port } satisfies PortMessage, [port]);
  return worker;
}
