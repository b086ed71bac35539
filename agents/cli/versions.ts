/** `versions`: which earlier versions of a file a destination keeps, and one of them written to a new file. */
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import type { Command, CommandCall } from "../../protocol/cli/command.ts";
import { jsonLine } from "../../protocol/cli/error_line.ts";
import { formatBytes, formatCount, formatDate, formatPlural } from "../../protocol/cli/format.ts";
import { watchInterrupts } from "../../protocol/cli/interrupt.ts";
import { typedPath } from "../../protocol/cli/surroundings.ts";
import { shellWord } from "../../protocol/cli/shell_word.ts";
import { visibleText } from "../../protocol/cli/visible_text.ts";
import { isForRepository, SNAPSHOT_OPTIONS } from "./repository_verbs.ts";
import { KEY_OPTIONS, keySources } from "./key_sources.ts";
import type {
  FindInSnapshots,
  FoundVersions,
  KeptVersion,
  RestoredVersion,
  VersionsPort,
} from "./versions_port.ts";

const SHA256_SHOWN = 12;
const LATEST = "latest";
const REPOSITORY_USE = [
  ...SNAPSHOT_OPTIONS.filter((key) => key !== "snapshot"),
  "wait",
] as const;

/** The command over the engine's own look at a destination. */
export function createVersionsCommand(
  port: VersionsPort,
  findInSnapshots: FindInSnapshots,
): Command {
  return {
    name: "versions",
    summary: "List the earlier versions of a file that a destination keeps, or restore one",
    synopsis: [
      "versions PATH --at DEST [OPTIONS]",
      "versions PATH --at DEST --restore TIME --target PATH",
      "versions PATH --at restic:REPOSITORY [OPTIONS]",
    ],
    about: [
      "PATH is NAME/path as reports write it, or the path of the file in the source or in its copy. Versions are kept by " +
      "backups with --keep-versions; of a folder, the files below it that have some are listed. TIME is as listed, or " +
      "latest. What is restored is decoded and compared with its recorded SHA-256 first, and nothing is written over.",
      "Of a repository all versions that its snapshots have are listed, each with the newest snapshot that has it, and the " +
      "command that restores one.",
    ],
    options: [
      "at",
      "restore",
      "target",
      ...KEY_OPTIONS,
      ...REPOSITORY_USE,
      "timeout",
      "json",
      "quiet",
    ],
    typedOnly: ["tag"],
    examples: [
      { says: "which there are", words: "versions Documents/letter.odt --at /mnt/ssd" },
      {
        says: "one of them, beside today's",
        words: "versions Documents/letter.odt --at /mnt/ssd --restore latest --target old.odt",
      },
      {
        says: "of an encrypted copy",
        words:
          "versions Documents/a --at /mnt/ssd --restore latest --target a --identity ~/backup.key",
      },
    ],
    exitCodes: [0, 1, 2, 10, 11, 12, 130],
    run: (call) => runVersions(call, port, findInSnapshots),
  };
}

