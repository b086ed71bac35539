/** A stream of envelopes as an SSE response. Rule: nothing is read from the stream before the peer can take it. */
import type { Clock } from "../base/clock.ts";
import { encodeEnvelope, type ResponseEnvelope } from "../rpc/envelope.ts";
import type { EventStream } from "../rpc/method.ts";
import { encodeSseEvent, SSE_MEDIA_TYPE, SSE_PING } from "../rpc/sse.ts";

/** Some HTTP clients give up on a silent connection after minutes, some proxies after 30 s. */
const PING_EVERY_MS = 15_000;

/** When the peer goes away the stream is returned; whatever feeds it goes on. */
export function sseResponse(
  events: EventStream<ResponseEnvelope>,
  clock: Clock,
  headers: Readonly<Record<string, string>>,
): Response {
  const encoder = new TextEncoder();
  let stopPings = () => {};
  let isWaiting = false;
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(controller) {
      stopPings = clock.every(PING_EVERY_MS, () => {
        if (isWaiting) controller.enqueue(encoder.encode(SSE_PING));
      });
    },
    async pull(controller) {
      isWaiting = true;
      const step = await events.next();
      if (!isWaiting) return;
      isWaiting = false;
      if (!step.done) {
        controller.enqueue(encoder.encode(encodeSseEvent(encodeEnvelope(step.value))));
        return;
      }
      stopPings();
      controller.close();
    },
    async cancel() {
      isWaiting = false;
      stopPings();
      await events.return();
    },
  }, { highWaterMark: 0 });
  return new Response(body, {
    headers: { ...headers, "content-type": SSE_MEDIA_TYPE, "cache-control": "no-cache" },
  });
}
