/** `drill`: restores a sample of a destination and says whether that went well. Needs no coordinator. */
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import type { Command, CommandCall } from "../../protocol/cli/command.ts";
import { jsonLine } from "../../protocol/cli/error_line.ts";
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatPlural,
} from "../../protocol/cli/format.ts";
import { watchInterrupts } from "../../protocol/cli/interrupt.ts";
import { settingPath } from "../../protocol/cli/settings.ts";
import { typedPath } from "../../protocol/cli/surroundings.ts";
import { visibleText } from "../../protocol/cli/visible_text.ts";
import type { FileFailure } from "../../protocol/mesh/job.ts";
import { KEY_OPTIONS, type KeySources, keySources } from "./key_sources.ts";
import { isForRepository, SNAPSHOT_OPTIONS } from "./repository_verbs.ts";

/** What the command needs of the engine; see `DrillOptions` there. */
export type Drill = (options: {
  path: string;
  samplePercent: number;
  scratch: string;
  keys: KeySources;
  timeoutMs: number;
  waitMs: number;
  onProgress(progress: { filesDone: number; filesTotal: number }): void;
  signal: AbortSignal;
  clock: CommandCall["clock"];
}) => Promise<DrillDone>;

/** The same of a repository, which the call names; it opens and locks it as all commands do. */
export type DrillFromRepository = (
  call: CommandCall,
  options: Pick<Parameters<Drill>[0], "samplePercent" | "scratch" | "onProgress">,
) => Promise<DrillDone>;

export interface DrillDone {
  report: {
    passed: boolean;
    startedAt: string;
    filesChosen: number;
    bytesChosen: number;
    filesRestored: number;
    bytesRestored: number;
    comparedWithSource: number;
    failures: FileFailure[];
  };
  reportPath: string | undefined;
  warnings: string[];
}

const DEFAULT_SCRATCH = "/tmp";
const LINE_MS = 10_000;

export function createDrillCommand(drill: Drill, ofRepository: DrillFromRepository): Command {
  return {
    name: "drill",
    summary: "Restore a sample of a destination to a scratch folder, and compare it",
    synopsis: ["drill DEST [OPTIONS]", "drill restic:PATH [OPTIONS]"],
    about: [
      "Chooses files at DEST by chance, restores them as `restore` does, reads them again, and compares them with what was " +
      "recorded, and with the source where that is on this machine and unchanged. What was restored is removed; a dated " +
      "report stays in DEST/.backup-agent/drills.",
      "Of a repository the sample is of the newest snapshot of each host and paths, or of --snapshot ID; every file that was " +
      "restored is compared with the SHA-256 of its blobs. Nothing is written there but a lock.",
    ],
    options: [
      "sample",
      "scratch",
      ...KEY_OPTIONS,
      ...SNAPSHOT_OPTIONS,
      "timeout",
      "wait",
      "json",
      "quiet",
    ],
    optionHelp: {
      snapshot: "Snapshot by the beginning of its id, or latest, instead of the newest of each",
    },
    typedOnly: ["tag"],
    examples: [
      { says: "one file in twenty", words: "drill /mnt/ssd --sample 5%" },
      { says: "of a repository", words: "drill restic:/mnt/usb/repo --sample 1%" },
    ],
    exitCodes: [0, 1, 2, 10, 11, 12, 130],
    exitMeanings: {
      0: "the whole sample was restored and is right",
      1: "failed: something of the sample is wrong (named in the report), or could not be tried",
      12:
        "the whole sample is encrypted and no key or passphrase given opens it, or the password is wrong",
    },
    run: (call) => runDrill(call, drill, ofRepository),
  };
}

