/** What a restore does and did, for people and programs. Rule: everything that was not restored is named. */
import { BackupError } from "../../protocol/base/errors.ts";
import type { CommandCall } from "../../protocol/cli/command.ts";
import { jsonLine } from "../../protocol/cli/error_line.ts";
import { formatBytes, formatDuration, formatPlural } from "../../protocol/cli/format.ts";
import { fitStart, visibleText } from "../../protocol/cli/visible_text.ts";
import { showProgress } from "../cli/progress_display.ts";
import { etaMsOf, fractionOf, numbersLine } from "../cli/progress_numbers.ts";
import { fromWireError } from "../../protocol/mesh/task_mapping.ts";
import { type ByteString, shortId, showBytes, type StoredSnapshot } from "../repository/mod.ts";
import { RESTORE_PROGRESS_BYTES, type RestoreDone, type RestoreEvent } from "./restore_thread.ts";
import { tellExit, tellWarning } from "./telling.ts";

/** It is told more often than that. */
const WAITING_SHOWN_MS = 2_500;

export class RestoreReport {
  snapshot: StoredSnapshot | undefined;
  done: RestoreDone | undefined;
  /** What the thread has got through, in its own words. */
  readonly shared = new SharedArrayBuffer(RESTORE_PROGRESS_BYTES);
  readonly #call: CommandCall;
  readonly #target: string;
  readonly #isDryRun: boolean;
  readonly #startedAtMs: number;
  #totals = { files: 0, bytes: 0 };
  #what = "Restoring";
  #current: ByteString = "";
  /** Who is waited for, while it is told. */
  #waiting: { place: string; forMs: number; toldAtMs: number } | undefined;
  #show: { close(): void } = { close() {} };
  readonly #failures = new Set<string>();
  #metadataFailures = 0;
  /** Nobody knows whether one of them is what latest means. */
  unreadSnapshots = 0;

  constructor(call: CommandCall, target: string, isDryRun: boolean) {
    this.#call = call;
    this.#target = target;
    this.#isDryRun = isDryRun;
    this.#startedAtMs = call.clock.monotonicMs();
  }

