/**
 * `deno task soak:rpc [REQUESTS]`: bad requests against an agent in a process of its own. Rule: its memory and its
 * slowest answers must not grow with what it was sent; every answer is judged.
 */
import { fileURLToPath } from "node:url";
import * as fc from "fast-check";
import { systemClock } from "../protocol/base/clock.ts";
import { silentLog } from "../protocol/base/log.ts";
import { createFixtureAgent } from "../tests/support/fixture_agent.ts";
import { type BadRequest, badRequest } from "../tests/a2a/bad_requests.ts";
import { judgeAnswer } from "../tests/a2a/judge_answer.ts";

const REQUESTS_DEFAULT = 100_000;
const WINDOWS = 10;
/** The first windows warm up: code is compiled, and the store fills to its limits. */
const WARM_WINDOWS = 3;
const AT_ONCE = 8;
const GROWTH_BYTES_MAX = 16 << 20;
const SLOWER_FACTOR_MAX = 2;
const SLOWER_MS_MAX = 20;
const SELF = fileURLToPath(import.meta.url);
/** As the program has them. */
const V8_FLAGS = "--v8-flags=--expose-gc,--max-semi-space-size=2,--single-threaded-gc";

interface Window {
  p50Ms: number;
  p99Ms: number;
  /** What the server holds when its garbage is collected. */
  heldBytes: number;
  rssBytes: number;
}

if (import.meta.main) {
  if (Deno.args[0] === "serve") await serve();
  else Deno.exit(await soak(Number(Deno.args[0] ?? REQUESTS_DEFAULT)));
}

/** The agent under test: writes its address, then what it holds whenever a line comes in. */
async function serve(): Promise<void> {
  const handler = Promise.withResolvers<Deno.ServeHandler>();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request, info) => await (await handler.promise)(request, info),
  );
  const origin = `http://127.0.0.1:${server.addr.port}`;
  const { app } = createFixtureAgent({
    origin,
    table: [],
    streaming: true,
    push: true,
    clock: systemClock,
    log: silentLog,
  });
  handler.resolve(app.fetch);
  console.log(JSON.stringify(origin));
  for await (const _ of Deno.stdin.readable) {
    (globalThis as { gc?: () => void }).gc?.();
    const { heapUsed, external, rss } = Deno.memoryUsage();
    console.log(JSON.stringify({ heldBytes: heapUsed + external, rssBytes: rss }));
  }
  Deno.exit(0);
}

async function soak(requests: number): Promise<number> {
  const server = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", V8_FLAGS, SELF, "serve"],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const questions = server.stdin.getWriter();
  const answers = server.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const nextAnswer = async () => JSON.parse((await answers.read()).value ?? "null");
  try {
    const origin: string = await nextAnswer();
    const perWindow = Math.ceil(requests / WINDOWS);
    const windows: Window[] = [];
    console.log(`${perWindow * WINDOWS} bad requests, ${AT_ONCE} at once`);
    for (let i = 0; i < WINDOWS; i++) {
      const times = await sendAll(origin, fc.sample(badRequest, perWindow));
      await questions.write(new TextEncoder().encode("\n"));
      const window = { ...times, ...await nextAnswer() };
      windows.push(window);
      console.log(describe(i + 1, window));
    }
    return judge(windows);
  } finally {
    server.kill("SIGKILL");
    await server.status;
  }
}

async function sendAll(
  origin: string,
  requests: BadRequest[],
): Promise<Pick<Window, "p50Ms" | "p99Ms">> {
  const times: number[] = [];
  let next = 0;
  async function work(): Promise<void> {
    for (let request = requests[next++]; request !== undefined; request = requests[next++]) {
      const { method, path, headers, body } = request;
      const startMs = performance.now();
      const response = await fetch(origin + path, { method, headers, body });
      await judgeAnswer(request, response).catch((error) => {
        throw new Error(`after ${method} ${path} ${String(body).slice(0, 5_000)}`, {
          cause: error,
        });
      });
      times.push(performance.now() - startMs);
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  times.sort((a, b) => a - b);
  const at = (fraction: number) => times[Math.floor(times.length * fraction)] ?? 0;
  return { p50Ms: at(0.5), p99Ms: at(0.99) };
}

/** Compares the last windows with those just after warming up; of three the middle one, as this machine may be busy. */
function judge(windows: readonly Window[]): number {
  const early = middle(windows.slice(WARM_WINDOWS, WARM_WINDOWS + 3));
  const late = middle(windows.slice(-3));
  const grownBytes = late.heldBytes - early.heldBytes;
  const isMemoryFlat = grownBytes <= GROWTH_BYTES_MAX;
  const isFast = late.p99Ms <= early.p99Ms * SLOWER_FACTOR_MAX + SLOWER_MS_MAX;
  console.log(
    `memory ${isMemoryFlat ? "flat" : "GROWS"}: ${(grownBytes / 2 ** 20).toFixed(1)} MiB`,
  );
  console.log(
    `p99 ${isFast ? "flat" : "GROWS"}: ${early.p99Ms.toFixed(1)} → ${late.p99Ms.toFixed(1)} ms`,
  );
  return isMemoryFlat && isFast ? 0 : 1;
}

function middle(windows: readonly Window[]): Pick<Window, "p99Ms" | "heldBytes"> {
  const of = (key: "p99Ms" | "heldBytes") =>
    windows.map((window) => window[key]).sort((a, b) => a - b)[Math.floor(windows.length / 2)] ?? 0;
  return { p99Ms: of("p99Ms"), heldBytes: of("heldBytes") };
}

function describe(number: number, { p50Ms, p99Ms, heldBytes, rssBytes }: Window): string {
  const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  const times = `p50 ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(1)} ms`;
  return `${number}: ${times}, holds ${mib(heldBytes)} (RSS ${mib(rssBytes)})`;
}
