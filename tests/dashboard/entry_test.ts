/** Who gets what: strangers, sessions, other pages. */
import assert from "node:assert/strict";
import { CODE_LASTS_MS } from "../../dashboard/login_code.ts";
import { OPERATIONS } from "../../dashboard/operations/table.ts";
import { ManualClock } from "../support/manual_clock.ts";
import { openDesk, ORIGIN, TOKEN } from "./desk.ts";

const NOBODY = {};

function cookieOf(response: Response): string {
  return response.headers.get("set-cookie")!.split(";")[0]!;
}

Deno.test("without credentials only the shell, health, the description and a status without names are told", async () => {
  await using desk = openDesk();
  for (const operation of OPERATIONS) {
    const path = `/api${operation.path.replaceAll(/:\w+/g, "x")}`;
    const { status, response } = await desk.ask(
      operation.method.toUpperCase(),
      path,
      operation.method === "get" ? undefined : {},
      NOBODY,
    );
    if (operation.isOpen === true) assert.equal(status, 200, path);
    // Tries without any credentials are not counted as wrong ones.
    else assert.equal(status, 401, path);
    await response.body?.cancel();
  }
  for (const path of ["/ws", "/api", "/api/nothing", "/nothing"]) {
    const { status, response } = await desk.ask("GET", path, undefined, NOBODY);
    assert.equal(status, 401, path);
    await response.body?.cancel();
  }
  for (const path of ["/", "/health", "/api/openapi.json", "/login", "/assets/page.css"]) {
    const { status, response } = await desk.ask("GET", path, undefined, NOBODY);
    assert.equal(status, 200, path);
    await response.body?.cancel();
  }
});

Deno.test("what is open holds no path, no name of a file and no host", async () => {
  await using desk = openDesk({ hasNoAgent: true });
  const { json } = await desk.ask("POST", "/api/runs", {
    job: {
      sources: [{ path: "/secret/place", name: "hidden-name" }],
      destinations: [{ path: "/secret/target", key: "private-key" }],
    },
  });
  assert.ok((json as unknown as { runId: string }).runId);
  for (const path of ["/api/status", "/", "/health"]) {
    const { response } = await desk.ask("GET", path, undefined, NOBODY);
    const text = await response.text();
    for (const secret of ["/secret", "hidden-name", "private-key", desk.hostId, TOKEN]) {
      assert.ok(!text.includes(secret), `${path} tells ${secret}: ${text}`);
    }
  }
});

Deno.test("the one-time address gives a session once, and the session opens everything until it is ended", async () => {
  await using desk = openDesk();
  const address = new URL(desk.dashboard.mintLogin());
  assert.equal(address.origin, ORIGIN);
  const path = address.pathname + address.search;
  const looked = await desk.ask("HEAD", path, undefined, NOBODY);
  assert.equal(looked.status, 200);
  const first = await desk.ask("GET", path, undefined, NOBODY);
  assert.equal(first.status, 303);
  const header = first.response.headers.get("set-cookie")!;
  assert.match(header, /HttpOnly/);
  assert.match(header, /SameSite=Strict/);
  assert.doesNotMatch(header, /Secure/);
  assert.equal((await desk.ask("GET", path, undefined, NOBODY)).status, 401);
  const cookie = cookieOf(first.response);
  assert.equal((await desk.ask("GET", "/api/agents", undefined, { cookie })).status, 200);
  const other = cookie.replace(/.$/, (last) => last === "A" ? "B" : "A");
  assert.equal((await desk.ask("GET", "/api/agents", undefined, { cookie: other })).status, 401);
  assert.equal((await desk.ask("DELETE", "/api/session", undefined, { cookie })).status, 200);
  assert.equal((await desk.ask("GET", "/api/agents", undefined, { cookie })).status, 401);
});

Deno.test("under TLS the cookie is Secure and bound to the host", async () => {
  await using desk = openDesk({ origin: "https://127.0.0.1:8888" });
  const { pathname, search } = new URL(desk.dashboard.mintLogin());
  const { response } = await desk.ask("GET", pathname + search, undefined, NOBODY);
  assert.match(response.headers.get("set-cookie")!, /^__Host-.*Secure/);
});

Deno.test("a login address that is too old, of before a restart or of another token is refused", async () => {
  const clock = new ManualClock();
  await using desk = openDesk({ clock });
  const old = new URL(desk.dashboard.mintLogin());
  await clock.advance(CODE_LASTS_MS + 1);
  assert.equal((await desk.ask("GET", old.pathname + old.search, undefined, NOBODY)).status, 401);
  const before = new URL(desk.dashboard.mintLogin());
  await clock.advance(1_000);
  await desk.stop();
  await using again = openDesk({ clock, folder: desk.folder });
  assert.equal(
    (await again.ask("GET", before.pathname + before.search, undefined, NOBODY)).status,
    401,
  );
  const fresh = new URL(again.dashboard.mintLogin());
  const forged = fresh.search.slice(0, -4) + "AAAA";
  assert.equal((await again.ask("GET", "/login" + forged, undefined, NOBODY)).status, 401);
  assert.equal(
    (await again.ask("GET", fresh.pathname + fresh.search, undefined, NOBODY)).status,
    303,
  );
});

