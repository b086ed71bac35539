/** `backup`: copies folders to every destination and verifies each copy. Rule: the first picture comes before any work. */
import type { Command, CommandCall } from "../../protocol/cli/command.ts";
import type { RunReport } from "../../protocol/mesh/run.ts";
import type { Clock } from "../../protocol/base/clock.ts";
import type { Log } from "../../protocol/base/log.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import { watchInterrupts } from "../../protocol/cli/interrupt.ts";
import { settingPath } from "../../protocol/cli/settings.ts";
import { defaultStateDir } from "../../protocol/cli/surroundings.ts";
import type { CreateEmbedded, EmbeddedRunner } from "./embedded.ts";
import { createDisplay } from "./create_display.ts";
import { readKeySources } from "./key_sources.ts";
import { firstProgress } from "./first_progress.ts";
import { jobFromSettings } from "./job_from_settings.ts";
import type { RunDisplay } from "./run_display.ts";

/** How long a cancelled run may take to end by itself. Whatever is cut off here is safe: nothing half done is visible. */
export const CANCEL_PATIENCE_MS = 2_000;

/** How long threads get to end after the run. A disk that never answers holds its thread, and must not hold us. */
const CLOSE_PATIENCE_MS = 2_000;

/** What a backup can be told, whoever carries it out. */
export const JOB_OPTIONS = [
  "to",
  "as",
  "limit",
  "exclude",
  "excludeFile",
  "excludeCaches",
  "ignoreFiles",
  "oneFileSystem",
  "priority",
  "order",
  "verify",
  "compress",
  "encrypt",
  "recipient",
  "recipientsFile",
  "reencrypt",
  "mhl",
  "delete",
  "deleteAnyway",
  "keepVersions",
  "workers",
  "attempts",
  "timeout",
  "buffer",
  "wait",
  "init",
  "tag",
  "snapshotHost",
  "time",
  "compression",
  "keyHint",
  "dryRun",
  "json",
  "quiet",
  "verbose",
] as const;

/** Of options that choose among snapshots elsewhere, and describe the new one here. */
export const JOB_OPTION_HELP = {
  tag: "Tags to give to the snapshots",
  snapshotHost: "Host to note in the snapshots instead of this machine",
} as const;

/** The command; `createEmbedded` starts coordinator and worker when there is something to do. */
export function createBackupCommand(createEmbedded: CreateEmbedded): Command {
  return {
    name: "backup",
    summary: "Copy folders to several places at once and verify every copy",
    synopsis: ["backup SOURCE... --to DEST [--to DEST ...] [OPTIONS]"],
    about: [
      "Every destination starts at once and runs at its own speed; each copy is read back and compared. Copies are plain " +
      "files under DEST/NAME, NAME being the source's own name. Files gone from the source are kept " +
      "unless --delete is given; --keep-versions keeps what was replaced or deleted, see the command versions.",
      "DEST may also be restic:PATH, a deduplicated, compressed and encrypted repository that stock restic reads: each SOURCE " +
      "becomes a snapshot. A missing or empty PATH is made; repositories made together are replicas of each other. " +
      "--delete, --keep-versions, --compress, --encrypt and --mhl are for plain copies; --tag, --host, --time and " +
      "--compression for snapshots.",
    ],
    options: [
      ...JOB_OPTIONS,
      "passphraseFile",
      "passphraseCommand",
      "identity",
      "passwordFile",
      "passwordCommand",
      "stateDir",
    ],
    examples: [
      {
        says: "two copies, both verified",
        words: "backup ~/Documents --to /mnt/ssd --to /mnt/nas",
      },
      {
        says: "spare the network, leave out builds",
        words:
          "backup ~/Projects --to /mnt/ssd --to /mnt/nas --limit /mnt/nas=8MB --exclude 'build/'",
      },
      {
        says: "a plain copy and two snapshots",
        words:
          "backup ~/Documents --to /mnt/ssd --to restic:/mnt/usb/repo --to restic:/mnt/nas/repo",
      },
      { says: "only look", words: "backup ~/Documents --to /mnt/ssd --dry-run" },
      { says: "a source that starts with a dash", words: "backup --to /mnt/ssd -- -odd-name" },
    ],
    optionHelp: JOB_OPTION_HELP,
    exitCodes: [0, 1, 2, 3, 4, 10, 11, 12, 130],
    run: (call) => runBackup(call, createEmbedded),
  };
}

async function runBackup(call: CommandCall, createEmbedded: CreateEmbedded): Promise<number> {
  const { settings, surroundings, clock } = call;
  const { names, secrets } = await readKeySources(call);
  const job = jobFromSettings(call.positionals, settings, surroundings, names);
  // Before the first picture is shown: whoever sees it may press Ctrl-C.
  const interrupts = watchInterrupts(
    call.signals,
    () => display.note("Cancelling; once more to stop at once"),
    { mayHoldLocks: job.destinations.some(({ kind }) => kind === "restic") },
  );
  const display = createDisplay(call, firstProgress(job));
  let report: RunReport;
  try {
    const stateSetting = settings.get("stateDir");
    const stateDir = stateSetting.value === undefined
      ? defaultStateDir(surroundings)
      : settingPath(stateSetting.value, stateSetting, surroundings);
    const log = settings.get("verbose").value ? logTo(display) : warningsTo(display);
    const embedded = await createEmbedded({ stateDir, log, secrets });
    try {
      const running = embedded.run(job, {
        onProgress: display.progress,
        onDestination: display.destinationEnded,
        signal: interrupts.signal,
      });
      report = await endInTime(running, interrupts.signal, clock);
    } finally {
      await closeInTime(embedded, clock);
    }
  } finally {
    interrupts.close();
    display.close();
  }
  display.report(report);
  return report.exitCode;
}

/** The promise's result; after a cancel at most `CANCEL_PATIENCE_MS` later, then code `cancelled`. */
async function endInTime<T>(work: Promise<T>, signal: AbortSignal, clock: Clock): Promise<T> {
  const over = new AbortController();
  const tooLate = new Promise<never>((_, reject) => {
    const wait = () => {
      clock.sleep(CANCEL_PATIENCE_MS, over.signal).then(
        () => reject(new BackupError("cancelled", "Cancelled; some disk did not answer in time")),
        () => {},
      );
    };
    if (signal.aborted) wait();
    else signal.addEventListener("abort", wait, { once: true, signal: over.signal });
  });
  try {
    return await Promise.race([work, tooLate]);
  } finally {
    over.abort();
  }
}

async function closeInTime(embedded: EmbeddedRunner, clock: Clock): Promise<void> {
  const over = new AbortController();
  const patience = clock.sleep(CLOSE_PATIENCE_MS, over.signal).catch(() => {});
  try {
    await Promise.race([embedded.close(), patience]);
  } finally {
    over.abort();
  }
}

function logTo(display: RunDisplay): Log {
  return (_level, message, facts) => {
    const detail = facts === undefined ? "" : ` ${JSON.stringify(facts)}`;
    display.note(`${message}${detail}`);
  };
}

function warningsTo(display: RunDisplay): Log {
  return (level, message) => {
    if (level === "warn" || level === "error") display.note(message);
  };
}
