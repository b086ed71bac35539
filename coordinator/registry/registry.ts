/**
 * The agents a coordinator knows. Rule: an agent is who its own address says it is; one that comes back is the same agent,
 * and what it had before it was started again is over.
 */
import * as v from "valibot";
import { fetchAgentCard } from "../../protocol/a2a/client.ts";
import type { BootClock } from "../../protocol/base/boot_clock.ts";
import type { Clock } from "../../protocol/base/clock.ts";
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import type { Log } from "../../protocol/base/log.ts";
import { AgentFacts } from "../../protocol/mesh/agent_facts.ts";
import { isMeshProof, MESH_PROOF_PATH, MeshProof } from "../../protocol/mesh/mesh_proof.ts";
import type { AgentInfo, Heartbeat, HeldTask, RegisterAgent } from "../../protocol/mesh/methods.ts";
import { factsOf } from "../../protocol/mesh/card_facts.ts";
import { EXTENSION_URI } from "../../protocol/mesh/task_mapping.ts";
import { newId } from "../../protocol/base/ids.ts";
import type { FetchLike } from "../../protocol/rpc/client.ts";
import { readLimitedText } from "../../protocol/rpc/limited_text.ts";
import type { JobStore } from "../store/job_store.ts";
import type { StoredAgent } from "../store/records.ts";
import { within } from "../runs/deadline.ts";
import { type Liveness, livenessOf, suspectAfterMs } from "./liveness.ts";

type Registration = v.InferOutput<typeof RegisterAgent.params>;
type Beat = v.InferOutput<typeof Heartbeat.params>;

export interface RegistryTimes {
  heartbeatMs: number;
  deadAfterMs: number;
}

export interface RegistryListener {
  /** Something the planner looks at has changed. */
  changed(agent: KnownAgent): void;
  /**
   * It died, was started again, is about to end, or was removed. `isOver`: what it had has ended for certain, or is ended by
   * the answer it gets, whatever its lease says.
   */
  lost(agentId: string, why: string, isOver: boolean): void;
  removed(agentId: string): void;
}

export interface KnownAgent extends StoredAgent {
  readonly liveness: Liveness;
}

export interface Registry {
  list(): readonly KnownAgent[];
  get(agentId: string): KnownAgent | undefined;
  infos(tasksOf: (agentId: string) => HeldTask[]): AgentInfo[];
  /** @throws {BackupError} `rejected` when the address does not answer as that agent. */
  register(registration: Registration): Promise<void>;
  /** False when it is not known, or not in this boot. */
  heard(beat: Beat): boolean;
  isDraining(agentId: string): boolean;
  drain(agentId: string, isDraining: boolean): boolean;
  /** False when it lives. */
  remove(agentId: string): boolean;
  /** Agents of other meshes, as they were found. */
  setForeign(agents: readonly AgentInfo[]): void;
  /** Looks at all of them now; probes the silent ones. */
  check(): void;
}

const PROBE_WITHIN_MS = 2_000;
/** Whoever registers is answered within a second, whatever its address does. */
const CARD_WITHIN_MS = 900;
const PROOF_BYTES_MAX = 10_000;
export const AGENTS_MAX = 10_000;

interface Entry {
  agent: StoredAgent;
  heardAtMs: number;
  probeFailedAtMs: number | undefined;
  isProbing: boolean;
  seq: number;
  liveness: Liveness;
  totals: Beat["totals"];
}

