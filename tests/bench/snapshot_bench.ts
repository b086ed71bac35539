/**
 * `deno task bench snapshot`: repositories against restic and borg. Rule: the same files, out of the page cache for everybody, one
 * contender after the other; what is stored twice or read back is the contender's own affair and counted.
 */
import { lstatSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { program, requirePrograms } from "./bench_fs.ts";
import type { MachineFacts } from "./machine_facts.ts";
import { median } from "./part.ts";
import { childrenCpuSeconds, type Command, type Processes } from "./processes.ts";
import { FIRST, type SnapshotContender, snapshotContenders } from "./snapshot_contenders.ts";
import {
  changeSomeFiles,
  makeMixed,
  makeRandom,
  makeTiny,
  makeWords,
  type SnapshotBenchSize,
} from "./snapshot_sources.ts";

export interface SnapshotBenchOptions {
  size: SnapshotBenchSize;
  rounds: number;
  /** Holds everything for the time of the bench. */
  folder: string;
  /** Where real files are taken from. */
  from: readonly string[];
  say(line: string): void;
  onStart(facts: MachineFacts): void;
}

export interface Measured {
  seconds: number;
  cpuSeconds: number;
  peakRssBytes: number;
  /** What a backup has added to all its repositories; undefined where nothing is stored. */
  storedBytes?: number;
}

/** What one contender took for one thing, a value a round. */
export interface SnapshotRow {
  what: string;
  contender: string;
  destinations: number;
  measured: Measured[];
}

export interface SnapshotBenchResult {
  facts: MachineFacts;
  rows: SnapshotRow[];
}

const PROGRAMS = ["cat", "cp", "env", "find", "restic", "sh", "sync", "xargs"];

/** @throws when this machine lacks a program, or a contender fails */
export async function snapshotBench(
  processes: Processes,
  options: SnapshotBenchOptions,
): Promise<SnapshotBenchResult> {
  requirePrograms(PROGRAMS);
  const folder = Deno.makeTempDirSync({ dir: options.folder, prefix: "bench-snapshot-" });
  try {
    const contenders = snapshotContenders();
    const facts = await snapshotFacts(processes, contenders);
    options.onStart(facts);
    const bench = new Bench(processes, options, contenders, folder);
    await bench.run();
    return { facts, rows: bench.rows };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

class Bench {
  readonly rows: SnapshotRow[] = [];
  readonly #processes: Processes;
  readonly #options: SnapshotBenchOptions;
  readonly #contenders: readonly SnapshotContender[];
  readonly #folder: string;

  constructor(
    processes: Processes,
    options: SnapshotBenchOptions,
    contenders: readonly SnapshotContender[],
    folder: string,
  ) {
    this.#processes = processes;
    this.#options = options;
    this.#contenders = contenders;
    this.#folder = folder;
  }

  async run(): Promise<void> {
    const { size, from, rounds } = this.#options;
    const source = join(this.#folder, "source");
    const files = await makeMixed(this.#processes, source, size, from);
    const mixed = `mixed, ${files.length.toLocaleString("en")} files`;
    for (let round = 0; round < rounds; round++) {
      await this.#eachBackup(mixed, source, FIRST);
      await this.#eachBackup("the same, unchanged", source, "second");
      await this.#eachRestore("restore of the mixed files", source);
      await this.#eachCheck("check of the mixed files, data read");
      changeSomeFiles(source, files, round);
      await this.#eachBackup("the same, 1 % changed", source, "third");
      this.#clear();
    }
    rmSync(source, { recursive: true });
    for (
      const [what, make] of [
        [`random, one file of ${mib(size.largeBytes)} MiB`, makeRandom],
        [`compressible, one file of ${mib(size.largeBytes)} MiB`, makeWords],
        [`tiny, ${size.tinyFiles.toLocaleString("en")} files`, makeTiny],
      ] as const
    ) {
      await make(this.#processes, source, size);
      for (let round = 0; round < rounds; round++) {
        await this.#eachBackup(what, source, FIRST);
        if (make === makeRandom) await this.#eachCheck("check of the random file, data read");
        this.#clear();
      }
      rmSync(source, { recursive: true });
    }
  }

  async #eachBackup(what: string, source: string, name: string): Promise<void> {
    for (const contender of this.#contenders) {
      const home = this.#home(contender);
      if (name === FIRST) {
        mkdirSync(home);
        for (const command of contender.init(home)) await this.#processes.must(command);
      }
      const before = this.#stored(contender);
      const measured = await this.#measure(
        what,
        contender,
        contender.backup(home, source, name),
        source,
      );
      measured.storedBytes = this.#stored(contender) - before;
    }
  }

  async #eachRestore(what: string, source: string): Promise<void> {
    for (const contender of this.#contenders) {
      // What there are more of is read all the same from one of them.
      if (contender.destinations > 1) continue;
      const home = this.#home(contender);
      const target = join(home, "target");
      mkdirSync(target);
      // It stays until the end: ext4 avoids what was deleted a moment ago, at the cost of whoever comes next.
      await this.#measure(what, contender, contender.restore(home, source, target), home);
    }
  }

  async #eachCheck(what: string): Promise<void> {
    for (const contender of this.#contenders) {
      if (contender.destinations > 1) continue;
      const home = this.#home(contender);
      await this.#measure(what, contender, contender.check(home), home);
    }
  }

  /** `read` is in the page cache when it begins, and nothing of what was before is still to be written. */
  async #measure(
    what: string,
    { name, destinations }: SnapshotContender,
    command: Command,
    read: string,
  ): Promise<Measured> {
    const warm = 'find "$1" -type f -exec cat {} + > /dev/null; sync';
    await this.#processes.must({ program: program("sh"), args: ["-c", warm, "sh", read] });
    const cpuBefore = childrenCpuSeconds();
    const { seconds, peakRssBytes } = await this.#processes.must(command, { watchMemory: true });
    const measured: Measured = {
      seconds,
      cpuSeconds: childrenCpuSeconds() - cpuBefore,
      peakRssBytes,
    };
    this.#options.say(
      `  ${what}: ${name}: ${seconds.toFixed(2)} s, cpu ${measured.cpuSeconds.toFixed(2)} s`,
    );
    const row = this.rows.find((row) => row.what === what && row.contender === name);
    if (row !== undefined) row.measured.push(measured);
    else this.rows.push({ what, contender: name, destinations, measured: [measured] });
    return measured;
  }

  #stored(contender: SnapshotContender): number {
    const home = this.#home(contender);
    return contender.repositories.reduce((sum, name) => sum + sizeOf(join(home, name)), 0);
  }

  #home({ name }: SnapshotContender): string {
    return join(this.#folder, name.replaceAll(/[ ,]+/g, "-"));
  }

  #clear(): void {
    for (const contender of this.#contenders) {
      rmSync(this.#home(contender), { recursive: true, force: true });
    }
  }
}

