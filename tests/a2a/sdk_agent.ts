/** An agent made of the stock SDK's own parts, as somebody else would build one. */
import {
  AgentCard,
  formatSSEErrorEvent,
  formatSSEEvent,
  SSE_HEADERS,
  Task,
  TaskArtifactUpdateEvent,
  TaskStatusUpdateEvent,
} from "@a2a-js/sdk";
import {
  AgentEvent,
  type AgentExecutor,
  DefaultRequestHandler,
  InMemoryTaskStore,
  JsonRpcTransportHandler,
  ServerCallContext,
  validateVersion,
} from "@a2a-js/sdk/server";

export interface SdkAgent extends AsyncDisposable {
  origin: string;
}

/** Completes a task with an artifact; a message that says `wait` works until it is cancelled. */
class Executor implements AgentExecutor {
  readonly #contexts = new Map<string, { contextId: string; end: () => void }>();

  execute: AgentExecutor["execute"] = async ({ taskId, contextId, userMessage }, bus) => {
    const status = (state: string) =>
      bus.publish(
        AgentEvent.statusUpdate(
          TaskStatusUpdateEvent.fromJSON({ taskId, contextId, status: { state } }),
        ),
      );
    bus.publish(AgentEvent.task(Task.fromJSON({
      id: taskId,
      contextId,
      status: { state: "TASK_STATE_SUBMITTED" },
      history: [],
    })));
    status("TASK_STATE_WORKING");
    if (JSON.stringify(userMessage).includes("wait")) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#contexts.set(taskId, { contextId, end: resolve });
      return await promise;
    }
    bus.publish(AgentEvent.artifactUpdate(TaskArtifactUpdateEvent.fromJSON({
      taskId,
      contextId,
      artifact: { artifactId: "a", parts: [{ data: { files: 7 } }] },
      append: false,
      lastChunk: true,
    })));
    status("TASK_STATE_COMPLETED");
    bus.finished();
  };

  cancelTask: AgentExecutor["cancelTask"] = (taskId, bus) => {
    const { contextId = "", end } = this.#contexts.get(taskId) ?? {};
    bus.publish(AgentEvent.statusUpdate(TaskStatusUpdateEvent.fromJSON({
      taskId,
      contextId,
      status: { state: "TASK_STATE_CANCELED" },
    })));
    bus.finished();
    end?.();
    return Promise.resolve();
  };
}

export function startSdkAgent(): SdkAgent {
  const waiting = Promise.withResolvers<(request: Request) => Promise<Response>>();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => await (await waiting.promise)(request),
  );
  const origin = `http://127.0.0.1:${server.addr.port}`;
  const card = AgentCard.fromJSON({
    name: "SDK agent",
    description: "Made of the stock SDK",
    version: "1.0.0",
    supportedInterfaces: [
      { url: `${origin}/rpc`, protocolBinding: "JSONRPC", protocolVersion: "1.0" },
    ],
    capabilities: { streaming: true, pushNotifications: false },
    defaultInputModes: ["application/json"],
    defaultOutputModes: ["application/json"],
    skills: [{ id: "count", name: "Count", description: "Counts", tags: ["count"] }],
  });
  const handler = new JsonRpcTransportHandler(
    new DefaultRequestHandler(card, new InMemoryTaskStore(), new Executor()),
  );

  waiting.resolve(async (request) => {
    if (request.method === "GET") return Response.json(AgentCard.toJSON(card));
    const requestedVersion = request.headers.get("a2a-version") ?? "0.3";
    validateVersion(requestedVersion, card, "JSONRPC");
    const context = new ServerCallContext({ requestedVersion });
    const body = await request.json();
    const result = await handler.handle(body, context);
    if (!(Symbol.asyncIterator in result)) return Response.json(result);
    try {
      const first = await result.next();
      return new Response(sseBody(first, result, body.id), { headers: SSE_HEADERS });
    } catch (error) {
      return Response.json(errorEnvelope(body.id, error));
    }
  });
  return {
    origin,
    async [Symbol.asyncDispose]() {
      await server.shutdown();
    },
  };
}

function errorEnvelope(id: unknown, error: unknown) {
  return { jsonrpc: "2.0", id, error: JsonRpcTransportHandler.mapToJSONRPCError(error) };
}

function sseBody(
  first: IteratorResult<unknown, void>,
  events: AsyncGenerator<unknown, void, undefined>,
  id: unknown,
): ReadableStream<Uint8Array> {
  let step: IteratorResult<unknown, void> | undefined = first;
  return new ReadableStream<string>({
    async pull(controller) {
      try {
        const { done, value } = step ?? await events.next();
        step = undefined;
        if (done) return controller.close();
        controller.enqueue(formatSSEEvent(value));
      } catch (error) {
        controller.enqueue(formatSSEErrorEvent(errorEnvelope(id, error)));
        controller.close();
      }
    },
    async cancel() {
      await events.return();
    },
  }).pipeThrough(new TextEncoderStream());
}
