/** Who gets in: names, pages, tokens. */
import assert from "node:assert/strict";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { createGate, type GateOptions } from "./gate.ts";

function gate(options: Omit<GateOptions, "clock">, clock = new ManualClock()) {
  const admit = createGate({ clock, ...options });
  return (headers: Record<string, string>, peer?: string) =>
    admit(new Request("http://127.0.0.1:8801/rpc", { method: "POST", headers }), peer);
}

Deno.test("only names this agent is reached under are answered, in whatever way they are written", () => {
  const ask = gate({ hosts: ["nas.lan", "192.168.7.3", "fd00::7"] });
  const ours = [
    ...["localhost", "LOCALHOST:8801", "localhost.:1", "127.0.0.1", "127.0.0.1:8801", "[::1]:8801"],
    ...["nas.lan:8801", "NAS.lan", "192.168.7.3:80", "[fd00::7]:1", "[fd00:0::7]"],
  ];
  for (const host of ours) assert.equal(ask({ host }), undefined, host);
  const foreign = [
    ...["evil.example", "evil.example:8801", "localhost.evil.example", "nas.lan.evil.example"],
    ...["192.168.7.4", "[::2]", "127.0.0.1@evil.example", "evil.example/localhost", "a b", ""],
  ];
  for (const host of foreign) assert.equal(ask({ host })?.status, 421, host);
});

Deno.test("an agent bound to every address is reached under every address, and no further name", () => {
  for (const bound of ["0.0.0.0", "::"]) {
    const ask = gate({ hosts: [bound] });
    for (const host of ["10.1.2.3:8801", "[fd00::9]:1", "localhost"]) {
      assert.equal(ask({ host }), undefined, host);
    }
    assert.equal(ask({ host: "evil.example" })?.status, 421);
  }
});

Deno.test("a web page of another origin is refused, before its token is looked at", () => {
  const ask = gate({ hosts: [], origins: ["http://127.0.0.1:8080"], token: "secret" });
  const authorization = "Bearer secret";
  const host = "127.0.0.1:8801";
  for (const origin of ["http://127.0.0.1:8801", "http://127.0.0.1:8080"]) {
    assert.equal(ask({ host, origin, authorization }), undefined, origin);
  }
  const foreign = [
    ...["http://evil.example", "http://127.0.0.1:3000", "http://localhost:8801", "null", "", "x"],
  ];
  for (const origin of foreign) {
    assert.equal(ask({ host, origin, authorization })?.status, 403, origin);
    assert.equal(ask({ host, origin })?.status, 403, origin);
  }
});

Deno.test("without names to check, only the token counts", () => {
  const ask = gate({ token: "secret" });
  assert.equal(ask({ host: "agent.test", authorization: "Bearer secret" }), undefined);
  const refusal = ask({ host: "agent.test" });
  assert.deepEqual([refusal?.status, refusal?.error.code], [401, -32090]);
  assert.match(refusal?.headers["www-authenticate"] ?? "", /^Bearer/);
});

Deno.test("who guesses tokens is slowed down, and the owner is not locked out by it", async () => {
  const clock = new ManualClock();
  const ask = gate({ token: "secret" }, clock);
  const wrong = { authorization: "Bearer guess" };
  for (let i = 0; i < 20; i++) assert.equal(ask(wrong, "10.0.0.1")?.status, 401);
  const refusal = ask(wrong, "10.0.0.1");
  assert.deepEqual([refusal?.status, refusal?.headers["retry-after"]], [429, "1"]);
  assert.equal(ask(wrong, "10.0.0.2")?.status, 401);
  assert.equal(ask({ authorization: "Bearer secret" }, "10.0.0.1"), undefined);
  await clock.advance(1_000);
  assert.deepEqual([ask(wrong, "10.0.0.1")?.status, ask(wrong, "10.0.0.1")?.status], [401, 429]);
});
