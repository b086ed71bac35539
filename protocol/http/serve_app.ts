/**
 * A Hono app behind a socket. Rule: it is served on loopback unless somebody asks for more, and what is asked for is
 * either served as asked or refused with a reason.
 */
import {
  createServer as createPlainServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from "node:http";
import { createServer as createTlsServer } from "node:https";
import { Readable } from "node:stream";
import type { Clock } from "../base/clock.ts";
import { BackupError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { ServerEnv } from "./agent_app.ts";
import { createUpgrades, wantsSocket } from "./upgrades.ts";

export interface TlsFiles {
  /** PEM texts. */
  cert: string;
  key: string;
  /** When set, every caller needs a certificate that one of these has signed. */
  clientCa?: string | undefined;
}

export interface ServeOptions {
  fetch: (request: Request, env: ServerEnv) => Response | Promise<Response>;
  /** An address of this machine, or a name for one. */
  host: string;
  /** 0 takes any free one. */
  port: number;
  tls?: TlsFiles | undefined;
  clock: Pick<Clock, "every">;
  log: Log;
  /** How long others may take; for tests. */
  patience?: Patience;
}

/** What a connection may take its time for. */
export interface Patience {
  /** TLS, then line and headers of a request. */
  headersMs: number;
  /** All of a request. */
  requestMs: number;
  /** How often connections are looked at. */
  lookEveryMs: number;
}

const PATIENCE: Patience = { headersMs: 10_000, requestMs: 60_000, lookEveryMs: 5_000 };
/** At once, from everywhere; each may hold a request's worth of memory. */
const CONNECTIONS_MAX = 4_096;

export interface Served {
  /** As others on this machine reach it: `http://127.0.0.1:8801`; an address that means all becomes loopback. */
  readonly origin: string;
  readonly port: number;
  /** Takes no new connections and waits for the answers under way; idempotent. */
  close(): Promise<void>;
}

/**
 * `Deno.serve` waits for ever for headers that never end and cannot ask for certificates, so what others can reach is served
 * by `node:http`, which costs 77 µs more a request; on loopback there are only processes of this machine.
 * @throws {BackupError} `config` when the port is in use or the address is not ours.
 */
export async function serveApp(options: ServeOptions): Promise<Served> {
  const { host, tls } = options;
  try {
    const { port, close } = tls?.clientCa === undefined && isLoopback(host)
      ? serveByDeno(options)
      : await serveByNode(options);
    const scheme = tls === undefined ? "http" : "https";
    return { origin: `${scheme}://${urlHost(reachable(host))}:${port}`, port, close: once(close) };
  } catch (thrown) {
    throw cannotServe(thrown, options);
  }
}

/** Whether only this machine can reach it. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(?:\.\d{1,3}){3}$/.test(host);
}

/** `::1` as it stands in a URL. */
export function urlHost(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

function reachable(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  return host === "::" ? "::1" : host;
}

function serveByDeno({ fetch, host, port, tls, log }: ServeOptions) {
  const server = Deno.serve({
    hostname: host,
    port,
    ...(tls === undefined ? {} : { cert: tls.cert, key: tls.key }),
    onListen() {},
    onError(error) {
      log("error", "A request failed unexpectedly", { error: String(error) });
      return new Response("Internal error\n", { status: 500 });
    },
  }, (request, { remoteAddr }) =>
    fetch(request, {
      remoteAddr: peerOf(remoteAddr),
      upgrade: () => Deno.upgradeWebSocket(request),
    }));
  return { port: server.addr.port, close: () => server.shutdown() };
}

function peerOf(address: Deno.Addr): { hostname?: string } {
  return "hostname" in address ? { hostname: address.hostname } : {};
}

async function serveByNode(options: ServeOptions) {
  const { fetch, host, port, clock, log, tls, patience = PATIENCE } = options;
  const scheme = tls === undefined ? "http" : "https";
  const limits: ServerOptions & { shouldUpgradeCallback: typeof wantsSocket } = {
    // Some clients offer another protocol with every request, and mean the request.
    shouldUpgradeCallback: wantsSocket,
    headersTimeout: patience.headersMs,
    requestTimeout: patience.requestMs,
    connectionsCheckingInterval: patience.lookEveryMs,
  };
  const onRequest = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    answer(fetch, scheme, incoming, outgoing).catch((thrown) => {
      log("error", "A request failed unexpectedly", { error: String(thrown) });
      outgoing.destroy();
    });
  };
  const server: Server = tls === undefined
    ? createPlainServer(limits, onRequest)
    : createTlsServer({
      ...limits,
      handshakeTimeout: patience.headersMs,
      cert: tls.cert,
      key: tls.key,
      ...(tls.clientCa !== undefined &&
        { ca: tls.clientCa, requestCert: true, rejectUnauthorized: true }),
    }, onRequest);
  server.maxConnections = CONNECTIONS_MAX;
  const upgrades = createUpgrades(clock);
  server.on("upgrade", (incoming, connection, head) => {
    void upgrades.answer(incoming, connection, head, async (upgrade) => {
      const request = requestOf(scheme, incoming, AbortSignal.timeout(patience.requestMs));
      if (request === undefined) return new Response("Bad request\n", { status: 400 });
      return await fetch(request, { ...envOf(incoming), upgrade });
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new TypeError("Not a TCP address");
  return {
    port: address.port,
    close: () =>
      new Promise<void>((resolve) => {
        upgrades.close();
        server.close(() => resolve());
      }),
  };
}

async function answer(
  fetch: ServeOptions["fetch"],
  scheme: "http" | "https",
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  outgoing.on("close", () => gone.abort());
  const request = requestOf(scheme, incoming, gone.signal);
  if (request === undefined) {
    outgoing.writeHead(400, { connection: "close" });
    return void outgoing.end("Bad request\n");
  }
  const response = await fetch(request, envOf(incoming));
  outgoing.writeHead(response.status, [...response.headers]);
  if (response.body === null) return void outgoing.end();
  const reader = response.body.getReader();
  gone.signal.addEventListener("abort", () => void reader.cancel().catch(() => {}));
  for (;;) {
    const step = await reader.read();
    if (step.done) break;
    if (!outgoing.write(step.value)) {
      await new Promise<void>((resolve) => {
        outgoing.once("drain", resolve);
        gone.signal.addEventListener("abort", () => resolve(), { once: true });
      });
    }
  }
  outgoing.end();
}

/** Undefined: a name or method that there cannot be. Not logged, since anybody may send it as often as they like. */
function requestOf(
  scheme: "http" | "https",
  incoming: IncomingMessage,
  signal: AbortSignal,
): Request | undefined {
  const headers = new Headers();
  for (const [name, value] of Object.entries(incoming.headers)) {
    for (const one of [value ?? []].flat()) headers.append(name, one);
  }
  const method = incoming.method ?? "GET";
  const hasBody = method !== "GET" && method !== "HEAD";
  try {
    return new Request(
      `${scheme}://${incoming.headers.host ?? "localhost"}${incoming.url ?? "/"}`,
      {
        method,
        headers,
        signal,
        ...(hasBody ? { body: Readable.toWeb(incoming) as ReadableStream<Uint8Array> } : {}),
      },
    );
  } catch {
    return undefined;
  }
}

function envOf({ socket: { remoteAddress } }: IncomingMessage): ServerEnv {
  return { remoteAddr: remoteAddress === undefined ? {} : { hostname: remoteAddress } };
}

function once(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined;
  return () => done ??= work();
}

function cannotServe(thrown: unknown, { host, port }: ServeOptions): unknown {
  const code = (thrown as { code?: string } | undefined)?.code;
  const where = `${urlHost(host)}:${port}`;
  if (thrown instanceof Deno.errors.AddrInUse || code === "EADDRINUSE") {
    return new BackupError("config", `Port ${port} is in use (${where})`, {
      hint:
        "Another agent may be running already; if not, choose another: --role ROLE --port PORT, or 0 for any",
      cause: thrown,
    });
  }
  // `node:http` of Deno 2.9 calls it EINVAL.
  const isNotOurs = code === "EADDRNOTAVAIL" || code === "EINVAL";
  if (thrown instanceof Deno.errors.AddrNotAvailable || isNotOurs) {
    return new BackupError("config", `${host} is no address of this machine`, {
      hint: "Leave out --host to serve on 127.0.0.1",
      cause: thrown,
    });
  }
  if (thrown instanceof Deno.errors.PermissionDenied || code === "EACCES") {
    return new BackupError("config", `This user may not serve on ${where}`, {
      hint: "Choose a port of 1024 or more",
      cause: thrown,
    });
  }
  const why = thrown instanceof Error ? thrown.message : String(thrown);
  return new BackupError("config", `Cannot serve on ${where}: ${why}`, { cause: thrown });
}
