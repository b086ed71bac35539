/** Reading requests. Rule: no caller decides how long or how large they are, and all of them together are bounded. */
import type { Clock } from "../base/clock.ts";
import { RPC_CODES } from "../rpc/error_codes.ts";
import { BodyTooLargeError } from "../rpc/limited_text.ts";
import { RpcError } from "../rpc/rpc_error.ts";

export interface BodyLimits {
  /** Of one request; a task with thousands of exclude lines is far smaller. */
  bodyBytesMax: number;
  /** Of all requests being read. */
  bodiesBytesMax: number;
  /** From the first byte to the last. */
  bodyMsMax: number;
}

export interface BodyReader {
  /**
   * The whole body.
   * @throws {BodyTooLargeError} -
   * @throws {RpcError} -32095 when it takes too long, -32093 when too much is being read, -32700 for broken UTF-8.
   */
  read(request: Request): Promise<string>;
}

/** A reason of one's own, since the default one is an exception with a stack, made anew for every request. */
const READ = "The body is read";

export function createBodyReader(limits: BodyLimits, clock: Clock): BodyReader {
  const { bodyBytesMax, bodiesBytesMax, bodyMsMax } = limits;
  let heldBytes = 0;

  return {
    async read({ body, headers }) {
      if (Number(headers.get("content-length") ?? 0) > bodyBytesMax) {
        await body?.cancel().catch(() => {});
        throw new BodyTooLargeError(`The request is longer than ${bodyBytesMax} bytes`);
      }
      if (body === null) return "";
      const reader = body.getReader();
      const timer = new AbortController();
      const late = Promise.withResolvers<never>();
      late.promise.catch(() => {});
      clock.sleep(bodyMsMax, timer.signal).then(() => {
        late.reject(new RpcError(RPC_CODES.tooSlow, `The request took more than ${bodyMsMax} ms`));
      }, () => {});
      const chunks: Uint8Array[] = [];
      let bytes = 0;
      try {
        while (true) {
          const step = await Promise.race([reader.read(), late.promise]);
          if (step.done) return decode(chunks);
          bytes += step.value.byteLength;
          heldBytes += step.value.byteLength;
          if (bytes > bodyBytesMax) {
            throw new BodyTooLargeError(`The request is longer than ${bodyBytesMax} bytes`);
          }
          if (heldBytes > bodiesBytesMax) {
            throw new RpcError(RPC_CODES.unavailable, "Too much is being received");
          }
          chunks.push(step.value);
        }
      } catch (thrown) {
        reader.cancel().catch(() => {});
        throw thrown;
      } finally {
        timer.abort(READ);
        heldBytes -= bytes;
      }
    },
  };
}

function decode(chunks: readonly Uint8Array[]): string {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  try {
    return chunks.map((chunk) => decoder.decode(chunk, { stream: true })).join("") +
      decoder.decode();
  } catch {
    throw new RpcError(RPC_CODES.parseError, "The request body is not UTF-8");
  }
}
