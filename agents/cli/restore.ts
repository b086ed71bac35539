/** `restore`: brings copies back from destinations into a folder. Needs no coordinator and no source. */
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import type { Command, CommandCall } from "../../protocol/cli/command.ts";
import { jsonLine } from "../../protocol/cli/error_line.ts";
import { watchInterrupts } from "../../protocol/cli/interrupt.ts";
import type { OverwriteRule } from "../../protocol/cli/options.ts";
import { FROM_PASSWORD_OPTIONS } from "../../protocol/cli/repository_password.ts";
import { typedPath } from "../../protocol/cli/surroundings.ts";
import { KEY_OPTIONS, type KeySources, keySources } from "./key_sources.ts";
import { isForRepository, type RepositoryVerb, SNAPSHOT_OPTIONS } from "./repository_verbs.ts";
import { showProgress } from "./progress_display.ts";
import {
  renderPlan,
  renderRestoreLane,
  renderRestoreResult,
  type RestoreDoneOutcome,
  restoreEndMessages,
  restoreExitCode,
  restoreLine,
  type RestoreProgressView,
  restoreStatusMessage,
  type RestoreView,
} from "./restore_result.ts";

/** What the command needs of the engine; see `RestoreOptions` there. */
export type RestoreFrom = (options: {
  sources: readonly string[];
  target: string;
  paths: readonly string[];
  overwrite: boolean;
  withGone: boolean;
  dryRun: boolean;
  keys: KeySources;
  timeoutMs: number;
  waitMs: number;
  onProgress(progress: RestoreProgressView): void;
  signal: AbortSignal;
  clock: CommandCall["clock"];
}) => Promise<RestoreDoneOutcome>;

const ONLY_REPOSITORIES = [
  ...["to", "include", "exclude", "delete", "sparse", "verify"] as const,
  ...SNAPSHOT_OPTIONS,
  ...FROM_PASSWORD_OPTIONS,
] as const;

/** The command over the engine's own restore, and that of snapshots. */
export function createRestoreCommand(
  restoreFrom: RestoreFrom,
  ofRepository: RepositoryVerb,
): Command {
  return {
    name: "restore",
    summary: "Bring copies or snapshots back, each file checked against its SHA-256",
    synopsis: [
      "restore --from DEST [--from DEST2 ...] --target DIR [PATH...] [OPTIONS]",
      "restore restic:PATH [restic:REPLICA ...] --target DIR [PATH...] [OPTIONS]",
    ],
    about: [
      "Writes DIR/NAME/... for each copy at DEST, or only what PATH names: NAME, or NAME/path/in/copy, a folder meaning " +
      "all below it. Every file is compared with the SHA-256 recorded when it was copied, and gets its name only when it " +
      "is whole and right; what is damaged or missing at DEST is taken from the next one given.",
      "Nothing that stands in DIR is replaced without --overwrite; what is there already as recorded is counted, so the " +
      "same command goes on after an interruption. DEST is only read. Folders that were asked for get their recorded mode, " +
      "owner and time, also those that stood there.",
      "From repositories DIR gets what the snapshot has, or only each PATH of it with all below. A file that stands there " +
      "with the size and time of the snapshot's is taken for it; --verify compares the content too. Nothing else in DIR is " +
      "touched without --delete. Of several replicas the fastest is read, and for whatever is damaged or missing there the next.",
    ],
    options: [
      ...["from", "target", "to", "overwrite", "withGone", "dryRun"] as const,
      ...["include", "exclude", "delete", "sparse", "verify"] as const,
      ...KEY_OPTIONS,
      ...SNAPSHOT_OPTIONS,
      ...FROM_PASSWORD_OPTIONS,
      ...["timeout", "wait", "json", "quiet", "verbose"] as const,
    ],
    typedOnly: ["to", "exclude", "delete", "verify", "tag"],
    optionHelp: {
      to: "The same as --target",
      overwrite:
        "Replace what stands there and differs; WHEN, for repositories only: always, if-changed, if-newer or never, which skips in silence",
      dryRun: "Show what would be restored, with sizes; write nothing",
      exclude: "Leave out what matches, in gitignore grammar",
      delete: "Delete what the snapshot does not have, in folders that are restored",
      verify: "Read what was restored again and compare it",
      withGone: "Also what the source had lost and the copy kept",
      fromPasswordFile: "File with a second password, for replicas that the first does not open",
      fromPasswordCommand: "Shell command that prints such a second password",
      path: "Only snapshots of this path, for latest",
      tag: "Only snapshots that have all these tags, for latest",
      snapshotHost: "Only snapshots of this host, for latest",
    },
    examples: [
      { says: "everything on that disk", words: "restore --from /mnt/ssd --target /home/me/back" },
      {
        says: "one folder, from the second disk where the first is damaged",
        words: "restore --from /mnt/ssd --from /mnt/nas --target back Documents/letters",
      },
      {
        says: "an encrypted copy",
        words: "restore --from /mnt/ssd --target back --identity ~/backup.key",
      },
      {
        says: "a folder of the latest snapshot, from two replicas",
        words:
          "restore restic:/mnt/ssd/backup restic:/mnt/nas/backup --target back /home/me/letters",
      },
    ],
    exitCodes: [0, 1, 2, 4, 10, 11, 12, 130],
    exitMeanings: {
      0: "everything asked for stands there, restored now or before",
      1: "failed: nothing was restored, or the target cannot be written any more",
      4: "some was restored, some was not, or a snapshot that may be newer cannot be read (named)",
      12: "the password is wrong, or all files are encrypted and nothing given opens them",
    },
    run(call) {
      const places = [...call.settings.get("from").value, ...call.positionals];
      const copies = ["withGone"] as const;
      if (isForRepository(call, { places, copies, repositories: ONLY_REPOSITORIES })) {
        return ofRepository(call);
      }
      return runRestore(call, restoreFrom);
    },
  };
}

