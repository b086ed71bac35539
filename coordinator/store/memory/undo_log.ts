/** Changes that can be taken back. Rule: undoing costs what was changed, never what is stored. */

export interface UndoLog {
  /** Runs `work`; when it throws, all that was noted in it is undone, the last first. */
  transact<T>(work: () => T): T;
  note(undo: () => void): void;
}

export function createUndoLog(): UndoLog {
  let steps: (() => void)[] | undefined;
  return {
    transact(work) {
      steps = [];
      try {
        return work();
      } catch (thrown) {
        for (const undo of steps.reverse()) undo();
        throw thrown;
      } finally {
        steps = undefined;
      }
    },
    note: (undo) => void steps?.push(undo),
  };
}

/** A map whose changes are noted. Values are copied in and out, so nobody holds what is stored. */
export class UndoMap<V> {
  readonly #log: UndoLog;
  readonly #rows = new Map<string, V>();

  constructor(log: UndoLog) {
    this.#log = log;
  }

  get(key: string): V | undefined {
    return structuredClone(this.#rows.get(key));
  }

  has(key: string): boolean {
    return this.#rows.has(key);
  }

  /** In the order of insertion. */
  filter(isWanted: (value: V) => boolean): V[] {
    return structuredClone([...this.#rows.values()].filter(isWanted));
  }

  set(key: string, value: V): void {
    const before = this.#rows.get(key);
    const isNew = !this.#rows.has(key);
    this.#rows.set(key, structuredClone(value));
    this.#log.note(() => isNew ? this.#rows.delete(key) : this.#rows.set(key, before!));
  }

  delete(key: string): void {
    const before = [...this.#rows];
    if (this.#rows.delete(key)) this.#restore(before);
  }

  deleteWhere(isGone: (value: V) => boolean): void {
    const before = [...this.#rows];
    const gone = before.filter(([, value]) => isGone(value));
    if (gone.length === 0) return;
    for (const [key] of gone) this.#rows.delete(key);
    this.#restore(before);
  }

  /** In the order that was. */
  #restore(before: readonly [string, V][]): void {
    this.#log.note(() => {
      this.#rows.clear();
      for (const [key, value] of before) this.#rows.set(key, value);
    });
  }
}
