/** `restore`: brings copies back from destinations into a folder. Needs no coordinator and no source. */
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import type { Command, CommandCall } from "../../protocol/cli/command.ts";
import { jsonLine } from "../../protocol/cli/error_line.ts";
import { watchInterrupts } from "../../protocol/cli/interrupt.ts";
import { typedPath } from "../../protocol/cli/surroundings.ts";
import { KEY_OPTIONS, type KeySources, keySources } from "./key_sources.ts";
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

/** The command over the engine's own restore. */
export function createRestoreCommand(restoreFrom: RestoreFrom): Command {
  return {
    name: "restore",
    summary: "Bring copies back from a destination, each file checked against its SHA-256",
    synopsis: ["restore --from DEST [--from DEST2 ...] --target DIR [PATH...] [OPTIONS]"],
    about: [
      "Writes DIR/NAME/... for each copy at DEST, or only what PATH names: NAME, or NAME/path/in/copy, a folder meaning " +
      "all below it. Every file is compared with the SHA-256 recorded when it was copied, and gets its name only when it " +
      "is whole and right; what is damaged or missing at DEST is taken from the next one given.",
      "Nothing that stands in DIR is replaced without --overwrite; what is there already as recorded is counted, so the " +
      "same command goes on after an interruption. DEST is only read. Folders that were asked for get their recorded mode, " +
      "owner and time, also those that stood there.",
    ],
    options: [
      ...["from", "target", "overwrite", "withGone", "dryRun"] as const,
      ...KEY_OPTIONS,
      ...["timeout", "wait", "json", "quiet", "verbose"] as const,
    ],
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
    ],
    exitCodes: [0, 1, 2, 4, 10, 11, 12, 130],
    exitMeanings: {
      0: "everything asked for stands there, restored now or before",
      1: "failed: nothing was restored, or the target cannot be written any more",
      4: "some was restored, some was not (named in the report)",
      12: "all files are encrypted and no key or passphrase given opens them",
    },
    run: (call) => runRestore(call, restoreFrom),
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
      overwrite: settings.get("overwrite").value === "always",
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
