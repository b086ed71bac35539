/**
 * A worker's side of the mesh: registers, reports, and does what the answers say. Rule: a coordinator that is not there
 * stops nothing; it is asked again until it answers, and what nobody renews ends by itself.
 */
import { backoffMs } from "../../protocol/base/backoff.ts";
import type { BootClock } from "../../protocol/base/boot_clock.ts";
import type { Clock } from "../../protocol/base/clock.ts";
import { asBackupError } from "../../protocol/base/errors.ts";
import type { Log } from "../../protocol/base/log.ts";
import { Heartbeat, InviteAgent, RegisterAgent } from "../../protocol/mesh/methods.ts";
import type { RpcClient } from "../../protocol/rpc/client.ts";
import { type Binding, onCall } from "../../protocol/rpc/method.ts";
import type { LinkedAgent } from "../worker/linked_agent.ts";

/** Before the first answer says otherwise. */
const FIRST_HEARTBEAT_MS = 1_000;
/** A coordinator that does not answer within this is asked again. */
const ANSWER_WITHIN_MS = 5_000;
const RETRY_MAX_MS = 5_000;
const REGISTER_AGAIN_MS = 100;

export interface CoordinatorLinkDeps {
  agent: LinkedAgent;
  name: string;
  version: string;
  /** Where the coordinator reaches this agent. */
  url: string;
  coordinatorUrl: string;
  /** A client for a coordinator's address. */
  connect: (url: string) => RpcClient;
  clock: Clock;
  bootClock: BootClock;
  log: Log;
}

export interface CoordinatorLink {
  /** The coordinator that has answered last. */
  client(): RpcClient;
  /** True once registered and as long as heartbeats are answered. */
  isConnected(): boolean;
  /** Reports at once, e.g. before the agent leaves. Never rejects. */
  report(): Promise<void>;
  /** `mesh.InviteAgent`. */
  binding: Binding;
  close(): void;
}

/** Starts at once and goes on until closed. */
export function startCoordinatorLink(deps: CoordinatorLinkDeps): CoordinatorLink {
  const { agent, clock, bootClock, log } = deps;
  const closed = new AbortController();
  let coordinatorUrl = deps.coordinatorUrl;
  let client = deps.connect(coordinatorUrl);
  let isRegistered = false;
  let isConnected = false;
  let hasComplained = false;
  let heartbeatMs = FIRST_HEARTBEAT_MS;
  let seq = 0;
  let failures = 0;
  let wake = new AbortController();

  /** Ended by the deadline or by `close`; a hung coordinator must not hold up the next heartbeat. */
  async function ask<T>(call: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const over = new AbortController();
    const tooLate = new AbortController();
    clock.sleep(Math.max(ANSWER_WITHIN_MS, heartbeatMs / 2), over.signal)
      .then(() => tooLate.abort(new Error("no answer in time")), () => {});
    try {
      return await call(AbortSignal.any([tooLate.signal, closed.signal]));
    } finally {
      over.abort();
    }
  }

  async function register(): Promise<void> {
    const { name, version, url } = deps;
    const answer = await ask((signal) =>
      client.call(RegisterAgent, { name, version, url, facts: agent.facts() }, { signal })
    );
    heartbeatMs = answer.heartbeatMs;
    isRegistered = true;
    log("info", "Registered", { coordinator: coordinatorUrl, heartbeatMs });
  }

  async function beat(): Promise<void> {
    const { agentId, bootId, load } = agent.facts();
    // What the coordinator has asked for it knows itself, and may have taken back since.
    const state = agent.isEnding() ? "draining" : "ready";
    const sentAtMs = bootClock.bootMs();
    const tasks = agent.heldTasks();
    const answer = await ask((signal) =>
      client.call(Heartbeat, {
        agentId,
        bootId,
        seq: seq++,
        load,
        state,
        tasks,
        runs: agent.heldRuns(),
        totals: agent.totals(),
      }, { signal })
    );
    agent.revoke(answer.revoked);
    agent.renew(answer.renewed, sentAtMs, answer.leaseMs);
    agent.share(answer.shares ?? []);
    void agent.endRuns(answer.ended ?? []);
    if (!answer.known) {
      isRegistered = false;
      return;
    }
    agent.setDraining(answer.drain);
  }

  async function step(): Promise<number> {
    try {
      if (!isRegistered) await register();
      await beat();
      if (hasComplained) {
        log("info", "The coordinator answers again", { coordinator: coordinatorUrl });
      }
      hasComplained = false;
      isConnected = true;
      failures = 0;
      return isRegistered ? heartbeatMs : REGISTER_AGAIN_MS;
    } catch (thrown) {
      isConnected = false;
      failures++;
      const error = asBackupError(thrown).message;
      if (!closed.signal.aborted && !hasComplained) {
        hasComplained = true;
        log("warn", "The coordinator does not answer; asking again", {
          coordinator: coordinatorUrl,
          error,
        });
      }
      return Math.min(RETRY_MAX_MS, heartbeatMs, backoffMs(failures));
    }
  }

  async function run(): Promise<void> {
    while (!closed.signal.aborted) {
      wake = new AbortController();
      const waitMs = await step();
      // An invitation ends the pause early.
      await clock.sleep(waitMs, AbortSignal.any([closed.signal, wake.signal])).catch(() => {});
    }
  }

  void run();

  return {
    client: () => client,
    isConnected: () => isConnected,
    async report() {
      if (isRegistered) await beat().catch(() => {});
    },
    binding: onCall(InviteAgent, ({ coordinatorUrl: invited }) => {
      if (isConnected) {
        return invited === coordinatorUrl
          ? { accepted: true }
          : { accepted: false, reason: `It works for ${coordinatorUrl}` };
      }
      coordinatorUrl = invited;
      client = deps.connect(invited);
      isRegistered = false;
      wake.abort();
      return { accepted: true };
    }),
    close: () => closed.abort(),
  };
}
