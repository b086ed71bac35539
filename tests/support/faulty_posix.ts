/**
 * The platform port with faults on demand: a call answers an error, or the machine loses power before or after it. Rule:
 * after the power cut no call reaches the disk, and what was written but never flushed is torn, as on a real disk.
 */
import type { Posix } from "../../agents/platform/posix.ts";

export type PosixCallName = Exclude<keyof Posix, "name">;

/** One call, counted from 1 over all calls of this port. */
export interface PosixCall {
  name: PosixCallName;
  number: number;
  /** It can change what stands on the disk. */
  changes: boolean;
}

export type Fault =
  | { kind: "error"; errno: number }
  | { kind: "crash"; when: "before" | "after" };

export interface FaultyPosix {
  posix: Posix;
  /** Every call so far. */
  calls: PosixCall[];
  /** Files and directories that were opened and not closed. */
  openCount(): number;
  hasCrashed(): boolean;
  /** Resolves at the power cut. */
  crashed: Promise<void>;
  /** Closes whatever is still open. Call it when the engine has ended. */
  dispose(): void;
}

/** What every call throws from the power cut on. */
export class PowerCut extends Error {
  override readonly name = "PowerCut";
}

const OPENS_FILE: ReadonlySet<string> = new Set(["openRead", "createFile", "openAppend"]);
const OPENS_DIRECTORY: ReadonlySet<string> = new Set(["openRoot", "openDirectory", "openParent"]);
/** They answer nothing, so they cannot fail. */
const HINTS: ReadonlySet<string> = new Set([
  "closeDirectory",
  "startWriteback",
  "dropCache",
  "willNeed",
  "stepBack",
]);
const CHANGES: ReadonlySet<string> = new Set([
  "createFile",
  "openAppend",
  "truncate",
  "writeAt",
  "write",
  "makeDirectory",
  "symlink",
  "link",
  "rename",
  "renameNew",
  "unlink",
  "removeDirectory",
  "makeNode",
  "setFileMode",
  "setFileOwner",
  "setFileTimes",
  "setModeAt",
  "setOwnerAt",
  "setTimesAt",
  "setXattr",
  "removeXattr",
  "setFileXattr",
  "flushFile",
  "flushDirectory",
  "flushFileSystem",
]);

/** True for a call that a fault can be made of. */
export function canFail(call: PosixCall): boolean {
  return !HINTS.has(call.name);
}

/**
 * Wraps `inner`; `decide` is asked before every call. `fileSystemType` makes the disk claim to be another one, so that
 * the engine flushes file by file.
 */
export function faultyPosix(
  inner: Posix,
  decide: (call: PosixCall) => Fault | undefined = () => undefined,
  options: { fileSystemType?: string } = {},
): FaultyPosix {
  const calls: PosixCall[] = [];
  const files = new Set<number>();
  const directories = new Set<number>();
  /** Written and not flushed; the open ones stay open below until they are flushed, to be torn at a power cut. */
  const dirty = new Set<number>();
  const closedLate = new Set<number>();
  let isDead = false;
  const { promise: crashed, resolve: tellCrashed } = Promise.withResolvers<void>();

  const dispose = () => {
    for (const fd of new Set([...files, ...closedLate])) inner.close(fd);
    for (const handle of directories) inner.closeDirectory(handle);
    files.clear();
    directories.clear();
    closedLate.clear();
    dirty.clear();
  };
  const cutPower = (): PowerCut => {
    if (!isDead) {
      isDead = true;
      for (const fd of dirty) inner.truncate(fd, 1);
      dispose();
      tellCrashed();
    }
    return new PowerCut("The power was cut");
  };
  const flushed = (fd: number) => {
    dirty.delete(fd);
    if (closedLate.delete(fd)) inner.close(fd);
  };
  const closeFile = (fd: number): number => {
    files.delete(fd);
    if (!dirty.has(fd)) return inner.close(fd);
    closedLate.add(fd);
    return 0;
  };
  const perform = (name: PosixCallName, args: unknown[]): unknown => {
    if (name === "close") return closeFile(args[0] as number);
    if (name === "closeDirectory") directories.delete(args[0] as number);
    // deno-lint-ignore ban-types -- every method of the port, whatever its arguments
    const result = (inner[name] as Function)(...args) as unknown;
    if (typeof result === "object" && result !== null && "freeBytes" in result) {
      return { ...result, ...(options.fileSystemType && { type: options.fileSystemType }) };
    }
    if (typeof result !== "number" || result < 0) return result;
    if (OPENS_FILE.has(name)) files.add(result);
    if (OPENS_DIRECTORY.has(name)) directories.add(result);
    if (name === "writeAt" || name === "write") dirty.add(args[0] as number);
    if (name === "flushFile") flushed(args[0] as number);
    if (name === "flushFileSystem") { for (const fd of [...dirty]) flushed(fd); }

    return result;
  };
  const call = (name: PosixCallName, args: unknown[]): unknown => {
    if (isDead) throw cutPower();
    const made: PosixCall = { name, number: calls.length + 1, changes: CHANGES.has(name) };
    calls.push(made);
    const fault = decide(made);
    if (fault?.kind === "crash") {
      if (fault.when === "after") perform(name, args);
      throw cutPower();
    }
    if (fault === undefined || HINTS.has(name)) return perform(name, args);
    // A close that fails has closed all the same.
    if (name === "close") closeFile(args[0] as number);
    return -fault.errno;
  };
  const posix = new Proxy(inner, {
    get: (_, name) =>
      name === "name" ? inner.name : (...args: unknown[]) => call(name as PosixCallName, args),
  });
  return {
    posix,
    calls,
    openCount: () => files.size + directories.size,
    hasCrashed: () => isDead,
    crashed,
    dispose,
  };
}
