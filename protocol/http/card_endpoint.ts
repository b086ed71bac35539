/** The agent card over HTTP. Rule: the same bytes at every path, and their ETag and date change when the facts do. */
import { createHash } from "node:crypto";
import * as v from "valibot";
import { AgentCard } from "../a2a/agent_card.ts";
import type { Clock } from "../base/clock.ts";

/** Seconds a reader may use the card without asking again; as long as a heartbeat, whose load it shows. */
const MAX_AGE_SECONDS = 10;

interface Version {
  /** What was asked for last, so that the same object is not written again. */
  card: AgentCard;
  body: string;
  etag: string;
  modifiedSeconds: number;
}

/** `card` is asked at each request and must be cheap. */
export function createCardEndpoint(
  card: () => AgentCard,
  clock: Pick<Clock, "nowMs">,
): (request: Request) => Response {
  let latest: Version | undefined;

  function current(): Version {
    const next = card();
    if (latest?.card === next) return latest;
    const body = JSON.stringify(v.parse(AgentCard, next));
    if (latest?.body === body) return latest = { ...latest, card: next };
    const nowSeconds = Math.floor(clock.nowMs() / 1000);
    // A date is never that of two versions, though two may be made within a second.
    const modifiedSeconds = Math.max(nowSeconds, (latest?.modifiedSeconds ?? 0) + 1);
    const etag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 27)}"`;
    return latest = { card: next, body, etag, modifiedSeconds };
  }

  return ({ headers }) => {
    const { body, etag, modifiedSeconds } = current();
    const about = {
      etag,
      "last-modified": new Date(modifiedSeconds * 1000).toUTCString(),
      "cache-control": `public, max-age=${MAX_AGE_SECONDS}`,
    };
    if (isKnown(headers, etag, modifiedSeconds)) {
      return new Response(null, { status: 304, headers: about });
    }
    return new Response(body, { headers: { ...about, "content-type": "application/json" } });
  };
}

/** Whether the reader has this version; a date counts only when no tag is given. */
function isKnown(headers: Headers, etag: string, modifiedSeconds: number): boolean {
  const tags = headers.get("if-none-match");
  if (tags !== null) {
    const known = tags.split(",").map((tag) => tag.trim().replace(/^W\//, ""));
    return known.includes(etag) || known.includes("*");
  }
  const sinceMs = Date.parse(headers.get("if-modified-since") ?? "");
  return sinceMs >= modifiedSeconds * 1000;
}
