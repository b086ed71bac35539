import assert from "node:assert/strict";
import { makeCertificates } from "../../tests/support/certificates.ts";
import { inScratch } from "../../tests/support/small_tree.ts";
import { needs } from "../../tests/support/tools.ts";
import { BackupError } from "../base/errors.ts";
import { createPlainFetch } from "./mesh_fetch.ts";
import { whyUnreachable } from "../rpc/why_unreachable.ts";

async function whyNot(url: string, ca?: string) {
  try {
    const response = await createPlainFetch({ ca })(new Request(url));
    await response.body?.cancel();
  } catch (thrown) {
    return whyUnreachable(thrown);
  }
  throw new Error(`${url} was reached`);
}

Deno.test({
  ...needs("what TLS refuses is told as what it is, with what to do", "openssl"),
  fn: () =>
    inScratch(async (folder) => {
      const pem = makeCertificates(folder);
      const options = { hostname: "127.0.0.1", port: 0, onListen() {} };
      const tls = { cert: pem.read("server.pem"), key: pem.read("server.key") };
      await using secure = Deno.serve({ ...options, ...tls }, () => new Response());
      await using plain = Deno.serve(options, () => new Response());
      const at = (scheme: string, host: string, { addr }: typeof secure) =>
        `${scheme}://${host}:${addr.port}/`;
      const unknown = await whyNot(at("https", "127.0.0.1", secure));
      assert.deepEqual([unknown.kind, unknown.hint?.includes("--tls-ca")], ["certificate", true]);
      const other = await whyNot(at("https", "localhost", secure), pem.read("ca.pem"));
      assert.equal(other.kind, "certificate");
      assert.match(other.why, /another name .*"localhost"/);
      assert.equal((await whyNot(at("http", "127.0.0.1", secure))).kind, "scheme");
      assert.equal((await whyNot(at("https", "127.0.0.1", plain))).kind, "scheme");
    }),
});

Deno.test("nobody there, somebody who leaves, and what we have said ourselves are told apart", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  const served = (async () => {
    for await (const connection of listener) connection.close();
  })();
  assert.equal((await whyNot(`http://127.0.0.1:${port}/`)).kind, "broken");
  listener.close();
  await served.catch(() => {});
  const nobody = await whyNot(`http://127.0.0.1:${port}/`);
  assert.deepEqual([nobody.kind, nobody.why], ["nobody", "nothing listens there"]);
  const own = new BackupError("permission", "Not of this mesh", { hint: "--token-file" });
  assert.deepEqual(whyUnreachable(new TypeError("fetch failed", { cause: own })), {
    kind: "certificate",
    why: "Not of this mesh",
    hint: "--token-file",
  });
  assert.deepEqual(whyUnreachable(new Error("odd")), { kind: "broken", why: "odd" });
});

Deno.test("an agent of this machine is called past the proxy of the environment, others through it", async () => {
  const options = { hostname: "127.0.0.1", port: 0, onListen() {} };
  await using agent = Deno.serve(options, () => new Response("agent"));
  await using proxy = Deno.serve(options, () => new Response("proxy"));
  const asks = `
    import { createPlainFetch } from ${JSON.stringify(import.meta.resolve("./mesh_fetch.ts"))};
    const fetch = createPlainFetch();
    for (const host of ["127.0.0.1:${agent.addr.port}", "localhost:${agent.addr.port}", "nas.test"]) {
      console.log(await (await fetch(new Request("http://" + host + "/"))).text());
    }
    console.log(Deno.env.get("NO_PROXY"), Deno.env.get("no_proxy"));`;
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", asks],
    env: { HTTP_PROXY: `http://127.0.0.1:${proxy.addr.port}`, NO_PROXY: "desk.test", no_proxy: "" },
  }).output();
  const said = new TextDecoder().decode(stdout).trim().split("\n");
  const wrong = new TextDecoder().decode(stderr);
  assert.deepEqual(said, ["agent", "agent", "proxy", "desk.test"], wrong);
});
