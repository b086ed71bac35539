/** What any answer of an agent must be, whatever was asked. */
import assert from "node:assert/strict";
import * as v from "valibot";
import { A2A_ERROR_CODES } from "../../protocol/a2a/a2a_error.ts";
import { ResponseEnvelope } from "../../protocol/rpc/envelope.ts";
import type { BadRequest } from "./bad_requests.ts";

const STATUSES = [200, 204, 400, 404, 405, 408, 413, 429, 503];
const A2A_CODES: ReadonlySet<number> = new Set(Object.values(A2A_ERROR_CODES));

/** @throws when the answer is not one that A2A allows. */
export async function judgeAnswer(request: BadRequest, response: Response): Promise<void> {
  const { status } = response;
  const text = await response.text();
  assert(STATUSES.includes(status), `HTTP ${status}: ${text.slice(0, 200)}`);
  if (status === 204) return;
  const mediaType = response.headers.get("content-type");
  if (mediaType === "text/event-stream") {
    const events = text.split("\n").filter((line) => line.startsWith("data: "));
    assert(events.length > 0, "a stream without events");
    for (const event of events) judgeEnvelope(JSON.parse(event.slice(6)));
    return;
  }
  assert.equal(mediaType, "application/json");
  const body = JSON.parse(text);
  const isRpc = request.method === "POST" && ["/rpc", "/rpc/", "/"].includes(request.path);
  if (isRpc) judgeEnvelope(body);
}

function judgeEnvelope(body: unknown): void {
  const envelope = v.parse(ResponseEnvelope, body);
  if (!("error" in envelope)) return;
  const { code, message, data } = envelope.error;
  assert.deepEqual(Object.keys(envelope).sort(), ["error", "id", "jsonrpc"]);
  assert(code <= -32000 && code >= -32768, `code ${code}`);
  assert.notEqual(code, -32603, "an internal error");
  assert(message !== "" && message.length < 2_000);
  if (!A2A_CODES.has(code)) return;
  const [info] = v.parse(v.array(v.looseObject({ reason: v.string(), domain: v.string() })), data);
  assert.equal(info?.domain, "a2a-protocol.org");
}
