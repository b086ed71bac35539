/** What is told about one run while it goes on, to any number of readers. Rule: a slow reader is told where it is by then, and delays nobody. */
import type { RunDetail, RunEvent } from "../../protocol/mesh/methods.ts";
import type { RunProgress } from "../../protocol/mesh/run.ts";
import type { EventStream } from "../../protocol/rpc/method.ts";

/** What happened in a run, before it has its number. */
export type Unnumbered = RunEvent extends infer E
  ? E extends { seq: number } ? Omit<E, "seq"> : never
  : never;

/** Events that wait for a reader; beyond that it gets a snapshot instead. */
const WAITING_MAX = 256;
export const READERS_MAX = 256;

export interface RunHub {
  tell(event: Unnumbered): void;
  /** The latest word; for whoever asks once. */
  progress(): RunProgress | null;
  /** Whether anybody reads: what is told to nobody need not be made. */
  readonly hasReaders: boolean;
  /** A snapshot, then what happens, to the run's end. Undefined: too many read already. */
  follow(): EventStream<RunEvent> | undefined;
  /** Ends every stream, also those that are asked for later, without a word about the run: it goes on after a restart. */
  close(): void;
}

interface Reader {
  end(): IteratorReturnResult<undefined>;
  waiting: RunEvent[];
  needsSnapshot: boolean;
  wake: (() => void) | undefined;
  isOver: boolean;
}

export function createRunHub(snapshot: () => RunDetail): RunHub {
  const readers = new Set<Reader>();
  let seq = 0;
  let latest: RunProgress | null = null;
  let end: RunEvent | undefined;
  let isClosed = false;

  return {
    progress: () => latest,
    get hasReaders() {
      return readers.size > 0;
    },
    tell(unnumbered) {
      if (end !== undefined) return;
      const event = { ...unnumbered, seq: ++seq } as RunEvent;
      if (event.kind === "progress") latest = event.progress;
      if (event.kind === "end") end = event;
      for (const reader of readers) {
        if (reader.waiting.length >= WAITING_MAX) {
          reader.waiting = [];
          reader.needsSnapshot = true;
        }
        // Of progress only the newest is news.
        const last = reader.waiting.at(-1);
        if (event.kind === "progress" && last?.kind === "progress") reader.waiting.pop();
        reader.waiting.push(event);
        reader.wake?.();
      }
    },
    follow() {
      if (readers.size >= READERS_MAX) return undefined;
      const over = () => {
        reader.isOver = true;
        readers.delete(reader);
        reader.wake?.();
        return { done: true as const, value: undefined };
      };
      const reader: Reader = {
        end: over,
        waiting: [],
        needsSnapshot: true,
        wake: undefined,
        isOver: isClosed,
      };
      if (end !== undefined) reader.waiting.push(end);
      if (!isClosed) readers.add(reader);
      return {
        async next() {
          while (!reader.isOver && !reader.needsSnapshot && reader.waiting.length === 0) {
            await new Promise<void>((resolve) => reader.wake = resolve);
          }
          if (reader.isOver) return { done: true, value: undefined };
          if (reader.needsSnapshot) {
            reader.needsSnapshot = false;
            // What waits is in it, but for the end, which is the last word.
            reader.waiting = reader.waiting.filter((event) => event.kind === "end");
            return {
              done: false,
              value: { kind: "snapshot", seq: end === undefined ? seq : seq - 1, run: snapshot() },
            };
          }
          const event = reader.waiting.shift()!;
          if (event.kind === "end") over();
          return { done: false, value: event };
        },
        return: () => Promise.resolve(over()),
      };
    },
    close() {
      isClosed = true;
      for (const reader of [...readers]) reader.end();
    },
  };
}
