/** Calls to others of the mesh over the network. Rule: HTTP/1.1, because Deno's HTTP/2 client waits 40 ms a message. */
import type { FetchLike } from "../rpc/client.ts";
import { createProvenFetch } from "./proven_fetch.ts";

/** `fetch` that carries the token to whoever has proven to know it. `ca`: PEM, beside the system's authorities. */
export function createMeshFetch(options: {
  token: string;
  clock: { monotonicMs(): number };
  ca?: string | undefined;
}): FetchLike {
  const { token, clock } = options;
  return createProvenFetch({ fetch: createPlainFetch(options.ca), token, clock });
}

/** Without a token, e.g. for cards. */
export function createPlainFetch(ca?: string): FetchLike {
  const client = Deno.createHttpClient({
    http1: true,
    http2: false,
    ...(ca === undefined ? {} : { caCerts: [ca] }),
  });
  // Never to another place than was asked for: a token must not be led away.
  return (request) => fetch(request, { client, redirect: "error" });
}
