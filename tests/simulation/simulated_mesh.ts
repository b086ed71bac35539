/**
 * A mesh of many agents and tasks in simulated time: the coordinator's own registry, dispatcher, planner and store, and
 * agents that are killed, cut off, slow and told things twice. Rule: what must always hold is checked where it could
 * break, and the story of a seed is the same every time.
 */
import assert from "node:assert/strict";
import { silentLog } from "../../protocol/base/log.ts";
import { taskAgentCard } from "../../protocol/http/task_agent_card.ts";
import type { AgentFacts } from "../../protocol/mesh/agent_facts.ts";
import { meshProof } from "../../protocol/mesh/mesh_proof.ts";
import type { HeldTask } from "../../protocol/mesh/methods.ts";
import {
  type AttemptEnd,
  createMeshDispatcher,
  type MeshTask,
} from "../../coordinator/mesh/mesh_dispatcher.ts";
import { createRegistry, type KnownAgent } from "../../coordinator/registry/registry.ts";
import { SPEC } from "../../coordinator/store/job_store_suite.ts";
import { openMemoryStore } from "../../coordinator/store/open_store.ts";
import { EventClock } from "./event_clock.ts";
import { type Chance, chanceOf } from "./random.ts";

export interface Scale {
  readonly agents: number;
  readonly tasks: number;
  readonly runs: number;
}

export interface Story {
  readonly succeeded: number;
  readonly failed: number;
  readonly waiting: number;
  readonly attempts: number;
  readonly kills: number;
  readonly cuts: number;
  readonly takeovers: number;
  readonly lateWords: number;
  readonly simulatedMs: number;
}

const HEARTBEAT_MS = 10_000;
const DEAD_AFTER_MS = 30_000;
const HOSTS = 4;
const FAULTS_MAX = 3;
/** Long enough for every story; one that is not over by then hangs. */
const END_MS = 24 * 3_600_000;
const TOKEN = "the token of a simulated mesh";
const NO_AGENT_HAS = "snapshot";

/** One attempt as its agent sees it. */
interface Work {
  readonly taskId: string;
  readonly epoch: number;
  leaseEndsMs: number;
  state: "running" | "ended" | "stopped";
  outcome: AttemptEnd;
  /** Who listens at the coordinator. */
  session: Session;
}

/** One attempt as the coordinator's run sees it. */
interface Session {
  readonly epoch: number;
  /** The boot that has joined the run for it; another knows nothing of the run. */
  boot: number | undefined;
  begun(): void;
  end(outcome: AttemptEnd): void;
}

interface SimulatedAgent {
  readonly facts: AgentFacts;
  readonly url: string;
  boot: number;
  isUp: boolean;
  cutUntilMs: number;
  isRegistered: boolean;
  seq: number;
  readonly work: Map<string, Work>;
}

interface SimulatedTask {
  readonly taskId: string;
  readonly isPoison: boolean;
  lastEpoch: number;
  faults: number;
  takeovers: number;
  /** Attempts that the coordinator has taken back knowing that their agent may not know yet. */
  readonly takenBack: Set<number>;
  /** Attempts that were really done, by epoch. */
  readonly doneBy: Map<number, string>;
  isOver: boolean;
}

export async function simulate(scale: Scale, seed: number): Promise<Story> {
  const mesh = new SimulatedMesh(scale, chanceOf(seed));
  return await mesh.play();
}

