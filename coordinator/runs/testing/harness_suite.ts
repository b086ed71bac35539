/** A coordinator on a manual clock with one fake agent, for tests of whole runs. */
import type { JobSpec } from "../../../protocol/mesh/job.ts";
import type { RunProgress, RunReport } from "../../../protocol/mesh/run.ts";
import { ManualClock } from "../../../tests/support/manual_clock.ts";
import { SPEC } from "../../store/job_store_suite.ts";
import type { JobStore } from "../../store/job_store.ts";
import { openMemoryStore } from "../../store/open_store.ts";
import { createCoordinator } from "../coordinator.ts";
import type { DestinationEnd } from "../run_context.ts";
import { type Answers, createFakeAgent, type FakeAgent, settle } from "./fake_agent_suite.ts";

export interface Harness {
  readonly clock: ManualClock;
  readonly agent: FakeAgent;
  readonly store: JobStore;
  readonly abort: AbortController;
  readonly ends: DestinationEnd[];
  readonly progress: RunProgress[];
  /** The report or the error, once there is one. */
  readonly outcome: { report?: RunReport; error?: unknown };
  readonly done: Promise<RunReport>;
}

export function jobOf(
  sources: readonly string[],
  destinations: readonly string[],
  more: Partial<JobSpec["options"]> = {},
): JobSpec {
  return {
    ...SPEC,
    sources: sources.map((name) => ({ name, path: `/home/me/${name}` })),
    destinations: destinations.map((key) => ({ key, kind: "local", path: key, isNew: false })),
    options: { ...SPEC.options, ...more },
  };
}

/** Starts the job and lets it go as far as it goes without the clock. */
export async function start(
  job: JobSpec,
  options: { answers?: Answers; slots?: number; runId?: string } = {},
): Promise<Harness> {
  const clock = new ManualClock();
  const agent = createFakeAgent(options.answers);
  const store = openMemoryStore(clock);
  const abort = new AbortController();
  const ends: DestinationEnd[] = [];
  const progress: RunProgress[] = [];
  const outcome: Harness["outcome"] = {};
  const { slots = 1, runId = "run-1" } = options;
  const coordinator = createCoordinator({
    store,
    clock,
    log: () => {},
    agents: [{ id: "agent-1", client: agent.client, capabilities: ["mirror"], slots }],
    hostId: "host-1",
  });
  const done = coordinator.run(job, {
    runId,
    signal: abort.signal,
    onDestination: (end) => ends.push(end),
    onProgress: (p) => progress.push(p),
  });
  done.then((report) => outcome.report = report, (error) => outcome.error = error);
  await settle();
  return { clock, agent, store, abort, ends, progress, outcome, done };
}
