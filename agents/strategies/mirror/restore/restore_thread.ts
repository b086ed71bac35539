/**
 * One thread of a restore. Rule: the first thread plans, makes the folders and finishes them; all of them bring files
 * back, each taking the next lines that nobody has taken.
 */
import { asBackupError, BackupError } from "../../../../protocol/base/errors.ts";
import { latin1OfUtf8, utf8OfLatin1 } from "../../../source/entry_table.ts";
import { compareWalkOrder } from "../../../source/walk_order.ts";
import type { Posix } from "../../../platform/posix.ts";
import { cName } from "../../../platform/posix.ts";
import { OWN_DIRECTORY } from "../../../destinations/layout.ts";
import { ENOENT, ENOTDIR, posixError } from "../../../platform/errno.ts";
import type { Methods, ThreadCells } from "../../../threads/thread_rpc.ts";
import { type Identity, parseIdentity } from "../codec/age_keys.ts";
import type { ManifestLine } from "../manifest_file.ts";
import { entryPathLatin1, type ManifestEntry } from "../manifest_line.ts";
import { type OpenedKeys, openKeys } from "../destination_keys.ts";
import { FileRestorer } from "./file_restorer.ts";
import { BLOCK_LINES, FilesPass, type FilesRequest } from "./files_pass.ts";
import { FolderFinisher, fullPath, makeFolder, type PassContext } from "./folders_pass.ts";
import {
  LINE_FILE,
  LINE_FOLDER,
  LINE_IDLE,
  LINE_LINK,
  LINE_OTHER,
  LINE_PARENT,
  LINE_RESTORED,
  LINE_THERE,
  needsAnother,
} from "./line_status.ts";
import { type Inspected, inspectRestored } from "./inspect_restored.ts";
import { type ReportRequest, writeDrillReport } from "./drill_report.ts";
import { type ComparedPage, compareLists, type CompareRequest } from "./compare_lists.ts";
import { createListing, type ListingPart, type ListingRequest } from "./listing.ts";
import { makeLink, makeNameOfOther, makeOther } from "./others_pass.ts";
import { PathChain } from "./path_chain.ts";
import { type CopyPlan, type LinkPlan, planCopy, type PlanRequest } from "./restore_plan.ts";
import { addFailure, newReport, type RestoreReport } from "./restore_report.ts";
import {
  openTarget,
  prepareTarget,
  refuseOwnSource,
  type RestoreTarget,
} from "./restore_target.ts";
import { openStoredFile, type StoredFile } from "./stored_file.ts";
import { removeTree } from "../tree_removal.ts";
import { Selection } from "./selection.ts";
import {
  linkedPath,
  openStoredLists,
  openStoredManifest,
  type StoredLists,
  type StoredManifest,
} from "./stored_lists.ts";

export interface RestoreThreadStart {
  sources: string[];
  target: string;
  /** Names the stage. */
  id: string;
  /** Number of this thread and of all; the first, 0, also locks and plans. */
  part: number;
  parts: number;
  overwrite: boolean;
  /** Sources that cannot be opened are left out, and named where they are compared. */
  skipsMissing?: boolean;
  /** All it may touch; absent or empty: anything. */
  roots?: readonly string[];
  /** Secret keys as age writes them; never to be shown. */
  identities?: string[];
  /** The target is this restore's own, and goes when it ends. */
  isScratch?: boolean;
}

export interface RestorePlan {
  copies: CopyPlan[];
  /** Asked for and nowhere, as it was typed. */
  unmatched: string[];
  /** Lists that could not be used although a later destination has the copy too. */
  warnings: string[];
}

