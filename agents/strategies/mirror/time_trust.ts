/**
 * How far the times that a destination gives back can be trusted. Rule: whether it keeps them is tried there, once, and
 * only when a time is not the expected one.
 */
import { isWholeFileSystem } from "../../destinations/capabilities.ts";
import type { OpenDestination } from "../../destinations/local_destination.ts";
import { EIO } from "../../platform/errno.ts";
import { cName, newStat, type Posix } from "../../platform/posix.ts";
import type { LaneTask } from "./lane_task.ts";
import type { TimeTrust } from "./recorded_state.ts";

/** vfat rounds to two seconds. */
const COARSE_TIME_MS = 2000;
/** In the stage, for a moment. */
const PROBE_FILE = "probe";
const PROBE_TIME_SEC = 1_000_000_000;

export class TriedTimes implements TimeTrust {
  readonly mtimeToleranceMs: number;
  readonly #posix: Posix;
  readonly #task: LaneTask;
  #keeps: boolean | undefined;

  /** A dry run tries nothing. */
  constructor(posix: Posix, { fileSystem }: OpenDestination, task: LaneTask, isDryRun: boolean) {
    this.#posix = posix;
    this.#task = task;
    if (isDryRun) this.#keeps = true;
    // What a try finds is finer than what a disk keeps after it was unmounted, so only the known ones are exact.
    this.mtimeToleranceMs = isWholeFileSystem(fileSystem.type) && posix.name === "libc"
      ? 0
      : COARSE_TIME_MS;
  }

  keepsTimes(): boolean {
    return this.#keeps ??= keepsTimes(this.#posix, this.#task);
  }

  /** They were tried, and are lost here. */
  get areLost(): boolean {
    return this.#keeps === false;
  }
}

/** A file system may refuse times, or take them and forget. What cannot be tried is believed. */
function keepsTimes(posix: Posix, task: LaneTask): boolean {
  const stage = task.stage();
  const name = cName(PROBE_FILE);
  const fd = stage < 0 ? stage : posix.createFile(stage, name);
  if (fd < 0) return true;
  const stat = newStat();
  const set = posix.setFileTimes(fd, PROBE_TIME_SEC, 0);
  const found = posix.stat(fd, stat);
  posix.close(fd);
  posix.unlink(stage, name);
  if (found < 0) return true;
  const apartMs = Math.abs(stat.mtimeSec - PROBE_TIME_SEC) * 1000;
  return set === -EIO || (set >= 0 && apartMs <= COARSE_TIME_MS);
}
