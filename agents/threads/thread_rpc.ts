/**
 * Calls into a Web Worker. Rule: a thread ticks a shared counter before each disk operation, so the caller can tell "slow"
 * from "stuck" and abandon a thread that is past its deadline. A method that returns no promise runs alone.
 */
import {
  BackupError,
  type ErrorCode,
  IntegrityError,
  type RetryHint,
} from "../../protocol/base/errors.ts";

/** What a thread can be asked; each takes one cloneable argument and returns a cloneable result, or a promise of one. */
// deno-lint-ignore no-explicit-any -- every concrete table narrows it; the wire is structured clone
export type Methods = Record<string, (argument: any) => unknown>;

/** Bytes that are given away with the answer, which saves a copy: whoever returned them has them no more. */
export class Moved {
  readonly bytes: Uint8Array;

  /** Moved when they are all of their memory; a part of it is copied as ever. */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  static transfer(value: unknown): Transferable[] {
    if (!(value instanceof Moved)) return [];
    const { buffer, byteLength } = value.bytes;
    return buffer instanceof ArrayBuffer && byteLength === buffer.byteLength ? [buffer] : [];
  }

  static content(value: unknown): unknown {
    return value instanceof Moved ? value.bytes : value;
  }
}

/** Shared cells between a thread and its owner. */
export interface ThreadCells {
  /** Grows before every disk operation. */
  operations: Int32Array;
  /** Set to 1 when the call under way should end early. */
  cancelled: Int32Array;
  /** Set to 1 for ever when the thread was given up: it must publish nothing any more. */
  fenced: Int32Array;
  /** Bytes moved to or from the disk by this thread since it started; written by the thread alone. */
  bytes: Float64Array;
}

const CELL_OPERATIONS = 0;
const CELL_CANCELLED = 1;
const CELL_FENCED = 2;

export function threadCells(shared: SharedArrayBuffer): ThreadCells {
  return {
    operations: new Int32Array(shared, CELL_OPERATIONS * 4, 1),
    cancelled: new Int32Array(shared, CELL_CANCELLED * 4, 1),
    fenced: new Int32Array(shared, CELL_FENCED * 4, 1),
    bytes: new Float64Array(shared, 16, 1),
  };
}

interface CallMessage {
  id: number;
  method: string;
  argument: unknown;
}

interface ErrorFields {
  code: ErrorCode;
  message: string;
  path: string | undefined;
  hint: string | undefined;
  retry: RetryHint;
}

type ReplyMessage = { id: number; result: unknown } | { id: number; error: ErrorFields };

/** A call of the thread into its owner, and what comes back. */
interface AskMessage {
  ask: number;
  method: string;
  argument: unknown;
}
type AnswerMessage = { answer: number; result: unknown } | { answer: number; error: ErrorFields };

/** What a thread asks its owner while a call is under way. Rejects with what the owner's side threw. */
export type Ask = <R>(
  method: string,
  argument: unknown,
  transfer?: Transferable[],
) => Promise<R>;
/** The owner's side of it. */
export type AnswerThread = (method: string, argument: unknown) => Promise<unknown>;

/** The thread's side of the first message. */
export interface StartMessage {
  cells: SharedArrayBuffer;
  argument: unknown;
}

/**
 * Serves calls in a worker. `open` makes the method table from the first message; it must not await.
 * Messages that came early wait in the worker's queue, since `onmessage` is set at once.
 */
export function serveThread(
  scope: DedicatedScope,
  open: (argument: unknown, cells: ThreadCells, ask: Ask) => Methods,
): void {
  let methods: Methods | undefined;
  const asked = new Map<number, Pending>();
  let nextAsk = 0;
  const ask: Ask = <R>(method: string, argument: unknown, transfer?: Transferable[]) =>
    new Promise<R>((resolve, reject) => {
      const id = nextAsk++;
      asked.set(id, { resolve: resolve as (result: unknown) => void, reject });
      scope.postMessage({ ask: id, method, argument } satisfies AskMessage, transfer);
    });
  scope.onmessage = (event) => {
    if (methods === undefined) {
      const start = event.data as StartMessage;
      methods = open(start.argument, threadCells(start.cells), ask);
      return;
    }
    const message = event.data as CallMessage | AnswerMessage;
    if ("answer" in message) {
      const pending = asked.get(message.answer);
      asked.delete(message.answer);
      if ("error" in message) pending?.reject(errorOf(message.error));
      else pending?.resolve(message.result);
      return;
    }
    const { id, method, argument } = message;
    const fail = (thrown: unknown) =>
      scope.postMessage({ id, error: fieldsOf(thrown) } satisfies ReplyMessage);
    try {
      const run = methods[method];
      if (run === undefined) throw new TypeError(`Unknown thread method: ${method}`);
      const result = run(argument);
      const reply = (value: unknown) =>
        scope.postMessage(
          { id, result: Moved.content(value) } satisfies ReplyMessage,
          Moved.transfer(value),
        );
      if (result instanceof Promise) result.then(reply).catch(fail);
      else reply(result);
    } catch (thrown) {
      fail(thrown);
    }
  };
}

/** The part of a worker's global scope that is used. */
export interface DedicatedScope {
  onmessage: ((event: MessageEvent) => void) | null;
  postMessage(message: unknown, transfer?: Transferable[]): void;
}