/** Of the free room, for a sample. */
const FREE_SHARE = 0.8;
export function openRestoreThread(
  posix: Posix,
  start: RestoreThreadStart,
  cells: ThreadCells,
  identity: { uid: number; gid: number },
  random: () => number,
): Methods {
  const thread = new RestoreThread(posix, start, cells, identity, random);
  return {
    openSources: () => thread.openSources(),
    openKeys: (passphrase: string | undefined): OpenedKeys => thread.openKeys(passphrase),
    useKeys: (identities: string[]): void => thread.useKeys(identities),
    plan: (request: PlanRequest & { paths: string[] }): RestorePlan => thread.plan(request),
    prepare: (names: string[]): void => thread.prepare(names),
    attach: (): void => thread.attach(),
    makeFolders: (copy: CopyPlan): RestoreReport => thread.makeFolders(copy),
    restoreFiles: (request: FilesRequest): RestoreReport => thread.restoreFiles(request),
    finishCopy: (copy: CopyPlan): RestoreReport => thread.finishCopy(copy),
    inspectRestored: (request: { copy: CopyPlan; hostId: string | undefined }): Inspected =>
      thread.inspectRestored(request),
    writeReport: (request: ReportRequest): void => thread.writeReport(request),
    compareLists: (request: CompareRequest): ComparedPage => thread.compareLists(request),
    openFile: (path: string): number => thread.openFile(path),
    readFile: (): Uint8Array<ArrayBuffer> | undefined => thread.readFile(),
    flush: (): void => thread.flush(),
    startListing: (request: ListingRequest): void => thread.startListing(request),
    nextListed: (): ListingPart => thread.nextListed(),
    close: (): void => thread.close(),
  };
}