async function runDrill(
  call: CommandCall,
  drill: Drill,
  ofRepository: DrillFromRepository,
): Promise<number> {
  const { terminal, clock, settings, surroundings } = call;
  const [typed, unexpected] = call.positionals;
  if (typed === undefined || typed === "" || unexpected !== undefined) {
    throw new BackupError("usage", typed ? `Unexpected ${unexpected}` : "No destination is given", {
      hint: "Name the folder that holds the copies: drill DEST",
    });
  }
  const uses = { places: [typed], copies: [], repositories: SNAPSHOT_OPTIONS };
  const isOfRepository = isForRepository(call, uses);
  const destination = typed.replace(/(?<=.)\/+$/, "");
  const scratch = settings.get("scratch");
  const json = settings.get("json").value;
  const quiet = settings.get("quiet").value;
  const startedAtMs = clock.monotonicMs();
  let progress = { filesDone: 0, filesTotal: 0 };
  const say = () => {
    const { filesDone, filesTotal } = progress;
    const text = `${destination}: drill, ${formatCount(filesDone)}/${
      formatPlural(filesTotal, "file")
    }`;
    if (!json && !quiet) terminal.err(`${visibleText(text)}\n`);
  };
  const stop = clock.every(LINE_MS, say);
  const wishes = {
    samplePercent: settings.get("sample").value,
    scratch: scratch.value === undefined
      ? surroundings.env("TMPDIR") ?? DEFAULT_SCRATCH
      : settingPath(scratch.value, scratch, surroundings),
    onProgress: (next: typeof progress) => void (progress = next),
  };
  let done: DrillDone;
  try {
    done = isOfRepository
      ? await ofRepository(call, wishes)
      : await drillCopies(call, drill, typedPath(typed, surroundings.folder), wishes);
  } finally {
    stop();
  }
  const { report, reportPath, warnings } = done;
  const code = drillExitCode(report);
  if (json) {
    const facts = { destination, report_path: reportPath, warnings };
    terminal.out(jsonLine({ message_type: "summary", ...facts, ...report }));
    if (code !== 0) {
      const message = `The drill of ${destination} failed`;
      terminal.err(jsonLine({ message_type: "exit_error", code, message }));
    }
  } else if (!quiet || code !== 0) {
    const print = quiet ? terminal.err : terminal.out;
    const style = quiet ? terminal.errStyle : terminal.outStyle;
    const mark = code === 0 ? style.good(style.glyphs.done) : style.bad(style.glyphs.failed);
    const elapsed = formatDuration(clock.monotonicMs() - startedAtMs);
    const sentence = `${visibleText(destination)}: ${formatCount(report.filesRestored)} of ${
      formatPlural(report.filesChosen, "chosen file")
    } restored (${formatBytes(report.bytesRestored)}), ${
      formatCount(report.comparedWithSource)
    } compared with the source, ${
      code === 0 ? "all are right" : `${formatCount(report.failures.length)} wrong`
    }, in ${elapsed}.`;
    print(
      [
        `${mark} ${style.bold(sentence)}`,
        ...report.failures.map(({ path, message }) =>
          `  ${visibleText(path)}: ${visibleText(message)}`
        ),
        ...(reportPath === undefined ? [] : [`Report: ${visibleText(reportPath)}`]),
        ...warnings.map((text) => `Warning: ${visibleText(text)}`),
      ].join("\n") + "\n",
    );
  }
  return code;
}

async function drillCopies(
  call: CommandCall,
  drill: Drill,
  path: string,
  wishes: Parameters<DrillFromRepository>[1],
): Promise<DrillDone> {
  const { settings, clock } = call;
  const interrupts = watchInterrupts(call.signals, () => {});
  try {
    return await drill({
      ...wishes,
      path,
      keys: keySources(call),
      timeoutMs: settings.get("timeout").value,
      waitMs: settings.get("wait").value,
      signal: interrupts.signal,
      clock,
    });
  } catch (thrown) {
    if (interrupts.signal.aborted) throw asBackupError(interrupts.signal.reason);
    throw thrown;
  } finally {
    interrupts.close();
  }
}

function drillExitCode({ passed, filesRestored, failures }: DrillDone["report"]): 0 | 1 | 12 {
  if (passed) return 0;
  const isLocked = failures.length > 0 && failures.every(({ code }) => code === "wrong_key");
  return filesRestored === 0 && isLocked ? 12 : 1;
}
