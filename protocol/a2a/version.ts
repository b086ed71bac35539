/** What a caller must speak. Rule: this agent speaks A2A 1.0, and the patch level never matters. */
import type { CallContext } from "../rpc/method.ts";
import { a2aError } from "./a2a_error.ts";

export const A2A_VERSION = "1.0";
export const VERSION_HEADER = "A2A-Version";
export const EXTENSIONS_HEADER = "A2A-Extensions";

/** What a request without the header speaks, by definition. */
const UNSTATED_VERSION = "0.3";

/** @throws {RpcError} -32009 when the caller asks for another version, or for none. */
export function requireVersion(context: CallContext): void {
  const asked = context.header(VERSION_HEADER)?.trim() || UNSTATED_VERSION;
  if (/^1\.0(\.\d+)?$/.test(asked)) return;
  throw a2aError(
    "VERSION_NOT_SUPPORTED",
    `A2A ${asked.slice(0, 20)} is not supported: send the header ${VERSION_HEADER}: ${A2A_VERSION}`,
    { supported: A2A_VERSION },
  );
}

/** The extensions of `supported` that a caller asks for with `A2A-Extensions`. */
export function activatedExtensions(
  header: string | undefined,
  supported: readonly string[],
): string[] {
  const asked = new Set((header ?? "").split(",").map((uri) => uri.trim()));
  return supported.filter((uri) => asked.has(uri));
}

/** @throws {RpcError} -32008 when the caller does not activate an extension that every call needs. */
export function requireExtensions(context: CallContext, required: readonly string[]): void {
  const active = activatedExtensions(context.header(EXTENSIONS_HEADER), required);
  const missing = required.filter((uri) => !active.includes(uri));
  if (missing.length === 0) return;
  throw a2aError(
    "EXTENSION_SUPPORT_REQUIRED",
    `This agent needs an extension: send the header ${EXTENSIONS_HEADER}: ${missing.join(", ")}`,
    { required: missing.join(", ") },
  );
}
