/** A2A 1.0 as a caller speaks it, over an injected fetch. */
import * as v from "valibot";
import { BackupError } from "../base/errors.ts";
import { type CallOptions, createRpcClient, type FetchLike } from "../rpc/client.ts";
import { readLimitedText } from "../rpc/limited_text.ts";
import { AgentCard } from "./agent_card.ts";
import * as methods from "./methods.ts";
import type { StreamEvent } from "./stream_event.ts";
import type { Task } from "./task.ts";
import { A2A_VERSION, EXTENSIONS_HEADER, VERSION_HEADER } from "./version.ts";

export const WELL_KNOWN_CARD_PATH = "/.well-known/agent-card.json";
const CARD_BYTES_MAX = 1 << 20;

export interface A2AClientOptions {
  fetch: FetchLike;
  /** The agent's JSON-RPC endpoint. */
  url: string;
  /** Extensions to activate on every call. */
  extensions?: readonly string[];
  /** Bearer token. */
  token?: string | undefined;
}

/** Every call throws `RpcError` for what the agent answered and `BackupError` when it cannot be reached or understood. */
export interface A2AClient {
  /** Blocks until the task has ended or waits, unless `configuration.returnImmediately`. */
  sendMessage(
    params: methods.SendMessageParams,
    options?: CallOptions,
  ): Promise<v.InferOutput<typeof methods.SendMessageResult>>;
  /** The task first, then its events to its end. Leaving the loop does not stop the task. */
  sendMessageStream(
    params: methods.SendMessageParams,
    options?: CallOptions,
  ): AsyncGenerator<StreamEvent, void, undefined>;
  /** A snapshot, then events to the end; -32004 when the task has ended. */
  subscribe(taskId: string, options?: CallOptions): AsyncGenerator<StreamEvent, void, undefined>;
  getTask(taskId: string, options?: CallOptions & { historyLength?: number }): Promise<Task>;
  listTasks(
    params: methods.ListTasksParams,
    options?: CallOptions,
  ): Promise<methods.ListTasksResult>;
  /** The task as it is after at most 10 s; -32002 when it had ended before. */
  cancelTask(taskId: string, options?: CallOptions): Promise<Task>;
  /** The card at the well-known path of the endpoint's origin. */
  card(options?: CallOptions): Promise<AgentCard>;
}

export function createA2AClient(options: A2AClientOptions): A2AClient {
  const { fetch, url, extensions = [], token } = options;
  const rpc = createRpcClient({
    fetch,
    url,
    headers: {
      [VERSION_HEADER]: A2A_VERSION,
      ...(extensions.length > 0 && { [EXTENSIONS_HEADER]: extensions.join(", ") }),
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    },
  });
  return {
    sendMessage: (params, call) => rpc.call(methods.SendMessage, params, call),
    sendMessageStream: (params, call) => rpc.stream(methods.SendStreamingMessage, params, call),
    subscribe: (id, call) => rpc.stream(methods.SubscribeToTask, { id }, call),
    getTask: (id, { historyLength, ...call } = {}) =>
      rpc.call(methods.GetTask, historyLength === undefined ? { id } : { id, historyLength }, call),
    listTasks: (params, call) => rpc.call(methods.ListTasks, params, call),
    cancelTask: (id, call) => rpc.call(methods.CancelTask, { id }, call),
    card: (call) => fetchAgentCard(fetch, new URL(WELL_KNOWN_CARD_PATH, url).href, call),
  };
}

/** @throws {BackupError} `io` when nothing answers, `protocol` when it is not a card. */
export async function fetchAgentCard(
  fetch: FetchLike,
  cardUrl: string,
  { signal }: CallOptions = {},
): Promise<AgentCard> {
  const request = new Request(cardUrl, {
    headers: { accept: "application/json", [VERSION_HEADER]: A2A_VERSION },
    ...(signal === undefined ? {} : { signal }),
  });
  let text: string;
  let status: number;
  try {
    const response = await fetch(request);
    status = response.status;
    text = await readLimitedText(response.body, CARD_BYTES_MAX);
  } catch (cause) {
    signal?.throwIfAborted();
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new BackupError("io", `Cannot fetch the agent card at ${cardUrl}: ${why}`, {
      retry: "later",
      cause,
    });
  }
  if (status !== 200) {
    throw new BackupError("protocol", `Cannot fetch the agent card at ${cardUrl}: HTTP ${status}`);
  }
  const card = v.safeParse(v.pipe(v.string(), v.parseJson(), AgentCard), text);
  if (card.success) return card.output;
  const first = card.issues[0];
  throw new BackupError(
    "protocol",
    `Cannot read the agent card at ${cardUrl}: ${v.getDotPath(first) ?? "card"}: ${first.message}`,
  );
}
