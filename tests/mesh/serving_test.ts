/** A role as strangers, browsers and its owner meet it. Rule: real processes on real ports; what is refused has no effect. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { WELL_KNOWN_CARD_PATH } from "../../protocol/a2a/client.ts";
import { CAPABILITIES } from "../../protocol/mesh/capability.ts";
import { makeCertificates } from "../support/certificates.ts";
import { createMesh, type Mesh, type RoleProcess } from "../support/mesh_processes.ts";
import { needs } from "../support/tools.ts";

/** Nobody listens there. */
const NO_COORDINATOR = ["--coordinator", "http://127.0.0.1:9"];

Deno.test("a worker starts without a coordinator; its card is public, the rest is its owner's alone", async () => {
  await using mesh = createMesh();
  const worker = await startWorker(mesh, "alone");
  const cards = await Promise.all(
    ["/agent-card", WELL_KNOWN_CARD_PATH].map(async (path) => text(await fetch(worker.url + path))),
  );
  assert.equal(cards[0]!.body, cards[1]!.body);
  const card = JSON.parse(cards[0]!.body);
  assert.equal(card.name, "alone");
  assert.equal(card.supportedInterfaces[0].url, `${worker.url}/rpc`);
  assert.equal(card.capabilities.extensions[0].params.agentId, worker.agentId);
  assert.deepEqual(
    card.skills.map((skill: { id: string }) => skill.id).sort(),
    [...CAPABILITIES].sort(),
  );
  assert.equal((await text(await fetch(`${worker.url}/health`))).status, 200);

  assert.equal(statSync(`${mesh.stateDir}/mesh-token`).mode & 0o777, 0o600);
  const calls: [string, RequestInit][] = [
    ["/rpc", rpc("ListTasks")],
    ["/", rpc("ListTasks")],
    ["/ready", {}],
    ["/metrics", {}],
  ];
  for (const [path, init] of calls) {
    for (const token of [undefined, "wrong", `${mesh.token}x`, mesh.token.slice(1)]) {
      const { status } = await text(await fetch(worker.url + path, withToken(init, token)));
      assert.ok(status === 401 || status === 429, `${path} with ${token}: ${status}`);
    }
    const { status } = await text(await fetch(worker.url + path, withToken(init, mesh.token)));
    assert.equal(status, path === "/ready" ? 503 : 200, path);
  }
  const ready = await text(await fetch(`${worker.url}/ready`, withToken({}, mesh.token)));
  assert.deepEqual(JSON.parse(ready.body), { ready: false, reasons: ["No coordinator answers"] });
});

Deno.test("a web page reaches nothing, whatever it calls itself and even with the token", async () => {
  await using mesh = createMesh();
  const worker = await startWorker(mesh, "browsed");
  const call = (headers: Record<string, string>) =>
    rawStatus(worker.port, { authorization: `Bearer ${mesh.token}`, ...headers });
  assert.equal(await call({ origin: "https://evil.example" }), 403);
  assert.equal(await call({ origin: "null" }), 403);
  assert.equal(await call({ host: `evil.example:${worker.port}` }), 421);
  assert.equal(await call({ host: `localhost:${worker.port}` }), 200);
});

Deno.test("roles started at one moment agree on one token, and only its owner can read it", async () => {
  await using mesh = createMesh();
  const workers = await Promise.all(["a", "b", "c"].map((name) => startWorker(mesh, name)));
  for (const { url } of workers) {
    const { status } = await text(
      await fetch(`${url}/rpc`, withToken(rpc("ListTasks"), mesh.token)),
    );
    assert.equal(status, 200);
  }
  assert.equal(new Set(workers.map(({ agentId }) => agentId)).size, 3);
  chmodSync(`${mesh.stateDir}/mesh-token`, 0o644);
  const { code, err } = await mesh.run(roleWords(mesh));
  assert.deepEqual([code, /can be read by others/.test(err)], [2, true], err);
});

Deno.test("an agent is the same after a restart, and no two processes are it at once", async () => {
  await using mesh = createMesh();
  const worker = await startWorker(mesh, "same");
  const bootOf = async ({ url }: RoleProcess) =>
    JSON.parse((await text(await fetch(`${url}/agent-card`))).body).capabilities.extensions[0]
      .params
      .bootId;
  const firstBoot = await bootOf(worker);
  const { code, err } = await mesh.run(roleWords(mesh, "--name", "same"));
  assert.deepEqual([code, /agent same is running/.test(err)], [2, true], err);
  await worker.crash();
  const again = await worker.again();
  assert.deepEqual([again.agentId, again.url], [worker.agentId, worker.url]);
  assert.notEqual(await bootOf(again), firstBoot);
});

