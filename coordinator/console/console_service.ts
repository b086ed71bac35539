/** What dashboards ask of a coordinator, carried out. Rule: plain calls; nothing here knows JSON-RPC or browsers. */
import type * as v from "valibot";
import type { Clock } from "../../protocol/base/clock.ts";
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import { newId } from "../../protocol/base/ids.ts";
import type { Log } from "../../protocol/base/log.ts";
import type { JsonLog } from "../../protocol/logs/json_log.ts";
import {
  DEFAULT_SETTINGS,
  type JobRequest,
  type SelectedDirectory,
  type Settings,
} from "../../protocol/mesh/console_documents.ts";
import type { HistoryEntry } from "../../protocol/mesh/console_methods.ts";
import type { AgentCardView, ConsoleState } from "../../protocol/mesh/console_state.ts";
import { ListDirectories, ListStored, ReadStored } from "../../protocol/mesh/place_methods.ts";
import type { EventStream } from "../../protocol/rpc/method.ts";
import { checkNames } from "../runs/check_names.ts";
import { FALLBACK_ID, type MeshCoordinator } from "../mesh/mesh_coordinator.ts";
import type { Unnumbered } from "../mesh/run_hub.ts";
import type { JobStore } from "../store/job_store.ts";
import { agentFailure, askAgent } from "./asking.ts";
import { chooseAgent } from "./choose_agent.ts";
import { type ConsoleFeed, createConsoleFeed } from "./console_feed.ts";
import { ConsoleModel } from "./console_model.ts";
import { jobOfRequest } from "./job_of_request.ts";
import { createLogFiles, type LogFiles } from "./log_files.ts";
import { createPlaces, type Places } from "./places.ts";
import { createRestores, type Restores } from "./restores.ts";
import { retryJob } from "./retry_job.ts";
import { createRunFiles, failuresOf, type RunFiles } from "./run_files.ts";
import { createSchedules, type Schedules } from "./schedules.ts";
import { createVerifications } from "./verifications.ts";

const SETTINGS_ID = "settings";
/** While somebody looks, the room at the places is looked at so often. */
const LOOK_AT_PLACES_MS = 30_000;

export interface ConsoleDeps {
  store: JobStore;
  clock: Clock;
  log: Log;
  logs: Pick<JsonLog, "lines">;
  logDir: string;
  name: string;
  version: string;
  hostId: string;
  /** Of the agent in this process, as it is shown. */
  own: Pick<AgentCardView, "capabilities" | "roots" | "url">;
  mesh(): Pick<MeshCoordinator, "service" | "reach">;
}

export class ConsoleService {
  readonly feed: ConsoleFeed;
  readonly model: ConsoleModel;
  readonly places: Places;
  readonly schedules: Schedules;
  readonly restores: Restores;
  readonly files: RunFiles;
  readonly logFiles: LogFiles;
  readonly startedAtMs: number;
  readonly #deps: ConsoleDeps;
  readonly #verifications;
  #lookedAtMs = -Infinity;

  constructor(deps: ConsoleDeps) {
    this.#deps = deps;
    const { store, clock, log, mesh, hostId } = deps;
    this.startedAtMs = Math.round(clock.nowMs());
    const reach = () => mesh().reach;
    this.#verifications = createVerifications(store);
    this.places = createPlaces({ ...deps, reach, verifications: this.#verifications });
    this.restores = createRestores({ store, clock, log, reach, places: this.places });
    this.files = createRunFiles({ store, clock, reach });
    this.logFiles = createLogFiles(deps.logDir);
    this.schedules = createSchedules({
      store,
      clock,
      log,
      profile: (name) => this.profile(name).job,
      check: (job) => void checkNames(this.#jobOf(job, false)),
      run: (job, key) => mesh().service.submit(this.#jobOf(job, false), key),
    });
    this.model = new ConsoleModel({
      store,
      agents: () => mesh().service.agents(),
      nameOf: (agentId) => mesh().reach.nameOf(agentId),
      nowMs: () => clock.nowMs(),
      places: () => this.places.cards(),
      schedules: () => this.schedules.cards(),
      restores: () => this.restores.cards(),
      own: ownCard(deps),
      facts: { name: deps.name, version: deps.version, hostId, startedAtMs: this.startedAtMs },
    });
    this.feed = createConsoleFeed({ clock, log, collect: () => this.collect() });
  }

  /** As the mesh tells it; see `MeshCoordinatorDeps.onRun`. */
  observe(runId: string, event?: Unnumbered): void {
    try {
      if (event?.kind === "end") this.#verifications.ended(runId);
      this.model.observe(runId, event);
    } catch (thrown) {
      // Whoever looks at a run must never be able to end it.
      this.model.forget();
      this.#deps.log("warn", "What happened in a run could not be taken up for dashboards", {
        run: runId,
        error: asBackupError(thrown).message,
      });
    }
  }

  start(): void {
    try {
      this.restores.recover();
    } catch (thrown) {
      this.#deps.log("warn", "Restores of before could not be read", {
        error: asBackupError(thrown).message,
      });
    }
    this.schedules.watch();
  }

