/** One call of a command to its coordinator. Rule: whatever goes wrong says which coordinator it was and what to do. */
import type * as v from "valibot";
import { asBackupError, BackupError } from "../../../protocol/base/errors.ts";
import type { CommandCall } from "../../../protocol/cli/command.ts";
import { chosenToken, pathOf, peerTls } from "../../../protocol/cli/serving_settings.ts";
import { defaultStateDir } from "../../../protocol/cli/surroundings.ts";
import { failureIn } from "../../../protocol/mesh/rpc_failure.ts";
import { agentEndpoint } from "../../../protocol/mesh/endpoint.ts";
import { type RpcClient, UnreachableError } from "../../../protocol/rpc/client.ts";
import { RPC_CODES } from "../../../protocol/rpc/error_codes.ts";
import type { Method } from "../../../protocol/rpc/method.ts";
import { RpcError } from "../../../protocol/rpc/rpc_error.ts";
import { whyUnreachable } from "../../../protocol/rpc/why_unreachable.ts";
import type { MeshDoor } from "./mesh_door.ts";

/** A coordinator that does not answer a question within this is not there. */
export const ANSWER_WITHIN_MS = 30_000;

/** How a command does TLS with whoever it calls. */
export const TLS_OPTIONS = ["tlsCa", "tlsCert", "tlsKey"] as const;

/** The options that every command of this folder takes. */
export const COORDINATOR_OPTIONS = [
  "coordinator",
  "tokenFile",
  ...TLS_OPTIONS,
  "json",
  "stateDir",
] as const;

export interface CoordinatorLink {
  readonly url: string;
  readonly stateDir: string;
  readonly client: RpcClient;
  /** @throws {BackupError} for everything that can go wrong. */
  ask<P extends v.GenericSchema, R extends v.GenericSchema>(
    method: Method<P, R>,
    params: v.InferOutput<P>,
  ): Promise<v.InferOutput<R>>;
}

/** @throws {BackupError} `usage` when the address is none. */
export function linkOf(
  { settings, surroundings, clock }: CommandCall,
  door: MeshDoor,
): CoordinatorLink {
  const url = agentEndpoint(settings.get("coordinator").value);
  const stateDir = pathOf("stateDir", settings, surroundings) ?? defaultStateDir(surroundings);
  const token = chosenToken(settings, surroundings);
  const tls = peerTls(settings, surroundings);
  const client = door.connect({ url, stateDir, token, tls });
  return {
    url,
    stateDir,
    client,
    async ask(method, params) {
      const tooLate = new AbortController();
      const over = new AbortController();
      clock.sleep(ANSWER_WITHIN_MS, over.signal).then(() => tooLate.abort(), () => {});
      try {
        return await client.call(method, params, { signal: tooLate.signal });
      } catch (thrown) {
        if (tooLate.signal.aborted) {
          throw new BackupError("deadline", `The coordinator at ${url} does not answer`, {
            hint: "Look at its log; a stopped process keeps its port",
            retry: "later",
          });
        }
        throw explained(thrown, url);
      } finally {
        over.abort();
      }
    },
  };
}

/** The error as a person can use it. */
export function explained(thrown: unknown, url: string): BackupError {
  if (thrown instanceof RpcError) {
    switch (thrown.code) {
      case RPC_CODES.unauthenticated:
        return new BackupError("permission", `The coordinator at ${url} does not know this token`, {
          hint: "Run as the user who started it, or name its token with --token-file",
        });
      case RPC_CODES.invalidParams: {
        // What the coordinator said to a person; what a schema said names the field, and is for whoever wrote the call.
        const own = failureIn(thrown);
        return new BackupError("usage", own?.message ?? thrown.message, { hint: own?.hint });
      }
      case RPC_CODES.methodNotFound:
        return new BackupError("protocol", `${url} is no coordinator, or an older one`, {
          hint: "Name the coordinator with --coordinator URL",
        });
      case RPC_CODES.unavailable:
      case RPC_CODES.tooManyCalls:
      case RPC_CODES.tooSlow: {
        const own = failureIn(thrown);
        if (own !== undefined && own.code !== "rejected") {
          const { code, message, hint, path } = own;
          const text = `The coordinator at ${url} cannot do it: ${message}`;
          // `io` is what a coordinator that cannot be reached has: it is asked again.
          return new BackupError(code === "io" ? "rejected" : code, text, { hint, path });
        }
        return new BackupError(
          "rejected",
          `The coordinator at ${url} is busy: ${thrown.message}`,
          { hint: "Ask again in a while", retry: "later" },
        );
      }
      default:
        return new BackupError("protocol", `The coordinator refused: ${thrown.message}`);
    }
  }
  const error = asBackupError(thrown);
  if (error.code !== "io") return error;
  const why = error instanceof UnreachableError ? error.why : whyUnreachable(error.cause);
  switch (why.kind) {
    case "certificate":
    case "scheme":
      return new BackupError("permission", `Cannot talk to the coordinator at ${url}: ${why.why}`, {
        hint: why.hint,
        cause: error,
      });
    case "broken":
      return new BackupError("io", `The coordinator at ${url} gave no answer: ${why.why}`, {
        hint: "It may be busy or about to end: look at its log, and ask again",
        retry: "later",
        cause: error,
      });
  }
  return new BackupError("io", `Cannot reach the coordinator at ${url}: ${why.why}`, {
    hint: "Start one with backup-agent --role coordinator, or name another with --coordinator URL",
    retry: "later",
    cause: error,
  });
}