class SimulatedMesh {
  readonly #scale: Scale;
  readonly #chance: Chance;
  readonly #clock = new EventClock();
  readonly #store = openMemoryStore(this.#clock);
  readonly #agents = new Map<string, SimulatedAgent>();
  readonly #tasks = new Map<string, SimulatedTask>();
  /** Agents that work on a task now, however wrongly. */
  readonly #workers = new Map<string, Set<SimulatedAgent>>();
  readonly #dispatcher = createMeshDispatcher({
    store: this.#store,
    clock: this.#clock,
    log: silentLog,
    limits: { fallbackAfterMs: 0 },
    leaseMs: DEAD_AFTER_MS,
  });
  readonly #registry = createRegistry({
    store: this.#store,
    clock: this.#clock,
    bootClock: this.#clock,
    log: silentLog,
    fetch: (request) => this.#answer(request),
    token: TOKEN,
    times: { heartbeatMs: HEARTBEAT_MS, deadAfterMs: DEAD_AFTER_MS },
    listener: {
      changed: (agent) => this.#dispatcher.putAgent(viewOf(agent)),
      lost: (agentId, why, isOver) => this.#dispatcher.agentLost(agentId, why, isOver),
      removed: (agentId) => this.#dispatcher.dropAgent(agentId),
    },
  });
  #open = 0;
  #counts = { attempts: 0, kills: 0, cuts: 0, takeovers: 0, lateWords: 0 };

  constructor(scale: Scale, chance: Chance) {
    this.#scale = scale;
    this.#chance = chance;
  }

  async play(): Promise<Story> {
    const { agents, tasks, runs } = this.#scale;
    for (let i = 0; i < agents; i++) this.#makeAgent(i);
    this.#clock.every(1_000, () => this.#registry.check());
    this.#strikeAgain();
    const ends = Array.from({ length: runs }, (_, i) => this.#submit(i, Math.ceil(tasks / runs)));
    await this.#clock.run(END_MS, () => this.#open === 0);
    assert.equal(this.#open, 0, `${this.#open} tasks never ended`);
    this.#dispatcher.close();
    await Promise.all(ends.flatMap((e) => e.due));
    return this.#lastLook();
  }

  // -- agents

  #makeAgent(i: number): void {
    const agentId = `agent-${i}`;
    const agent: SimulatedAgent = {
      facts: {
        agentId,
        bootId: `boot-${i}-0`,
        hostId: `host-${i % HOSTS}`,
        capabilities: i % 3 === 0 ? ["mirror", "encrypt"] : ["mirror"],
        roots: [],
        limits: { slots: 1 + i % 3 },
        load: { score: 0, observedAtMs: 0 },
        state: "ready",
      },
      url: `http://${agentId}.test/rpc`,
      boot: 0,
      isUp: true,
      cutUntilMs: 0,
      isRegistered: false,
      seq: 0,
      work: new Map(),
    };
    this.#agents.set(agentId, agent);
    this.#beat(agent, 0, this.#chance.between(0, 2_000));
  }

  #isReachable({ isUp, cutUntilMs }: SimulatedAgent): boolean {
    return isUp && this.#clock.bootMs() >= cutUntilMs;
  }

  /** What an agent's address answers: card, proof, health. */
  #answer(request: Request): Response {
    const { hostname, pathname, searchParams } = new URL(request.url);
    const agent = this.#agents.get(hostname.split(".")[0]!)!;
    if (!this.#isReachable(agent)) throw new TypeError("connection refused");
    const { facts, url } = agent;
    switch (pathname) {
      case "/agent-card": {
        const card = { name: facts.agentId, version: "1", url, facts };
        return Response.json(taskAgentCard(card, { hasToken: true, hasPush: false }));
      }
      case "/mesh-proof":
        return Response.json({ proof: meshProof(TOKEN, searchParams.get("nonce")!, url) });
      default:
        return new Response(null);
    }
  }

  /** The heart of one boot of an agent; it registers where it is not known. */
  #beat(agent: SimulatedAgent, boot: number, inMs: number): void {
    this.#clock.in(inMs, () => {
      if (!agent.isUp || agent.boot !== boot) return;
      this.#beat(agent, boot, HEARTBEAT_MS);
      if (!this.#isReachable(agent)) return;
      if (!agent.isRegistered) return this.#register(agent);
      const sentAtMs = this.#clock.bootMs();
      const held = [...agent.work.values()].filter((w) => w.state === "running").map(heldOf);
      const beat = {
        agentId: agent.facts.agentId,
        bootId: agent.facts.bootId,
        seq: agent.seq++,
        load: { score: this.#chance.between(-0.5, 1.5), observedAtMs: 0 },
        state: "ready" as const,
        tasks: held,
        totals: { bytes: 0, files: 0, tasks: 0 },
      };
      // Sent once or twice, in whatever order they arrive; of the copies only the first is answered.
      this.#clock.in(this.#delayMs(), () => {
        if (!this.#isReachable(agent) || agent.boot !== boot) return;
        const known = this.#registry.heard(beat);
        const renewed = known ? this.#dispatcher.renew(beat.agentId, held) : [];
        this.#clock.in(this.#delayMs(), () => {
          if (!this.#isReachable(agent) || agent.boot !== boot) return;
          if (!known) return this.#register(agent);
          this.#takeAnswer(agent, held, renewed, sentAtMs);
        });
      });
      if (this.#chance.happens(0.02)) {
        this.#clock.in(this.#chance.between(0, 15_000), () => {
          if (this.#registry.heard(beat)) this.#dispatcher.renew(beat.agentId, held);
        });
      }
    });
  }

  async #register(agent: SimulatedAgent): Promise<void> {
    const { facts, url, boot } = agent;
    await this.#registry.register({ name: facts.agentId, version: "1", url, facts });
    if (agent.boot === boot) agent.isRegistered = true;
  }

  #takeAnswer(
    agent: SimulatedAgent,
    held: readonly HeldTask[],
    renewed: readonly HeldTask[],
    sentAtMs: number,
  ): void {
    const kept = new Set(renewed.map(({ taskId, epoch }) => `${taskId}:${epoch}`));
    for (const { taskId, epoch } of held) {
      const work = agent.work.get(taskId);
      if (work === undefined || work.epoch !== epoch || work.state !== "running") continue;
      if (kept.has(`${taskId}:${epoch}`)) {
        work.leaseEndsMs = Math.max(work.leaseEndsMs, sentAtMs + DEAD_AFTER_MS);
      } else this.#stop(agent, work);
    }
  }

  #receive(agent: SimulatedAgent, task: SimulatedTask, session: Session): void {
    session.boot ??= agent.boot;
    if (session.boot !== agent.boot) {
      return session.end({ kind: "retry", reason: "Not prepared here", avoidsAgent: false });
    }
    const known = agent.work.get(task.taskId);
    if (known !== undefined && known.epoch >= session.epoch) {
      if (known.epoch > session.epoch) return;
      // Asked again because the answer was lost, or told twice: it runs once.
      known.session = session;
      if (known.state === "ended") this.#tell(agent, known);
      return;
    }
    if (known !== undefined) this.#stop(agent, known);
    const nowMs = this.#clock.bootMs();
    const work: Work = {
      taskId: task.taskId,
      epoch: session.epoch,
      leaseEndsMs: nowMs + DEAD_AFTER_MS,
      state: "running",
      outcome: { kind: "succeeded" },
      session,
    };
    this.#checkAlone(agent, task, work);
    agent.work.set(task.taskId, work);
    this.#workersOf(task.taskId).add(agent);
    this.#clock.in(this.#delayMs(), () => {
      if (work.state === "running" && this.#isReachable(agent)) work.session.begun();
    });
    if (this.#chance.happens(0.02)) {
      this.#clock.in(this.#chance.between(0, 120_000), () => this.#late(task, work));
    }
    this.#watchLease(agent, work);
    this.#clock.in(this.#chance.between(500, 40_000), () => {
      if (work.state !== "running") return;
      this.#leave(agent, work, "ended");
      if (task.isPoison || this.#chance.happens(0.003)) {
        work.outcome = { kind: "retry", reason: "The disk is odd", avoidsAgent: true };
      } else task.doneBy.set(work.epoch, agent.facts.agentId);
      this.#tell(agent, work);
    });
  }

  #watchLease(agent: SimulatedAgent, work: Work): void {
    this.#clock.in(work.leaseEndsMs - this.#clock.bootMs(), () => {
      if (work.state !== "running") return;
      if (work.leaseEndsMs > this.#clock.bootMs()) return this.#watchLease(agent, work);
      this.#leave(agent, work, "ended");
      work.outcome = { kind: "retry", reason: "Its lease has ended", avoidsAgent: false };
      this.#tell(agent, work);
    });
  }

  #tell(agent: SimulatedAgent, work: Work): void {
    this.#clock.in(this.#delayMs(), () => {
      if (this.#isReachable(agent)) work.session.end(work.outcome);
    });
    if (this.#chance.happens(0.02)) {
      this.#clock.in(this.#chance.between(0, 120_000), () => {
        this.#late(this.#tasks.get(work.taskId)!, work);
      });
    }
  }

  #stop(agent: SimulatedAgent, work: Work): void {
    if (work.state === "running") this.#leave(agent, work, "stopped");
  }

  #leave(agent: SimulatedAgent, work: Work, state: Work["state"]): void {
    work.state = state;
    this.#workersOf(work.taskId).delete(agent);
  }

  #workersOf(taskId: string): Set<SimulatedAgent> {
    const known = this.#workers.get(taskId);
    if (known !== undefined) return known;
    const made = new Set<SimulatedAgent>();
    this.#workers.set(taskId, made);
    return made;
  }

  // -- faults

  #strikeAgain(): void {
    const everyMs = 60_000 / this.#scale.agents * 10;
    this.#clock.in(this.#chance.between(0, 2 * everyMs), () => {
      this.#strikeAgain();
      const agent = this.#chance.one([...this.#agents.values()]);
      if (this.#chance.happens(0.5)) this.#kill(agent);
      else {
        this.#counts.cuts++;
        agent.cutUntilMs = this.#clock.bootMs() + this.#chance.between(1_000, 90_000);
      }
    });
  }

  #kill(agent: SimulatedAgent): void {
    if (!agent.isUp) return;
    this.#counts.kills++;
    agent.isUp = false;
    for (const work of agent.work.values()) this.#stop(agent, work);
    agent.work.clear();
    const awayMs = this.#chance.happens(0.3)
      ? this.#chance.between(100, 5_000)
      : this.#chance.between(5_000, 120_000);
    this.#clock.in(awayMs, () => {
      agent.boot++;
      agent.facts.bootId = `${agent.facts.agentId}-boot-${agent.boot}`;
      agent.isUp = true;
      agent.isRegistered = false;
      agent.seq = 0;
      this.#beat(agent, agent.boot, this.#chance.between(0, 1_000));
    });
  }

  #delayMs(): number {
    return this.#chance.happens(0.01)
      ? this.#chance.between(100, 3_000)
      : this.#chance.between(1, 20);
  }

  // -- tasks

  #submit(i: number, count: number): { due: Promise<void>[] } {
    const runId = `run-${i}`;
    const views = Array.from({ length: count }, (_, n) => {
      const taskId = `${runId}-task-${n}`;
      const isImpossible = n === count - 1;
      return {
        isImpossible,
        view: {
          taskId,
          runId,
          source: `source-${n % 20}`,
          place: n % 5 === 0 ? { hostId: `host-${n % HOSTS}` } : {},
          requires: isImpossible
            ? ["mirror", NO_AGENT_HAS]
            : n % 7 === 0
            ? ["mirror", "encrypt"]
            : ["mirror"],
          sizeBytes: this.#chance.below(1e9),
          ...(n % 20 === 19 && !isImpossible ? { after: ["source-0"] } : {}),
          onlyAgents: null,
        },
      };
    });
    this.#store.transact((tx) => {
      tx.insertRun({ runId, hostId: "host-0", spec: SPEC, owner: "mesh" });
      for (const { view: { taskId, requires, sizeBytes } } of views) {
        tx.insertTask({ taskId, runId, source: SPEC.sources[0]!, requires, sizeBytes });
      }
    });
    const tasks = views.map(({ view }) => this.#meshTask(view));
    const ends = this.#dispatcher.dispatch(tasks, new AbortController().signal);
    const due = ends.filter((_, n) => !views[n]!.isImpossible);
    this.#open += due.length;
    views.forEach(({ view, isImpossible }, n) => {
      if (isImpossible) return;
      ends[n]!.then(() => {
        this.#open--;
        this.#tasks.get(view.taskId)!.isOver = true;
      });
    });
    return { due };
  }

  #meshTask(view: MeshTask["view"]): MeshTask {
    const { taskId } = view;
    const task: SimulatedTask = {
      taskId,
      isPoison: this.#chance.happens(0.002),
      lastEpoch: 0,
      faults: 0,
      takeovers: 0,
      takenBack: new Set(),
      doneBy: new Map(),
      isOver: false,
    };
    this.#tasks.set(taskId, task);
    return {
      view,
      holdsSlot: () => true,
      gaveUp: (why) => {
        if (why === "An idle agent takes it") task.takenBack.add(task.lastEpoch);
        else {
          task.takeovers++;
          this.#counts.takeovers++;
        }
      },
      attempt: (agentId, epoch, begun, signal) => {
        this.#counts.attempts++;
        assert.ok(epoch > task.lastEpoch, `${taskId}: epoch ${epoch} after ${task.lastEpoch}`);
        assert.ok(!task.isOver, `${taskId} was begun after its end`);
        task.lastEpoch = epoch;
        this.#checkSlots(agentId);
        return this.#attempt(task, agentId, epoch, begun, signal);
      },
    };
  }

  /** What a run does with an attempt: it asks, and asks again while it is not answered and the agent is not lost. */
  #attempt(
    task: SimulatedTask,
    agentId: string,
    epoch: number,
    begun: () => void,
    signal: AbortSignal,
  ): Promise<AttemptEnd> {
    return new Promise((resolve) => {
      let isAnswered = false;
      const session: Session = {
        epoch,
        boot: undefined,
        begun: () => {
          if (!signal.aborted) begun();
        },
        end: (outcome) => {
          if (isAnswered) return;
          isAnswered = true;
          if (outcome.kind !== "retry" || !outcome.avoidsAgent) return resolve(outcome);
          const mayRetry = ++task.faults < FAULTS_MAX;
          resolve(mayRetry ? outcome : { kind: "failed", reason: outcome.reason });
        },
      };
      const agent = this.#agents.get(agentId)!;
      const ask = (): void => {
        if (isAnswered || signal.aborted) return;
        if (this.#isReachable(agent)) this.#receive(agent, task, session);
        this.#clock.in(this.#chance.between(2_000, 6_000), ask);
      };
      this.#clock.in(this.#delayMs(), ask);
      if (this.#chance.happens(0.02)) this.#clock.in(this.#delayMs(), ask);
      signal.addEventListener("abort", () => {
        this.#clock.in(this.#delayMs(), () => {
          const work = agent.work.get(task.taskId);
          if (!this.#isReachable(agent) || work?.epoch !== epoch) return;
          this.#stop(agent, work);
        });
        resolve({ kind: "cancelled" });
      }, { once: true });
    });
  }

  // -- what must always hold

  /** At most one live lease: whoever else works on it has been told to stop by now, or was never heard to begin. */
  #checkAlone(agent: SimulatedAgent, task: SimulatedTask, work: Work): void {
    for (const other of this.#workersOf(task.taskId)) {
      if (other === agent) continue;
      const theirs = other.work.get(task.taskId);
      if (theirs === undefined || task.takenBack.has(theirs.epoch)) continue;
      assert.fail(
        `${task.taskId}: ${agent.facts.agentId} begins attempt ${work.epoch} while ` +
          `${other.facts.agentId} works on ${theirs.epoch} for ` +
          `${theirs.leaseEndsMs - this.#clock.bootMs()} ms more`,
      );
    }
  }

  #checkSlots(agentId: string): void {
    const held = this.#dispatcher.held(agentId).length;
    const { slots } = this.#agents.get(agentId)!.facts.limits;
    assert.ok(held <= slots, `${agentId} has ${held} tasks and ${slots} slots`);
  }

  /** A word of an attempt that comes when it is not expected any more changes nothing. */
  #late(task: SimulatedTask, work: Work): void {
    const before = this.#store.task(task.taskId)!;
    if (before.epoch === work.epoch && !task.isOver) return;
    this.#counts.lateWords++;
    work.session.begun();
    work.session.end(work.outcome);
    assert.deepEqual(this.#store.task(task.taskId), before);
  }

  #lastLook(): Story {
    const count = { succeeded: 0, failed: 0, waiting: 0 };
    for (let i = 0; i < this.#scale.runs; i++) {
      for (const stored of this.#store.tasks(`run-${i}`)) {
        const task = this.#tasks.get(stored.taskId)!;
        switch (stored.state) {
          case "succeeded":
            count.succeeded++;
            assert.equal(
              task.doneBy.get(stored.epoch),
              stored.agentId,
              `${stored.taskId} is said to be done by an attempt that did not do it`,
            );
            break;
          case "failed":
            count.failed++;
            assert.equal(task.faults, FAULTS_MAX);
            assert.equal(stored.reason, "The disk is odd");
            break;
          default:
            count.waiting++;
            assert.equal(stored.state, "queued", stored.taskId);
            assert.match(stored.reason ?? "", /^No agent offers snapshot/);
        }
      }
    }
    this.#store.close();
    return { ...count, ...this.#counts, simulatedMs: this.#clock.nowMs() };
  }
}

function heldOf({ taskId, epoch }: Work): HeldTask {
  return { taskId, epoch };
}

function viewOf({ agentId, facts, liveness }: KnownAgent) {
  const { capabilities, hostId, roots, limits: { slots }, load: { score } } = facts;
  const readiness = liveness === "alive" ? "ready" as const : liveness;
  return { agentId, capabilities, slots, load: score, hostId, roots, readiness };
}
