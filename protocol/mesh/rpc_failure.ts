/**
 * An expected failure of a call between parts of the mesh. Rule: its code, hint and path travel beside the JSON-RPC code, so
 * whoever asked can tell a person what the one who knows would have said.
 */
import * as v from "valibot";
import { asBackupError, type BackupError } from "../base/errors.ts";
import { RPC_CODES } from "../rpc/error_codes.ts";
import { RpcError } from "../rpc/rpc_error.ts";
import { WireError } from "./task.ts";
import { fromWireError, toWireError } from "./task_mapping.ts";

const FAILURE_TYPE = "urn:backup-agent:failure";
const Failure = v.object({ "@type": v.literal(FAILURE_TYPE), failure: WireError });

/** `internal` stays what it is: it leaves without a word, and goes to the log. */
export function toRpcFailure(thrown: unknown): unknown {
  if (thrown instanceof RpcError) return thrown;
  const error = asBackupError(thrown);
  if (error.code === "internal") return thrown;
  return new RpcError(rpcCodeOf(error), error.message, [failureDetail(error)]);
}

/** For `error.data`, beside other details. */
export function failureDetail(error: BackupError): v.InferOutput<typeof Failure> {
  return { "@type": FAILURE_TYPE, failure: toWireError(error) };
}

/** The failure that an `RpcError` carries; undefined when it carries none. */
export function failureIn(error: RpcError): BackupError | undefined {
  if (!Array.isArray(error.data)) return undefined;
  for (const detail of error.data) {
    const parsed = v.safeParse(Failure, detail);
    if (parsed.success) return fromWireError(parsed.output.failure);
  }
  return undefined;
}

function rpcCodeOf({ code }: BackupError): number {
  switch (code) {
    case "usage":
    case "not_found":
    case "unsupported":
      return RPC_CODES.invalidParams;
    default:
      return RPC_CODES.unavailable;
  }
}
