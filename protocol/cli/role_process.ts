/**
 * The life of a role's process: serve, work until somebody asks it to end, give back what it has, end. Rule: a role ends
 * with exit code 0 when it was asked to, within a deadline, and at once when it is asked twice.
 */
import { asBackupError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { createGate } from "../http/gate.ts";
import type { ServerEnv } from "../http/agent_app.ts";
import { type Metric, METRICS_MEDIA_TYPE, metricsText } from "../http/metrics_text.ts";
import { serveApp } from "../http/serve_app.ts";
import { type JsonLog, openJsonLog } from "../logs/json_log.ts";
import type { CommandCall } from "./command.ts";
import { jsonLine } from "./error_line.ts";
import { watchInterrupts } from "./interrupt.ts";
import { type ServingSettings, servingSettings } from "./serving_settings.ts";
import { visibleText } from "./visible_text.ts";

/** From the signal to the end of the process. */
export const END_WITHIN_MS = 10_000;
/** How much of that is for handing on what is under way; the rest is for giving back locks and writing the log. */
const DRAIN_WITHIN_MS = 8_000;

/** What a role is made of once its address is known. */
export interface RoleContext {
  serving: ServingSettings;
  /** As others of this machine reach it. */
  origin: string;
  port: number;
  log: Log;
  logs: JsonLog;
}

export interface RoleInstance {
  fetch(request: Request, env: ServerEnv): Response | Promise<Response>;
  /** One line for people, and facts for programs. */
  readonly says: string;
  readonly facts: Readonly<Record<string, string>>;
  /** Beside the facts, and in no log: what opens a door. */
  readonly told?: Readonly<Record<string, string>>;
  metrics(): Metric[];
  /** Takes nothing more and hands on or ends what it has. `signal` is aborted when the time for that is over. */
  drain(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

export interface RoleFacts {
  /** `worker`; names log and default identity together with the port. */
  role: string;
  defaultPort: number;
  /** Whatever the option says, when several roles share one command. */
  port?: number;
  /** When its port cannot be served, that is said and the others go on. */
  mayBeMissing?: boolean;
  /** It needs no roots, wherever it is served. */
  touchesNoFolders?: boolean;
  start(context: RoleContext): RoleInstance | Promise<RoleInstance>;
}

/** Runs one role to its end and returns the exit code. @throws {BackupError} when it cannot be served. */
export async function runRole(call: CommandCall, roles: readonly RoleFacts[]): Promise<number> {
  const interrupts = watchInterrupts(call.signals, () => {
    if (!call.settings.get("json").value) call.terminal.err("Ending; once more to stop at once\n");
  }, { mayHoldLocks: true });
  const running: Running[] = [];
  try {
    for (const role of roles) {
      try {
        running.push(await startRole(call, role));
      } catch (thrown) {
        const { code, message } = asBackupError(thrown);
        if (role.mayBeMissing !== true || code !== "config") throw thrown;
        const text = `The ${role.role} is not served: ${message}`;
        running[0]?.context.log("warn", text);
      }
    }
    // One line each, once all of them answer: whoever waits for the last may use every one.
    for (const { instance } of running) tell(call, instance);
    await aborted(interrupts.signal);
    const over = new AbortController();
    const cut = call.clock.sleep(END_WITHIN_MS, over.signal).catch(() => {});
    const late = new AbortController();
    const drained = call.clock.sleep(DRAIN_WITHIN_MS, over.signal).catch(() => {})
      .then(() => late.abort());
    for (const { instance, context } of running) {
      context.log("info", "Asked to end");
      await Promise.race([instance.drain(late.signal).catch(() => {}), drained]);
    }
    await Promise.race([Promise.all(running.map(end)), cut]);
    over.abort();
    return 0;
  } catch (thrown) {
    await Promise.all(running.map(end)).catch(() => {});
    throw thrown;
  } finally {
    interrupts.close();
  }
}

interface Running {
  instance: RoleInstance;
  context: RoleContext;
  stopServing(): Promise<void>;
}

async function startRole(call: CommandCall, facts: RoleFacts): Promise<Running> {
  const { settings, surroundings, terminal, clock } = call;
  const serving = servingSettings(settings, surroundings, facts);
  const { host, tls, token, hosts, stateDir, logDir } = serving;
  const port = facts.port ?? serving.port;
  let instance: RoleInstance | undefined;
  let log: Log = () => {};
  const gate = createGate({ clock, token, hosts });
  const served = await serveApp({
    host,
    port,
    tls,
    clock,
    log: (...line) => log(...line),
    // Until the role is there; it cannot be made before its port is known.
    fetch(request, env) {
      if (instance === undefined) return new Response("Starting\n", { status: 503 });
      if (new URL(request.url).pathname.replace(/\/$/, "") === "/metrics") {
        return metricsResponse(request, env, instance);
      }
      return instance.fetch(request, env);
    },
  });
  try {
    const logs = openJsonLog({
      directory: logDir,
      name: `${facts.role}-${served.port}`,
      clock,
      secrets: [token],
      level: settings.get("verbose").value ? "debug" : "info",
      onFailure: (message) => terminal.err(`${visibleText(message)}\n`),
    });
    log = (level, message, detail) => {
      logs.log(level, message, detail);
      if (settings.get("quiet").value || (level !== "error" && level !== "warn")) return;
      if (!settings.get("json").value) terminal.err(`${visibleText(message)}\n`);
    };
    const context: RoleContext = { serving, origin: served.origin, port: served.port, log, logs };
    instance = await facts.start(context);
    log("info", "Serving", { url: served.origin, stateDir, ...instance.facts });
    return { instance, context, stopServing: served.close };
  } catch (thrown) {
    await served.close();
    throw thrown;
  }

  function metricsResponse(request: Request, env: ServerEnv, { metrics }: RoleInstance): Response {
    const refusal = gate(request, env.remoteAddr?.hostname);
    if (refusal !== undefined) {
      const { status, headers } = refusal;
      return new Response(`${refusal.error.message}\n`, { status, headers });
    }
    return new Response(metricsText(metrics()), {
      headers: { "content-type": METRICS_MEDIA_TYPE, "cache-control": "no-store" },
    });
  }
}

async function end({ instance, context, stopServing }: Running): Promise<void> {
  await instance.close();
  await stopServing();
  context.log("info", "Ended");
  context.logs.close();
}

function tell({ terminal, settings }: CommandCall, { says, facts, told }: RoleInstance): void {
  terminal.out(
    settings.get("json").value
      ? jsonLine({ message_type: "serving", ...facts, ...told })
      : `${visibleText(says)}\n`,
  );
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) =>
    signal.addEventListener("abort", () => resolve(), { once: true })
  );
}
