/**
 * An agent for conformance suites: the program's own A2A server and HTTP app around a scripted executor. Rule: open to
 * everybody on loopback, and what the card says is what it does.
 */
import type { Hono } from "hono";
import type { AgentCard } from "../../protocol/a2a/agent_card.ts";
import { createMemoryTaskStore } from "../../protocol/a2a/memory_task_store.ts";
import { createA2AServer } from "../../protocol/a2a/server.ts";
import { A2A_VERSION, requireExtensions, requireVersion } from "../../protocol/a2a/version.ts";
import type { Clock } from "../../protocol/base/clock.ts";
import type { Log } from "../../protocol/base/log.ts";
import { createAgentApp } from "../../protocol/http/agent_app.ts";
import { createWebhooks } from "../../protocol/http/webhooks.ts";
import { EXTENSION_URI } from "../../protocol/mesh/task_over_a2a.ts";
import { createDispatch } from "../../protocol/rpc/dispatch.ts";
import { createScriptedExecutor, type ScriptTable } from "./scripted_executor.ts";

const INPUT_MODES = ["text/plain", "application/json"];

export interface FixtureOptions {
  /** Scheme, host and port it is reached at. */
  origin: string;
  table: ScriptTable;
  streaming: boolean;
  push: boolean;
  /** An extension that every call must activate. */
  requiredExtension?: string | undefined;
  clock: Clock;
  log: Log;
}

export interface FixtureAgent {
  app: Hono;
  close(): Promise<void>;
}

export function createFixtureAgent(options: FixtureOptions): FixtureAgent {
  const { table, streaming, push, requiredExtension, clock, log } = options;
  const required = requiredExtension === undefined ? [] : [requiredExtension];
  const server = createA2AServer({
    executor: createScriptedExecutor(table, clock),
    store: createMemoryTaskStore(),
    clock,
    log,
    inputModes: INPUT_MODES,
    extensionUri: EXTENSION_URI,
    streaming,
    // Suites register public URLs that they never want called, and receive at loopback.
    webhooks: push ? createWebhooks(["*", "loopback"]) : undefined,
  });
  const card = fixtureCard(options);
  const app = createAgentApp({
    card: () => card,
    ready: () => [],
    dispatch: createDispatch(server.bindings, {
      before(context) {
        requireVersion(context);
        requireExtensions(context, required);
      },
      log,
    }),
    clock,
    log,
    extensions: [EXTENSION_URI, ...required],
    // Suites are faster than any caller of the program.
    limits: { callsPerSecond: 1e6, callsBurst: 1e6 },
  });
  return { app, close: () => server.close() };
}

function fixtureCard({ origin, streaming, push, requiredExtension }: FixtureOptions): AgentCard {
  return {
    name: "Fixture agent",
    description: "Answers by a script, for conformance suites",
    version: "1.0.0",
    supportedInterfaces: [
      { url: `${origin}/rpc`, protocolBinding: "JSONRPC", protocolVersion: A2A_VERSION },
    ],
    capabilities: {
      streaming,
      pushNotifications: push,
      extensions: [
        { uri: EXTENSION_URI, description: "Idempotency keys", required: false },
        ...(requiredExtension === undefined
          ? []
          : [{ uri: requiredExtension, description: "Asked for at its start", required: true }]),
      ],
    },
    defaultInputModes: INPUT_MODES,
    defaultOutputModes: INPUT_MODES,
    skills: [{
      id: "script",
      name: "Script",
      description: "Replies as the script has it for the message id's prefix",
      tags: ["test"],
    }],
  };
}
