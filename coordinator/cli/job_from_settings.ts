/** From words and settings to a `JobSpec`. Rule: every mistake that can be seen without touching a disk is found here. */
import * as v from "valibot";
import { BackupError } from "../../protocol/base/errors.ts";
import {
  type DestinationSpec,
  JobSpec,
  type KeyNames,
  type SourceSpec,
} from "../../protocol/mesh/job.ts";
import { nearest } from "../../protocol/cli/nearest.ts";
import { type Setting, settingPath, type Settings } from "../../protocol/cli/settings.ts";
import { type Surroundings, typedPath } from "../../protocol/cli/surroundings.ts";
import {
  isRepositoryAddress,
  parseRepositoryAddress,
} from "../../protocol/cli/repository_address.ts";
import type { RateLimit } from "../../protocol/cli/quantity.ts";
import { encodingCapabilities, readEncoding } from "./read_encoding.ts";
import { checkForKinds, SNAPSHOT_CAPABILITIES, snapshotOptions } from "./read_repositories.ts";
import { readExcludes } from "./read_excludes.ts";
import { nameOfPlace, placeOfSource, withWishes } from "./source_wishes.ts";

/** The folder at a destination that holds our own data; no copy may have its name. */
const OWN_FOLDER = ".backup-agent";
const OTHER_KIND = /^(?:sftp|s3|rest|rclone|b2|https?|file):/i;

/**
 * The job a `backup` call asks for, or with `hostId` the one for a mesh: its sources are bound to that host, may be named
 * below an agent's root, and may have wishes of their own. @throws {BackupError} `usage` or `config`.
 */
export function jobFromSettings(
  positionals: readonly string[],
  settings: Settings,
  at: Surroundings,
  keys: KeyNames = {},
  hostId?: string,
): JobSpec {
  const get = settings.get;
  const named = sourceSpecs(positionals, get("as").value, at, hostId);
  const sources = hostId === undefined ? named : withWishes(named, settings, at, keys);
  const destinations = destinationSpecs(positionals, settings, at);
  const hasCopies = destinations.some(({ kind }) => kind === "local");
  const hasSnapshots = destinations.some(({ kind }) => kind === "restic");
  checkForKinds(settings, { hasCopies, hasSnapshots });
  const encoding = hasCopies
    ? readEncoding(settings, at, {
      compress: get("compress").value,
      encrypt: get("encrypt").value,
      hasPassphrase: keys.passphrase !== undefined,
      mayIgnoreRecipients: sources.some((s) => (s.encoding?.recipients.length ?? 0) > 0),
    })
    : undefined;
  const isEncoded = encoding !== undefined || sources.some((s) => s.encoding !== undefined);
  if (isEncoded && get("mhl").value) {
    throw usage(
      "--mhl describes plain copies, and these would be stored compressed or encrypted",
      "Leave out --mhl, or give the plain copies a destination and a run of their own",
    );
  }
  if (get("reencrypt").value && !get("encrypt").value) {
    throw usage("--reencrypt does nothing without --encrypt", "Give both, or neither");
  }
  if (get("deleteAnyway").value && !get("delete").value) {
    throw usage("--delete-anyway does nothing without --delete", "Give both, or neither");
  }
  return v.parse(
    JobSpec,
    {
      sources,
      destinations,
      strategy: "mirror",
      options: {
        verify: get("verify").value,
        ...(get("mhl").value ? { mhl: true } : {}),
        order: get("order").value,
        priorities: get("priority").value,
        excludes: readExcludes(settings, at),
        ignoreFiles: get("ignoreFiles").value,
        excludeCaches: get("excludeCaches").value,
        oneFileSystem: get("oneFileSystem").value,
        ...(encoding === undefined ? {} : { encoding }),
        ...(Object.keys(keys).length === 0 ? {} : { keys }),
        ...(hasSnapshots ? { repository: snapshotOptions(settings, at) } : {}),
        ...(get("reencrypt").value ? { reencrypt: true } : {}),
        dryRun: get("dryRun").value,
        deleteGone: get("delete").value,
        deleteAnyway: get("deleteAnyway").value,
        keepVersions: get("keepVersions").value,
        attemptsMax: get("attempts").value,
        workersMin: 1,
        workersMax: get("workers").value,
        operationTimeoutMs: get("timeout").value,
        waitMs: get("wait").value,
        bufferBytes: get("buffer").value,
      },
      requiredCapabilities: [
        ...new Set([
          "mirror",
          ...encodingCapabilities(encoding),
          ...(hasSnapshots ? SNAPSHOT_CAPABILITIES : []),
        ]),
      ],
    } satisfies JobSpec,
  );
}

