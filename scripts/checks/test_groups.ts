/**
 * Divides the tests among processes that run beside each other. Rule: every test file is in one group, also one of a room
 * that does not exist yet; a power cut played in one process closes its files, so no other test may share that process.
 */

/** Processes at a time: most tests of processes wait for disks and timers half of their time. */
export const GROUPS_AT_A_TIME = 2;

export interface TestGroup {
  name: string;
  /** Folders and files to run, and what to leave out of them; as `deno test` takes them. */
  paths: string[];
  ignored: string[];
  /** Tests of whole processes may want for a processor beside others: what fails is run again alone, and that counts. */
  isJudgedAlone?: boolean;
}

/** What must end within a time of its own, or has a program beside it that must never stop: it runs when nothing else does. */
const TIMED = [
  "tests/main_job/speed_test.ts",
  "tests/main_job/cancel_test.ts",
  "tests/main_job/source_faults_test.ts",
];

/** Longest first, so that the last to end does not end alone. */
export const TEST_GROUPS: readonly TestGroup[] = [
  { name: "the main job", paths: ["tests/main_job"], ignored: TIMED, isJudgedAlone: true },
  { name: "across rooms", paths: ["tests"], ignored: ["tests/main_job"], isJudgedAlone: true },
  { name: "units", paths: ["."], ignored: ["tests"] },
];

/** One after the other, after all those. */
export const GROUPS_ALONE: readonly TestGroup[] = [{ name: "timed", paths: TIMED, ignored: [] }];

/** Runs all, at most `atATime` beside each other, begun in their order. */
export async function inOrder<T, R>(
  items: readonly T[],
  atATime: number,
  work: (item: T, at: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const waiting = [...items.entries()];
  const take = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [at, item] = next;
      results[at] = await work(item, at);
    }
  };
  await Promise.all(Array.from({ length: atATime }, take));
  return results;
}

/** Shows what several write at once one after the other: the first as it comes, each further one when all before it have ended. */
export class OutputInTurn {
  readonly #write: (part: Uint8Array) => void;
  readonly #held: Uint8Array[][] = [];
  readonly #ended = new Set<number>();
  #turn = 0;

  constructor(write: (part: Uint8Array) => void) {
    this.#write = write;
  }

  show(at: number, part: Uint8Array): void {
    if (at === this.#turn) this.#write(part);
    else (this.#held[at] ??= []).push(part);
  }

  end(at: number): void {
    this.#ended.add(at);
    while (this.#ended.has(this.#turn)) {
      this.#turn++;
      for (const part of this.#held[this.#turn] ?? []) this.#write(part);
      delete this.#held[this.#turn];
    }
  }
}
