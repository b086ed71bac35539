/**
 * `deno task soak:rpc [REQUESTS]`: bad requests against an agent in a process of its own. Rule: its memory and its
 * slowest answers must not grow with what it was sent; every answer is judged.
 */
import { fileURLToPath } from "node:url";
import * as fc from "fast-check";
import { type BadRequest, badRequest } from "../tests/a2a/bad_requests.ts";
import { judgeAnswer } from "../tests/a2a/judge_answer.ts";

const REQUESTS_DEFAULT = 100_000;
const WINDOWS = 10;
/** The first windows warm up: code is compiled, and the store fills to its limits. */
const WARM_WINDOWS = 3;
const AT_ONCE = 8;
const FIXTURE = fileURLToPath(new URL("a2a_fixture.ts", import.meta.url));
/** As the program has them. */
const V8_FLAGS = ["--v8-flags=--max-semi-space-size=2,--single-threaded-gc"];
const GROWTH_BYTES_MAX = 64 << 20;
const SLOWER_FACTOR_MAX = 2;
const SLOWER_MS_MAX = 20;

interface Window {
  p50Ms: number;
  p99Ms: number;
  rssBytes: number;
}

if (import.meta.main) Deno.exit(await soak(Number(Deno.args[0] ?? REQUESTS_DEFAULT)));

async function soak(requests: number): Promise<number> {
  const server = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", ...V8_FLAGS, FIXTURE],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  try {
    const reader = server.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const origin = (await reader.read()).value?.trim();
    if (origin === undefined) throw new Error("The agent did not start");
    const perWindow = Math.ceil(requests / WINDOWS);
    const windows: Window[] = [];
    console.log(`${perWindow * WINDOWS} bad requests, ${AT_ONCE} at once`);
    for (let i = 0; i < WINDOWS; i++) {
      const window = await sendAll(origin, server.pid, fc.sample(badRequest, perWindow));
      windows.push(window);
      console.log(describe(i + 1, window));
    }
    return judge(windows);
  } finally {
    server.kill("SIGTERM");
    await server.status;
  }
}

async function sendAll(origin: string, pid: number, requests: BadRequest[]): Promise<Window> {
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
  return { p50Ms: at(0.5), p99Ms: at(0.99), rssBytes: rssBytes(pid) };
}

/** Compares the last windows with those just after warming up; of three the middle one, as garbage comes in waves. */
function judge(windows: readonly Window[]): number {
  const early = middle(windows.slice(WARM_WINDOWS, WARM_WINDOWS + 3));
  const late = middle(windows.slice(-3));
  const grownBytes = late.rssBytes - early.rssBytes;
  const isMemoryFlat = grownBytes <= GROWTH_BYTES_MAX;
  const isFast = late.p99Ms <= early.p99Ms * SLOWER_FACTOR_MAX + SLOWER_MS_MAX;
  console.log(`memory ${isMemoryFlat ? "flat" : "GROWS"}: ${Math.round(grownBytes / 2 ** 20)} MiB`);
  console.log(
    `p99 ${isFast ? "flat" : "GROWS"}: ${early.p99Ms.toFixed(1)} → ${late.p99Ms.toFixed(1)} ms`,
  );
  return isMemoryFlat && isFast ? 0 : 1;
}

function middle(windows: readonly Window[]): Pick<Window, "p99Ms" | "rssBytes"> {
  const of = (key: "p99Ms" | "rssBytes") =>
    windows.map((window) => window[key]).sort((a, b) => a - b)[Math.floor(windows.length / 2)] ?? 0;
  return { p99Ms: of("p99Ms"), rssBytes: of("rssBytes") };
}

function describe(number: number, { p50Ms, p99Ms, rssBytes }: Window): string {
  const memory = `${Math.round(rssBytes / 2 ** 20)} MiB`;
  return `${number}: p50 ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(1)} ms, ${memory}`;
}

function rssBytes(pid: number): number {
  const [, kibibytes] = /VmRSS:\s+(\d+) kB/.exec(Deno.readTextFileSync(`/proc/${pid}/status`)) ??
    [];
  return Number(kibibytes) * 1024;
}