Deno.test("what cannot be served is refused with a reason and exit code 2, and leaves nothing running", async () => {
  await using mesh = createMesh();
  const worker = await startWorker(mesh, "first");
  writeFileSync(`${mesh.folder}/token`, "a token of one's own choice\n".replaceAll(" ", "-"));
  writeFileSync(`${mesh.folder}/empty`, "");
  mkdirSync(`${mesh.folder}/in`);
  const chosen = ["--token-file", "token"];
  const roots = ["--root", "in", "--dest-root", "in"];
  const cases: [string[], RegExp][] = [
    [["--port", String(worker.port)], /Port \d+ is in use/],
    [["--host", "192.0.2.1", ...chosen, "--insecure", ...roots], /no address of this machine/],
    [["--host", "0.0.0.0"], /no token that you have chosen/],
    [["--host", "0.0.0.0", ...chosen], /without TLS/],
    [["--host", "0.0.0.0", ...chosen, "--insecure"], /which folders/],
    [["--host", "0.0.0.0", ...chosen, "--insecure", "--root", "in"], /which folders/],
    [["--token-file", "empty"], /does not hold a mesh token/],
    [["--token-file", "missing"], /Cannot read the mesh token/],
    [["--tls-cert", "empty"], /needs both/],
    [["--tls-cert", "empty", "--tls-key", "empty"], /./],
    [["--capabilities", "sequental"], /Did you mean/],
    [["--root", "a=in", "--root", "a=in"], /given twice/],
    [["--name", "../up"], /not a name/],
  ];
  for (const [words, says] of cases) {
    const { code, err } = await mesh.run(roleWords(mesh, ...words));
    assert.deepEqual([code, says.test(err)], [2, true], `${words.join(" ")}: ${code} ${err}`);
    assert.doesNotMatch(err, /\n\s+at /, "no stack trace");
  }
  const unknown = await mesh.run(["--role", "wroker", "--state-dir", mesh.stateDir]);
  assert.deepEqual([unknown.code, /worker/.test(unknown.err)], [2, true], unknown.err);
});

Deno.test("asked to end a role ends at once with exit code 0, and its log is whole and holds no token", async () => {
  await using mesh = createMesh();
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    const worker = await startWorker(mesh, `ends-by-${signal}`);
    await text(await fetch(`${worker.url}/rpc`, withToken(rpc("ListTasks"), mesh.token)));
    const startedAtMs = performance.now();
    worker.kill(signal);
    const { code, err } = await worker.running.outcome;
    assert.equal(code, 0, err);
    assert.ok(performance.now() - startedAtMs < 5_000);
  }
  const logs = mesh.logs();
  assert.ok(!logs.includes(mesh.token));
  const lines = logs.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(
    lines.filter(({ message }) => message === "Ended").length,
    2,
    "the last line of each is written",
  );
  for (const { time, level } of lines) {
    assert.match(time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    assert.match(level, /^(debug|info|warn|error)$/);
  }
});

Deno.test({
  ...needs(
    "with a client CA whoever shows a certificate of it is answered, with the options of roles and commands alike",
    "openssl",
  ),
  async fn() {
    await using mesh = createMesh();
    const pem = makeCertificates(mesh.folder).path;
    const own = (name: string) => [
      ...["--tls-cert", pem(`${name}.pem`), "--tls-key", pem(`${name}.key`)],
      ...["--tls-ca", pem("ca.pem")],
    ];
    const { url } = await mesh.startRole("worker", {
      words: [...own("server"), "--tls-client-ca", pem("ca.pem"), ...NO_COORDINATOR],
    });
    assert.match(url, /^https:/);
    const card = (...words: string[]) => mesh.run(["card", url, ...words]);
    const shown = await card(...own("client"));
    assert.equal(shown.code, 0, shown.err);
    assert.ok(shown.out.includes(url));
    for (const words of [[], ["--tls-ca", pem("ca.pem")], own("stranger")]) {
      const refused = await card(...words);
      assert.equal(refused.code, 1, `${words.join(" ")}: ${refused.err}`);
    }
    const broken = await card("--tls-cert", pem("ca.key"), "--tls-key", pem("ca.pem"));
    assert.deepEqual([broken.code, /cannot be used/.test(broken.err)], [2, true], broken.err);
  },
});

function startWorker(mesh: Mesh, name: string): Promise<RoleProcess> {
  return mesh.startRole("worker", { words: ["--name", name, ...NO_COORDINATOR] });
}

function roleWords(mesh: Mesh, ...words: string[]): string[] {
  const port = words.includes("--port") ? [] : ["--port", "0"];
  return ["--role", "worker", "--state-dir", mesh.stateDir, ...port, ...NO_COORDINATOR, ...words];
}

function rpc(method: string): RequestInit {
  return {
    method: "POST",
    headers: { "content-type": "application/json", "a2a-version": "1.0" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params: {} }),
  };
}

function withToken(init: RequestInit, token: string | undefined): RequestInit {
  const headers = new Headers(init.headers);
  if (token !== undefined) headers.set("authorization", `Bearer ${token}`);
  return { ...init, headers };
}

async function text(response: Response): Promise<{ status: number; body: string }> {
  return { status: response.status, body: await response.text() };
}

/** With headers that `fetch` does not let anybody choose. */
function rawStatus(port: number, headers: Record<string, string>): Promise<number> {
  const { body, ...init } = rpc("ListTasks");
  const given = { ...init.headers as Record<string, string>, ...headers };
  return new Promise((resolve, reject) => {
    const call = request({ host: "127.0.0.1", port, path: "/rpc", method: "POST", headers: given });
    call.on("response", (answer) => {
      answer.resume();
      resolve(answer.statusCode!);
    });
    call.on("error", reject);
    call.end(body);
  });
}
