/**
 * Which process this is, and whether another lives still, for what a crash leaves behind. Rule: a process is taken for dead only
 * when that is certain; what cannot be known counts as alive.
 */
import { createHash } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import process from "node:process";

/** A process that no other is mistaken for; ids alone are used again. */
export interface ProcessFacts {
  pid: number;
  /**
   * The machine, by its id and its name, since copies of a machine have one id, and the part of it in which process ids are
   * counted. Nothing else of the machine can be told from it.
   */
  host: string;
  /** The machine's present boot. */
  boot: string;
  /** When the process began, as the machine counts. */
  start: string;
}

/** The files of the system that are asked; a test gives its own. */
export interface ProcessFiles {
  readText(path: string): string;
  readLink(path: string): string;
}

const SYSTEM_FILES: ProcessFiles = {
  readText: (path) => readFileSync(path, "utf8"),
  readLink: (path) => readlinkSync(path),
};

/** Where the system does not say, an id of its own stands for it: such a process is only ever itself. */
export function thisProcess(
  machineId: string,
  pid: number = process.pid,
  files: ProcessFiles = SYSTEM_FILES,
): ProcessFacts {
  const unknown = `${pid}-${Math.floor(performance.timeOrigin)}`;
  const ask = (read: () => string | undefined) => {
    try {
      return read()?.trim() || unknown;
    } catch {
      return unknown;
    }
  };
  const space = ask(() => files.readLink("/proc/self/ns/pid"));
  const name = ask(() => files.readText("/proc/sys/kernel/hostname"));
  const host = createHash("sha256")
    .update(`backup-agent lock ${machineId} ${name} ${space}`).digest("hex");
  return {
    pid,
    host: host.slice(0, 24),
    boot: ask(() => files.readText("/proc/sys/kernel/random/boot_id")),
    start: ask(() => startOf(pid, files)),
  };
}

/** Whether a process of this machine and boot lives; with `start` only that very one. */
export function isProcessAlive(
  pid: number,
  start?: string,
  files: ProcessFiles = SYSTEM_FILES,
): boolean {
  let began: string | undefined;
  try {
    began = startOf(pid, files);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Read as it ended: ESRCH.
    const isGone = code === "ENOENT" || code === "ESRCH";
    return !(isGone && hasProc(files)) && isSignalled(pid);
  }
  return began === undefined || start === undefined || began === start;
}

/** The kernel's count of ticks since boot at which it began; a zombie has ended. */
function startOf(pid: number, files: ProcessFiles): string | undefined {
  const text = files.readText(`/proc/${pid}/stat`);
  // The name, in brackets, may hold anything.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  if (fields[0] === "Z" || fields[0] === "X") {
    throw Object.assign(new Error("ended"), { code: "ENOENT" });
  }
  return fields[19];
}

/** False where /proc is not there, or shows nothing of others. */
function hasProc(files: ProcessFiles): boolean {
  try {
    files.readText("/proc/self/stat");
    return !hidesOthers(files);
  } catch {
    return false;
  }
}

/** Mounted with `hidepid`, it says of others that they are not there. */
function hidesOthers(files: ProcessFiles): boolean {
  const mounts = files.readText("/proc/self/mounts").split("\n");
  return mounts.some((line) => / \/proc proc .*hidepid=([12]|invisible|noaccess)/.test(line));
}

/** Asks the system by a signal that is none; a process that we may not signal is there. */
function isSignalled(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}
