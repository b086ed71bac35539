/** Whom webhooks reach: what an attacker could ask for is refused, before and after names are resolved. */
import assert from "node:assert/strict";
import { addressSet, isPublicAddress } from "./address_rules.ts";
import { createWebhooks, type Lookup } from "./webhooks.ts";

const NEVER = new AbortController().signal;

/** Receives one kind of answer on loopback and keeps what came. */
function receive(answer: () => Response) {
  const seen: { path: string; host: string | null; body: string; headers: Headers }[] = [];
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      const { pathname, search, host } = new URL(request.url);
      seen.push({
        path: pathname + search,
        host,
        body: await request.text(),
        headers: request.headers,
      });
      return answer();
    },
  );
  return { server, seen, port: server.addr.port };
}

Deno.test("addresses that only look public are private", () => {
  const privates = [
    ...["0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.31.0.1"],
    ...["192.168.1.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1"],
    ...["fc00::1", "fd12::1", "ff02::1", "64:ff9b::7f00:1", "2002:7f00:1::", "::7f00:1"],
    ...["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "fe80::1%eth0", "nonsense", ""],
  ];
  for (const address of privates) assert(!isPublicAddress(address), address);
  for (const address of ["8.8.8.8", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8"]) {
    assert(isPublicAddress(address), address);
  }
});

Deno.test("a range that is none is refused", () => {
  for (const range of ["10.0.0.0/", "10.0.0.0/abc", "name/8", "300.0.0.1", "10.0.0.0/64"]) {
    assert.throws(() => addressSet([range]), range);
  }
});

const LOCAL_URLS = [
  ...["http://127.0.0.1/", "http://2130706433/", "http://0x7f.1/", "http://0177.0.0.1/"],
  ...["http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://localhost/", "http://localhost./"],
];
const ODD_URLS = [
  ...["", "nonsense", "/path", "ftp://hooks.example/", "file:///etc/passwd", "javascript:alert(1)"],
  ...["http://user@hooks.example/", "http://:secret@hooks.example/"],
];

Deno.test("only hosts that somebody allowed are called", () => {
  const named = createWebhooks(["hooks.example", "10.9.0.0/16"]);
  for (const url of ["https://hooks.example/a", "http://HOOKS.example.:81/", "http://10.9.3.4/"]) {
    assert.equal(named.refusal(url), undefined, url);
  }
  const others = ["http://evil.example/", "http://hooks.example.evil.example/", "http://8.8.8.8/"];
  for (const url of [...LOCAL_URLS, ...ODD_URLS, ...others, "http://10.8.0.1/"]) {
    assert.notEqual(named.refusal(url), undefined, url);
  }
  const any = createWebhooks(["*"]);
  assert.equal(any.refusal("https://hooks.example/"), undefined);
  assert.equal(any.refusal("http://8.8.8.8/"), undefined);
  for (const url of [...LOCAL_URLS.slice(0, 6), ...ODD_URLS, "http://169.254.169.254/latest"]) {
    assert.notEqual(any.refusal(url), undefined, url);
  }
  const local = createWebhooks(["loopback"]);
  for (const url of LOCAL_URLS) assert.equal(local.refusal(url), undefined, url);
  assert.notEqual(local.refusal("http://169.254.169.254/"), undefined);
});

Deno.test("a name that resolves to a private address is not called", async () => {
  const { server, seen, port } = receive(() => new Response());
  const lookup: Lookup = () => Promise.resolve([{ address: "127.0.0.1", family: 4 }]);
  for (const allowed of [["*"], ["hooks.example"]]) {
    const webhooks = createWebhooks(allowed, lookup);
    const url = `http://hooks.example:${port}/`;
    assert.equal(webhooks.refusal(url), undefined);
    await assert.rejects(webhooks.post(url, {}, "{}", NEVER), /no address that may be called/);
  }
  await assert.rejects(createWebhooks(["*"]).post(`http://localhost:${port}/`, {}, "{}", NEVER));
  assert.deepEqual(seen, []);
  await server.shutdown();
});

Deno.test("the address that was checked is the one that is called, and the name is asked once", async () => {
  const { server, seen, port } = receive(() => new Response(null, { status: 204 }));
  let asked = 0;
  // A name that answers otherwise the second time, as in an attack by DNS rebinding.
  const lookup: Lookup = () =>
    Promise.resolve([
      { address: "10.0.0.1", family: 4 },
      { address: asked++ === 0 ? "127.0.0.1" : "169.254.169.254", family: 4 },
    ]);
  const webhooks = createWebhooks(["hooks.example", "127.0.0.1"], lookup);
  const headers = { authorization: "Bearer x", "content-type": "application/a2a+json" };
  const status = await webhooks.post(`http://hooks.example:${port}/a?b=1`, headers, "{}", NEVER);
  assert.deepEqual([status, asked], [204, 1]);
  const [first] = seen;
  assert.deepEqual([first?.path, first?.host, first?.body], [
    "/a?b=1",
    `hooks.example:${port}`,
    "{}",
  ]);
  assert.equal(first?.headers.get("authorization"), "Bearer x");
  await server.shutdown();
});

Deno.test("a redirect is an answer and is not followed", async () => {
  const { server, seen, port } = receive(() => Response.redirect("http://127.0.0.1/other"));
  const webhooks = createWebhooks(["loopback"]);
  assert.equal(await webhooks.post(`http://localhost:${port}/`, {}, "{}", NEVER), 302);
  assert.equal(seen.length, 1);
  await server.shutdown();
});

Deno.test("a receiver that does not answer is left when the time is up", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const stop = new AbortController();
  const webhooks = createWebhooks(["loopback"]);
  const sent = webhooks.post(`http://127.0.0.1:${listener.addr.port}/`, {}, "{}", stop.signal);
  const connection = await listener.accept();
  stop.abort(new Error("time is up"));
  await assert.rejects(sent, /time is up/);
  connection.close();
  listener.close();
});
