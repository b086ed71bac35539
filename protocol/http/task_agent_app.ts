/** A whole task agent in one call: card, A2A server, executor, Hono app. */
import type { Hono } from "hono";
import type { AgentCard } from "../a2a/agent_card.ts";
import { createMemoryTaskStore } from "../a2a/memory_task_store.ts";
import { createA2AServer } from "../a2a/server.ts";
import type { TaskStore } from "../a2a/task_store.ts";
import { requireVersion } from "../a2a/version.ts";
import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import { createTaskExecutor, EXTENSION_URI } from "../mesh/task_over_a2a.ts";
import type { TaskHandler } from "../mesh/task_port.ts";
import { createDispatch } from "../rpc/dispatch.ts";
import type { Binding } from "../rpc/method.ts";
import { createAgentApp } from "./agent_app.ts";
import type { RpcLimits } from "./rpc_endpoint.ts";
import { createWebhooks } from "./webhooks.ts";
import { TASK_INPUT_MODES, taskAgentCard, type TaskAgentFacts } from "./task_agent_card.ts";

export interface TaskAgentAppDeps {
  /** A function is asked at each request of the card, which changes with what it returns; it must be cheap. */
  card: TaskAgentFacts | (() => TaskAgentFacts);
  handler: TaskHandler;
  clock: Clock;
  log: Log;
  /** Bearer token that every call needs; the card and /health stay public. */
  token?: string | undefined;
  /** Beside those of loopback, as `createGate` takes them; undefined: not checked, as in one process. */
  hosts?: readonly string[] | undefined;
  origins?: readonly string[] | undefined;
  limits?: Partial<RpcLimits> | undefined;
  /** Reasons to refuse work, for /ready. */
  ready?: () => readonly string[];
  /** Default: in memory. */
  store?: TaskStore;
  /** Methods beyond A2A's, e.g. those of the mesh. */
  methods?: readonly Binding[];
  /** Hosts that may be sent push notifications, as `createWebhooks` takes them. Default none: push is not offered. */
  webhookHosts?: readonly string[];
}

export interface TaskAgentApp {
  app: Hono;
  /** Cancels what runs, waits for it at most 10 s, refuses new tasks. */
  close(): Promise<void>;
}

export function createTaskAgentApp(deps: TaskAgentAppDeps): TaskAgentApp {
  const { handler, clock, log, token, webhookHosts = [] } = deps;
  const webhooks = webhookHosts.length === 0 ? undefined : createWebhooks(webhookHosts);
  const offers = { hasToken: token !== undefined, hasPush: webhooks !== undefined };
  const server = createA2AServer({
    executor: createTaskExecutor(handler),
    store: deps.store ?? createMemoryTaskStore(),
    clock,
    log,
    inputModes: TASK_INPUT_MODES,
    extensionUri: EXTENSION_URI,
    webhooks,
  });
  const app = createAgentApp({
    card: cardOf(deps.card, (facts) => taskAgentCard(facts, offers)),
    ready: deps.ready ?? (() => []),
    dispatch: createDispatch([...server.bindings, ...deps.methods ?? []], {
      before: requireVersion,
      log,
    }),
    clock,
    log,
    extensions: [EXTENSION_URI],
    token,
    hosts: deps.hosts,
    origins: deps.origins,
    limits: deps.limits,
  });
  return { app, close: () => server.close() };
}

/** The card of the facts as they are; the same facts are the same card. */
function cardOf(
  source: TaskAgentFacts | (() => TaskAgentFacts),
  make: (facts: TaskAgentFacts) => AgentCard,
): () => AgentCard {
  let latest: { facts: TaskAgentFacts; card: AgentCard } | undefined;
  return () => {
    const facts = typeof source === "function" ? source() : source;
    if (latest?.facts !== facts) latest = { facts, card: make(facts) };
    return latest.card;
  };
}
