/**
 * `deno task a2a:fixture --port N --script TABLE.json`: the program's own A2A server with a scripted executor, for
 * conformance suites. Rule: its first line is the address it can be reached at, and SIGTERM ends it with 0.
 */
import { parseArgs } from "node:util";
import * as v from "valibot";
import { systemClock } from "../protocol/base/clock.ts";
import { createFixtureAgent } from "../tests/support/fixture_agent.ts";
import { ScriptTable } from "../tests/support/scripted_executor.ts";

const USAGE = `Usage: deno task a2a:fixture [OPTIONS]

  --port N                  Where it listens on 127.0.0.1; 0 takes a free one [default 0]
  --script FILE             What it replies, as JSON; without it every task completes
  --no-streaming            Neither offers nor takes streams
  --no-push                 Neither offers nor takes push notifications
  --require-extension URI   Refuses calls that do not activate it

The script: [{"messageIdPrefix": "x", "reply": [STEP, …]}, …]. The longest prefix wins; no match
completes. A STEP is one of
  {"state": "TASK_STATE_WORKING"}   optionally with "message" and "metadata"
  {"artifact": {"parts": […]}}      optionally with "append" and "lastChunk"
  {"message": {"parts": […]}}       as the first step: the answer, without a task
  {"error": {"code": -32005}}       as the first step: the answer, without a task
  {"waitMs": 500}
A task stays in the last state its script names.
`;
const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
/** How long open connections may take to end. */
const SHUTDOWN_MS = 2_000;

if (import.meta.main) main(Deno.args);

function main(words: string[]): void {
  let options: Options;
  try {
    options = readOptions(words);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
    Deno.exit(EXIT_USAGE);
  }
  const handler = Promise.withResolvers<Deno.ServeHandler>();
  const server = listen(
    options.port,
    async (request, info) => (await handler.promise)(request, info),
  );
  const origin = `http://127.0.0.1:${server.addr.port}`;
  const agent = createFixtureAgent({
    ...options,
    origin,
    clock: systemClock,
    log: (level, message, facts) => {
      if (level !== "debug") console.error(`${level}: ${message} ${JSON.stringify(facts ?? {})}`);
    },
  });
  handler.resolve(agent.app.fetch);
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, async () => {
      await agent.close();
      await Promise.race([server.shutdown(), systemClock.sleep(SHUTDOWN_MS)]);
      Deno.exit(0);
    });
  }
  console.log(origin);
}

function listen(port: number, handler: Deno.ServeHandler): Deno.HttpServer<Deno.NetAddr> {
  try {
    return Deno.serve({ hostname: "127.0.0.1", port, onListen: () => {} }, handler);
  } catch (error) {
    console.error(
      `Cannot listen at port ${port}: ${error instanceof Error ? error.message : error}`,
    );
    Deno.exit(EXIT_FAILED);
  }
}

interface Options {
  port: number;
  table: ScriptTable;
  streaming: boolean;
  push: boolean;
  requiredExtension: string | undefined;
}

function readOptions(words: string[]): Options {
  const { values } = parseArgs({
    args: words,
    options: {
      port: { type: "string", default: "0" },
      script: { type: "string" },
      "no-streaming": { type: "boolean", default: false },
      "no-push": { type: "boolean", default: false },
      "require-extension": { type: "string" },
    },
  });
  const port = Number(values.port);
  if (!/^\d+$/.test(values.port) || port > 65_535) {
    throw new Error(`--port: not a port: ${values.port}`);
  }
  return {
    port,
    table: values.script === undefined ? [] : readTable(values.script),
    streaming: !values["no-streaming"],
    push: !values["no-push"],
    requiredExtension: values["require-extension"],
  };
}

/** `deno task` changes folder: a relative path is meant from where the command was typed. */
function readTable(path: string): ScriptTable {
  const base = Deno.env.get("INIT_CWD") ?? Deno.cwd();
  const text = Deno.readTextFileSync(path.startsWith("/") ? path : `${base}/${path}`);
  const parsed = v.safeParse(ScriptTable, JSON.parse(text));
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  throw new Error(`${path}: ${v.getDotPath(issue) ?? "table"}: ${issue.message}`);
}