Deno.test("wrong tries to log in and wrong tokens are slowed down, and the right one passes all the same", async () => {
  await using desk = openDesk({ clock: new ManualClock() });
  const statuses = new Set<number>();
  for (let i = 0; i < 30; i++) {
    statuses.add((await desk.ask("GET", "/login?code=wrong", undefined, NOBODY)).status);
  }
  assert.deepEqual([...statuses].sort(), [401, 429]);
  const { pathname, search } = new URL(desk.dashboard.mintLogin());
  assert.equal((await desk.ask("GET", pathname + search, undefined, NOBODY)).status, 303);
  statuses.clear();
  for (let i = 0; i < 30; i++) {
    const headers = { authorization: "Bearer wrong" };
    statuses.add((await desk.ask("GET", "/api/agents", undefined, headers)).status);
  }
  assert.deepEqual([...statuses].sort(), [401, 429]);
  assert.equal((await desk.ask("GET", "/api/agents")).status, 200);
});

Deno.test("a page from another origin, or under another name, is refused before it is asked who it is", async () => {
  await using desk = openDesk();
  const { pathname, search } = new URL(desk.dashboard.mintLogin());
  const cookie = cookieOf(
    (await desk.ask("GET", pathname + search, undefined, NOBODY)).response,
  );
  const foreign: Record<string, string>[] = [
    { origin: "https://evil.example", cookie },
    { origin: "http://127.0.0.1:9999", cookie },
    { origin: "null", cookie },
    { "sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors", cookie },
    { "sec-fetch-site": "cross-site", "sec-fetch-mode": "cors", cookie },
    { host: "evil.example", cookie },
    { origin: "https://evil.example", authorization: `Bearer ${TOKEN}` },
  ];
  for (const headers of foreign) {
    for (const path of ["/api/agents", "/ws", "/api/status", "/"]) {
      const { status, response } = await desk.ask("GET", path, undefined, headers);
      assert.equal(status, 403, `${path} ${JSON.stringify(headers)}`);
      assert.equal(response.headers.get("access-control-allow-origin"), null);
    }
  }
  const own = { origin: ORIGIN, cookie, "sec-fetch-site": "same-origin" };
  assert.equal((await desk.ask("GET", "/api/agents", undefined, own)).status, 200);
  // Somebody follows a link to the dashboard: that is a visit, not a call.
  const link = { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" };
  assert.equal((await desk.ask("GET", "/", undefined, link)).status, 200);
});

Deno.test("a page of a configured origin may call with the token, and never with the session", async () => {
  const origin = "https://status.example";
  await using desk = openDesk({ origins: [origin] });
  const { pathname, search } = new URL(desk.dashboard.mintLogin());
  const cookie = cookieOf(
    (await desk.ask("GET", pathname + search, undefined, NOBODY)).response,
  );
  const preflight = await desk.ask("OPTIONS", "/api/agents", undefined, { origin });
  assert.equal(preflight.status, 204);
  assert.equal(preflight.response.headers.get("access-control-allow-origin"), origin);
  assert.equal(preflight.response.headers.get("access-control-allow-credentials"), null);
  const known = await desk.ask("GET", "/api/agents", undefined, {
    origin,
    "sec-fetch-site": "cross-site",
    "sec-fetch-mode": "cors",
    authorization: `Bearer ${TOKEN}`,
  });
  assert.equal(known.status, 200);
  assert.equal(known.response.headers.get("access-control-allow-origin"), origin);
  assert.equal((await desk.ask("GET", "/api/agents", undefined, { origin, cookie })).status, 401);
});

Deno.test("every answer forbids scripts of others, frames and guesses at types", async () => {
  await using desk = openDesk();
  for (const path of ["/", "/api/agents", "/api/nothing", "/login", "/assets/page.js"]) {
    const { response } = await desk.ask("GET", path);
    const policy = response.headers.get("content-security-policy")!;
    assert.match(policy, /default-src 'none'.*script-src 'self'.*frame-ancestors 'none'/);
    assert.doesNotMatch(policy, /unsafe/);
    assert.equal(response.headers.get("x-content-type-options"), "nosniff");
    await response.body?.cancel();
  }
});

Deno.test("a file of the page is sent once: whoever has it is told so", async () => {
  await using desk = openDesk();
  const { response } = await desk.ask("GET", "/assets/page.css", undefined, NOBODY);
  const etag = response.headers.get("etag")!;
  await response.body?.cancel();
  const again = await desk.ask("GET", "/assets/page.css", undefined, { "if-none-match": etag });
  assert.equal(again.status, 304);
  assert.equal((await desk.ask("GET", "/assets/nothing.js")).status, 404);
});

Deno.test("strangers who ask all the time are slowed down, and a long form is not read; who is known is not held up", async () => {
  await using desk = openDesk({ clock: new ManualClock(), hasNoAgent: true });
  const statuses = new Set<number>();
  for (let i = 0; i < 600; i++) {
    const { status, response } = await desk.ask("GET", "/api/status", undefined, NOBODY);
    await response.body?.cancel();
    statuses.add(status);
  }
  assert.deepEqual([...statuses].sort(), [200, 429]);
  assert.equal((await desk.ask("GET", "/api/status")).status, 200);
  const form = await desk.dashboard.fetch(
    new Request(`${ORIGIN}/login`, {
      method: "POST",
      body: `code=${"x".repeat(1 << 20)}`,
      headers: { "content-type": "application/x-www-form-urlencoded" },
    }),
  );
  assert.equal(form.status, 401);
});

Deno.test("the form of the login page takes the code that the address has", async () => {
  await using desk = openDesk({ hasNoAgent: true });
  const code = new URL(desk.dashboard.mintLogin()).searchParams.get("code")!;
  const form = () =>
    desk.dashboard.fetch(
      new Request(`${ORIGIN}/login`, {
        method: "POST",
        body: new URLSearchParams({ code }),
        headers: { origin: ORIGIN },
      }),
    );
  assert.equal((await form()).status, 303);
  assert.equal((await form()).status, 401);
});