async function runVersions(
  call: CommandCall,
  port: VersionsPort,
  findInSnapshots: FindInSnapshots,
): Promise<number> {
  const { settings, surroundings, clock, signals, terminal } = call;
  const [asked, ...more] = call.positionals;
  if (asked === undefined || asked === "" || more.length > 0) {
    throw usage("Name one file or folder", "versions PATH --at DEST");
  }
  const at = settings.get("at").value;
  if (at === undefined) {
    throw usage("No destination is given", "Name the folder that holds the copies with --at DEST");
  }
  const restore = settings.get("restore").value;
  const target = settings.get("target").value;
  if ((restore === undefined) !== (target === undefined)) {
    throw usage(
      "--restore and --target need each other",
      "--restore TIME --target PATH, TIME as listed or latest",
    );
  }
  const json = settings.get("json").value;
  const places = {
    asked,
    absolute: typedPath(asked, surroundings.folder),
  };
  if (isForRepository(call, { places: [at], copies: [], repositories: REPOSITORY_USE })) {
    const repository = at.replace(/(?<=^restic:.+?)\/+$/s, "");
    const { found, isWhole } = await findInSnapshots(call, { repository, ...places });
    if (restore !== undefined) throw restoresIt(repository, found, chosenVersion(restore, found));
    terminal.out(
      json ? jsonLine(versionsMessage(found)) : renderSnapshotVersions(repository, found),
    );
    return isWhole ? 0 : 1;
  }
  const interrupts = watchInterrupts(signals, () => {});
  const where = {
    destination: typedPath(at, surroundings.folder),
    ...places,
    keys: keySources(call),
    timeoutMs: settings.get("timeout").value,
    signal: interrupts.signal,
    clock,
  };
  try {
    const found = await port.find(where);
    if (restore === undefined || target === undefined) {
      terminal.out(
        json ? jsonLine(versionsMessage(found)) : renderVersions(found).join("\n") + "\n",
      );
      return 0;
    }
    const restored = await port.restore({
      ...where,
      time: chosenVersion(restore, found).time,
      target: typedPath(target, surroundings.folder),
    });
    if (!json) { for (const text of restored.warnings) terminal.err(`${visibleText(text)}\n`); }
    const size = formatBytes(restored.sizeBytes);
    if (json) terminal.out(jsonLine(restoredMessage(restored)));
    else if (!settings.get("quiet").value) {
      terminal.out(`${visibleText(restored.path)} is restored and checked: ${size}.\n`);
    }
    if (restored.isPlain && !json) {
      terminal.err("Its owner or mode could not be set: that needs root\n");
    }
    if (restored.lacksAttributes && !json) {
      terminal.err("Extended attributes or ACLs that it had could not be set there\n");
    }
    return 0;
  } catch (thrown) {
    if (interrupts.signal.aborted) throw asBackupError(interrupts.signal.reason);
    throw thrown;
  } finally {
    interrupts.close();
  }
}

/** By a time as listed, with colons or without, or a snapshot; `latest` is the newest. @throws {BackupError} `not_found`, `usage` */
function chosenVersion(typed: string, { path, versions }: FoundVersions): KeptVersion {
  const wanted = typed.replaceAll(":", "-");
  const meant = typed === LATEST
    ? versions.slice(0, 1)
    : versions.filter((version) => version.time === wanted || snapshotOf(version) === typed);
  const [version, other] = meant;
  if (version !== undefined && other !== undefined) {
    throw usage(
      `${path} has several versions of ${typed}`,
      `Name the snapshot: ${meant.map(snapshotOf).join(", ")}`,
    );
  }
  if (version !== undefined) return version;
  throw new BackupError(
    "not_found",
    typed === LATEST
      ? `${path} has no earlier version there`
      : `${path} has no version of ${typed} there`,
    {
      path,
      hint: versions.length === 0
        ? "The same command without --restore lists what there is"
        : `There are: ${versions.map(({ time }) => time).join(", ")}`,
    },
  );
}

function snapshotOf({ storedAt, snapshots }: KeptVersion): string | undefined {
  return snapshots && storedAt.slice(0, storedAt.indexOf(":"));
}

/** Restoring from a snapshot is what `restore` does, with all that it knows. */
function restoresIt(repository: string, { path }: FoundVersions, version: KeptVersion) {
  return usage(
    `${path} is restored from its snapshot by the command restore`,
    restoreCommand(repository, version),
  );
}

function restoreCommand(repository: string, { storedAt }: KeptVersion): string {
  const at = storedAt.lastIndexOf("/");
  const folder = storedAt.slice(0, at).replace(/:$/, "");
  return [
    "backup-agent",
    "restore",
    repository,
    "--snapshot",
    folder,
    "--target",
    "DIR",
    storedAt.slice(at + 1),
  ]
    .map(shellWord).join(" ");
}

/** All versions, of which the newest may be today's. */
export function renderSnapshotVersions(repository: string, found: FoundVersions): string {
  const { versions } = found;
  const lines = versions.length === 0 && found.belowCount === 0
    ? [`${visibleText(found.path)} was the same in every snapshot that has it.`]
    : renderVersions(found, "version");
  const [newest, ...earlier] = versions;
  const example = earlier[0] ?? newest;
  return [
    ...lines,
    ...(example === undefined
      ? []
      : [`Restore one with its snapshot: ${visibleText(restoreCommand(repository, example))}`]),
  ].join("\n") + "\n";
}