  start(): void {
    if (this.#isDryRun || this.#call.settings.get("quiet").value) return;
    this.#show = showProgress(this.#call, {
      lane: (columns, style) => [
        fitStart(this.#whatNow(), columns),
        numbersLine(this.#view(), columns, style),
      ],
      message: () => this.#status(),
      line: () =>
        `${this.#target}: ${this.#what.toLowerCase()}, ${
          formatPlural(this.#progress().filesDone, "file")
        }, ${formatBytes(this.#progress().bytesDone)}${this.#waits(", ")}`,
    }, this.#call.settings.get("json").value);
  }

  hear(event: RestoreEvent): void {
    switch (event.kind) {
      case "warning":
        return tellWarning(this.#call, event.message);
      case "totals":
        this.#totals = event;
        return;
      case "at":
        this.#current = event.path;
        return;
      case "waiting": {
        const { place, forMs } = event;
        this.#waiting = { place, forMs, toldAtMs: this.#call.clock.monotonicMs() };
        return;
      }
      case "verifying":
        this.#what = "Verifying";
        this.#current = "";
        return;
      case "failed":
        this.#failures.add(event.path);
        return this.#tell("restore", event.path, fromWireError(event.error));
      case "metadata":
        this.#metadataFailures++;
        return this.#tell("metadata", event.path, fromWireError(event.error));
      case "rehearsed":
        return this.#rehearsed(event.action, event.path);
    }
  }

  stop(): void {
    this.#show.close();
    this.#show = { close() {} };
  }

  #rehearsed(action: string, path: string): void {
    const { settings, terminal } = this.#call;
    if (!settings.get("verbose").value) return;
    if (settings.get("json").value) {
      terminal.out(jsonLine({ message_type: "verbose_status", action, item: path }));
    } else terminal.out(`${action.padEnd(8)}${visibleText(path)}\n`);
  }

  /** Neither a file nor a link or node was restored, left, or failed. */
  get isNothing(): boolean {
    if (this.#failures.size > 0) return false;
    const { dry, counts } = this.done!;
    if (dry !== undefined) return dry.files + dry.others + dry.left === 0;
    return counts!.files + counts!.others + counts!.skipped === 0;
  }

  /** Prints the end; the exit code. */
  end(): number {
    const { settings, terminal } = this.#call;
    const code = this.#code();
    if (settings.get("json").value) terminal.out(jsonLine(this.#summary()));
    else if (!settings.get("quiet").value || code !== 0) {
      const print = settings.get("quiet").value ? terminal.err : terminal.out;
      print(`${this.#sentence(code)}\n`);
    }
    if (code !== 0) tellExit(this.#call, code, `Not everything was restored to ${this.#target}`);
    return code;
  }

  #code(): number {
    if (this.#failures.size + this.#metadataFailures + this.unreadSnapshots === 0) return 0;
    const { files = 0, others = 0, skipped = 0 } = this.done?.counts ?? {};
    return files + others + skipped > 0 || this.#isDryRun ? 4 : 1;
  }

  #tell(during: string, path: string, error: BackupError): void {
    const { settings, terminal } = this.#call;
    if (settings.get("json").value) {
      const { code, message } = error;
      terminal.err(jsonLine({ message_type: "error", during, path, code, message }));
      return;
    }
    const text = error.message.includes(path) ? error.message : `${path}: ${error.message}`;
    terminal.err(`${visibleText(text)}\n`);
  }

  #sentence(code: number): string {
    const { terminal, clock } = this.#call;
    const style = terminal.outStyle;
    const id = shortId(this.snapshot!.id);
    const target = visibleText(this.#target);
    const { dry, verified, deleted } = this.done!;
    if (dry !== undefined) {
      const { files, bytes, others, left, differing, deleted } = dry;
      const differs = differing === 0
        ? ""
        : ` (${differing} with another size or time; only --overwrite replaces what differs)`;
      return `Would restore ${formatPlural(files, "file")}, ${formatBytes(bytes)}, and ${
        formatPlural(others, "link or node", "links and nodes")
      } of ${id} to ${target}; ${left} stay as they are${differs}; ${deleted} would be deleted.`;
    }
    const { files, bytes, skipped } = this.done!.counts!;
    const parts = [
      `${formatPlural(files, "file")}, ${formatBytes(bytes)} of ${id} restored to ${target}`,
      ...(skipped > 0 ? [`${skipped} left as they were`] : []),
      ...(deleted > 0 ? [`${deleted} deleted`] : []),
      ...(verified === undefined ? [] : [`${verified} read again and right`]),
      ...(this.#failures.size > 0 ? [`${this.#failures.size} failed`] : []),
      ...(this.unreadSnapshots > 0
        ? [`${formatPlural(this.unreadSnapshots, "snapshot")} that may be newer cannot be read`]
        : []),
      ...(this.#metadataFailures > 0 ? [`${this.#metadataFailures} with incomplete metadata`] : []),
    ];
    const mark = code === 0 ? style.good(style.glyphs.done) : style.bad(style.glyphs.failed);
    const elapsed = formatDuration(clock.monotonicMs() - this.#startedAtMs);
    return `${mark} ${style.bold(`${parts.join("; ")} in ${elapsed}.`)}`;
  }

  #summary(): { message_type: string } & Record<string, unknown> {
    const { dry, counts, verified, deleted } = this.done!;
    return {
      message_type: "summary",
      snapshot_id: this.snapshot!.id,
      dry_run: this.#isDryRun,
      total_files: this.#totals.files,
      files_restored: dry?.files ?? counts!.files,
      files_skipped: dry?.left ?? counts!.skipped,
      ...(dry === undefined ? {} : { files_differing: dry.differing }),
      files_deleted: dry?.deleted ?? deleted,
      files_failed: this.#failures.size,
      ...(verified === undefined ? {} : { files_verified: verified }),
      total_bytes: this.#totals.bytes,
      bytes_restored: dry?.bytes ?? counts!.bytes,
      seconds_elapsed: (this.#call.clock.monotonicMs() - this.#startedAtMs) / 1000,
    };
  }

  #status(): { message_type: string } & Record<string, unknown> {
    const view = this.#view();
    const etaMs = etaMsOf(view);
    const { filesDone, filesTotal, bytesDone, bytesTotal } = view.progress;
    const waiting = this.#waitingNow();
    return {
      message_type: "status",
      percent_done: fractionOf(view),
      seconds_elapsed: view.elapsedMs / 1000,
      ...(etaMs === undefined ? {} : { seconds_remaining: etaMs / 1000 }),
      total_files: filesTotal,
      files_restored: filesDone,
      total_bytes: bytesTotal,
      bytes_restored: bytesDone,
      ...(waiting === undefined
        ? {}
        : { waiting_for: waiting.place, seconds_waiting: waiting.forMs / 1000 }),
    };
  }

  #whatNow(): string {
    const waits = this.#waits();
    if (waits !== "") return waits;
    return `${this.#what}: ${visibleText(this.#target + showBytes(this.#current))}`;
  }

  /** Empty while something moves. */
  #waits(before = ""): string {
    const waiting = this.#waitingNow();
    if (waiting === undefined) return "";
    const { place, forMs } = waiting;
    return `${before}waiting for ${visibleText(place)} since ${formatDuration(forMs)}`;
  }

  /** What was not told again is over. */
  #waitingNow() {
    const waiting = this.#waiting;
    const isOld = waiting !== undefined &&
      this.#call.clock.monotonicMs() - waiting.toldAtMs > WAITING_SHOWN_MS;
    return isOld ? undefined : waiting;
  }

  #progress() {
    const [filesDone = 0, bytesDone = 0] = new Float64Array(this.shared);
    return { filesDone, filesTotal: this.#totals.files, bytesDone, bytesTotal: this.#totals.bytes };
  }

  #view() {
    const elapsedMs = this.#call.clock.monotonicMs() - this.#startedAtMs;
    return { progress: this.#progress(), elapsedMs };
  }
}