class RestoreThread {
  readonly #posix: Posix;
  readonly #start: RestoreThreadStart;
  readonly #cells: ThreadCells;
  readonly #identity: { uid: number; gid: number };
  readonly #random: () => number;
  #sources: StoredLists[] = [];
  #stage: { close(): void } | undefined;
  #target: RestoreTarget | undefined;
  #keys: readonly Identity[];
  readonly #missing: string[] = [];
  #file: StoredFile | undefined;
  readonly #links = new Map<string, LinkPlan>();
  #nextListed: () => ListingPart = () => ({
    entries: [],
    ended: true,
    problems: [],
    isThere: false,
  });

  constructor(
    posix: Posix,
    start: RestoreThreadStart,
    cells: ThreadCells,
    identity: { uid: number; gid: number },
    random: () => number,
  ) {
    this.#posix = posix;
    this.#start = start;
    this.#cells = cells;
    this.#identity = identity;
    this.#random = random;
    this.#keys = (start.identities ?? []).map(parseIdentity);
  }

  /** Only the first thread locks: the locks are the process's. A second call, after one that failed, begins anew. */
  openSources(): void {
    for (const source of this.#sources.splice(0)) source.close();
    for (const path of this.#start.sources) {
      this.#tick();
      try {
        this.#sources.push(openStoredLists(this.#posix, path, this.#start.part === 0, this.#keys));
      } catch (thrown) {
        const error = asBackupError(thrown);
        if (this.#start.skipsMissing !== true || error.code === "internal") throw thrown;
        this.#missing.push(error.message);
      }
    }
  }

  /**
   * Opens with a passphrase what lies behind one at the sources. Where it is wrong for some of several the others may do.
   * @throws {BackupError} when it opens none of them
   */
  openKeys(passphrase: string | undefined): OpenedKeys {
    const given = this.#start.identities ?? [];
    const opened: OpenedKeys = { identities: [...given], warnings: [] };
    const errors: BackupError[] = [];
    let isOpen = false;
    for (const { display, own } of this.#sources) {
      this.#tick();
      const one = { identities: [], ...(passphrase === undefined ? {} : { passphrase }) };
      try {
        const found = openKeys(this.#posix, own, `${display}/${OWN_DIRECTORY}`, one);
        opened.identities.push(...found.identities);
        opened.warnings.push(...found.warnings);
        if (found.recipient !== undefined) isOpen = true;
      } catch (thrown) {
        const error = asBackupError(thrown);
        if (error.code === "internal") throw thrown;
        errors.push(error);
      }
    }
    if (errors.length > 0 && !isOpen && given.length === 0) throw errors[0]!;
    opened.warnings.push(...errors.map(({ message }) => message));
    this.useKeys(opened.identities);
    return opened;
  }

  useKeys(identities: readonly string[]): void {
    this.#keys = identities.map(parseIdentity);
    for (const source of this.#sources) source.keys = { recipients: [], identities: this.#keys };
  }

  /** Each copy's list comes from the first destination that has a good one. */
  plan(request: PlanRequest & { paths: string[] }): RestorePlan {
    const selection = new Selection(request.paths);
    const plan: RestorePlan = { copies: [], unmatched: [], warnings: [] };
    const names = new Set(
      this.#sources.flatMap(({ marker }) => marker.bindings.map((b) => b.name)),
    );
    const bytesMax = request.sample === undefined ? Infinity : this.#freeShare(names.size);
    for (const name of names) {
      if (!selection.concerns(latin1OfUtf8(name))) continue;
      const holders = this.#sources.flatMap(({ marker }, from) =>
        marker.bindings.filter((b) => b.name === name).map(({ key }) => ({ from, key }))
      );
      const errors: BackupError[] = [];
      for (const { from, key } of holders) {
        try {
          const { plan: copy, links } = planCopy(
            ...[this.#posix, this.#sources[from]!, { name, key }, from, selection] as const,
            ...[{ ...request, bytesMax }, this.#random, () => this.#tickUnlessStopped()] as const,
          );
          plan.copies.push(copy);
          this.#links.set(name, links);
          break;
        } catch (thrown) {
          const error = asBackupError(thrown);
          if (error.code === "internal" || error.code === "cancelled") throw thrown;
          errors.push(error);
        }
      }
      if (errors.length === holders.length) throw errors[0]!;
      plan.warnings.push(...errors.map(({ message }) => message));
    }
    plan.unmatched = selection.unmatched();
    return plan;
  }

  /** What each of so many copies may take of the room for the target, some of which is left to others. */
  #freeShare(copies: number): number {
    const { target } = this.#start;
    const parent = this.#posix.openRoot(cName(target.replace(/\/+[^/]*$/, "") || "/"));
    if (parent === -ENOENT || parent === -ENOTDIR) {
      const scratch = target.replace(/\/+[^/]*$/, "");
      throw new BackupError("usage", `${scratch} is no folder to restore a sample to`, {
        path: scratch,
        hint: "Make it first, or name another folder with --scratch",
      });
    }
    if (parent < 0) throw posixError(parent, "open", target);
    const info = this.#posix.fileSystemInfo(parent);
    this.#posix.closeDirectory(parent);
    return typeof info === "number" ? Infinity : info.freeBytes * FREE_SHARE / Math.max(1, copies);
  }

  /** After `finishCopy`: reads what was restored once more, and its source where that is here and unchanged. */
  inspectRestored(request: { copy: CopyPlan; hostId: string | undefined }): Inspected {
    const { copy } = request;
    const source = this.#sources[copy.from]!;
    const binding = source.marker.bindings.find(({ name }) => name === copy.name)!;
    const isHere = request.hostId !== undefined && binding.hostId === request.hostId;
    return inspectRestored(
      {
        posix: this.#posix,
        target: this.#target!,
        copy,
        sourcePath: isHere ? binding.sourcePath : undefined,
        tick: () => this.#tickUnlessStopped(),
      },
      this.#linesOf(copy, (status) => status === LINE_RESTORED),
    );
  }

  writeReport(request: ReportRequest): void {
    writeDrillReport(this.#posix, this.#start.sources[0]!, request);
  }

  startListing(request: ListingRequest): void {
    const tick = () => this.#tickUnlessStopped();
    this.#nextListed = createListing(this.#posix, this.#sources[0]!, request, tick);
  }

  nextListed(): ListingPart {
    return this.#nextListed();
  }

  compareLists(request: CompareRequest): ComparedPage {
    const columns = this.#start.sources.map((path) =>
      this.#sources.find(({ display }) => display === path)
    );
    const page = compareLists(this.#posix, columns, request, () => this.#tickUnlessStopped());
    return { ...page, problems: [...this.#missing, ...page.problems] };
  }

  /** Its size. */
  openFile(path: string): number {
    this.#file?.close();
    this.#file = openStoredFile(
      this.#posix,
      this.#sources[0]!,
      path,
      () => this.#tickUnlessStopped(),
    );
    return this.#file.sizeBytes;
  }

  readFile(): Uint8Array<ArrayBuffer> | undefined {
    return this.#file?.next();
  }

  prepare(names: string[]): void {
    const { target, id, parts } = this.#start;
    refuseOwnSource(this.#posix, target, this.#sources, names);
    this.#stage = prepareTarget(this.#posix, target, id, parts, () => this.#tick());
  }

  attach(): void {
    const { target, id, part } = this.#start;
    this.#target = openTarget(this.#posix, target, id, part);
  }

  makeFolders(copy: CopyPlan): RestoreReport {
    return this.#inPass(copy, (context, restorer) => {
      for (
        const { line, entry } of this.#linesOf(copy, (s) => s === LINE_FOLDER || s === LINE_PARENT)
      ) {
        if (context.stopped()) return;
        makeFolder(context, line, entry);
      }
      context.report.notKept = restorer.setter.notKept;
    });
  }

  restoreFiles(request: FilesRequest): RestoreReport {
    const { copy, from } = request;
    return this.#inPass(copy, (context, restorer) => {
      const files = new FilesPass(context, restorer, request, this.#start.sources);
      const source = this.#sources[from]!;
      const chain = new PathChain(this.#posix, source.root);
      try {
        if (from === copy.from) {
          for (const { line, entry } of this.#linesOf(copy, (s) => s === LINE_FILE, request.next)) {
            if (context.stopped()) return;
            files.addAhead(line, entry, chain);
          }
          files.restoreAhead();
        } else if (files.isNeeded()) this.#restoreFromOther(request, context, files, chain);
        if (!context.stopped()) files.publish();
      } finally {
        files.closeAhead();
        chain.close();
      }
    });
  }

  /** Lines that are still wanted, where the other destination's list has the same content under the same path. */
  #restoreFromOther(
    request: FilesRequest,
    context: PassContext,
    files: FilesPass,
    chain: PathChain,
  ): void {
    const { copy, from } = request;
    const other = this.#otherLines(from, copy.name);
    try {
      for (const { line, entry } of this.#linesOf(copy, needsAnother, request.next)) {
        if (context.stopped()) return;
        const found = other?.find(entryPathLatin1(entry));
        if (found?.sha256 === entry.sha256 && found?.sizeBytes === entry.sizeBytes) {
          files.add(line, entry, found!, chain);
        } else files.giveUp(line, entry);
      }
    } finally {
      other?.close();
    }
  }

  /** Its list in step with ours; undefined when it has none that can be read. */
  #otherLines(
    from: number,
    name: string,
  ): { find: (path: string) => ManifestEntry | undefined; close(): void } | undefined {
    const source = this.#sources[from]!;
    const binding = source.marker.bindings.find((b) => b.name === name);
    if (binding === undefined) return undefined;
    let manifest: StoredManifest;
    try {
      manifest = openStoredManifest(this.#posix, source, binding);
    } catch (thrown) {
      if (asBackupError(thrown).code === "internal") throw thrown;
      return undefined;
    }
    let current: ManifestEntry | undefined;
    let ended = false;
    const advance = () => {
      this.#tick();
      try {
        const next = manifest.lines.next();
        ended = next.done === true;
        current = next.done ? undefined : next.value.entry;
      } catch (thrown) {
        // What follows in a list that is cut is not there; what was found before is proven by its hash.
        if (asBackupError(thrown).code === "internal") throw thrown;
        ended = true;
        current = undefined;
      }
    };
    advance();
    return {
      find(path) {
        while (!ended && compareWalkOrder(entryPathLatin1(current!), path) < 0) advance();
        return current !== undefined && entryPathLatin1(current) === path ? current : undefined;
      },
      close: () => manifest.close(),
    };
  }

  finishCopy(copy: CopyPlan): RestoreReport {
    const { overwrite } = this.#start;
    const links = this.#links.get(copy.name)!;
    return this.#inPass(copy, (context, restorer) => {
      const { status, top, report } = context;
      const chain = new PathChain(this.#posix, this.#sources[copy.from]!.root);
      const files = new FilesPass(
        context,
        restorer,
        {
          copy,
          from: copy.from,
          isLast: true,
          next: new SharedArrayBuffer(4),
          progress: new SharedArrayBuffer(16),
        },
        this.#start.sources,
      );
      const finisher = new FolderFinisher(context);
      const madeOthers = new Map<string, string>();
      // Files that are done only matter where others are further names of them.
      const isWanted = (s: number) =>
        s === LINE_FOLDER || s === LINE_OTHER || s === LINE_LINK ||
        (links.firsts.size > 0 && s !== LINE_IDLE);
      const isGood = (line: number | undefined) =>
        line !== undefined && (status[line] === LINE_RESTORED || status[line] === LINE_THERE);
      try {
        for (const { line, entry } of this.#linesOf(copy, isWanted)) {
          if (context.stopped()) return;
          const path = entryPathLatin1(entry);
          const full = fullPath(top, path);
          finisher.leaveFor(full);
          if (entry.type === "file" && links.firsts.has(path)) links.firsts.set(path, line);
          if (status[line] === LINE_FOLDER) finisher.enter(full, entry);
          else if (status[line] === LINE_OTHER) {
            if (entry.hardLinkTo === undefined && !links.others.has(path)) {
              makeOther(context, path, entry, overwrite);
            } else makeNameOfOther(context, path, entry, overwrite, madeOthers);
          } else if (status[line] === LINE_LINK) {
            const first = linkedPath(entry)!;
            const stand = links.stands.get(first);
            const target = isGood(links.firsts.get(first))
              ? first
              : isGood(stand?.line)
              ? stand!.path
              : undefined;
            if (target !== undefined && makeLink(context, target, path, overwrite) === "done") {
              continue;
            }
            if (entry.sha256 === undefined) {
              addFailure(
                report,
                utf8OfLatin1(full),
                "not_found",
                `${utf8OfLatin1(first)} was not restored`,
              );
              continue;
            }
            // No links here, or the first name is gone: a file of its own keeps the content.
            files.add(line, entry, entry, chain);
            files.publish();
            if (isGood(line)) links.stands.set(first, { path, line });
          }
        }
        finisher.leaveFor();
      } finally {
        chain.close();
      }
    });
  }

  #removeScratch(): void {
    const { target } = this.#start;
    const parent = this.#posix.openRoot(cName(target.replace(/\/+[^/]*$/, "") || "/"));
    if (parent < 0) return;
    removeTree(
      this.#posix,
      parent,
      cName(target.slice(target.lastIndexOf("/") + 1)),
      () => this.#tick(),
    );
    this.#posix.closeDirectory(parent);
  }

  flush(): void {
    const target = this.#target!;
    if (!target.batchFlush) return;
    const result = this.#posix.flushFileSystem(target.root);
    if (result < 0) throw posixError(result, "flush", target.display);
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
    this.#target?.close();
    this.#target = undefined;
    this.#stage?.close();
    if (this.#stage !== undefined && this.#start.isScratch) this.#removeScratch();
    this.#stage = undefined;
    for (const source of this.#sources.splice(0)) source.close();
  }

  #inPass(
    copy: CopyPlan,
    run: (context: PassContext, restorer: FileRestorer) => void,
  ): RestoreReport {
    const target = this.#target!;
    const restorer = new FileRestorer(
      ...[this.#posix, target, this.#cells, this.#identity, this.#start.overwrite] as const,
    );
    const report = newReport();
    const context: PassContext = {
      posix: this.#posix,
      target,
      restorer,
      report,
      top: latin1OfUtf8(copy.name),
      status: new Uint8Array(copy.status),
      identities: this.#keys,
      tick: () => this.#tick(),
      stopped: () => this.#stopped(),
    };
    try {
      run(context, restorer);
    } finally {
      restorer.close();
    }
    report.notKept = restorer.setter.notKept;
    return report;
  }

  /** Lines of a copy's own list by their status, those of other threads' blocks left out when `next` is given. */
  *#linesOf(
    copy: CopyPlan,
    isWanted: (status: number) => boolean,
    next?: SharedArrayBuffer,
  ): Generator<{ line: number; entry: ManifestEntry }> {
    const status = new Uint8Array(copy.status);
    const manifest = openStoredManifest(
      this.#posix,
      this.#sources[copy.from]!,
      copy,
      copy.identity,
    );
    const counter = next === undefined ? undefined : new Int32Array(next);
    const take = () => counter === undefined ? 0 : Atomics.add(counter, 0, 1) * BLOCK_LINES;
    let from = take();
    try {
      for (let line = 0; line < status.length; line++) {
        if (counter !== undefined && line >= from + BLOCK_LINES) from = take();
        const got: IteratorResult<ManifestLine> = manifest.lines.next();
        if (got.done) return;
        if ((line & 63) === 0) this.#tick();
        if (counter !== undefined && line < from) continue;
        if (isWanted(status[line]!)) yield { line, entry: got.value.entry };
      }
    } finally {
      manifest.close();
    }
  }

  #tick(): void {
    Atomics.add(this.#cells.operations, 0, 1);
  }

  #stopped(): boolean {
    return Atomics.load(this.#cells.cancelled, 0) !== 0 ||
      Atomics.load(this.#cells.fenced, 0) !== 0;
  }

  #tickUnlessStopped(): void {
    this.#tick();
    if (this.#stopped()) throw new BackupError("cancelled", "Cancelled");
  }
}
