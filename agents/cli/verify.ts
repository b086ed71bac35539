/** `verify`: reads one destination back and compares it with what was recorded. Needs no coordinator and no source. */
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import { silentLog } from "../../protocol/base/log.ts";
import type { Command, CommandCall } from "../../protocol/cli/command.ts";
import { jsonLine } from "../../protocol/cli/error_line.ts";
import { PASSWORD_OPTIONS } from "../../protocol/cli/repository_password.ts";
import { watchInterrupts } from "../../protocol/cli/interrupt.ts";
import { typedPath } from "../../protocol/cli/surroundings.ts";
import { showProgress } from "./progress_display.ts";
import { KEY_OPTIONS, keySources } from "./key_sources.ts";
import { isForRepository, type RepositoryVerb } from "./repository_verbs.ts";
import { isSound, type VerifyDestination, type VerifyOutcome } from "./verify_port.ts";
import {
  renderVerifyLane,
  renderVerifyResult,
  verifyEndMessages,
  verifyLine,
  verifyStatusMessage,
  type VerifyView,
} from "./verify_result.ts";

/** The command over the engine's own check. */
export function createVerifyCommand(
  verifyDestination: VerifyDestination,
  ofRepository: RepositoryVerb,
): Command {
  const repositories = [...PASSWORD_OPTIONS, "noLock"] as const;
  return {
    name: "verify",
    summary: "Read a destination back and compare it with what was recorded",
    synopsis: ["verify DEST [NAME...] [OPTIONS]", "verify restic:PATH [OPTIONS]"],
    about: [
      "Reads every file at DEST and its earlier versions, or only those of the copies named NAME, and compares it with the SHA-256 recorded when it " +
      "was written. Nothing is changed but the dates of verification.",
      "With --repair-from OTHER everything recorded is made right again: files from OTHER, another destination of the " +
      "same backup, whose bytes are checked first; links, folders, modes and times from the list at DEST. OTHER is only " +
      "read, and what is not recorded is named and never deleted.",
      "Of a repository every pack is read, and every blob in it checked: `check --read-data`, after `repair` when " +
      "--repair-from names a replica.",
    ],
    options: [
      "repairFrom",
      ...KEY_OPTIONS,
      ...repositories,
      ...["timeout", "wait", "json", "quiet", "verbose"] as const,
    ],
    examples: [
      { says: "everything on that disk", words: "verify /mnt/ssd" },
      { says: "one copy, for a script", words: "verify /mnt/ssd Documents --json" },
      { says: "put right what is damaged", words: "verify /mnt/ssd --repair-from /mnt/nas" },
    ],
    exitCodes: [0, 1, 2, 10, 11, 12, 130],
    run(call) {
      const places = call.positionals.slice(0, 1);
      const isRepository = isForRepository(call, { places, copies: [], repositories });
      return isRepository ? ofRepository(call) : runVerify(call, verifyDestination);
    },
  };
}

async function runVerify(call: CommandCall, verifyDestination: VerifyDestination): Promise<number> {
  const { terminal, clock, settings, surroundings } = call;
  const [typed, ...names] = call.positionals;
  if (typed === undefined || typed === "") {
    throw new BackupError("usage", "No destination is given", {
      hint: "Name the folder that holds the copies: verify DEST",
    });
  }
  const destination = typed.replace(/(?<=.)\/+$/, "");
  const path = typedPath(typed, surroundings.folder);
  const repairFrom = settings.get("repairFrom").value.map((other) =>
    typedPath(other, surroundings.folder)
  );
  const json = settings.get("json").value;
  const quiet = settings.get("quiet").value;
  const verbose = settings.get("verbose").value;
  const startedAtMs = clock.monotonicMs();
  const progress = { filesDone: 0, filesTotal: 0, bytesDone: 0, bytesTotal: 0, currentFile: "" };
  const view: VerifyView = { destination, progress, elapsedMs: 0 };
  // Before the first line is shown: whoever sees it may press Ctrl-C.
  const interrupts = watchInterrupts(call.signals, () => {});
  const show = quiet ? { close() {} } : showProgress(call, {
    lane: (columns, style) => renderVerifyLane(view, columns, style),
    message: () => verifyStatusMessage(view),
    line: () => verifyLine(view),
  }, json);
  let outcome: VerifyOutcome;
  try {
    outcome = await verifyDestination({
      path,
      names,
      repairFrom,
      keys: keySources(call),
      timeoutMs: settings.get("timeout").value,
      waitMs: settings.get("wait").value,
      onProgress: (next) => {
        view.progress = next;
        view.elapsedMs = clock.monotonicMs() - startedAtMs;
      },
      signal: interrupts.signal,
      clock,
      log: silentLog,
    });
  } catch (thrown) {
    if (interrupts.signal.aborted) throw asBackupError(interrupts.signal.reason);
    throw thrown;
  } finally {
    interrupts.close();
    show.close();
  }
  const elapsedMs = clock.monotonicMs() - startedAtMs;
  if (json) {
    for (const message of verifyEndMessages(outcome, { destination, elapsedMs })) {
      terminal.out(jsonLine(message));
    }
  }
  const sound = isSound(outcome);
  if (json && !sound) {
    terminal.err(
      jsonLine({ message_type: "exit_error", code: 1, message: `${destination} is not sound` }),
    );
  }
  if (!json && (!quiet || !sound)) {
    const print = quiet ? terminal.err : terminal.out;
    const style = quiet ? terminal.errStyle : terminal.outStyle;
    print(
      renderVerifyResult(outcome, { destination, elapsedMs, style, verbose }).join("\n") + "\n",
    );
  }
  return sound ? 0 : 1;
}
