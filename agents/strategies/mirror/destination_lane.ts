/**
 * One destination of one run: its threads, its queue, the tasks in it. Rule: a thread past its deadline is abandoned and
 * replaced, and when the replacement gets no answer either the lane fails, alone.
 */
import type { Clock } from "../../../protocol/base/clock.ts";
import { asBackupError, BackupError } from "../../../protocol/base/errors.ts";
import type { DestinationSpec, MirrorOptions } from "../../../protocol/mesh/job.ts";
import type { LaneGauges, LaneProgress } from "../../../protocol/mesh/progress.ts";
import type { LaneReport } from "../../../protocol/mesh/task.ts";
import type { Inspection } from "../../destinations/local_destination.ts";
import { DestinationQueue, type FileOutcome } from "../../queue/destination_queue.ts";
import { BATCH_FILES_MAX, type FanOutReader } from "../../source/fan_out_reader.ts";
import { SLOT_BYTES } from "../../source/slot_pool.ts";
import { ThreadClient } from "../../threads/thread_rpc.ts";
import type { ThreadWatch } from "../../threads/thread_watch.ts";
import { encrypts } from "./codec/codec.ts";
import { listRecipients, type OpenedKeys } from "./destination_keys.ts";
import type { KeysRequest, OpenRequest } from "./held_destination.ts";
import { LaneRun, type LaneRunInput } from "./lane_run.ts";
import type { LaneTaskShare } from "./lane_task.ts";
import type { LaneThreadStart, Opened } from "./lane_thread.ts";
import { laneWorkers, type Share } from "./lane_workers.ts";
import type { GivenKeys } from "./read_keys.ts";
import type { SourceProblems } from "./source_problems.ts";

export interface LaneDeps {
  clock: Clock;
  spawn: (role: string) => Worker;
  watch: ThreadWatch;
  slots: SharedArrayBuffer;
  /** Where destinations may lie; empty: anywhere. */
  roots: readonly string[];
  reader: FanOutReader;
  share: Share;
  /** How busy the machine's processors are, 0–1; undefined until it is known. */
  cpuBusyFraction: () => number | undefined;
}

/** The keys of one run, as far as they are the same at all its destinations. */
export interface WantedKeys {
  given: GivenKeys;
  /** Public keys that were named. */
  recipients: readonly string[];
  /** Files are encrypted in this run. */
  encrypts: boolean;
  /** What takes 256 MiB happens at one destination after the other. */
  oneAtATime<T>(work: () => Promise<T>): Promise<T>;
}

/** Failures that a destination which is gone would show. */
const SUSPICIOUS: ReadonlySet<string> = new Set(["io", "not_found", "vanished", "not_a_directory"]);
const CHECK_AGAIN_MS = 1000;
/** How long a thread may take to end the call in hand when its files are to be closed. */
const CLOSE_WAITS_MS = 2000;
/** From here on a lane that does not move says so. */
const STALL_SHOWN_AFTER_MS = 3000;

export class DestinationLane {
  readonly spec: DestinationSpec;
  readonly #deps: LaneDeps;
  readonly #threads = new Set<ThreadClient>();
  /** Threads on their way out. */
  readonly #closing = new Set<Promise<void>>();
  readonly #runs: LaneRun[] = [];
  readonly #shares = new Map<string, LaneTaskShare>();
  readonly #queue: DestinationQueue<ThreadClient>;
  readonly #options: MirrorOptions;
  #limitBytesPerSecond: number | undefined;
  #unlimited: number;
  #workersMax: number;
  #control: ThreadClient;
  /** The control thread is one of the queue's workers now. */
  #controlWorks = false;
  #fatal: BackupError | undefined;
  #checkedAtMs = -Infinity;
  #openRequest: OpenRequest | undefined;
  /** Public key of whoever has the passphrase of this destination. */
  #recipient: string | undefined;

