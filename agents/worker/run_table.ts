/**
 * The runs that an agent takes part in. Rule: one `RunContext` a run, entered by `prepare` or `join`; the same request
 * again gives the same answer, one of a later run epoch replaces what was there, and an earlier one changes nothing.
 */
import { BackupError } from "../../protocol/base/errors.ts";
import type { HeldRun, RunShare } from "../../protocol/mesh/methods.ts";
import type {
  DropTask,
  JoinResult,
  JoinTask,
  PrepareResult,
  PrepareTask,
} from "../../protocol/mesh/task.ts";
import type { TaskFiles } from "./task_files.ts";
import type { RunContext } from "./run_context.ts";

interface Entry {
  epoch: number;
  context: RunContext;
  entered: Promise<PrepareResult | JoinResult>;
  /** By `prepare`. */
  isHome: boolean;
}

type Context = Parameters<RunContext["prepare"]>[1];

export class RunTable {
  readonly #create: () => RunContext;
  readonly #runs = new Map<string, Entry>();
  /** Runs that are being given back. */
  readonly #releasing = new Map<string, Promise<void>>();

  constructor(create: () => RunContext) {
    this.#create = create;
  }

  async prepare(task: PrepareTask, context: Context): Promise<PrepareResult> {
    const known = this.#known(task);
    const { entered } = known?.isHome === true
      ? known
      : this.#enter(task, known, true, (run) => run.prepare(task, context));
    return { ...await entered, op: "prepare" };
  }

  async join(task: JoinTask, context: Context): Promise<JoinResult> {
    // Whoever prepared it is in already.
    const { entered } = this.#known(task) ??
      this.#enter(task, undefined, false, (run) => run.join(task, context));
    return { ...await entered, op: "join" };
  }

  /** @throws {BackupError} `rejected` when this agent does not take part in the run */
  get(runId: string): RunContext {
    const entry = this.#runs.get(runId);
    if (entry !== undefined) return entry.context;
    throw new BackupError("rejected", `Run ${runId} was not prepared here`, {
      retry: "elsewhere",
    });
  }

  find(runId: string): RunContext | undefined {
    return this.#runs.get(runId)?.context;
  }

  /** Gives back what is held of one destination; its work that is not done ends as cancelled. */
  async leave({ runId, destination, isDone }: DropTask): Promise<void> {
    const entry = this.#runs.get(runId);
    if (entry === undefined) return;
    if (isDone !== true) entry.context.drop(destination);
    // What is being opened now could not be closed.
    await entry.entered.catch(() => {});
    await entry.context.leave(destination);
  }

  /** @throws {BackupError} `not_found` when this agent does not work on it */
  filesOf(taskId: string, offset: number, limit: number): TaskFiles {
    for (const { context } of this.#runs.values()) {
      const found = context.filesOf(taskId, offset, limit);
      if (found !== undefined) return found;
    }
    throw new BackupError("not_found", `This agent does not work on ${taskId}`);
  }

  share({ runId, runEpoch, ...share }: RunShare): void {
    const entry = this.#runs.get(runId);
    if (entry?.epoch === runEpoch) entry.context.share(share);
  }

  held(): HeldRun[] {
    return [...this.#runs].map(([runId, { epoch }]) => ({ runId, runEpoch: epoch }));
  }

  /** `upTo`: a later epoch stays. */
  async release(runId: string, upTo = Infinity): Promise<void> {
    const entry = this.#runs.get(runId);
    if (entry === undefined || entry.epoch > upTo) return await this.#releasing.get(runId);
    this.#runs.delete(runId);
    const releasing = Promise.all([this.#releasing.get(runId), entry.context.release()])
      .then(() => {}).finally(() => {
        if (this.#releasing.get(runId) === releasing) this.#releasing.delete(runId);
      });
    this.#releasing.set(runId, releasing);
    await releasing;
  }

  async releaseAll(): Promise<void> {
    await Promise.all([...this.#runs.keys()].map((runId) => this.release(runId)));
  }

  /** The entry of the same epoch. @throws {BackupError} `superseded` when the run has gone on since */
  #known({ runId, runEpoch }: PrepareTask | JoinTask): Entry | undefined {
    const entry = this.#runs.get(runId);
    const epoch = runEpoch ?? 1;
    if (entry === undefined || entry.epoch < epoch) return undefined;
    if (entry.epoch === epoch) return entry;
    throw new BackupError("superseded", `Run ${runId} was prepared anew since`);
  }

  #enter(
    { runId, runEpoch }: PrepareTask | JoinTask,
    before: Entry | undefined,
    isHome: boolean,
    begin: (run: RunContext) => Promise<PrepareResult | JoinResult>,
  ): Entry {
    const replaced = before ?? this.#runs.get(runId);
    const context = this.#create();
    const releasing = this.#releasing.get(runId);
    const entered = (async () => {
      // Two contexts of one run would be in each other's way.
      await releasing?.catch(() => {});
      await replaced?.context.release();
      return await begin(context);
    })();
    const entry: Entry = { epoch: runEpoch ?? 1, context, entered, isHome };
    this.#runs.set(runId, entry);
    entered.catch(async () => {
      // The next request begins anew.
      if (this.#runs.get(runId) === entry) this.#runs.delete(runId);
      await context.release().catch(() => {});
    });
    return entry;
  }
}
