/**
 * The files of one copy as one thread restores them from one destination, and what is said of each. Rule: a copy that is
 * no good is left to the next destination, and only the last one's word is a failure.
 */
import { BackupError } from "../../../../protocol/base/errors.ts";
import type { Posix } from "../../../platform/posix.ts";
import { utf8OfLatin1 } from "../../../source/entry_table.ts";
import { entryPathLatin1, type ManifestEntry } from "../manifest_line.ts";
import type { FileOutcome, FileRestorer, Published, WantedFile } from "./file_restorer.ts";
import { fullPath, type PassContext } from "./folders_pass.ts";
import {
  LINE_DAMAGED,
  LINE_FAILED,
  LINE_KEPT,
  LINE_LINK,
  LINE_LOCKED,
  LINE_MISSING,
  LINE_RESTORED,
  LINE_THERE,
  LINE_UNREADABLE,
  needsAnother,
  whyAnother,
} from "./line_status.ts";
import { type Content, openContent } from "./open_content.ts";
import type { PathChain } from "./path_chain.ts";
import type { CopyPlan } from "./restore_plan.ts";
import { addFailure, addKept, addTaken } from "./restore_report.ts";
import { linkedPath } from "./stored_lists.ts";

export interface FilesRequest {
  copy: CopyPlan;
  /** Which destination to read from; `copy.from` first, later ones for what those before could not give. */
  from: number;
  isLast: boolean;
  /** Next block of lines that nobody has taken. */
  next: SharedArrayBuffer;
  /** Files and bytes done by this thread. */
  progress: SharedArrayBuffer;
}

/** Lines taken at once: enough to be cheap, few enough that large files spread over the threads. */
export const BLOCK_LINES = 16;

