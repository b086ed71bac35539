/**
 * A coordinator's run on a manual clock with agents driven by hand, for tests. Rule: a new one over an earlier one is a
 * start anew over the same store; one that was killed stores nothing more, says nothing more and hears nothing more.
 */
import type { JobSpec } from "../../../protocol/mesh/job.ts";
import type { RunProgress, RunReport } from "../../../protocol/mesh/run.ts";
import type { TaskClient } from "../../../protocol/mesh/task_port.ts";
import { ManualClock } from "../../../tests/support/manual_clock.ts";
import { createAggregator } from "../../progress/aggregator.ts";
import type { DestinationEnd } from "../../runs/run_context.ts";
import {
  type Answers,
  createFakeAgent,
  type FakeAgent,
  laneReport,
  mirrorResult,
  settle,
} from "../../runs/testing/fake_agent_suite.ts";
import type { AgentView } from "../../scheduler/view.ts";
import type { JobStore } from "../../store/job_store.ts";
import { openMemoryStore } from "../../store/open_store.ts";
import type { AgentPool } from "../agent_pool.ts";
import { createMeshDispatcher } from "../mesh_dispatcher.ts";
import { type MeshRun, startMeshRun } from "../mesh_run.ts";

export const LEASE_MS = 1_000;
export const RUN = "run-1";

/** Who takes part must have prepared ids to be joined by. */
export const prepare = (
  { destinations }: Parameters<Exclude<Answers["prepare"], "by hand" | undefined>>[0],
) => ({
  op: "prepare" as const,
  destinations: destinations.map(({ key }) => ({
    destination: key,
    destinationId: `id of ${key}`,
    warnings: [],
  })),
});

export interface MeshOptions {
  /** The process is killed before it stores for the next time. */
  transactionsMax?: number;
}

/** A coordinator's process. */
export class Mesh {
  readonly store: JobStore;
  readonly clock: ManualClock;
  readonly agents = new Map<string, { view: AgentView; fake: FakeAgent }>();
  readonly notes: string[] = [];
  readonly abort = new AbortController();
  readonly outcome: { report?: RunReport; error?: unknown } = {};
  readonly dispatcher;
  readonly #listeners = new Set<(agentId: string, why: string) => void>();
  /** What the process sees of the store. */
  readonly #ownStore: JobStore;
  run: MeshRun | undefined;
  /** The last progress. */
  told: RunProgress | undefined;
  /** The ends of destinations that were told to people. */
  readonly ends: DestinationEnd[] = [];
  transactions = 0;
  isKilled = false;

  constructor(before?: Mesh, { transactionsMax = Infinity }: MeshOptions = {}) {
    this.clock = before?.clock ?? new ManualClock();
    this.store = before?.store ?? openMemoryStore(this.clock);
    const { store, clock } = this;
    this.#ownStore = {
      ...store,
      transact: (work) => {
        if (this.transactions >= transactionsMax) this.isKilled = true;
        if (this.isKilled) throw new Error("The process was killed");
        this.transactions++;
        return store.transact(work);
      },
    };
    const limits = { fallbackAfterMs: 0 };
    this.dispatcher = createMeshDispatcher({
      store: this.#ownStore,
      clock,
      log: () => {},
      limits,
      leaseMs: LEASE_MS,
    });
    for (const { view, fake } of before?.agents.values() ?? []) this.#put(view, fake);
  }

  #put(view: AgentView, fake: FakeAgent): FakeAgent {
    this.agents.set(view.agentId, { view, fake });
    this.dispatcher.putAgent(view);
    return fake;
  }

  add(agentId: string, answers: Answers = {}, view: Partial<AgentView> = {}): FakeAgent {
    const whole = { agentId, capabilities: ["mirror"], slots: 1, load: 0, ...view };
    return this.#put(whole, createFakeAgent({ prepare, ...answers }));
  }

  kill(agentId: string): void {
    const { view, fake } = this.agents.get(agentId)!;
    this.#put({ ...view, readiness: "dead" }, fake);
    for (const listener of [...this.#listeners]) listener(agentId, `${agentId} is dead`);
    this.dispatcher.agentLost(agentId, `${agentId} is dead`, false);
  }

  async start(job?: JobSpec): Promise<void> {
    const { store, clock, dispatcher } = this;
    if (job !== undefined) {
      store.transact((tx) => tx.insertRun({ runId: RUN, hostId: "h", spec: job, owner: "mesh" }));
    }
    const pool: AgentPool = {
      views: () => [...this.agents.values()].map((a) => a.view),
      client: (agentId) => this.#heardWhileAlive(this.agents.get(agentId)!.fake.client),
      heldBy: (agentId) => dispatcher.held(agentId).length,
      onLost: (listener) => {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
      },
    };
    const destinations = store.run(RUN)!.spec.destinations.map((d) => d.key);
    const progress = createAggregator({
      clock,
      runId: RUN,
      destinations,
      onProgress: (told) => {
        if (!this.isKilled) this.told = told;
      },
    });
    const deps = {
      store: this.#ownStore,
      clock,
      log: () => {},
      dispatcher,
      pool,
      leaseMs: LEASE_MS,
    };
    this.run = startMeshRun(deps, {
      runId: RUN,
      progress,
      signal: this.abort.signal,
      note: (text) => this.notes.push(text),
      onDestination: (end) => {
        if (!this.isKilled) this.ends.push(end);
      },
      taskChanged: () => {},
    });
    this.run.done.then((r) => this.outcome.report = r, (e) => this.outcome.error = e);
    await this.settle();
  }

  /** What is on its way when the process is killed reaches nobody. */
  #heardWhileAlive(client: TaskClient): TaskClient {
    return {
      run: (spec, options = {}) =>
        new Promise((resolve, reject) => {
          if (this.isKilled) return;
          const cut = new AbortController();
          options.signal?.addEventListener("abort", () => {
            if (!this.isKilled) cut.abort(options.signal?.reason);
          });
          client.run(spec, {
            signal: cut.signal,
            onProgress: (progress) => {
              if (!this.isKilled) options.onProgress?.(progress);
            },
          }).then(
            (result) => {
              if (!this.isKilled) resolve(result);
            },
            (thrown) => {
              if (!this.isKilled) reject(thrown);
            },
          );
        }),
    };
  }

  async settle(): Promise<void> {
    for (let i = 0; i < 6; i++) await settle();
  }

  async wait(ms: number): Promise<void> {
    await this.clock.advance(ms);
    await this.settle();
  }

  /** Every open mirror task ends as verified, until there is none. */
  async verifyAll(): Promise<void> {
    for (let turn = 0; turn < 20; turn++) {
      const open = [...this.agents.values()].filter(({ view }) => view.readiness !== "dead")
        .flatMap(({ fake }) => fake.calls("mirror").filter((c) => c.isOpen));
      for (const call of open) {
        await call.succeed(
          mirrorResult(...call.spec.destinations.map((d) => laneReport(d, "verified"))),
        );
      }
      await this.wait(LEASE_MS);
    }
  }
}
