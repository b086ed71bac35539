/** The agent card over HTTP. Rule: the same bytes at every path, with an ETag of their content. */
import { createHash } from "node:crypto";
import type { AgentCard } from "../a2a/agent_card.ts";

/** Seconds a reader may use the card without asking again. */
const MAX_AGE_SECONDS = 60;

/** 304 without a body when `ifNoneMatch` names the card's ETag. */
export function cardResponse(card: AgentCard, ifNoneMatch: string | undefined): Response {
  const body = JSON.stringify(card);
  const etag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 27)}"`;
  const headers = { etag, "cache-control": `public, max-age=${MAX_AGE_SECONDS}` };
  const known = (ifNoneMatch ?? "").split(",").map((tag) => tag.trim().replace(/^W\//, ""));
  if (known.includes(etag) || known.includes("*")) {
    return new Response(null, { status: 304, headers });
  }
  return new Response(body, { headers: { ...headers, "content-type": "application/json" } });
}
