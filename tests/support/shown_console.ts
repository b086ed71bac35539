/**
 * A dashboard over a coordinator that only tells what a test gives it. Rule: the page, its API and its socket are real; nothing
 * is copied, and nothing changes by itself.
 */
import { createDashboard } from "../../dashboard/dashboard_app.ts";
import { systemClock } from "../../protocol/base/clock.ts";
import { silentLog } from "../../protocol/base/log.ts";
import { FollowConsole, GetConsole, GetPublicStatus } from "../../protocol/mesh/console_methods.ts";
import type { ConsoleEvent, ConsoleState } from "../../protocol/mesh/console_state.ts";
import type { RpcClient } from "../../protocol/rpc/client.ts";

/** By the name of a method; what is not there is refused. */
export type Answers = Record<string, (params: never) => unknown>;

export interface ShownConsole extends AsyncDisposable {
  readonly origin: string;
  loginUrl(): string;
  /** From now on; a page that is open is told at once. */
  show(state: ConsoleState): void;
}

export function showConsole(first: ConsoleState, atMs: number, answers: Answers): ShownConsole {
  let state = first;
  let seq = 0;
  const wakes = new Set<() => void>();

  async function* events(signal: AbortSignal | undefined): AsyncGenerator<ConsoleEvent> {
    const wake = { now: () => {} };
    const awake = () => wake.now();
    wakes.add(awake);
    signal?.addEventListener("abort", awake);
    try {
      while (signal?.aborted !== true) {
        const shown = state;
        yield { kind: "snapshot", seq: ++seq, atMs, state: shown };
        if (state === shown) await new Promise<void>((resolve) => wake.now = resolve);
      }
    } finally {
      wakes.delete(awake);
    }
  }

  const told: Answers = {
    [GetConsole.name]: () => ({ atMs, state }),
    [GetPublicStatus.name]: () => ({
      ...{ status: "ok", version: "1", atMs, agents: { alive: 0, total: 0 }, runs: [] },
    }),
    ...answers,
  };
  const coordinator: RpcClient = {
    call({ name }, params) {
      const answer = told[name];
      return answer === undefined
        ? Promise.reject(new Error(`${name} is not told here`))
        : Promise.resolve(answer(params as never) as never);
    },
    stream({ name }, _params, { signal } = {}) {
      if (name !== FollowConsole.name) throw new Error(`${name} is not told here`);
      return events(signal) as never;
    },
  };
  let fetch: (request: Request) => Response | Promise<Response> = () => new Response(null);
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    (request) => fetch(request),
  );
  const origin = `http://127.0.0.1:${server.addr.port}`;
  const dashboard = createDashboard({
    coordinator,
    // The feed says when by its own clock, and a picture is of one moment.
    clock: { ...systemClock, nowMs: () => atMs },
    log: silentLog,
    ...{ token: "the-token-of-this-test", version: "1", origin, hosts: [], origins: [] },
    upgrade: (request) => Deno.upgradeWebSocket(request),
  });
  fetch = (request) => dashboard.fetch(request, { remoteAddr: { hostname: "127.0.0.1" } });
  return {
    origin,
    loginUrl: () => dashboard.mintLogin(),
    show(next) {
      state = next;
      for (const wake of wakes) wake();
    },
    async [Symbol.asyncDispose]() {
      dashboard.close();
      await server.shutdown();
    },
  };
}