function fieldsOf(thrown: unknown): ErrorFields {
  if (thrown instanceof BackupError) {
    const { code, message, path, hint, retry } = thrown;
    return { code, message, path, hint, retry };
  }
  const message = thrown instanceof Error ? `${thrown.message}\n${thrown.stack}` : String(thrown);
  return { code: "internal", message, path: undefined, hint: undefined, retry: "no" };
}

function errorOf(fields: ErrorFields): BackupError {
  return fields.code === "damaged"
    ? new IntegrityError(fields.message, { path: fields.path, hint: fields.hint })
    : new BackupError(fields.code, fields.message, fields);
}

interface Pending {
  resolve(result: unknown): void;
  reject(error: BackupError): void;
}

/** What is used of a `Worker`; a lent thread has the same. */
export interface ThreadEnd {
  onmessage: ((event: MessageEvent) => void) | null;
  onerror: ((event: ErrorEvent) => void) | null;
  postMessage(message: unknown, transfer?: Transferable[]): void;
  terminate(): void;
}

/** The owner's side of one thread. */
export class ThreadClient {
  readonly #worker: ThreadEnd;
  readonly #cells: ThreadCells;
  readonly #pending = new Map<number, Pending>();
  #nextId = 0;
  #flushes = 0;
  #closedWith: BackupError | undefined;
  #last: Promise<unknown> | undefined;

  /** `answer`: for a thread that asks its owner. */
  constructor(worker: ThreadEnd, argument: unknown, answer?: AnswerThread) {
    this.#worker = worker;
    const cells = new SharedArrayBuffer(24);
    this.#cells = threadCells(cells);
    worker.onmessage = (event: MessageEvent<ReplyMessage>) => {
      const reply = event.data as ReplyMessage | AskMessage;
      if ("ask" in reply) return void this.#answer(reply, answer);
      const pending = this.#pending.get(reply.id);
      if (pending === undefined) return;
      this.#pending.delete(reply.id);
      if ("error" in reply) {
        pending.reject(errorOf(reply.error));
      } else pending.resolve(reply.result);
    };
    worker.onerror = (event: ErrorEvent) => {
      event.preventDefault();
      this.#end(new BackupError("internal", `A thread failed: ${event.message}`));
    };
    worker.postMessage({ cells, argument } satisfies StartMessage);
  }

  /** A call that flushes is under way: it may take longer than one operation. */
  get isFlushing(): boolean {
    return this.#flushes > 0;
  }

  get isClosed(): boolean {
    return this.#closedWith !== undefined;
  }

  /** Runs one call that flushes; see `call`. */
  callFlush<R>(method: string, argument: unknown): Promise<R> {
    this.#flushes++;
    return this.call<R>(method, argument).finally(() => this.#flushes--);
  }

  /** Calls under way. */
  get pendingCount(): number {
    return this.#pending.size;
  }

  /** Changes whenever the thread has begun another disk operation. */
  get operations(): number {
    return Atomics.load(this.#cells.operations, 0);
  }

  /** Bytes the thread has moved so far, also within the call under way. */
  get bytes(): number {
    return this.#cells.bytes[0]!;
  }

  /** Runs one call after those before it. @throws {BackupError} as the thread threw it, or `deadline` when abandoned */
  call<R>(method: string, argument: unknown): Promise<R> {
    if (this.#closedWith !== undefined) return Promise.reject(this.#closedWith);
    if (this.#last !== undefined) return Promise.reject(closedError());
    const id = this.#nextId++;
    const promise = new Promise<R>((resolve, reject) => {
      this.#pending.set(id, { resolve: resolve as (result: unknown) => void, reject });
    });
    this.#worker.postMessage({ id, method, argument } satisfies CallMessage);
    return promise;
  }

  /** The last call of all, after those before it: what is asked later is refused. A second time it is the same one. */
  callLast(method: string): Promise<unknown> {
    this.#last ??= this.call(method, undefined);
    return this.#last;
  }

  /** Asks calls under way and later ones to end early. */
  cancel(): void {
    Atomics.store(this.#cells.cancelled, 0, 1);
    Atomics.notify(this.#cells.cancelled, 0);
  }

  /** Gives the thread up: fences it, fails its calls with `error` and lets the system end it when it can. */
  abandon(error: BackupError): void {
    Atomics.store(this.#cells.fenced, 0, 1);
    this.cancel();
    this.#end(error);
  }

  /** Ends an idle thread. */
  close(): void {
    this.#end(closedError());
  }

  async #answer({ ask, method, argument }: AskMessage, answer?: AnswerThread): Promise<void> {
    let message: AnswerMessage;
    let transfer: Transferable[] = [];
    try {
      if (answer === undefined) throw new TypeError("Nobody answers this thread");
      const result = await answer(method, argument);
      message = { answer: ask, result: Moved.content(result) };
      transfer = Moved.transfer(result);
    } catch (thrown) {
      message = { answer: ask, error: fieldsOf(thrown) };
    }
    if (!this.isClosed) this.#worker.postMessage(message, transfer);
  }

  #end(error: BackupError): void {
    if (this.#closedWith !== undefined) return;
    this.#closedWith = error;
    this.#worker.terminate();
    for (const pending of this.#pending.values()) pending.reject(error);
    this.#pending.clear();
  }
}

function closedError(): BackupError {
  return new BackupError("cancelled", "The thread was closed");
}
