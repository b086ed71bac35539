import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BackupError } from "../base/errors.ts";
import { systemClock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import { makeCertificates } from "../../tests/support/certificates.ts";
import { needs } from "../../tests/support/tools.ts";
import { isLoopback, serveApp } from "./serve_app.ts";

const app = {
  async fetch(request: Request) {
    return new Response(
      `${request.method} ${new URL(request.url).pathname} ${await request.text()}`,
    );
  },
};

Deno.test("an app is served on a free port of loopback, and a port in use is refused with a hint", async () => {
  const served = await serveApp({
    ...app,
    host: "127.0.0.1",
    port: 0,
    clock: systemClock,
    log: silentLog,
  });
  try {
    assert.equal(served.origin, `http://127.0.0.1:${served.port}`);
    const answer = await fetch(`${served.origin}/x`, { method: "POST", body: "hello" });
    assert.equal(await answer.text(), "POST /x hello");
    await assert.rejects(
      serveApp({
        ...app,
        host: "127.0.0.1",
        port: served.port,
        clock: systemClock,
        log: silentLog,
      }),
      (e) => e instanceof BackupError && e.code === "config" && e.hint!.includes("--port"),
    );
  } finally {
    await served.close();
    await served.close();
  }
});

Deno.test("an address that is not ours is refused", async () => {
  await assert.rejects(
    serveApp({ ...app, host: "192.0.2.1", port: 0, clock: systemClock, log: silentLog }),
    (e) => e instanceof BackupError && e.code === "config",
  );
});

Deno.test("only loopback counts as loopback", () => {
  for (const host of ["127.0.0.1", "127.8.9.1", "localhost", "::1"]) assert.ok(isLoopback(host));
  for (const host of ["0.0.0.0", "::", "10.0.0.1", "127.evil.example", "host"]) {
    assert.ok(!isLoopback(host), host);
  }
});

Deno.test({
  ...needs("with a client CA only callers with a certificate of it are answered", "openssl"),
  async fn() {
    const folder = mkdtempSync(join(tmpdir(), "tls-"));
    try {
      const pem = makeCertificates(folder).read;
      const served = await serveApp({
        ...app,
        host: "127.0.0.1",
        port: 0,
        clock: systemClock,
        log: silentLog,
        tls: { cert: pem("server.pem"), key: pem("server.key"), clientCa: pem("ca.pem") },
      });
      try {
        const known = { cert: pem("client.pem"), key: pem("client.key") };
        assert.equal(await post(served.port, pem("ca.pem"), known), "POST /rpc body");
        await assert.rejects(post(served.port, pem("ca.pem"), {}));
        await assert.rejects(post(served.port, pem("ca.pem"), {
          cert: pem("stranger.pem"),
          key: pem("stranger.key"),
        }));
      } finally {
        await served.close();
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
});

/** Sends that much of a request and nothing more; what comes back until the other side closes. */
async function halfOpen(port: number, text: string): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  if (text !== "") await connection.write(new TextEncoder().encode(text));
  const answer = await new Response(connection.readable).text().catch(() => "closed");
  return answer.split("\r\n")[0]!;
}

Deno.test("connections that others never make a request of are closed, and whole requests are answered beside them", async () => {
  const patience = { headersMs: 200, requestMs: 400, lookEveryMs: 50 };
  const { promise: othersClosed, resolve: letGo } = Promise.withResolvers<void>();
  const served = await serveApp({
    async fetch(request) {
      // An answer may take as long as it likes.
      if (request.url.endsWith("/slow")) await othersClosed;
      return await app.fetch(request);
    },
    ...{ host: "0.0.0.0", port: 0, clock: systemClock, log: silentLog, patience },
  });
  try {
    const slow = fetch(`${served.origin}/slow`, { method: "POST", body: "slow" });
    const open = [
      halfOpen(served.port, ""),
      halfOpen(served.port, "POST /x HTTP/1.1\r\nhost: x\r\n"),
      halfOpen(served.port, "POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf"),
    ];
    const answer = await fetch(`${served.origin}/x`, { method: "POST", body: "whole" });
    assert.equal(await answer.text(), "POST /x whole");
    for (const closed of await Promise.all(open)) assert.match(closed, / 408 |^closed$|^$/);
    letGo();
    assert.equal(await (await slow).text(), "POST /slow slow");
  } finally {
    await served.close();
  }
});

Deno.test("a request under a name or with a method that there cannot be is 400, and fills no log", async () => {
  const lines: unknown[] = [];
  const log = (...line: unknown[]) => void lines.push(line);
  const served = await serveApp({
    ...app,
    ...{ host: "0.0.0.0", port: 0, clock: systemClock, log },
  });
  try {
    for (const head of ["GET / HTTP/1.1\r\nhost: a b", "TRACE / HTTP/1.1\r\nhost: x"]) {
      assert.match(await halfOpen(served.port, `${head}\r\n\r\n`), / 400 /, head);
    }
    assert.deepEqual(lines, []);
  } finally {
    await served.close();
  }
});

Deno.test({
  ...needs("others are served over TLS, and whoever never ends its handshake is closed", "openssl"),
  async fn() {
    const folder = mkdtempSync(join(tmpdir(), "tls-"));
    try {
      const pem = makeCertificates(folder).read;
      const served = await serveApp({
        ...app,
        host: "0.0.0.0",
        port: 0,
        clock: systemClock,
        log: silentLog,
        tls: { cert: pem("server.pem"), key: pem("server.key") },
        patience: { headersMs: 200, requestMs: 400, lookEveryMs: 50 },
      });
      try {
        const silent = halfOpen(served.port, "");
        assert.equal(await post(served.port, pem("ca.pem"), {}), "POST /rpc body");
        await silent;
      } finally {
        await served.close();
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
});

function post(port: number, ca: string, own: { cert?: string; key?: string }): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = request(
      { host: "127.0.0.1", port, path: "/rpc", method: "POST", ca, ...own },
      (res) => {
        let text = "";
        res.on("data", (chunk) => text += chunk);
        res.on("end", () => resolve(text));
        res.on("error", reject);
      },
    );
    call.on("error", reject);
    call.end("body");
  });
}
