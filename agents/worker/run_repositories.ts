/**
 * The repositories of one run on one agent. Rule: nothing is made before all that exist were opened, and nothing with a password
 * that one of them refuses; what is made together, or beside one that exists, is a replica, also with a password of its own.
 */
import type { Clock } from "../../protocol/base/clock.ts";
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import { isRepositoryAddress, REPOSITORY_PREFIX } from "../../protocol/cli/repository_address.ts";
import { shellWord } from "../../protocol/cli/shell_word.ts";
import type { DestinationSpec } from "../../protocol/mesh/job.ts";
import type { PreparedDestination } from "../../protocol/mesh/task.ts";
import { toWireError } from "../../protocol/mesh/task_mapping.ts";
import type { Inspection } from "../destinations/local_destination.ts";
import type { KnownDestinations } from "../destinations/known_destinations.ts";
import type { Credentials } from "../repository/mod.ts";
import {
  type NewFiles,
  type RepositoryInspection,
  RepositoryLane,
  type RepositoryLaneDeps,
  SnapshotGroup,
  type SnapshotGroupDeps,
  type SnapshotJournal,
} from "../strategies/snapshot/mod.ts";
import { ReadyThread } from "../threads/ready_thread.ts";
import type { ThreadEnd } from "../threads/thread_rpc.ts";
import { type KnownPlace, unknownPlace } from "./unknown_place.ts";

export interface RunRepositoriesDeps {
  clock: Clock;
  known: KnownDestinations;
  /** What is known of a destination's path on this machine. */
  knownPlace: (spec: DestinationSpec) => KnownPlace;
  lane: RepositoryLaneDeps;
  group: Omit<SnapshotGroupDeps, "memory">;
  journal: SnapshotJournal;
}

export interface OpenRepositoriesRequest {
  credentials: (spec: DestinationSpec) => Credentials | undefined;
  waitMs: number;
  /** Nothing is made or locked. */
  dryRun: boolean;
  /** Of one that an agent has prepared, by key: nothing else will do, and nothing is made. */
  expectedIds?: ReadonlyMap<string, string>;
}

interface Place {
  lane: RepositoryLane;
  inspection: RepositoryInspection | undefined;
  error: BackupError | undefined;
  isOpen: boolean;
}

/** Files of a replica, and what opens them. */
interface Made {
  files: NewFiles;
  credentials: Credentials;
}

/** Before the id in a repository's configuration, where ids of all kinds of destinations are kept. */
const ID_PREFIX = "restic-";
const ARCHIVE = "archive";

export class RunRepositories {
  readonly #deps: RunRepositoriesDeps;
  readonly #places = new Map<string, Place>();
  #groups: SnapshotGroup[] = [];
  readonly #finished = new Set<string>();
  /** Started before it is known for which group, while passwords are tried. */
  #archive: ReadyThread | undefined;

