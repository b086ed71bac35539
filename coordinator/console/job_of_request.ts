/**
 * A job as a person asks for it in a browser, made whole. Rule: what is left out is what is selected, what is known and what
 * the settings say; nothing is guessed beyond that.
 */
import * as v from "valibot";
import { BackupError } from "../../protocol/base/errors.ts";
import {
  isRepositoryAddress,
  parseRepositoryAddress,
} from "../../protocol/cli/repository_address.ts";
import { OPTIONS } from "../../protocol/cli/options.ts";
import type {
  JobRequest,
  SelectedDirectory,
  Settings,
  StoredPlace,
} from "../../protocol/mesh/console_documents.ts";
import {
  type DestinationSpec,
  JobSpec,
  type MirrorOptions,
  type SnapshotOptions,
  type SourceSpec,
} from "../../protocol/mesh/job.ts";
import { encodingCapabilities } from "../cli/read_encoding.ts";
import { SNAPSHOT_CAPABILITIES } from "../cli/read_repositories.ts";

export interface JobContext {
  /** Of the coordinator: what a path without a host means. */
  hostId: string;
  settings: Settings;
  places: readonly StoredPlace[];
  selected: readonly SelectedDirectory[];
}

const SNAPSHOT_DEFAULTS: SnapshotOptions = { compression: "auto", tags: [] };

/** As the commands have them. */
const PROGRAM_DEFAULTS: Omit<MirrorOptions, "dryRun"> = {
  verify: OPTIONS.verify.defaultValue,
  order: OPTIONS.order.defaultValue,
  priorities: [],
  excludes: [],
  ignoreFiles: OPTIONS.ignoreFiles.defaultValue,
  excludeCaches: OPTIONS.excludeCaches.defaultValue,
  oneFileSystem: OPTIONS.oneFileSystem.defaultValue,
  attemptsMax: OPTIONS.attempts.defaultValue,
  workersMin: 1,
  workersMax: OPTIONS.workers.defaultValue,
  operationTimeoutMs: OPTIONS.timeout.defaultValue,
  waitMs: OPTIONS.wait.defaultValue,
  bufferBytes: OPTIONS.buffer.defaultValue,
};

/** @throws {BackupError} `usage` when there is nothing to copy, nowhere to copy it to, or two copies of one name */
export function jobOfRequest(
  request: JobRequest,
  context: JobContext,
  isDryRun: boolean,
): JobSpec {
  const { encoding, keys, requires = [] } = request;
  const options: MirrorOptions = {
    ...PROGRAM_DEFAULTS,
    ...given(context.settings.options),
    ...given(request.options ?? {}),
    ...(encoding === undefined ? {} : { encoding }),
    ...(keys === undefined ? {} : { keys }),
    dryRun: isDryRun,
  };
  if (encoding !== undefined && options.mhl === true) {
    throw usage("ASC MHL describes plain copies, and these would be stored encoded");
  }
  const destinations = destinationsOf(request, context);
  const hasSnapshots = destinations.some(({ kind }) => kind === "restic");
  const job = {
    sources: sourcesOf(request, context),
    destinations,
    strategy: "mirror",
    options: hasSnapshots ? { repository: SNAPSHOT_DEFAULTS, ...options } : options,
    requiredCapabilities: [
      ...new Set([
        "mirror",
        ...encodingCapabilities(encoding),
        ...(hasSnapshots ? SNAPSHOT_CAPABILITIES : []),
        ...requires,
      ]),
    ],
  };
  const parsed = v.safeParse(JobSpec, job);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  throw usage(`${v.getDotPath(issue) ?? "job"}: ${issue.message}`);
}

function sourcesOf({ sources }: JobRequest, { selected, hostId }: JobContext): SourceSpec[] {
  const wanted = sources ?? selected.map(({ path, hostId, name }) => ({
    path,
    hostId,
    ...(name === undefined ? {} : { name }),
  }));
  if (wanted.length === 0) {
    throw usage("No directory is selected", "Select one, or name the sources of the run");
  }
  const byName = new Map<string, SourceSpec>();
  for (const source of wanted) {
    const { path, name = nameOf(path), root } = source as NonNullable<JobRequest["sources"]>[0];
    if (root === undefined && !path.startsWith("/")) {
      throw usage(`${path} is not an absolute path`, "Or name the root it lies below");
    }
    if (name === "") throw usage(`${path} has no name of its own`, "Give the copy a name");
    const twin = byName.get(name);
    if (twin !== undefined) {
      throw usage(
        `${twin.path} and ${path} would both be copied to the name ${name}`,
        "Give one of them another name",
      );
    }
    byName.set(name, {
      ...(root === undefined ? { hostId } : {}),
      ...source,
      path: path.replace(/(?<=.)\/+$/, ""),
      name,
    });
  }
  return [...byName.values()];
}

function destinationsOf({ destinations }: JobRequest, { places }: JobContext): DestinationSpec[] {
  const byPath = new Map(places.map((p) => [p.path, p]));
  const wanted = destinations ?? places.map(({ path }) => ({ path }));
  if (wanted.length === 0) {
    throw usage("No destination is known", "Add one, or name the destinations of the run");
  }
  const specs: DestinationSpec[] = [];
  for (const one of wanted) {
    const { key, isNew = false, limitBytesPerSecond } = one as NonNullable<
      JobRequest["destinations"]
    >[0];
    const place = one.path.replace(/(?<=.)\/+$/, "");
    const { kind, path } = kindOfPlace(place);
    const known = byPath.get(place);
    const limit = limitBytesPerSecond ?? known?.limitBytesPerSecond;
    const spec: DestinationSpec = {
      key: key ?? known?.label ?? place,
      kind,
      path,
      isNew,
      ...(limit === undefined ? {} : { limitBytesPerSecond: limit }),
    };
    const twin = specs.find((s) => s.path === path || s.key === spec.key);
    if (twin !== undefined) {
      throw usage(`${twin.key} and ${spec.key} are the same destination, or have the same name`);
    }
    specs.push(spec);
  }
  return specs;
}

/** The prefix alone decides, as with the commands. */
export function kindOfPlace(place: string): Pick<DestinationSpec, "kind" | "path"> {
  return isRepositoryAddress(place)
    ? { kind: "restic", path: parseRepositoryAddress(place, "/").path }
    : { kind: "local", path: place };
}

function nameOf(path: string): string {
  return path.replace(/\/+$/, "").split("/").at(-1) ?? "";
}

/** Members that are there. */
function given<T extends object>(some: T): Partial<MirrorOptions> {
  return Object.fromEntries(Object.entries(some).filter(([, value]) => value !== undefined));
}

function usage(message: string, hint?: string): BackupError {
  return new BackupError("usage", message, hint === undefined ? {} : { hint });
}
