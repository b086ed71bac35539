/**
 * Who takes part in the contest of snapshots, as command lines. Rule: each is started as people start it, with the same
 * compression (zstd's level 3, or what is called equal to it), a password, and a cache of its own that is empty at first.
 */
import { join } from "node:path";
import { findProgram } from "../support/tools.ts";
import { program } from "./bench_fs.ts";
import { type Form, forms } from "./ours.ts";
import type { Command } from "./processes.ts";

export interface SnapshotContender {
  name: string;
  /** How many places one backup of it fills. */
  destinations: number;
  /** Of its repositories, below its folder. */
  repositories: string[];
  /** Makes empty repositories in a new folder; not counted. */
  init(folder: string): Command[];
  /** `name` is new each time; the first one is restored. */
  backup(folder: string, source: string, name: string): Command;
  /** Of the first backup, into an empty folder. */
  restore(folder: string, source: string, target: string): Command;
  /** Everything that is stored at the first place, read and opened. */
  check(folder: string): Command;
}

export const FIRST = "first";

const PASSWORD = "bench";

export function snapshotContenders(): SnapshotContender[] {
  const [form] = forms();
  const others = findProgram("borg") === undefined ? [restic] : [restic, borg];
  return [...others, ours(form!, 1), ours(form!, 3)];
}

const restic: SnapshotContender = {
  name: "restic",
  destinations: 1,
  repositories: ["repository"],
  init: (folder) => [runRestic(folder, "init")],
  backup: (folder, source) => runRestic(folder, "backup", "--compression", "auto", source),
  restore: (folder, source, target) =>
    runRestic(folder, "restore", "latest", "--target", target, "--include", source),
  check: (folder) => runRestic(folder, "check", "--read-data"),
};

function runRestic(folder: string, ...args: string[]): Command {
  const settings = {
    RESTIC_PASSWORD: PASSWORD,
    RESTIC_REPOSITORY: join(folder, "repository"),
    RESTIC_CACHE_DIR: join(folder, "cache"),
  };
  return withSettings(settings, program("restic"), ["--quiet", ...args]);
}

const borg: SnapshotContender = {
  name: "borg",
  destinations: 1,
  repositories: ["repository"],
  init: (folder) => [runBorg(folder, undefined, "init", "--encryption", "repokey", "::")],
  backup: (folder, source, name) =>
    runBorg(folder, undefined, "create", "--compression", "zstd,3", `::${name}`, source),
  restore: (folder, _source, target) => runBorg(folder, target, "extract", `::${FIRST}`),
  check: (folder) => runBorg(folder, undefined, "check", "--verify-data", "::"),
};

function runBorg(folder: string, cwd: string | undefined, ...args: string[]): Command {
  const settings = {
    BORG_PASSPHRASE: PASSWORD,
    BORG_REPO: join(folder, "repository"),
    BORG_BASE_DIR: join(folder, "base"),
  };
  const command = withSettings(settings, program("borg"), args);
  return cwd === undefined ? command : { ...command, cwd };
}

function ours(form: Form, destinations: number): SnapshotContender {
  const repositories = Array.from({ length: destinations }, (_, i) => `repository-${i + 1}`);
  const places = (folder: string) => repositories.map((name) => `restic:${join(folder, name)}`);
  const run = (...args: string[]): Command => {
    const command = form.command(...args);
    return withSettings({ RESTIC_PASSWORD: PASSWORD }, command.program, command.args);
  };
  return {
    name: destinations === 1 ? "ours" : `ours, ${destinations} destinations`,
    destinations,
    repositories,
    init: (folder) => [run("init", ...places(folder))],
    backup: (folder, source) =>
      run(
        "backup",
        source,
        ...places(folder).flatMap((place) => ["--to", place]),
        ...["--state-dir", join(folder, "state"), "--quiet"],
      ),
    restore: (folder, _source, target) =>
      run("restore", places(folder)[0]!, "--target", target, "--quiet"),
    check: (folder) => run("check", places(folder)[0]!, "--read-data", "--quiet"),
  };
}

/** By `env`, which becomes the program: it is that one's time and memory that are measured. */
function withSettings(
  settings: Record<string, string>,
  path: string,
  args: readonly string[],
): Command {
  const words = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
  return { program: program("env"), args: [...words, path, ...args] };
}