export function createRegistry(deps: {
  store: JobStore;
  clock: Clock;
  bootClock: BootClock;
  log: Log;
  /** Without the token: cards, proofs and probes need none. */
  fetch: FetchLike;
  token: string;
  times: RegistryTimes;
  listener: RegistryListener;
}): Registry {
  const { store, clock, bootClock, log, fetch, token, times, listener } = deps;
  const entries = new Map<string, Entry>();
  let foreign: readonly AgentInfo[] = [];

  // Those of before a restart count as just heard: every lease gets one full term.
  for (const agent of store.agents()) {
    entries.set(agent.agentId, fresh(agent));
  }

  function fresh(agent: StoredAgent): Entry {
    return {
      agent,
      heardAtMs: bootClock.bootMs(),
      probeFailedAtMs: undefined,
      isProbing: false,
      seq: -1,
      liveness: "alive",
      totals: { bytes: 0, files: 0, tasks: 0 },
    };
  }

  function known({ agent, liveness }: Entry): KnownAgent {
    return { ...agent, liveness };
  }

  function setLiveness(entry: Entry, next: Liveness): void {
    // A late word about one that was removed, or has registered again since.
    if (entries.get(entry.agent.agentId) !== entry || entry.liveness === next) return;
    const before = entry.liveness;
    entry.liveness = next;
    const { agentId, name } = entry.agent;
    log(next === "dead" ? "warn" : "info", `Agent ${name} is ${next}`, { agent: agentId, before });
    listener.changed(known(entry));
    if (next === "dead") {
      listener.lost(agentId, `Agent ${name} is dead: it was not heard and answers no call`, false);
    }
  }

  async function probe(entry: Entry): Promise<void> {
    if (entry.isProbing) return;
    entry.isProbing = true;
    try {
      const { origin } = new URL(entry.agent.url);
      const response = await within(
        async (signal) => await fetch(new Request(`${origin}/health`, { signal })),
        clock,
        PROBE_WITHIN_MS,
      );
      await response.body?.cancel();
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
      entry.probeFailedAtMs = undefined;
    } catch {
      entry.probeFailedAtMs = bootClock.bootMs();
      check(entry);
    } finally {
      entry.isProbing = false;
    }
  }

  const suspectMs = suspectAfterMs(times);

  function check(entry: Entry, nowMs = bootClock.bootMs()): void {
    // Nearly always: a thousand agents are looked at several times a second.
    if (entry.liveness === "alive" && nowMs - entry.heardAtMs < suspectMs) return;
    const { heardAtMs, probeFailedAtMs } = entry;
    const next = livenessOf({ heardAtMs, probeFailedAtMs, ...times }, nowMs);
    setLiveness(entry, next);
    if (next === "suspect") void probe(entry);
  }

  /** Whether the agent at the address is the one that is said to be there, and knows the token. */
  async function prove({ url, facts }: Registration): Promise<void> {
    const { origin } = new URL(url);
    try {
      await within(
        async (signal) => {
          const card = await fetchAgentCard(fetch, `${origin}/agent-card`, { signal });
          const params = card.capabilities.extensions?.find((e) => e.uri === EXTENSION_URI)?.params;
          const own = v.safeParse(AgentFacts, params);
          if (!own.success || own.output.agentId !== facts.agentId) {
            throw new BackupError("rejected", `Another agent answers at ${url}`);
          }
          // A registration that comes late must not bring back what was before a restart.
          if (own.output.bootId !== facts.bootId) {
            throw new BackupError("rejected", `The agent at ${url} was started again since`);
          }
          const nonce = newId("msg");
          const answer = await fetch(
            new Request(`${origin}${MESH_PROOF_PATH}?nonce=${nonce}`, { signal }),
          );
          const text = await readLimitedText(answer.body, PROOF_BYTES_MAX);
          const proof = v.safeParse(v.pipe(v.string(), v.parseJson(), MeshProof), text);
          const cardUrl = card.supportedInterfaces[0]!.url;
          if (!proof.success || !isMeshProof(proof.output.proof, token, nonce, cardUrl)) {
            throw new BackupError(
              "rejected",
              `The agent at ${url} does not know this mesh's token`,
            );
          }
        },
        clock,
        CARD_WITHIN_MS,
      );
    } catch (thrown) {
      const error = asBackupError(thrown);
      throw error.code === "rejected"
        ? error
        : new BackupError("rejected", `The agent cannot be reached at ${url}: ${error.message}`);
    }
  }

  function refuseTooMany(agentId: string): void {
    if (entries.has(agentId) || entries.size < AGENTS_MAX) return;
    throw new BackupError("rejected", `This coordinator knows ${AGENTS_MAX} agents already`, {
      retry: "later",
    });
  }

  /** An agent that answers where it was is not somewhere else as well. */
  async function refuseDouble({ url, facts }: Registration): Promise<void> {
    const before = entries.get(facts.agentId);
    if (before === undefined || before.agent.url === url) return;
    const { origin } = new URL(before.agent.url);
    const there = await within(
      (signal) => fetchAgentCard(fetch, `${origin}/agent-card`, { signal }),
      clock,
      CARD_WITHIN_MS,
    ).then(factsOf).catch(() => undefined);
    if (there?.agentId !== facts.agentId) return;
    // The same process after a start anew, that listens there as well.
    if (there.bootId === facts.bootId && before.agent.facts.bootId !== facts.bootId) return;
    throw new BackupError("rejected", `Agent ${facts.agentId} is another one, at ${origin}`);
  }

  return {
    list: () => [...entries.values()].map(known),
    get(agentId) {
      const entry = entries.get(agentId);
      return entry && known(entry);
    },
    infos(tasksOf) {
      const nowMs = bootClock.bootMs();
      const own = [...entries.values()].map((entry): AgentInfo => {
        const { agent, liveness, heardAtMs, totals } = entry;
        const { facts } = agent;
        const isDraining = agent.isDraining || facts.state === "draining";
        return {
          agentId: agent.agentId,
          name: agent.name,
          url: agent.url,
          version: agent.version,
          hostId: facts.hostId,
          capabilities: facts.capabilities,
          roots: facts.roots,
          slots: facts.limits.slots,
          load: Math.min(1, Math.max(0, Number.isFinite(facts.load.score) ? facts.load.score : 1)),
          state: liveness === "alive" && isDraining ? "draining" : liveness,
          heartbeatAgeMs: Math.max(0, Math.round(nowMs - heardAtMs)),
          tasks: tasksOf(agent.agentId),
          totals,
        };
      });
      return [...own, ...foreign];
    },
    async register(registration) {
      const { name, version, url, facts } = registration;
      refuseTooMany(facts.agentId);
      await Promise.all([prove(registration), refuseDouble(registration)]);
      refuseTooMany(facts.agentId);
      const before = entries.get(facts.agentId);
      const isNewBoot = before !== undefined && before.agent.facts.bootId !== facts.bootId;
      const agent: StoredAgent = {
        agentId: facts.agentId,
        name,
        url,
        version,
        facts,
        // Whoever drained it wanted that process to end, and this one.
        isDraining: before !== undefined && !isNewBoot && before.agent.isDraining,
      };
      store.transact((tx) => tx.putAgent(agent));
      const entry = fresh(agent);
      if (before !== undefined && !isNewBoot) {
        entry.seq = before.seq;
        entry.totals = before.totals;
      }
      entries.set(agent.agentId, entry);
      if (isNewBoot) listener.lost(agent.agentId, `Agent ${name} was started again`, true);
      log("info", `Agent ${name} has registered`, { agent: agent.agentId, url });
      listener.changed(known(entry));
    },
    heard({ agentId, bootId, seq, load, state, totals }) {
      const entry = entries.get(agentId);
      if (entry === undefined || entry.agent.facts.bootId !== bootId) return false;
      // An older word that comes late says nothing, but the agent is there.
      entry.heardAtMs = bootClock.bootMs();
      entry.probeFailedAtMs = undefined;
      if (seq > entry.seq) {
        entry.seq = seq;
        entry.totals = totals;
        const { facts } = entry.agent;
        entry.agent = { ...entry.agent, facts: { ...facts, load, state } };
        if (facts.load.score !== load.score || facts.state !== state) {
          listener.changed(known(entry));
        }
        // It ends: its heartbeat is answered with what it has to stop, so others may begin.
        if (facts.state !== state && state === "draining") {
          listener.lost(agentId, `Agent ${entry.agent.name} takes nothing more`, true);
        }
      }
      setLiveness(entry, "alive");
      return true;
    },
    isDraining: (agentId) => entries.get(agentId)?.agent.isDraining ?? false,
    drain(agentId, isDraining) {
      const entry = entries.get(agentId);
      if (entry === undefined) return false;
      const agent = { ...entry.agent, isDraining };
      store.transact((tx) => tx.putAgent(agent));
      entry.agent = agent;
      listener.changed(known(entry));
      return true;
    },
    remove(agentId) {
      const entry = entries.get(agentId);
      if (entry === undefined) return false;
      if (entry.liveness === "alive" && !entry.agent.isDraining) return false;
      store.transact((tx) => tx.dropAgent(agentId));
      entries.delete(agentId);
      listener.lost(agentId, `Agent ${entry.agent.name} was removed`, false);
      listener.removed(agentId);
      return true;
    },
    setForeign: (agents) => void (foreign = agents),
    check() {
      const nowMs = bootClock.bootMs();
      for (const entry of entries.values()) check(entry, nowMs);
    },
  };
}