/** The list for people. */
export function renderVersions(
  { path, versions, below, belowCount }: FoundVersions,
  what = "earlier version",
): string[] {
  if (versions.length === 0 && belowCount === 0) {
    return [`${visibleText(path)} has no earlier version there.`];
  }
  const sizes = versions.map(({ sizeBytes }) => formatBytes(sizeBytes));
  const width = Math.max(0, ...sizes.map((text) => text.length));
  const unnamed = belowCount - below.length;
  return [
    ...(versions.length === 0
      ? []
      : [`${formatPlural(versions.length, what)} of ${visibleText(path)}:`]),
    ...versions.map((version, k) => `  ${versionLine(version, sizes[k]!.padStart(width))}`),
    ...(belowCount === 0
      ? []
      : [`${formatPlural(belowCount, "file")} below ${visibleText(path)} with earlier versions:`]),
    ...below.map((file) =>
      `  ${visibleText(file.path)}: ${
        formatPlural(file.versions, "version")
      }, newest ${file.newest}`
    ),
    ...(unnamed > 0 ? [`  and ${formatCount(unnamed)} more`] : []),
  ];
}

function versionLine(version: KeptVersion, size: string): string {
  const mtimeMs = mtimeMsOf(version);
  return [
    version.time,
    size,
    ...(version.type === "file" ? [] : [version.type]),
    ...(mtimeMs === undefined ? [] : [`modified ${formatDate(mtimeMs)}`]),
    ...(version.verifiedAtMs === undefined ? [] : [`verified ${formatDate(version.verifiedAtMs)}`]),
    ...(version.sha256 === undefined ? [] : [`sha256 ${version.sha256.slice(0, SHA256_SHOWN)}`]),
    ...(version.snapshots === undefined ? [] : [snapshotsText(version, version.snapshots)]),
  ].join("  ");
}

function snapshotsText(
  version: KeptVersion,
  { count, firstTime }: NonNullable<KeptVersion["snapshots"]>,
): string {
  const newest = `snapshot ${snapshotOf(version)}`;
  return count === 1 ? newest : `${newest}, the newest of ${count} since ${firstTime}`;
}

function versionsMessage(found: FoundVersions): Record<string, unknown> {
  return {
    message_type: "versions",
    path: found.path,
    versions: found.versions.map((version) => ({
      time: version.time,
      type: version.type,
      size: version.sizeBytes,
      ...(version.mtimeNs === undefined ? {} : { mtime_ns: version.mtimeNs }),
      ...(version.verifiedAtMs === undefined
        ? {}
        : { last_verification: new Date(version.verifiedAtMs).toISOString() }),
      ...(version.sha256 === undefined ? {} : { sha256: version.sha256 }),
      stored_at: version.storedAt,
      ...(version.snapshots === undefined
        ? {}
        : { snapshots: version.snapshots.count, first_time: version.snapshots.firstTime }),
    })),
    below: found.below,
    below_count: found.belowCount,
  };
}

function restoredMessage(restored: RestoredVersion): Record<string, unknown> {
  return {
    message_type: "restored",
    path: restored.path,
    size: restored.sizeBytes,
    ...(restored.sha256 === undefined ? {} : { sha256: restored.sha256 }),
    owner_and_mode_set: !restored.isPlain,
    attributes_set: !restored.lacksAttributes,
    warnings: restored.warnings,
  };
}

/** Undefined when it is not recorded, or no date can show it. */
function mtimeMsOf({ mtimeNs }: KeptVersion): number | undefined {
  if (mtimeNs === undefined || !/^-?\d{1,30}$/.test(mtimeNs)) return undefined;
  const ms = Number(BigInt(mtimeNs) / 1_000_000n);
  return Math.abs(ms) <= 8.64e15 ? ms : undefined;
}

function usage(message: string, hint: string): BackupError {
  return new BackupError("usage", message, { hint });
}
