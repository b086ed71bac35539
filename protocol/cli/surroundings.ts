/** Where the program runs: environment, folders, home. Rule: commands see the machine's state through this only. */
import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { BackupError } from "../base/errors.ts";

const PROGRAM_FOLDER = "backup-agent";

export interface Surroundings {
  /** The value of an environment variable; an empty one counts as not set. */
  env(name: string): string | undefined;
  /** Absolute; relative paths on the command line are below it. */
  readonly folder: string;
  /** The user's home, from HOME or the password database; undefined when there is none. */
  home(): string | undefined;
  /** @throws {Deno.errors.NotFound} and other errors of the operating system. */
  readTextFile(path: string): string;
}

/**
 * The process's own surroundings. `programFolder` is where the entry module lies: `deno task` changes into it and leaves
 * the caller's folder in INIT_CWD. Only then is INIT_CWD trusted; an old one inherited from some shell is not.
 */
export function processSurroundings(programFolder: string): Surroundings {
  const env = (name: string) => Deno.env.get(name) || undefined;
  return {
    env,
    folder: callerFolder(Deno.cwd(), programFolder, env("INIT_CWD")),
    home: () => env("HOME") ?? homeFromSystem(),
    readTextFile: (path) => Deno.readTextFileSync(path),
  };
}

/** The folder that relative paths belong to. */
export function callerFolder(cwd: string, programFolder: string, initCwd?: string): string {
  const isTask = initCwd !== undefined && isAbsolute(initCwd) && cwd === resolve(programFolder);
  return isTask ? initCwd : cwd;
}

/** Absolute and normalised, without trailing slashes; `base` is where relative text starts. */
export function absolutePath(text: string, base: string): string {
  return resolve(base, text);
}

/**
 * `absolutePath` of a word that a shell should have expanded: `'~/x'` and `--to=~/x` reach us as they were typed, and
 * nobody means a folder named `~`. @throws {BackupError} `usage`
 */
export function typedPath(text: string, base: string): string {
  if (text === "~" || text.startsWith("~/")) {
    throw new BackupError("usage", `${text} starts with a ~ that the shell did not expand`, {
      hint: `Write "$HOME${text.slice(1)}"; a folder that is really named ~ is ./${text}`,
    });
  }
  return absolutePath(text, base);
}

/** The configuration file that is read when none is named; undefined without a home. */
export function defaultConfigPath(at: Surroundings): string | undefined {
  return xdgFolder(at, "XDG_CONFIG_HOME", ".config", "config.json");
}

/** Where job state lives when `--state-dir` is not given. @throws {BackupError} `config` without any home. */
export function defaultStateDir(at: Surroundings): string {
  // systemd's StateDirectory= may name several folders; the first is ours.
  const fromSystemd = at.env("STATE_DIRECTORY")?.split(":")[0];
  if (fromSystemd !== undefined && isAbsolute(fromSystemd)) return fromSystemd;
  const folder = xdgFolder(at, "XDG_STATE_HOME", ".local/state");
  if (folder !== undefined) return folder;
  throw new BackupError("config", "There is no home folder to keep state in", {
    hint: "Set HOME or XDG_STATE_HOME, or give --state-dir",
  });
}

function xdgFolder(
  at: Surroundings,
  variable: string,
  underHome: string,
  file = "",
): string | undefined {
  // The XDG rules say that a relative value is to be ignored.
  const named = at.env(variable);
  if (named !== undefined && isAbsolute(named)) return join(named, PROGRAM_FOLDER, file);
  const home = at.home();
  return home === undefined ? undefined : join(home, underHome, PROGRAM_FOLDER, file);
}

function homeFromSystem(): string | undefined {
  try {
    return homedir() || undefined;
  } catch {
    return undefined;
  }
}