  constructor(deps: LaneDeps, spec: DestinationSpec, options: MirrorOptions) {
    this.#deps = deps;
    this.spec = spec;
    this.#options = options;
    this.#limitBytesPerSecond = spec.limitBytesPerSecond;
    this.#unlimited = deps.share.unlimited;
    this.#workersMax = options.workersMax;
    this.#control = this.#spawn();
    this.#queue = new DestinationQueue<ThreadClient>(
      deps.clock,
      {
        openWorker: () => this.#openWorker(),
        closeWorker: (worker) => this.#closeWorker(worker),
        isLost: (worker) => worker.isClosed,
        sizeBytes: (slot, row) => this.#runs[slot >> 1]!.sizeBytes(row),
        execute: async (worker, batch) => {
          const run = this.#runs[batch.slot >> 1]!;
          let outcomes: FileOutcome[];
          try {
            outcomes = batch.slot % 2 === 0
              ? await run.copy(worker, batch)
              : await run.verify(worker, batch);
          } catch (thrown) {
            throw run.endOf(asBackupError(thrown));
          }
          outcomes = outcomes.map(({ row, error }) => ({ row, error: run.endOf(error) }));
          // A pulled disk fails every file in turn; asking once spares the rest their attempts.
          if (outcomes.some(({ error }) => SUSPICIOUS.has(error.code))) {
            await this.#checkStillThere();
          }
          return outcomes;
        },
        failed: (slot, row, error, attempts) => {
          const run = this.#runs[slot >> 1]!;
          if (slot % 2 === 0) run.copyFailed(row, error, attempts);
          else run.verifyFailed(row, error);
        },
        fatal: (error) => this.fail(error),
        cpuBusyFraction: deps.cpuBusyFraction,
      },
      options.order,
      {
        ...laneWorkers(spec, options, deps.share),
        attemptsMax: options.attemptsMax,
        batchFilesMax: BATCH_FILES_MAX,
        batchBytesMax: SLOT_BYTES - 1,
      },
    );
  }

  /** Looks without changing anything. */
  inspect(names: string[]): Promise<Inspection> {
    return this.#control.call("inspect", names);
  }

  /** Opens, locks and binds; once per run. Nothing is written where keys are missing. */
  async open(request: OpenRequest, wanted: WantedKeys): Promise<Opened> {
    const found = await this.#keysAt(wanted);
    const opened = await this.#control.call<Opened>("open", request);
    const { passphrase } = wanted.given;
    let { identities, recipient } = found;
    // Whoever joins finds what the agent that has prepared the run has made.
    const isHome = request.run?.joins !== true;
    if (isHome && recipient !== undefined) {
      await this.#control.callFlush("completeIdentity", undefined);
    } else if (isHome && passphrase !== undefined && wanted.encrypts) {
      const made = await wanted.oneAtATime(() =>
        this.#control.callFlush<{ secret: string; recipient: string }>("makeIdentity", passphrase)
      );
      identities = [...identities, made.secret];
      recipient = made.recipient;
    }
    this.#recipient = recipient;
    const all = withRecipient(wanted.recipients, recipient);
    const recipients = wanted.encrypts ? listRecipients(identities, all) : [];
    const keys = { identities, recipients };
    await this.#control.call("useKeys", keys);
    // A further thread must find the same destination, also when the disk was changed in between.
    this.#openRequest = { ...request, expectedId: opened.destinationId, keys };
    const warnings = [...opened.warnings, ...found.warnings];
    if (wanted.encrypts && recipients.length === 0) warnings.push(listsStayReadable(this.spec.key));
    return { ...opened, warnings };
  }

  /** For a dry run: opens what exists without taking the lock. */
  async attach(request: OpenRequest, wanted: WantedKeys): Promise<void> {
    const { identities, recipient } = await this.#keysAt(wanted);
    this.#recipient = recipient;
    this.#openRequest = { ...request, keys: { identities, recipients: [] } };
    await this.#control.call("attach", this.#openRequest);
  }

  /** What opens what is here already. A passphrase takes a second, and as much memory as a run. */
  #keysAt({ given, oneAtATime }: WantedKeys): Promise<OpenedKeys> {
    const request: KeysRequest = { given, needsLists: true };
    const ask = () => this.#control.callFlush<OpenedKeys>("keysAt", request);
    return given.passphrase === undefined ? ask() : oneAtATime(ask);
  }

  /** Before a source is divided; see the thread's method. @throws {BackupError} when it must not be */
  async readyForParts(share: LaneTaskShare): Promise<void> {
    await this.#control.callFlush("readyForParts", share);
  }

  get error(): BackupError | undefined {
    return this.#fatal;
  }

  /** Gives the whole destination up; what is in hand ends by itself. */
  fail(error: BackupError): void {
    this.#fatal ??= error;
    this.#queue.stop();
    for (const thread of this.#threads) thread.cancel();
  }

  /** Runs one task here to its end. */
  mirror(
    input: LaneRunInput,
    sourceProblems: SourceProblems,
    signal: AbortSignal,
  ): { report: Promise<LaneReport>; progress(): LaneProgress } {
    const at = this.#runs.length;
    const run = new LaneRun({ ...input, options: this.#forHere(input.options) }, {
      clock: this.#deps.clock,
      control: () => this.#control,
      announce: async (share) => {
        this.#shares.set(share.task, share);
        await Promise.all([...this.#threads].map((t) => t.call("addTask", share)));
      },
      retract: async (task) => {
        this.#shares.delete(task);
        const others = [...this.#threads].filter((t) => t !== this.#control && !t.isClosed);
        await Promise.all(
          others.map((t) => t.call("removeTask", { task, clearStage: false }).catch(() => {})),
        );
        await this.#control.call("removeTask", { task, clearStage: true });
      },
      queue: this.#queue,
      copySlot: at * 2,
      verifySlot: at * 2 + 1,
      reader: this.#deps.reader,
      sourceProblems,
      signal,
      fatalError: () => this.#fatal,
    });
    this.#runs.push(run);
    if (input.isSequential === true) {
      this.#queue.oneAtATime(at * 2);
      this.#queue.oneAtATime(at * 2 + 1);
    }
    const drop = () => {
      this.#queue.drop(at * 2);
      this.#queue.drop(at * 2 + 1);
    };
    if (signal.aborted) drop();
    signal.addEventListener("abort", drop, { once: true });
    return {
      report: run.run().finally(() => signal.removeEventListener("abort", drop)),
      progress: () => {
        const recentFiles = run.takeRecentFiles();
        return {
          destination: this.spec.key,
          state: run.state,
          counters: run.counters(),
          gauges: this.#gauges(),
          ...(recentFiles.length === 0 ? {} : { recentFiles }),
        };
      },
    };
  }

  /** Files go also to whoever has the passphrase of this destination. */
  #forHere(options: MirrorOptions): MirrorOptions {
    const { encoding } = options;
    if (encoding === undefined || !encrypts(encoding.codec)) return options;
    const recipients = withRecipient(encoding.recipients, this.#recipient);
    return { ...options, encoding: { ...encoding, recipients } };
  }

  /** After all tasks: the checksums of everything that is here. */
  async finish(): Promise<void> {
    if (this.#fatal !== undefined) throw this.#fatal;
    await this.#control.callFlush("finish", undefined);
  }

  /** Ends early: threads stop between two operations. */
  cancel(): void {
    this.#queue.stop();
    for (const thread of this.#threads) thread.cancel();
  }

  /** Others work at this destination too, more or fewer than before. */
  share(
    { workersMax, limitBytesPerSecond }: { workersMax: number; limitBytesPerSecond?: number },
  ): void {
    if (this.#limitBytesPerSecond === undefined) {
      this.#workersMax = workersMax;
      this.#setWorkers();
      return;
    }
    if (limitBytesPerSecond === undefined || limitBytesPerSecond === this.#limitBytesPerSecond) {
      return;
    }
    this.#limitBytesPerSecond = limitBytesPerSecond;
    for (const thread of this.#threads) {
      if (!thread.isClosed) thread.call("setLimit", limitBytesPerSecond).catch(() => {});
    }
  }

  /** Files that wait here for workers; none where more workers would only wait for the limit. */
  get wantsHelp(): number {
    const isOpen = this.#limitBytesPerSecond === undefined && this.#fatal === undefined;
    return isOpen ? this.#queue.depth : 0;
  }

  /** As many as it would go on with. */
  get workers(): number {
    return this.#queue.workersTarget;
  }

  /** Another destination is done: `unlimited` are left to share the processors, and `helpers` of its workers come here. */
  takeOver({ unlimited, helpers }: { unlimited: number; helpers: number }): void {
    this.#unlimited = unlimited;
    this.#setWorkers();
    if (helpers > 0) this.#queue.help(helpers);
  }

  #setWorkers(): void {
    const workersMax = this.#workersMax;
    const workersMin = Math.min(this.#options.workersMin, workersMax);
    const options = { ...this.#options, workersMin, workersMax };
    const { processors } = this.#deps.share;
    this.#queue.setWorkers(
      laneWorkers(this.spec, options, { processors, unlimited: this.#unlimited }),
    );
  }

  pause(isPaused: boolean): void {
    this.#queue.pause(isPaused);
  }

  /** Ends this destination alone, as cancelled, while the run goes on elsewhere. */
  drop(): void {
    this.#fatal ??= new BackupError("cancelled", "This destination was cancelled");
    this.cancel();
  }

  /** Gives the lock and the threads back. Idempotent; does not wait long for a thread that is stuck. */
  async close(): Promise<void> {
    this.#queue.stop();
    await Promise.all([...this.#threads].map((thread) => this.#closeFiles(thread)));
    await Promise.all(this.#closing);
    for (const thread of [...this.#threads]) this.#closeThread(thread);
  }

  async #checkStillThere(): Promise<void> {
    const nowMs = this.#deps.clock.monotonicMs();
    if (nowMs - this.#checkedAtMs < CHECK_AGAIN_MS || this.#control.isClosed) return;
    this.#checkedAtMs = nowMs;
    try {
      await this.#control.call("stillThere", undefined);
    } catch (thrown) {
      const error = asBackupError(thrown);
      if (error.code === "destination_lost") this.fail(error);
    }
  }

  #gauges(): LaneGauges {
    const stillMs = Math.max(
      this.#queue.stillForMs,
      ...[...this.#threads].map((thread) => this.#deps.watch.stillForMs(thread)),
    );
    return {
      workers: this.#queue.workers,
      workersTarget: this.#queue.workersTarget,
      bytesPerSecond: this.#queue.bytesPerSecond,
      queueDepth: this.#queue.depth,
      stalledForMs: stillMs >= STALL_SHOWN_AFTER_MS ? Math.round(stillMs) : 0,
      currentFiles: this.#runs.flatMap((run) => run.currentFiles()).slice(0, 8),
    };
  }

  #spawn(): ThreadClient {
    const start: LaneThreadStart = {
      path: this.spec.path,
      slots: this.#deps.slots,
      limitBytesPerSecond: this.#limitBytesPerSecond ?? 0,
      roots: this.#deps.roots,
    };
    const thread = new ThreadClient(this.#deps.spawn("lane"), start);
    this.#threads.add(thread);
    this.#deps.watch.add(thread, this.spec.key);
    return thread;
  }

  /**
   * The first worker is the control thread; others are threads of their own that know all tasks under way. A control
   * thread that was given up is replaced here. When the new one gets no answer the destination is lost.
   */
  async #openWorker(): Promise<ThreadClient> {
    if (!this.#controlWorks && !this.#control.isClosed) {
      this.#controlWorks = true;
      return this.#control;
    }
    const thread = this.#spawn();
    const replaces = this.#control.isClosed;
    if (replaces) {
      this.#control = thread;
      this.#controlWorks = true;
    }
    try {
      await thread.call("attach", this.#openRequest);
      for (const share of this.#shares.values()) await thread.call("addTask", share);
      return thread;
    } catch (thrown) {
      this.#closeThread(thread);
      throw asBackupError(thrown);
    }
  }

  #closeWorker(worker: ThreadClient): void {
    if (worker === this.#control) {
      this.#controlWorks = false;
      return;
    }
    const closing = this.#closeFiles(worker).then(() => {
      this.#closeThread(worker);
      this.#closing.delete(closing);
    });
    this.#closing.add(closing);
  }

  /**
   * What a thread has open, the lock too, belongs to the process and outlives the thread: ended in the middle of a call, it
   * would keep the destination from everybody. So that call is told to end and waited for; one that is stuck is not.
   */
  async #closeFiles(thread: ThreadClient): Promise<void> {
    if (thread.isClosed) return;
    if (thread.pendingCount > 0) thread.cancel();
    const patience = new AbortController();
    await Promise.race([
      thread.callLast("close").catch(() => {}),
      this.#deps.clock.sleep(CLOSE_WAITS_MS, patience.signal).catch(() => {}),
    ]);
    patience.abort();
  }

  #closeThread(thread: ThreadClient): void {
    this.#threads.delete(thread);
    this.#deps.watch.remove(thread);
    thread.close();
  }
}

function withRecipient(keys: readonly string[], own: string | undefined): string[] {
  return [...new Set(own === undefined ? keys : [...keys, own])];
}

function listsStayReadable(destination: string): string {
  return `The lists at ${destination} (names, sizes, times, SHA-256 of contents) stay readable: ` +
    "with a passphrase, or --identity beside --recipient, they are encrypted too";
}