/** All that was measured, as one table. Ratios are to restic, which is run once for every destination. */
export function renderSnapshotTable(rows: readonly SnapshotRow[]): string {
  const lines = [[
    "what",
    "who",
    "wall s",
    "× restic",
    "CPU s",
    "× restic",
    "peak MB",
    "stored MB",
  ]];
  for (const row of rows) {
    const stock = rows.find(({ what, contender }) => what === row.what && contender === "restic");
    const of = (pick: (measured: Measured) => number, from: SnapshotRow) =>
      median(from.measured.map(pick));
    const ratio = (pick: (measured: Measured) => number) =>
      stock === undefined ? "" : (of(pick, row) / (row.destinations * of(pick, stock))).toFixed(2);
    const wall = (measured: Measured) => measured.seconds;
    const cpu = (measured: Measured) => measured.cpuSeconds;
    lines.push([
      row.what,
      row.contender,
      of(wall, row).toFixed(2),
      ratio(wall),
      of(cpu, row).toFixed(2),
      ratio(cpu),
      megabytes(of((measured) => measured.peakRssBytes, row)),
      row.measured.some(({ storedBytes }) => storedBytes === undefined)
        ? ""
        : megabytes(of(({ storedBytes }) => storedBytes!, row)),
    ]);
  }
  const widths = lines[0]!.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
  return lines.map((line) =>
    line.map((cell, i) => i < 2 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)).join("  ")
  ).join("\n");
}

async function snapshotFacts(
  processes: Processes,
  contenders: readonly SnapshotContender[],
): Promise<MachineFacts> {
  const cpu = /^model name\s*:\s*(.+)$/m.exec(Deno.readTextFileSync("/proc/cpuinfo"))?.[1];
  const version = async (name: string, flag: string): Promise<string> =>
    (await processes.must({ program: program(name), args: [flag] })).out.split("\n")[0]!.trim();
  return {
    cpu: `${navigator.hardwareConcurrency} × ${cpu ?? Deno.build.arch}`,
    memory: `${(Deno.systemMemoryInfo().total / 2 ** 30).toFixed(1)} GiB`,
    kernel: Deno.osRelease(),
    "load before": Deno.loadavg().map((load) => load.toFixed(2)).join(" "),
    deno: Deno.version.deno,
    restic: await version("restic", "version"),
    ...(contenders.some(({ name }) => name === "borg")
      ? { borg: await version("borg", "--version") }
      : {}),
  };
}

/** Of all files below a folder. */
function sizeOf(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, { parentPath, name }) => sum + lstatSync(join(parentPath, name)).size, 0);
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(0);
}

function mib(bytes: number): string {
  return (bytes / 2 ** 20).toLocaleString("en");
}