  close(): void {
    this.schedules.close();
    this.restores.close();
    this.feed.close();
  }

  collect(): ConsoleState {
    const nowMs = this.#deps.clock.monotonicMs();
    if (nowMs - this.#lookedAtMs >= LOOK_AT_PLACES_MS) {
      this.#lookedAtMs = nowMs;
      void this.places.look();
    }
    return this.model.collect();
  }

  // -- runs

  startRun(
    { job, profile, isDryRun = false, idempotencyKey }: {
      job?: JobRequest;
      profile?: string;
      isDryRun?: boolean;
      idempotencyKey?: string;
    },
  ): string {
    if (job !== undefined && profile !== undefined) {
      throw new BackupError("usage", "Give a job or the name of a profile, not both");
    }
    const request = profile === undefined ? job ?? {} : this.profile(profile).job;
    return this.#deps.mesh().service.submit(this.#jobOf(request, isDryRun), idempotencyKey);
  }

  retry(runId: string): string {
    const run = this.#deps.store.run(runId);
    if (run === undefined) throw new BackupError("not_found", `No run ${runId} is stored`);
    return this.#deps.mesh().service.submit(retryJob(run), undefined);
  }

  failures(runId: string, offset: number, limit: number) {
    const run = this.#deps.store.run(runId);
    if (run === undefined) throw new BackupError("not_found", `No run ${runId} is stored`);
    const all = run.report === null ? [] : failuresOf(run.report);
    return { failures: all.slice(offset, offset + limit), total: all.length };
  }

