/**
 * Files of one source that could not be read, whichever destination noticed first. Rule: each is named once, and the fault
 * is the source's, so no destination fails for it.
 */
import type { BackupError } from "../../../protocol/base/errors.ts";
import type { FileFailure } from "../../../protocol/mesh/job.ts";

const NAMED_MAX = 10_000;

export class SourceProblems {
  readonly #errors = new WeakSet<BackupError>();
  readonly #rows = new Map<number, { error: BackupError; attempts: number }>();
  readonly #named: FileFailure[] = [];

  /** Remembers that this error came from reading the source. */
  mark(error: BackupError): void {
    this.#errors.add(error);
  }

  has(error: BackupError): boolean {
    return this.#errors.has(error);
  }

  add(row: number, path: string, error: BackupError, attempts: number): void {
    if (this.#rows.has(row)) return;
    this.#rows.set(row, { error, attempts });
    if (this.#named.length < NAMED_MAX) {
      this.#named.push({ path, code: error.code, message: error.message, attempts });
    }
  }

  /** A further name of a file: true, and named too, when that file could not be read. */
  addFurtherName(row: number, path: string, first: number): boolean {
    const problem = this.#rows.get(first);
    if (problem === undefined) return false;
    this.add(row, path, problem.error, problem.attempts);
    return true;
  }

  get named(): FileFailure[] {
    return this.#named;
  }

  get count(): number {
    return this.#rows.size;
  }
}