/** Files of one copy from one destination, on one thread. */
export class FilesPass implements Published {
  readonly #context: PassContext;
  readonly #restorer: FileRestorer;
  readonly #request: FilesRequest;
  readonly #sources: readonly string[];
  readonly #progress: Float64Array;
  /** Why a line could not be had from the destinations before, for what is told when it was had from this one. */
  readonly #why = new Map<number, number>();
  /** Opened already, in order. */
  readonly #ahead: {
    line: number;
    entry: ManifestEntry;
    path: string;
    content: Content | number | BackupError;
  }[] = [];

  constructor(
    context: PassContext,
    restorer: FileRestorer,
    request: FilesRequest,
    sources: readonly string[],
  ) {
    this.#context = context;
    this.#restorer = restorer;
    this.#request = request;
    this.#sources = sources;
    this.#progress = new Float64Array(request.progress);
  }

  isNeeded(): boolean {
    return this.#context.status.some(needsAnother);
  }

  /** Opens a file, so that it is read ahead while those before it are being written. */
  addAhead(line: number, entry: ManifestEntry, chain: PathChain): void {
    const { posix, top } = this.#context;
    const path = fullPath(top, entryPathLatin1(entry));
    let content: Content | number | BackupError;
    try {
      content = this.#open(posix, chain, path, entry);
    } catch (thrown) {
      if (!(thrown instanceof BackupError)) throw thrown;
      content = thrown;
    }
    this.#ahead.push({ line, entry, path, content });
    if (this.#ahead.length >= BLOCK_LINES) this.restoreAhead();
  }

  restoreAhead(): void {
    for (let next = this.#ahead[0]; next !== undefined; next = this.#ahead[0]) {
      if (this.#context.stopped()) return;
      const { line, entry, path, content } = next;
      let isTaken = false;
      const open = () => {
        isTaken = true;
        if (content instanceof BackupError) throw content;
        return content;
      };
      try {
        this.#restore({ path, line, entry }, open);
      } finally {
        this.#ahead.shift();
        if (!isTaken && typeof content !== "number" && !(content instanceof BackupError)) {
          content.close();
        }
      }
    }
  }

  /** What was opened and is not restored any more. */
  closeAhead(): void {
    for (const { content } of this.#ahead.splice(0)) {
      if (typeof content !== "number" && !(content instanceof BackupError)) content.close();
    }
  }

  /** `stored` is the entry of the destination that is read: what is stored there may be stored in another way. */
  add(line: number, entry: ManifestEntry, stored: ManifestEntry, chain: PathChain): void {
    const { posix, top } = this.#context;
    const path = fullPath(top, entryPathLatin1(entry));
    this.#restore({ path, line, entry }, () => this.#open(posix, chain, path, stored));
  }

  #restore(file: WantedFile, open: () => Content | number): void {
    const before = this.#context.status[file.line]!;
    const outcome = this.#restorer.restore(file, open);
    if (outcome.kind === "staged") {
      if (needsAnother(before)) this.#why.set(file.line, before);
      if (this.#restorer.isFull) this.publish();
      return;
    }
    this.#settle(file, outcome);
  }

  /** The entry's own name; where that is a further name of a file, the first one has the same bytes. */
  #open(posix: Posix, chain: PathChain, path: string, stored: ManifestEntry) {
    const { top, identities } = this.#context;
    const content = openContent(posix, chain, path, stored, identities);
    const first = linkedPath(stored);
    if (typeof content !== "number" || first === undefined) return content;
    return openContent(posix, chain, fullPath(top, first), stored, identities);
  }

  /** No destination that is left has it. */
  giveUp(line: number, entry: ManifestEntry): void {
    if (!this.#request.isLast) return;
    const { status, top } = this.#context;
    const why = whyAnother(status[line]!);
    const { copy } = this.#request;
    const at = this.#sources[copy.from]!;
    this.#fail(
      { path: fullPath(top, entryPathLatin1(entry)), line, entry },
      status[line] === LINE_MISSING
        ? "not_found"
        : status[line] === LINE_DAMAGED
        ? "damaged"
        : status[line] === LINE_LOCKED
        ? "wrong_key"
        : "io",
      `The copy at ${at} ${why}, and no other destination given has it`,
    );
  }

  publish(): void {
    this.#restorer.publish(this);
  }

  onDone(file: WantedFile): void {
    const { report, status } = this.#context;
    status[file.line] = LINE_RESTORED;
    report.counts.files++;
    report.counts.bytes += file.entry.sizeBytes ?? 0;
    const why = this.#why.get(file.line);
    if (why !== undefined) {
      const { copy, from } = this.#request;
      addTaken(
        report,
        `Took ${utf8OfLatin1(file.path)} from ${this.#sources[from]}: ` +
          `the copy at ${this.#sources[copy.from]} ${whyAnother(why)}`,
      );
    }
    this.#count(file);
  }

  onKept(file: WantedFile): void {
    this.#context.status[file.line] = LINE_KEPT;
    addKept(this.#context.report, utf8OfLatin1(file.path));
    this.#count(file);
  }

  onFailed(file: WantedFile, code: string, message: string): void {
    this.#fail(file, code, message);
  }

  #settle(file: WantedFile, outcome: FileOutcome): void {
    const { status, report } = this.#context;
    if (outcome.kind === "cancelled" || outcome.kind === "staged") return;
    if (outcome.kind === "kept") return this.onKept(file);
    if (outcome.kind === "there") {
      status[file.line] = LINE_THERE;
      report.counts.alreadyThere++;
      return this.#count(file);
    }
    if (outcome.kind !== "source") return this.#fail(file, outcome.code, outcome.message);
    const { from, isLast } = this.#request;
    const place = this.#sources[from]!;
    if (!isLast) {
      status[file.line] = outcome.why === "damaged"
        ? LINE_DAMAGED
        : outcome.why === "missing"
        ? LINE_MISSING
        : outcome.why === "locked"
        ? LINE_LOCKED
        : LINE_UNREADABLE;
      return;
    }
    const what = outcome.why === "damaged"
      ? `The copy at ${place} is damaged: ${outcome.message}`
      : outcome.why === "missing"
      ? `The copy at ${place} is missing`
      : outcome.why === "locked"
      ? `The copy at ${place} cannot be opened: ${outcome.message}`
      : `The copy at ${place} cannot be read: ${outcome.message}`;
    this.#fail(file, outcome.code, what);
  }

  #fail(file: WantedFile, code: string, message: string): void {
    const { status, report } = this.#context;
    // Further names of a file are not among the files that were planned.
    if (code === "wrong_key" && status[file.line] !== LINE_LINK) report.counts.locked++;
    status[file.line] = LINE_FAILED;
    addFailure(report, utf8OfLatin1(file.path), code, message);
    this.#count(file);
  }

  #count(file: WantedFile): void {
    this.#progress[0]! += 1;
    this.#progress[1]! += file.entry.sizeBytes ?? 0;
  }
}