async function runRestore(call: CommandCall, restoreFrom: RestoreFrom): Promise<number> {
  const { terminal, clock, settings, surroundings } = call;
  const typedSources = settings.get("from").value;
  const typedTarget = settings.get("target").value;
  const dryRun = settings.get("dryRun").value;
  if (typedSources.length === 0) {
    throw new BackupError("usage", "No destination is given to restore from", {
      hint: "Name the folder that holds the copies: restore --from DEST --target DIR",
    });
  }
  if (typedTarget === undefined) {
    throw new BackupError("usage", "No folder is given to restore into", {
      hint: "restore --from DEST --target DIR",
    });
  }
  const sources = typedSources.map((typed) => typedPath(typed, surroundings.folder));
  const json = settings.get("json").value;
  const quiet = settings.get("quiet").value;
  const startedAtMs = clock.monotonicMs();
  const view: RestoreView = {
    target: typedTarget.replace(/(?<=.)\/+$/, ""),
    progress: { filesDone: 0, filesTotal: 0, bytesDone: 0, bytesTotal: 0, copy: "" },
    elapsedMs: 0,
  };
  // Before the first line is shown: whoever sees it may press Ctrl-C.
  const interrupts = watchInterrupts(call.signals, () => {});
  const show = quiet || dryRun ? { close() {} } : showProgress(call, {
    lane: (columns, style) => renderRestoreLane(view, columns, style),
    message: () => restoreStatusMessage(view),
    line: () => restoreLine(view),
  }, json);
  let outcome: RestoreDoneOutcome;
  try {
    outcome = await restoreFrom({
      sources: [...new Set(sources)],
      target: typedPath(typedTarget, surroundings.folder),
      paths: call.positionals,
      overwrite: replacesCopies(settings.get("overwrite").value),
      withGone: settings.get("withGone").value,
      dryRun,
      keys: keySources(call),
      timeoutMs: settings.get("timeout").value,
      waitMs: settings.get("wait").value,
      onProgress: (next) => {
        view.progress = next;
        view.elapsedMs = clock.monotonicMs() - startedAtMs;
      },
      signal: interrupts.signal,
      clock,
    });
  } catch (thrown) {
    if (interrupts.signal.aborted) throw asBackupError(interrupts.signal.reason);
    throw thrown;
  } finally {
    interrupts.close();
    show.close();
  }
  const elapsedMs = clock.monotonicMs() - startedAtMs;
  const facts = { target: view.target, elapsedMs, dryRun };
  const code = dryRun ? 0 : restoreExitCode(outcome);
  if (json) {
    for (const message of restoreEndMessages(outcome, facts)) terminal.out(jsonLine(message));
    if (code !== 0) {
      const message = `Not everything was restored to ${view.target}`;
      terminal.err(jsonLine({ message_type: "exit_error", code, message }));
    }
  } else if (!quiet || code !== 0) {
    const print = quiet ? terminal.err : terminal.out;
    const style = quiet ? terminal.errStyle : terminal.outStyle;
    const verbose = settings.get("verbose").value;
    const lines = dryRun
      ? renderPlan(outcome, facts)
      : renderRestoreResult(outcome, { ...facts, style, verbose });
    print(lines.join("\n") + "\n");
  }
  return code;
}

/** Files that are there as recorded are never written again: `if-changed` is what `always` does. */
function replacesCopies(rule: OverwriteRule | undefined): boolean {
  if (rule === "if-newer") {
    throw new BackupError("usage", "--overwrite if-newer is for repositories only: restic:PATH");
  }
  return rule === "always" || rule === "if-changed";
}
