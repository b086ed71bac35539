/**
 * The rows of one task that failed for good, at the source or at the destination. Rule: each is counted once and named, up
 * to a limit; a further name of a file that is not here fails as its first name did.
 */
import type { BackupError } from "../../../protocol/base/errors.ts";
import type { FileFailure } from "../../../protocol/mesh/job.ts";
import { KIND_FILE } from "../../platform/posix.ts";
import type { EntryTable } from "../../source/entry_table.ts";
import { displayOf } from "./entry_display.ts";
import type { ItemProblem } from "./item_problem.ts";
import type { RecentRows } from "./recent_rows.ts";
import type { SourceProblems } from "./source_problems.ts";

const NAMED_MAX = 10_000;

export class LaneFailures {
  readonly #table: EntryTable;
  readonly #name: string;
  readonly #sourceProblems: SourceProblems;
  readonly #recent: RecentRows;
  /** Rows that failed for good, and how a further name of the same file fails with them. */
  readonly #gaveUp = new Map<number, (row: number) => void>();
  /** Those of them that this destination failed. */
  readonly #here = new Set<number>();
  readonly #named: FileFailure[] = [];
  #files = 0;

  /** `name`: the copy's top name. */
  constructor(
    table: EntryTable,
    name: string,
    sourceProblems: SourceProblems,
    recent: RecentRows,
  ) {
    this.#table = table;
    this.#name = name;
    this.#sourceProblems = sourceProblems;
    this.#recent = recent;
  }

  /** This destination fails the row. */
  add(
    row: number,
    { code, message }: Pick<ItemProblem, "code" | "message">,
    attempts: number,
  ): void {
    // A folder that could not be made cannot be finished either: one failure, not two.
    if (this.#here.has(row)) return;
    this.#here.add(row);
    this.#gaveUp.set(row, (other) => this.add(other, { code, message }, attempts));
    if (this.#table.columns.kind[row] === KIND_FILE) {
      this.#files++;
      this.#recent.add(row, "failed");
    }
    if (this.#named.length < NAMED_MAX) {
      const path = displayOf(this.#table, this.#name, row);
      this.#named.push({ path, code, message, attempts });
    }
  }

  addEach(problems: readonly ItemProblem[]): void {
    for (const problem of problems) this.add(problem.row, problem, 1);
  }

  /** Where it could not be read the fault is the source's. */
  addCopy(row: number, error: BackupError, attempts: number): void {
    if (!this.#sourceProblems.has(error)) return this.add(row, error, attempts);
    this.#gaveUp.set(row, (other) => this.addCopy(other, error, attempts));
    this.#sourceProblems.add(row, displayOf(this.#table, this.#name, row), error, attempts);
  }

  /**
   * A further name of a file that is not here fails as its first name did, instead of naming an older copy. Links and
   * nodes have no content to miss: they are made by themselves then.
   */
  addWithFirst(row: number): boolean {
    const { kind, linkTo } = this.#table.columns;
    if (kind[row] !== KIND_FILE) return false;
    const fail = this.#gaveUp.get(linkTo[row]!);
    fail?.(row);
    return fail !== undefined;
  }

  has(row: number): boolean {
    return this.#gaveUp.has(row);
  }

  hasHere(row: number): boolean {
    return this.#here.has(row);
  }

  /** Neither the source nor this destination failed any. */
  get isEmpty(): boolean {
    return this.#gaveUp.size === 0;
  }

  /** How many rows this destination failed, files and others, … */
  get count(): number {
    return this.#here.size;
  }

  /** … files only, … */
  get files(): number {
    return this.#files;
  }

  /** … and their names. */
  get named(): FileFailure[] {
    return this.#named;
  }
}
