/**
 * Calls to others of the mesh over the network. Rule: HTTP/1.1, because Deno's HTTP/2 client waits 40 ms a message; an
 * agent of this machine is never asked through a proxy.
 */
import { BackupError } from "../base/errors.ts";
import type { FetchLike } from "../rpc/client.ts";
import { createProvenFetch } from "./proven_fetch.ts";

const NO_PROXY_VARIABLES = ["NO_PROXY", "no_proxy"] as const;
const LOOPBACK_HOSTS = "localhost,127.0.0.0/8,::1";

/** How TLS to others is done; all of it PEM. */
export interface PeerTls {
  /** Trusted beside the system's authorities. */
  ca?: string | undefined;
  /** Shown to whoever asks for a certificate. */
  own?: { cert: string; key: string } | undefined;
}

/** `fetch` that carries the token to whoever has proven to know it. */
export function createMeshFetch(
  options: { token: string; clock: { monotonicMs(): number } } & PeerTls,
): FetchLike {
  const { token, clock } = options;
  return createProvenFetch({ fetch: createPlainFetch(options), token, clock });
}

/** Without a token, e.g. for cards. */
export function createPlainFetch({ ca, own }: PeerTls = {}): FetchLike {
  const client = createClient({
    http1: true,
    http2: false,
    ...(ca === undefined ? {} : { caCerts: [ca] }),
    ...(own === undefined ? {} : { cert: own.cert, key: own.key }),
  });
  // Never to another place than was asked for: a token must not be led away.
  return (request) => fetch(request, { client, redirect: "error" });
}

/** @throws {BackupError} `config` for files that hold no certificate or key. */
function createClient(options: Deno.CreateHttpClientOptions & Partial<Deno.TlsCertifiedKeyPem>) {
  try {
    return besideProxies(() => Deno.createHttpClient(options));
  } catch (thrown) {
    throw new BackupError("config", `The certificates cannot be used: ${messageOf(thrown)}`, {
      hint: "--tls-cert, --tls-key and --tls-ca name files in PEM format",
      cause: thrown,
    });
  }
}

/**
 * What a client reads of the environment when it is made: through a proxy an agent of this machine is not reached, or one of
 * the proxy's machine is, and it would read the token. Others are called as the environment says.
 */
function besideProxies<T>(make: () => T): T {
  const before = NO_PROXY_VARIABLES.map((name) => Deno.env.get(name));
  const given = before.find((text) => text !== undefined && text !== "");
  const hosts = given === undefined ? LOOPBACK_HOSTS : `${given},${LOOPBACK_HOSTS}`;
  for (const name of NO_PROXY_VARIABLES) Deno.env.set(name, hosts);
  try {
    return make();
  } finally {
    NO_PROXY_VARIABLES.forEach((name, at) => {
      const text = before[at];
      if (text === undefined) Deno.env.delete(name);
      else Deno.env.set(name, text);
    });
  }
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
