import assert from "node:assert/strict";
import { needs } from "../../tests/support/tools.ts";
import { type Outcome, runProgram, startProgram } from "../../tests/support/run_program.ts";
import { bundleProgram } from "./bundle.ts";
import { packProgram } from "./pack.ts";

const dir = Deno.makeTempDirSync({ prefix: "packed program " });
const program = `${dir}/sample-program`;

Deno.test.beforeAll(async () => {
  if (Deno.build.os !== "linux") return;
  const source = new URL("sample_app.ts", import.meta.url).pathname;
  await bundleProgram(source, `${dir}/app.js`, dir);
  const bytes = packProgram(Deno.readFileSync(`${dir}/app.js`), [
    "--allow-read",
    "--allow-env",
    "--allow-run",
  ]);
  Deno.writeFileSync(program, bytes, { mode: 0o755 });
});

Deno.test.afterAll(() => Deno.removeSync(dir, { recursive: true }));

const run = (...args: string[]): Promise<Outcome> => runProgram(program, args, { cwd: dir });

function packed(name: string, fn: () => Promise<void>): void {
  Deno.test({ ...needs(`packed program: ${name}`, "linux"), fn });
}

packed("arguments arrive exactly as typed, deno's own flags included", async () => {
  const args = [
    ..."a|b c||  |'single'|\"double\"|line\nbreak|--version|-V|--help|--|-A|--allow-all|*|$HOME|\\"
      .split("|"),
    "ünï🗄️",
  ];
  const { code, out, err } = await run("arguments", ...args);
  assert.equal(err, "");
  assert.equal(code, 0);
  assert.deepEqual(JSON.parse(out), args);
});

packed("a megabyte of arguments arrives whole", async () => {
  const large = Array.from({ length: 10 }, (_, i) => String(i).repeat(100_000));
  assert.deepEqual(JSON.parse((await run("arguments", ...large)).out), large);
  const many = Array.from({ length: 20_000 }, (_, i) => `argument ${i}`);
  assert.deepEqual(JSON.parse((await run("arguments", ...many)).out), many);
});

packed("no arguments at all is fine", async () => {
  assert.deepEqual(await run(), { code: 0, signal: null, out: "nothing asked\n", err: "" });
});

packed("the exit code is the program's own", async () => {
  for (const code of [0, 1, 2, 12, 130]) assert.equal((await run("exit", String(code))).code, code);
});

packed("a handled SIGTERM reaches the handler, an unhandled signal ends the process", async () => {
  const cases: [string, Deno.Signal, Partial<Outcome>][] = [
    ["handled", "SIGTERM", { code: 42, signal: null }],
    ["unhandled", "SIGTERM", { code: 143, signal: "SIGTERM" }],
    ["unhandled", "SIGINT", { code: 130, signal: "SIGINT" }],
  ];
  for (const [how, signal, expected] of cases) {
    await using waiting = startProgram(program, ["wait", how]);
    await waiting.saw("ready");
    waiting.kill(signal);
    const { code, signal: endedBy } = await waiting.outcome;
    assert.deepEqual({ code, signal: endedBy }, expected, `${how} ${signal}`);
  }
});

packed("Web Workers start from the same file and know their role", async () => {
  const { out, err } = await run("threads");
  assert.equal(err, "");
  assert.deepEqual(JSON.parse(out), [
    { role: "reader", square: 4 },
    { role: "writer", square: 9 },
    { role: "hasher", square: 16 },
  ]);
});

packed("the user's environment arrives, two variables for deno are added", async () => {
  const ask = async (env: Record<string, string>): Promise<unknown> =>
    JSON.parse((await runProgram(program, ["environment"], { env })).out);
  const baked = { DENO_NO_UPDATE_CHECK: "1", DENO_DISABLE_NODE_SHIM: "1" };
  assert.deepEqual(await ask({}), baked);
  assert.deepEqual(await ask({ HOME: "/nonexistent", NO_COLOR: "1" }), {
    ...baked,
    HOME: "/nonexistent",
    NO_COLOR: "1",
  });
});

packed("it knows its own file and runs itself again", async () => {
  const facts = JSON.parse((await run("facts")).out);
  assert.equal(facts.execPath, program);
  assert.match(facts.url, /^file:\/\/\/proc\/self\/fd\/\d+$/);
  assert.deepEqual(await run("again"), { code: 0, signal: null, out: "7\n", err: "" });
});

packed("a broken deno.json or package.json beside it is not looked at", async () => {
  for (const name of ["deno.json", "package.json", ".env"]) {
    Deno.writeTextFileSync(`${dir}/${name}`, "{ broken");
  }
  assert.deepEqual(JSON.parse((await run("arguments", "x")).out), ["x"]);
});

packed("a permission that was not baked in is missing and never asked for", async () => {
  const withoutRun = `${dir}/without-run`;
  const bytes = packProgram(Deno.readFileSync(`${dir}/app.js`), ["--allow-read"]);
  Deno.writeFileSync(withoutRun, bytes, { mode: 0o755 });
  const { code, err } = await runProgram(withoutRun, ["again"]);
  assert.equal(code, 1);
  assert.match(err, /NotCapable/);
});

Deno.test({
  ...needs("packed program: too few file descriptors is one line and exit 126", "linux", "sh"),
  async fn() {
    const script = 'ulimit -n 100 && exec "$0"';
    const { code, out, err } = await runProgram("/bin/sh", ["-c", script, program]);
    assert.deepEqual([code, out], [126, ""]);
    assert.match(err, /^backup-agent: cannot start: [^\n]+\n$/);
  },
});
