/**
 * What a destination's file system can hold, found by trying. Rule: a file system known to be whole is believed, any other
 * is asked once, in a folder of our own; what cannot be tried, or fails for another reason, is believed too, since the
 * copying itself then tells.
 */
import {
  EDQUOT,
  EHOSTDOWN,
  ENODEV,
  ENOSPC,
  ENOTCONN,
  EROFS,
  ESTALE,
  ETIMEDOUT,
} from "../platform/errno.ts";
import {
  cName,
  type DirectoryHandle,
  KIND_BLOCK_DEVICE,
  KIND_CHARACTER_DEVICE,
  KIND_FIFO,
  KIND_SYMLINK,
  newStat,
  type Posix,
} from "../platform/posix.ts";
import { inProbeFolder } from "./probe_folder.ts";

export interface Capabilities {
  /** Whether an entry of this kind can stand here; asked of device nodes too, which depend on who runs this. */
  holds(kind: number): boolean;
  /** Two names of one file. */
  hardLinks: boolean;
  /** A mode that was set is the mode that is found. */
  modes: boolean;
  /** An owner can be set; true where that was not tried, since only root may. */
  owners: boolean;
  /** How coarse times are: 0 keeps every nanosecond, `TIMES_LOST` keeps none. What a cache remembers may look finer. */
  timeGrainMs: number;
}

export const TIMES_LOST = Infinity;

/** Linux file systems that hold whatever a source can have, times to the nanosecond among it. */
const WHOLE_FILE_SYSTEMS: ReadonlySet<string> = new Set([
  "ext4",
  "xfs",
  "btrfs",
  "tmpfs",
  "zfs",
  "f2fs",
]);

export function isWholeFileSystem(type: string): boolean {
  return WHOLE_FILE_SYSTEMS.has(type);
}

/** For a dry run, which tries nothing: what the last run found impossible here is believed to be so still. */
export function untriedCapabilities(type: string): Capabilities {
  const isWhole = isWholeFileSystem(type);
  return {
    holds: () => false,
    hardLinks: isWhole,
    modes: isWhole,
    owners: isWhole,
    timeGrainMs: 0,
  };
}

interface Facts extends Omit<Capabilities, "holds"> {
  symlinks: boolean;
  fifos: boolean;
  devices: boolean;
}

const WHOLE: Omit<Facts, "devices"> = {
  symlinks: true,
  fifos: true,
  hardLinks: true,
  modes: true,
  owners: true,
  timeGrainMs: 0,
};

/** `stage`: where the probe folder is made, for a moment. `isRoot`: owners are tried. Device nodes are tried when asked for. */
export function findCapabilities(
  posix: Posix,
  stage: DirectoryHandle,
  type: string,
  isRoot: boolean,
): Capabilities {
  const tried: Omit<Facts, "devices"> = isWholeFileSystem(type)
    ? WHOLE
    : inProbeFolder(posix, stage, (folder) => probe(posix, folder, isRoot)) ?? WHOLE;
  let devices: boolean | undefined;
  const holdsDevices = () =>
    devices ??= inProbeFolder(
      posix,
      stage,
      (folder) => canMakeNode(posix, folder, KIND_CHARACTER_DEVICE, NULL_DEVICE),
    ) ?? true;
  const { hardLinks, modes, owners, timeGrainMs } = tried;
  const holds = (kind: number): boolean => {
    if (kind === KIND_SYMLINK) return tried.symlinks;
    if (kind === KIND_FIFO) return tried.fifos;
    return kind === KIND_CHARACTER_DEVICE || kind === KIND_BLOCK_DEVICE ? holdsDevices() : true;
  };
  return { holds, hardLinks, modes, owners, timeGrainMs };
}

/** What a person should know before the first byte; undefined when there is nothing. */
export function lossesOf(capabilities: Capabilities, type: string): string | undefined {
  const { modes, owners, timeGrainMs } = capabilities;
  const lost = [
    ...(modes ? [] : ["no modes"]),
    ...(owners ? [] : ["no owners"]),
    ...(timeGrainMs === TIMES_LOST ? ["no times"] : []),
    ...(timeGrainMs > 0 && timeGrainMs < TIMES_LOST ? [`times to ${grainText(timeGrainMs)}`] : []),
  ];
  if (lost.length === 0) return undefined;
  const last = lost.pop()!;
  const all = lost.length === 0 ? last : `${lost.join(", ")} and ${last}`;
  return `This file system (${type}) keeps ${all}: the manifest has what is exact, for a restore`;
}

