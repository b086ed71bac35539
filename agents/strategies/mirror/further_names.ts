/**
 * What a lane makes once its files have their names: symbolic links, nodes and further names of files. Rule: a further
 * name never stands for another copy than its first name does.
 */
import { KIND_FILE } from "../../platform/posix.ts";
import { type EntryTable, NONE } from "../../source/entry_table.ts";
import { STATUS_FAILED, STATUS_UNCHANGED } from "./entry_status.ts";
import type { FinalNames } from "./final_names.ts";
import type { LaneCounts } from "./lane_counts.ts";
import type { LaneFailures } from "./lane_failures.ts";
import type { LaneTools } from "./lane_tools.ts";
import type { Verified } from "./lane_verifier.ts";
import type { ReadBack } from "./read_back.ts";

export interface FurtherNamesTools {
  lane: Pick<LaneTools, "control" | "signal">;
  task: string;
  table: EntryTable;
  status: Uint8Array;
  names: FinalNames;
  counts: LaneCounts;
  failures: LaneFailures;
  readBack: ReadBack;
}

export class FurtherNames {
  readonly #tools: FurtherNamesTools;
  readonly #ownFiles = new Set<number>();

  constructor(tools: FurtherNamesTools) {
    this.#tools = tools;
  }

  /** Further names that are files of their own here. */
  get ownFiles(): ReadonlySet<number> {
    return this.#ownFiles;
  }

  /**
   * `unholdable`: rows that cannot stand here whatever is tried; `ownFiles`: that are so already. Answers the rows that are
   * to be copied as files of their own.
   */
  async make(
    wanted: number[],
    unholdable: ReadonlySet<number>,
    ownFiles: readonly number[],
  ): Promise<number[]> {
    const late = await this.#make(wanted, unholdable);
    for (const row of [...late, ...ownFiles]) this.#ownFiles.add(row);
    return late;
  }

  async #make(wanted: number[], unholdable: ReadonlySet<number>): Promise<number[]> {
    const { lane, table, names, counts, failures } = this.#tools;
    const { kind, linkTo } = table.columns;
    // Whose first name cannot stand here becomes a file of its own.
    const isAlone = (row: number) => kind[row] === KIND_FILE && unholdable.has(linkTo[row]!);
    const alone = wanted.filter(isAlone);
    const others = wanted.filter((row) => !isAlone(row) && !failures.addWithFirst(row));
    if (others.length === 0 || lane.signal.aborted) return alone;
    const moved = await names.makeOthers(others);
    const failed = new Set([...moved.problems.map((p) => p.row), ...moved.asFiles]);
    failures.addEach(moved.problems);
    for (const row of others) {
      if (!failed.has(row) && kind[row] === KIND_FILE) counts.linked();
    }
    return [...alone, ...moved.asFiles];
  }

  /**
   * Further names of files that were copied again still name the bad copy: they are linked anew, or given up with the
   * first name. Answers those that stand.
   */
  async linkAgain(linked: number[]): Promise<number[]> {
    const { table: { columns: { linkTo } }, status, names, counts, failures, readBack } =
      this.#tools;
    const given = linked.filter((row) => failures.addWithFirst(row));
    for (const row of given) await names.giveUp(row, readBack.errorOf(linkTo[row]!));
    const stands = new Set(linked);
    for (const row of given) stands.delete(row);
    for (const row of this.#unchangedNamesOfRecopied()) {
      if (failures.addWithFirst(row)) {
        status[row] = STATUS_FAILED;
        continue;
      }
      stands.add(row);
      counts.willVerifyOneMore();
    }
    const stale = [...stands].filter((row) => readBack.wasCopiedAgain(linkTo[row]!));
    if (stale.length === 0) return [...stands];
    const moved = await names.makeOthers(stale);
    failures.addEach(moved.problems);
    for (const { row } of moved.problems) stands.delete(row);
    return [...stands];
  }

  /** With `--verify all` a file that did not change can turn out to be damaged, under all its names. */
  #unchangedNamesOfRecopied(): number[] {
    const { table, status, failures, readBack } = this.#tools;
    if (readBack.isClean) return [];
    const { linkTo } = table.columns;
    const rows: number[] = [];
    for (let i = 0; i < table.count; i++) {
      const first = linkTo[i]!;
      const isName = first !== NONE && !this.#ownFiles.has(i) &&
        (readBack.wasCopiedAgain(first) || failures.hasHere(first));
      if (isName && status[i] === STATUS_UNCHANGED) rows.push(i);
    }
    return rows;
  }

  async verify(rows: number[]): Promise<void> {
    if (rows.length === 0) return;
    const { lane, task, counts, failures } = this.#tools;
    const done = await lane.control().call<Verified>("verifyOthers", {
      task,
      rows: Uint32Array.from(rows),
    });
    counts.verified(done);
    failures.addEach(done.problems);
  }
}