  constructor(deps: RunRepositoriesDeps, specs: readonly DestinationSpec[]) {
    this.#deps = deps;
    for (const spec of specs) {
      this.#places.set(spec.key, {
        lane: new RepositoryLane(deps.lane, spec),
        inspection: undefined,
        error: undefined,
        isOpen: false,
      });
    }
    if (specs.length > 0) this.#archive = new ReadyThread(deps.group.spawn(ARCHIVE));
  }

  get isEmpty(): boolean {
    return this.#places.size === 0;
  }

  has(key: string): boolean {
    return this.#places.has(key);
  }

  /** False in a dry run for one that is not there yet. */
  isOpen(key: string): boolean {
    return this.#places.get(key)?.isOpen === true;
  }

  /** Replicas of each other; each destination that is open is in one. */
  get groups(): readonly SnapshotGroup[] {
    return this.#groups;
  }

  /** Looks without changing anything, in the shape that all destinations are compared in. */
  async inspect(spec: DestinationSpec): Promise<Inspection> {
    const place = this.#place(spec.key);
    try {
      place.inspection = await place.lane.inspect();
    } catch (thrown) {
      place.error = asBackupError(thrown);
      throw place.error;
    }
    const { exists, ancestors, freeBytes, device, isRepository, holdsCopies } = place.inspection;
    return {
      ...(holdsCopies && !isRepository ? { otherKind: "copies" } : {}),
      exists,
      ancestors,
      copies: [],
      occupied: [],
      bindings: [],
      destinationId: undefined,
      freeBytes,
      fileSystem: undefined,
      device,
    };
  }

  /** Opens, makes and locks all that were looked at; each has its own error. */
  async open(request: OpenRepositoriesRequest): Promise<ReadonlyMap<string, PreparedDestination>> {
    const places = [...this.#places.values()].filter((p) => p.inspection !== undefined);
    await Promise.all(
      places.map((place) => this.#attempt(place, () => this.#find(place, request))),
    );
    const vacant = places.filter((p) => p.error === undefined && !p.isOpen);
    if (!request.dryRun && vacant.length > 0) await this.#make(places, vacant, request);
    const open = places.filter((p) => p.isOpen);
    if (!request.dryRun) {
      const { waitMs } = request;
      await Promise.all(
        open.map((place) => this.#attempt(place, () => place.lane.lock({ waitMs }))),
      );
    }
    this.#group(open.filter((p) => p.error === undefined).map(({ lane }) => lane));
    return new Map(places.map((place) => [place.lane.key, this.#prepared(place)]));
  }

  async finish(key: string): Promise<void> {
    this.#finished.add(key);
    await this.#place(key).lane.finish();
  }

  drop(key: string): void {
    this.#places.get(key)?.lane.drop();
  }

  /** What is being stored is ended, and nothing further is begun until it goes on. */
  pause(isPaused: boolean): void {
    for (const { lane } of this.#places.values()) lane.pause(isPaused);
  }

  cancel(): void {
    for (const [key, { lane }] of this.#places) if (!this.#finished.has(key)) lane.cancel();
  }

  async close(): Promise<void> {
    await Promise.all(this.#groups.map((group) => group.close()));
    await Promise.all([...this.#places.values()].map(({ lane }) => lane.close()));
    this.#archive?.endUnlessTaken();
    this.#archive = undefined;
    this.#places.clear();
  }

  async #attempt(place: Place, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (thrown) {
      place.error = asBackupError(thrown);
    }
  }

  /** Opens one that exists. @throws {BackupError} when it is not what it should be */
  async #find(place: Place, request: OpenRepositoriesRequest): Promise<void> {
    const { lane, inspection } = place;
    const { spec } = lane;
    const { key } = spec;
    const known = this.#deps.knownPlace(spec);
    const expectedId = request.expectedIds?.get(key);
    if (!inspection!.isRepository) {
      if (expectedId !== undefined) {
        throw new BackupError("destination_lost", `${key} is no repository here`, { path: key });
      }
      const unknown = unknownPlace(spec, undefined, known);
      if (unknown !== undefined) throw unknown;
      if (inspection!.isVacant) {
        // Nothing is made with a password that cannot be had, nor is anything of the others.
        credentialsOf(spec, request);
        return;
      }
      throw new BackupError(
        "destination_missing",
        `${key} is no repository, and the folder is not empty`,
        { path: key, hint: "Name a repository, or an empty or missing folder to make one in" },
      );
    }
    const { config } = await lane.open({
      credentials: credentialsOf(spec, request),
      ...(expectedId === undefined ? {} : { expectedId: expectedId.slice(ID_PREFIX.length) }),
    }).catch((thrown) => {
      throw withPasswordHint(thrown, addressOf(spec));
    });
    const unknown = unknownPlace(spec, ID_PREFIX + config.id, known);
    if (unknown !== undefined) throw unknown;
    place.isOpen = true;
  }

  /** All at once, so that they are replicas: of the first that exists, or of each other. */
  async #make(
    places: readonly Place[],
    vacant: readonly Place[],
    request: OpenRepositoriesRequest,
  ): Promise<void> {
    const like = places.find(({ isOpen }) => isOpen);
    const made = (async (): Promise<Made> => {
      if (like !== undefined) {
        return {
          files: await like.lane.keyFiles(),
          credentials: credentialsOf(like.lane.spec, request),
        };
      }
      for (const { lane } of vacant) {
        const credentials = request.credentials(lane.spec);
        const begun = credentials === undefined ? [] : await lane.begunFiles(credentials);
        if (begun.length > 0) return { files: begun, credentials: credentials! };
      }
      // Whose password is refused elsewhere makes nothing, and the others do not wait for it.
      const [first] = vacant.filter(({ lane }) =>
        refusal(lane.spec, places, request) === undefined
      );
      const { lane } = first ?? vacant[0]!;
      const credentials = credentialsOf(lane.spec, request);
      return { files: await lane.newFiles(credentials), credentials };
    })();
    made.catch(() => {});
    await Promise.all(vacant.map((place) =>
      this.#attempt(place, async () => {
        const { spec } = place.lane;
        const refused = refusal(spec, places, request);
        if (refused !== undefined) throw refused;
        const own = credentialsOf(spec, request);
        await place.lane.create({ ...await made, own });
        place.isOpen = true;
      })
    ));
  }

  #group(lanes: readonly RepositoryLane[]): void {
    const byReplica = new Map<string, RepositoryLane[]>();
    for (const lane of lanes) {
      const id = lane.facts!.replicaId;
      byReplica.set(id, [...byReplica.get(id) ?? [], lane]);
    }
    const { clock, journal, group } = this.#deps;
    const memory = { clock, journal, absent: (repository: string) => this.#absent(repository) };
    this.#groups = [...byReplica.values()].map((same) =>
      new SnapshotGroup({ ...group, memory, spawn: (role) => this.#spawn(role) }, same)
    );
  }

  #spawn(role: string): ThreadEnd {
    const begun = role === ARCHIVE ? this.#archive : undefined;
    if (begun === undefined) return this.#deps.group.spawn(role);
    this.#archive = undefined;
    return begun.take();
  }

  /** Paths of replicas that could not be opened this time. */
  #absent(repository: string): string[] {
    return [...this.#places.values()].filter(({ error }) => error !== undefined)
      .map(({ lane }) => lane.spec.path)
      .filter((path) => this.#deps.known.idAt(path) === ID_PREFIX + repository);
  }

  #prepared({ lane, inspection, error, isOpen }: Place): PreparedDestination {
    const prepared: PreparedDestination = { destination: lane.key, warnings: [] };
    if (error !== undefined) return { ...prepared, error: toWireError(error) };
    if (inspection?.freeBytes !== undefined) prepared.freeBytes = inspection.freeBytes;
    if (!isOpen) return prepared;
    const destinationId = ID_PREFIX + lane.facts!.config.id;
    this.#deps.known.remember(lane.spec.path, destinationId);
    return { ...prepared, destinationId };
  }

  #place(key: string): Place {
    const place = this.#places.get(key);
    if (place === undefined) throw new BackupError("rejected", `${key} was not prepared here`);
    return place;
  }
}

/** A slip of the finger in a password must not make a repository that nobody opens again. */
function refusal(
  spec: DestinationSpec,
  places: readonly Place[],
  request: OpenRepositoriesRequest,
): BackupError | undefined {
  const password = request.credentials(spec)?.password;
  const refused = places.find(({ lane, error }) =>
    error?.code === "wrong_key" && passwordOf(lane.spec, request) === password
  );
  if (refused === undefined) return undefined;
  return new BackupError(
    "wrong_key",
    `No repository is made at ${spec.key}, since its password does not open ${refused.lane.key}`,
    {
      path: spec.path,
      hint: `--password-file ${shellWord(`${addressOf(spec)}=FILE`)} is for it alone`,
    },
  );
}

/** Undefined also where it cannot be had. */
function passwordOf(spec: DestinationSpec, request: OpenRepositoriesRequest): string | undefined {
  try {
    return request.credentials(spec)?.password;
  } catch {
    return undefined;
  }
}

/** Under which a command would name it; a place of a dashboard has a name of its own. */
function addressOf({ key, path }: DestinationSpec): string {
  return isRepositoryAddress(key) ? key : REPOSITORY_PREFIX + path;
}

function withPasswordHint(thrown: unknown, address: string): unknown {
  if (!(thrown instanceof BackupError) || thrown.code !== "wrong_key") return thrown;
  const { code, message, path } = thrown;
  const [file, name] = ["FILE", "NAME"].map((value) => shellWord(`${address}=${value}`));
  const hint = `--password-file ${file} is for it alone, and for agents --password-name ${name}`;
  return new BackupError(code, message, { path, hint, cause: thrown });
}

function credentialsOf(spec: DestinationSpec, request: OpenRepositoriesRequest): Credentials {
  const credentials = request.credentials(spec);
  if (credentials !== undefined) return credentials;
  throw new BackupError("wrong_key", `No password is given for ${spec.key}`, {
    hint: "Give --password-file or --password-command, or set RESTIC_PASSWORD",
  });
}