function grainText(ms: number): string {
  if (ms > 1000) return `${ms / 1000} seconds only`;
  return ms === 1000 ? "the second only" : `${ms} milliseconds only`;
}

const LINK_TARGET = "no such target";
/** major 1, minor 3: /dev/null, which reads and loses nothing. */
const NULL_DEVICE = 2 ** 32 + 3;
/** Neither root nor us. */
const OTHER_ID = 1;
/** An odd second: vfat counts in steps of two. */
const TIME_SEC = 1_000_000_001;
const TIME_NSEC = 123_456_789;

/** Undefined when not even a plain file can be made: then nothing that fails means anything. */
function probe(
  posix: Posix,
  folder: DirectoryHandle,
  isRoot: boolean,
): Omit<Facts, "devices"> | undefined {
  const name = cName("file");
  const fd = posix.createFile(folder, name);
  if (fd < 0) return undefined;
  const stat = newStat();
  try {
    const keepsMode = (mode: number) =>
      isHeld(() => posix.setFileMode(fd, mode)) && posix.stat(fd, stat) === 0 &&
      stat.mode === mode;
    // Times first: a probe that reads what the next one changed would say nothing.
    const timeGrainMs = grainOf(posix, fd);
    const modes = keepsMode(0o640) && keepsMode(0o701);
    const owners = !isRoot ||
      isHeld(() => posix.setFileOwner(fd, OTHER_ID, OTHER_ID)) && posix.stat(fd, stat) === 0 &&
        stat.uid === OTHER_ID && stat.gid === OTHER_ID;
    const link = cName("symlink");
    const symlinks = isHeld(() => posix.symlink(cName(LINK_TARGET), folder, link));
    const hardLinks = isHeld(() => posix.link(folder, name, folder, cName("second")));
    const fifos = canMakeNode(posix, folder, KIND_FIFO, 0);
    return { symlinks, fifos, hardLinks, modes, owners, timeGrainMs };
  } finally {
    posix.close(fd);
  }
}

function grainOf(posix: Posix, fd: number): number {
  if (!isHeld(() => posix.setFileTimes(fd, TIME_SEC, TIME_NSEC))) return TIMES_LOST;
  const stat = newStat();
  if (posix.stat(fd, stat) < 0) return 0;
  if (stat.mtimeSec === TIME_SEC && stat.mtimeNsec === TIME_NSEC) return 0;
  const apartMs = Math.abs((stat.mtimeSec - TIME_SEC) * 1000 + (stat.mtimeNsec - TIME_NSEC) / 1e6);
  for (const grainMs of [1, 10, 100, 1000, 2000]) if (apartMs < grainMs) return grainMs;
  return TIMES_LOST;
}

/** Some file systems answer no error and make a plain file; some answer an error and make one all the same. */
function canMakeNode(
  posix: Posix,
  folder: DirectoryHandle,
  kind: number,
  rdev: number,
): boolean {
  const name = cName(`node${kind}`);
  const isMade = isHeld(() => {
    posix.unlink(folder, name);
    return posix.makeNode(folder, name, kind, 0o600, rdev);
  });
  const stat = newStat();
  return isMade && (posix.statAt(folder, name, stat) < 0 || stat.kind === kind);
}

/** Says nothing about what the file system can hold. */
const OTHER_REASONS: ReadonlySet<number> = new Set([
  ENOSPC,
  EDQUOT,
  EROFS,
  ENODEV,
  ENOTCONN,
  ESTALE,
  ETIMEDOUT,
  EHOSTDOWN,
]);

/** Tried twice, since an error of the moment must not pass for a property of the disk. */
function isHeld(attempt: () => number): boolean {
  if (attempt() >= 0) return true;
  const result = attempt();
  return result >= 0 || OTHER_REASONS.has(-result);
}