  history(limit: number) {
    const runs = this.#deps.store.runs(limit).map(({ runId }): HistoryEntry => {
      const run = this.model.run(runId);
      const card = run.card();
      const endMs = card.endedAtMs ?? Math.round(this.#deps.clock.nowMs());
      return {
        ...card,
        elapsedMs: Math.max(0, endMs - card.createdAtMs),
        verdict: run.live().verdict,
      };
    });
    return {
      runs,
      lastSuccessAtMs: this.#verifications.lastSuccessAtMs(),
      lastVerifiedAtMs: this.#verifications.byKey(),
    };
  }

  recentFiles(runId: string | undefined) {
    const run = runId === undefined
      ? this.model.runs().find((r) => (r.progress?.recentFiles?.length ?? 0) > 0)
      : this.model.run(runId);
    return { runId: run?.runId ?? null, files: run?.live().recentFiles ?? [] };
  }

  // -- directories, profiles, settings

  async discover(
    { path, withinMs, agentId }: { path?: string; withinMs: number; agentId?: string },
  ) {
    const { store, clock, hostId, mesh } = this.#deps;
    const { reach } = mesh();
    const agent = chooseAgent(reach.views(), agentId === undefined ? { hostId } : { agentId });
    const from = path ?? this.settings().discoverFrom ?? undefined;
    const found = await askAgent({ reach, clock }, agent, ListDirectories, {
      withinMs,
      ...(from === undefined ? {} : { path: from }),
    });
    const of = agent.hostId ?? hostId;
    return {
      ...found,
      agentId: agent.agentId,
      agentName: reach.nameOf(agent.agentId),
      hostId: of,
      selected: store.documents("directory").filter((d) => d.hostId === of),
    };
  }

  select(wanted: { path: string; hostId?: string; name?: string }): SelectedDirectory {
    const { store, clock, hostId } = this.#deps;
    const path = wanted.path.replace(/(?<=.)\/+$/, "");
    const of = wanted.hostId ?? hostId;
    const before = store.documents("directory").find((d) => d.path === path && d.hostId === of);
    const directory: SelectedDirectory = {
      directoryId: before?.directoryId ?? newId("folder"),
      path,
      hostId: of,
      addedAtMs: before?.addedAtMs ?? Math.round(clock.nowMs()),
      ...(wanted.name === undefined ? {} : { name: wanted.name }),
    };
    store.transact((tx) => tx.putDocument("directory", directory.directoryId, directory));
    return directory;
  }

  profile(name: string) {
    const profile = this.#deps.store.document("profile", name);
    if (profile !== undefined) return profile;
    throw new BackupError("not_found", `No profile ${name} is known`);
  }

  putProfile(name: string, job: JobRequest) {
    const profile = { name, job, changedAtMs: Math.round(this.#deps.clock.nowMs()) };
    this.#deps.store.transact((tx) => tx.putDocument("profile", name, profile));
    return profile;
  }

  settings(): Settings {
    return this.#deps.store.document("settings", SETTINGS_ID) ?? DEFAULT_SETTINGS;
  }

  changeSettings(change: { [K in keyof Settings]?: Settings[K] | undefined }): Settings {
    const given = Object.fromEntries(Object.entries(change).filter(([, x]) => x !== undefined));
    const settings = { ...this.settings(), ...given };
    this.#deps.store.transact((tx) => tx.putDocument("settings", SETTINGS_ID, settings));
    return settings;
  }

  // -- copies

  async browse(
    { place, ...what }: Omit<v.InferOutput<typeof ListStored.params>, "path"> & { place: string },
  ): Promise<v.InferOutput<typeof ListStored.result>> {
    const { clock, mesh } = this.#deps;
    const { reach } = mesh();
    const { path, hostId } = this.places.find(place);
    const agent = chooseAgent(reach.views(), { hostId });
    return await askAgent({ reach, clock }, agent, ListStored, { ...what, path });
  }

  /** The agent's own stream, passed on piece by piece: the coordinator keeps nothing of it. */
  async download(
    { place, ...what }: Omit<v.InferOutput<typeof ReadStored.params>, "path"> & { place: string },
  ): Promise<EventStream<v.InferOutput<typeof ReadStored.event>>> {
    const { reach } = this.#deps.mesh();
    const { path, hostId } = this.places.find(place);
    const agent = chooseAgent(reach.views(), { hostId });
    const stream = reach.rpc(agent.agentId).stream(ReadStored, { ...what, path });
    try {
      // Asked for now, so that what is wrong is an answer of its own and no broken stream.
      const first = await stream.next();
      return resumed(first, stream);
    } catch (thrown) {
      throw agentFailure(thrown, reach.nameOf(agent.agentId));
    }
  }

  #jobOf(request: JobRequest, isDryRun: boolean) {
    const { store, hostId } = this.#deps;
    return jobOfRequest(request, {
      hostId,
      settings: this.settings(),
      places: store.documents("place"),
      selected: store.documents("directory"),
    }, isDryRun);
  }
}

function ownCard({ own, version, hostId }: ConsoleDeps): AgentCardView {
  return {
    agentId: FALLBACK_ID,
    name: "coordinator",
    version,
    hostId,
    ...own,
    slots: 1,
    load: 0,
    state: "alive",
    tasks: [],
    totals: { bytes: 0, files: 0, tasks: 0 },
    heardAtMs: null,
    isOwn: true,
  };
}

/** A stream of which the first event was taken already. */
function resumed<E>(
  first: IteratorResult<E, void>,
  rest: AsyncGenerator<E, void, undefined>,
): EventStream<E> {
  let isFirst = true;
  return {
    async next() {
      const step = isFirst ? first : await rest.next();
      isFirst = false;
      return step.done ? { done: true, value: undefined } : step;
    },
    async return() {
      await rest.return();
      return { done: true, value: undefined };
    },
  };
}
