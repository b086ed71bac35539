/**
 * Tasks sent to an agent over A2A. Rule: a task runs once however often the connection breaks, and its end is told
 * once.
 */
import { A2A_ERROR_CODES } from "../a2a/a2a_error.ts";
import { type A2AClient, createA2AClient } from "../a2a/client.ts";
import type { SendMessageParams } from "../a2a/methods.ts";
import type { JsonObject } from "../a2a/proto_json.ts";
import type { StreamEvent } from "../a2a/stream_event.ts";
import { type Artifact, type Task, type TaskStatus, withArtifact } from "../a2a/task.ts";
import { isTerminal } from "../a2a/task_state.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { BackupError } from "../base/errors.ts";
import type { FetchLike } from "../rpc/client.ts";
import { RPC_CODES } from "../rpc/error_codes.ts";
import { RpcError } from "../rpc/rpc_error.ts";
import type { TaskProgress } from "./progress.ts";
import type { ResultOf, TaskSpec } from "./task.ts";
import {
  cancelled,
  EXTENSION_URI,
  failureOf,
  fromMetadata,
  messageOf,
  resultOf,
} from "./task_mapping.ts";
import { AgentBusyError, AgentLostError, type TaskClient } from "./task_port.ts";

/** How long an aborted call waits for the agent to say how its task ended: its own limit and some way. */
const CANCEL_ANSWER_MS = 15_000;
/** Pauses before a broken stream is picked up again; any progress starts the list anew. */
const RESUME_DELAYS_MS = [0, 250, 1_000, 4_000] as const;

export interface TaskClientOptions {
  fetch: FetchLike;
  /** The agent's JSON-RPC endpoint. */
  url: string;
  token?: string | undefined;
  clock?: Clock;
}

/** Runs tasks on the agent at `url`; a broken connection is picked up again while the agent can be reached. */
export function createTaskClient({ clock = systemClock, ...peer }: TaskClientOptions): TaskClient {
  const client = createA2AClient({ ...peer, extensions: [EXTENSION_URI] });
  return {
    async run(spec, { onProgress = () => {}, signal } = {}) {
      if (signal?.aborted) throw cancelled();
      const follower = createFollower(client, clock, onProgress);
      if (signal === undefined) return await follower.follow(spec);
      const { promise: gaveUp, reject } = Promise.withResolvers<never>();
      const onAbort = () => follower.cancel().finally(() => reject(cancelled()));
      signal.addEventListener("abort", onAbort, { once: true });
      try {
        const result = await Promise.race([follower.follow(spec), gaveUp]);
        signal.throwIfAborted();
        return result;
      } catch (thrown) {
        throw signal.aborted ? cancelled() : thrown;
      } finally {
        follower.leave();
        signal.removeEventListener("abort", onAbort);
      }
    },
  };
}

/** One call of `run`: what is known of the task so far, and the connection it is known through. */
function createFollower(
  client: A2AClient,
  clock: Clock,
  onProgress: (progress: TaskProgress) => void,
) {
  const connection = new AbortController();
  const { promise: started, resolve: knowTaskId } = Promise.withResolvers<string>();
  let taskId: string | undefined;
  let artifacts: Artifact[] = [];
  let end: Pick<Task, "status" | "metadata"> | undefined;
  let lastSeq = -1;

  function take(event: StreamEvent): void {
    if ("task" in event) {
      const { id, status, metadata } = event.task;
      taskId = id;
      knowTaskId(id);
      artifacts = event.task.artifacts ?? [];
      takeStatus(status, metadata);
    } else if ("statusUpdate" in event) {
      takeStatus(event.statusUpdate.status, event.statusUpdate.metadata);
    } else if ("artifactUpdate" in event) {
      artifacts = withArtifact(artifacts, event.artifactUpdate);
    }
  }

  function takeStatus(status: TaskStatus, metadata: JsonObject | undefined): void {
    const { progress } = fromMetadata(metadata);
    // A snapshot repeats the latest progress.
    if (progress !== undefined && progress.seq > lastSeq && !connection.signal.aborted) {
      lastSeq = progress.seq;
      onProgress(progress);
    }
    if (isTerminal(status.state)) end = { status, ...(metadata && { metadata }) };
  }

  async function read(events: AsyncIterable<StreamEvent>): Promise<void> {
    for await (const event of events) take(event);
  }

  /** Follows the task until it has ended; throws when it cannot be reached any more. */
  async function readToEnd(params: SendMessageParams): Promise<void> {
    const { signal } = connection;
    let attempt = 0;
    let failed: unknown;
    let open = () => client.sendMessageStream(params, { signal });
    while (true) {
      const eventsBefore = lastSeq;
      try {
        await read(open());
        failed = undefined;
      } catch (thrown) {
        if (!isBroken(thrown)) throw thrown;
        failed = thrown;
      }
      if (end !== undefined) return;
      if (lastSeq > eventsBefore) attempt = 0;
      const delayMs = RESUME_DELAYS_MS[attempt++];
      if (delayMs === undefined) {
        throw failed ?? new BackupError("protocol", "The agent ends its streams before the task");
      }
      await clock.sleep(delayMs, signal);
      // Without a task id the same request is sent again: its key makes sure that it runs once.
      const known = taskId;
      if (known !== undefined) open = () => pickUp(known);
    }
  }

  async function* pickUp(known: string): AsyncGenerator<StreamEvent, void, undefined> {
    const { signal } = connection;
    try {
      yield* client.subscribe(known, { signal });
    } catch (thrown) {
      if (!isEnded(thrown)) throw thrown;
      yield { task: await client.getTask(known, { signal, historyLength: 0 }) };
    }
  }

  return {
    async follow<T extends TaskSpec>(spec: T): Promise<ResultOf<T>> {
      await readToEnd({ message: messageOf(spec) }).catch((thrown) => {
        throw thrown instanceof RpcError ? fromRpcError(thrown) : thrown;
      });
      if (end === undefined) throw new BackupError("protocol", "The task has no end");
      if (end.status.state !== "TASK_STATE_COMPLETED") throw failureOf(end);
      return resultOf(spec, artifacts);
    },

    /** Asks the agent to stop; resolves when it has, or when it does not answer in time. Never rejects. */
    async cancel(): Promise<void> {
      const timer = new AbortController();
      const askToStop = async () => {
        await client.cancelTask(await started, { signal: timer.signal });
      };
      await Promise.race([askToStop(), clock.sleep(CANCEL_ANSWER_MS, timer.signal)]).catch(
        () => {},
      );
      timer.abort(cancelled());
    },

    leave: () => connection.abort(cancelled()),
  };
}

function fromRpcError({ code, message }: RpcError): BackupError {
  const text = `The agent refused the call: ${message} (${code})`;
  switch (code) {
    case RPC_CODES.unavailable:
    case RPC_CODES.tooManyCalls:
    case RPC_CODES.tooSlow:
      return new AgentBusyError(text);
    case RPC_CODES.unauthenticated:
      return new BackupError("permission", text, { hint: "Give both sides the same mesh token" });
    // It was there before: the agent has been started again since.
    case A2A_ERROR_CODES.TASK_NOT_FOUND:
      return new AgentLostError("The agent no longer knows the task");
    default:
      return new BackupError("protocol", text);
  }
}

/** Whether a subscription was refused because the task has ended. */
function isEnded(thrown: unknown): boolean {
  return thrown instanceof RpcError && thrown.code === A2A_ERROR_CODES.UNSUPPORTED_OPERATION;
}

/** Whether the connection is at fault, so that trying again can help. */
function isBroken(thrown: unknown): boolean {
  return thrown instanceof BackupError && thrown.code === "io";
}