function sourceSpecs(
  positionals: readonly string[],
  name: string | undefined,
  at: Surroundings,
  hostId: string | undefined,
): SourceSpec[] {
  if (positionals.length === 0) {
    throw usage("No SOURCE is given", "Name the folders to copy: SOURCE... --to DEST");
  }
  if (name !== undefined && positionals.length > 1) {
    throw usage("--as names one copy, but there are several sources", "Run one backup a source");
  }
  if (name !== undefined && (name.includes("/") || name === "." || name === "..")) {
    throw usage(`--as ${name} is not a name`, "Give one folder name without slashes");
  }
  const byName = new Map<string, SourceSpec>();
  for (const text of positionals) {
    if (text === "") throw usage("A SOURCE is empty", "Is a variable in the command not set?");
    const place = hostId === undefined
      ? { path: typedPath(text, at.folder) }
      : placeOfSource(text, at, hostId);
    const source = { ...place, name: name ?? nameOfPlace(place) };
    if (source.name === "") {
      throw usage(`${text} has no name of its own`, "Give the copy a name with --as NAME");
    }
    if (source.name === OWN_FOLDER) {
      throw usage(
        `A copy cannot be named ${OWN_FOLDER}: the destination's own data is there`,
        "Give the copy another name with --as NAME",
      );
    }
    const other = byName.get(source.name);
    if (other !== undefined) throw sameName(other, source);
    byName.set(source.name, source);
  }
  return [...byName.values()];
}

function sameName(a: SourceSpec, b: SourceSpec): BackupError {
  return a.path === b.path && a.root === b.root
    ? usage(`${a.path} is given twice`, "Name each source once")
    : usage(
      `${a.path} and ${b.path} would both be copied to the name ${a.name}`,
      "Back up one of them in a run of its own, with --as NAME",
    );
}

function destinationSpecs(
  sources: readonly string[],
  settings: Settings,
  at: Surroundings,
): DestinationSpec[] {
  const to = settings.get("to");
  if (to.value.length === 0) {
    const last = sources.length > 1 ? `; ${sources.at(-1)} counts as a source without it` : "";
    throw usage("No destination is given", `Say where copies go: --to DEST, once for each${last}`);
  }
  const specs: DestinationSpec[] = [];
  for (const text of to.value) {
    if (OTHER_KIND.test(text)) {
      throw usage(
        `${text} is not a folder, and only folders and repositories in folders can be destinations`,
        `If it is one, write ./${text}; a repository is restic:PATH`,
      );
    }
    const isRepository = isRepositoryAddress(text);
    const { path, key } = isRepository
      ? parseRepositoryAddress(text, settingPath(".", to, at))
      : { path: settingPath(text, to, at), key: text.replace(/(?<=.)\/+$/, "") };
    const twin = specs.find((spec) => spec.path === path || spec.key === key);
    if (twin !== undefined) {
      throw usage(
        `--to ${twin.key} and --to ${text} are the same folder`,
        "Name each destination once",
      );
    }
    const kind = isRepository ? "restic" : "local";
    specs.push({ key, kind, path, isNew: settings.get("init").value });
  }
  applyLimits(specs, settings.get("limit"), at);
  return specs;
}

/** A limit for one destination wins over the general one; of two for the same, the last. */
function applyLimits(
  specs: DestinationSpec[],
  limits: Setting<RateLimit[]>,
  at: Surroundings,
): void {
  const general = limits.value.findLast((limit) => limit.destination === undefined);
  if (general !== undefined) {
    for (const spec of specs) spec.limitBytesPerSecond = general.bytesPerSecond;
  }
  for (const { destination, bytesPerSecond } of limits.value) {
    if (destination === undefined) continue;
    const path = settingPath(destination, limits, at);
    const spec = specs.find((s) => s.key === destination || s.path === path);
    if (spec !== undefined) {
      spec.limitBytesPerSecond = bytesPerSecond;
      continue;
    }
    // A limit kept in a file or variable may be meant for a destination of another call.
    if (limits.source !== "flag") continue;
    const keys = specs.map(({ key }) => key);
    throw usage(
      `--limit names ${destination}, which is no destination of this backup`,
      `Did you mean ${nearest(destination, keys) ?? keys.join(" or ")}?`,
    );
  }
}

function usage(message: string, hint: string): BackupError {
  return new BackupError("usage", message, { hint });
}
