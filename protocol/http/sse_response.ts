/** A stream of envelopes as an SSE response. Rule: nothing is read from the stream before the peer can take it. */
import type { Clock } from "../base/clock.ts";
import { encodeEnvelope, type ResponseEnvelope } from "../rpc/envelope.ts";
import type { EventStream } from "../rpc/method.ts";
import { encodeSseEvent, SSE_MEDIA_TYPE, SSE_PING } from "../rpc/sse.ts";

/** Some HTTP clients give up on a silent connection after minutes, some proxies after 30 s. */
const PING_EVERY_MS = 15_000;
/** A peer that takes nothing for so many pings is given up. */
const STALLED_PINGS_MAX = 4;

/**
 * When the peer goes away, or does not read for a minute, the stream is returned; whatever feeds it goes on. `onClosed`
 * is called once at the end, whichever it is.
 */
export function sseResponse(
  events: EventStream<ResponseEnvelope>,
  clock: Clock,
  headers: Readonly<Record<string, string>>,
  onClosed: () => void = () => {},
): Response {
  const encoder = new TextEncoder();
  let stopPings = () => {};
  let isWaiting = false;
  let isClosed = false;
  let stalledPings = 0;
  const close = () => {
    if (isClosed) return;
    isClosed = true;
    isWaiting = false;
    stopPings();
    onClosed();
  };
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(controller) {
      stopPings = clock.every(PING_EVERY_MS, () => {
        // A negative size: the last ping is still here.
        if (isWaiting && (controller.desiredSize ?? 0) >= 0) {
          stalledPings = 0;
          return controller.enqueue(encoder.encode(SSE_PING));
        }
        if (++stalledPings < STALLED_PINGS_MAX) return;
        close();
        controller.error(new Error("The peer does not read"));
        events.return();
      });
    },
    async pull(controller) {
      isWaiting = true;
      stalledPings = 0;
      const step = await events.next();
      if (!isWaiting) return;
      isWaiting = false;
      if (!step.done) {
        controller.enqueue(encoder.encode(encodeSseEvent(encodeEnvelope(step.value))));
        return;
      }
      close();
      controller.close();
    },
    async cancel() {
      close();
      await events.return();
    },
  }, { highWaterMark: 0 });
  return new Response(body, {
    headers: { ...headers, "content-type": SSE_MEDIA_TYPE, "cache-control": "no-cache" },
  });
}
