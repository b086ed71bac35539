/** Files below locks/. Rule: restic's fields first; ours is one more, which it ignores, and says which process wrote it. */
import * as v from "valibot";
import { IntegrityError } from "../../protocol/base/errors.ts";
import { goString } from "./go_json.ts";
import { msOf, parseTime } from "./go_time.ts";

/** A process that no other is mistaken for. */
export interface ProcessIdentity {
  pid: number;
  /** The machine, and the part of it in which process ids are counted. */
  host: string;
  /** The machine's present boot. */
  boot: string;
  /** When the process began, as the machine counts; ids are used again, such pairs are not. */
  start: string;
}

export interface LockOwner {
  hostname: string;
  username: string;
  uid: number;
  gid: number;
  process: ProcessIdentity;
}

const FILE = v.object({
  time: v.custom<string>((value) => typeof value === "string" && !!parseTime(value)),
  exclusive: v.optional(v.boolean(), false),
  hostname: v.optional(v.string(), ""),
  username: v.optional(v.string(), ""),
  pid: v.optional(v.number(), 0),
  backup_agent: v.optional(v.object({ host: v.string(), boot: v.string(), start: v.string() })),
});
export type LockFile = v.InferOutput<typeof FILE>;

/** restic's: who could not refresh for so long is gone. */
export const STALE_AFTER_MS = 30 * 60_000;

export function encodeLock(owner: LockOwner, time: string, exclusive: boolean): Uint8Array {
  const { pid, host, boot, start } = owner.process;
  let json = `{"time":"${time}","exclusive":${exclusive},"hostname":${goString(owner.hostname)},` +
    `"username":${goString(owner.username)},"pid":${pid}`;
  if (owner.uid !== 0) json += `,"uid":${owner.uid}`;
  if (owner.gid !== 0) json += `,"gid":${owner.gid}`;
  json += `,"backup_agent":{"host":${goString(host)},"boot":${goString(boot)},` +
    `"start":${goString(start)}}}`;
  return new TextEncoder().encode(json);
}

/** @throws {IntegrityError} */
export function decodeLock(json: Uint8Array, path: string): LockFile {
  try {
    return v.parse(FILE, JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(json)));
  } catch (cause) {
    throw new IntegrityError(`${path} is no lock`, { path, cause });
  }
}

export type IsAlive = (pid: number, start: string | undefined) => boolean;

/** Left by a process of ours on this machine that is dead: nobody holds it. Which one that was. */
export function leftByUs(
  lock: LockFile,
  me: ProcessIdentity,
  isAlive: IsAlive,
): ProcessIdentity | undefined {
  const wrote = lock.backup_agent;
  if (wrote === undefined || wrote.host !== me.host) return undefined;
  const isDead = wrote.boot !== me.boot || !isAlive(lock.pid, wrote.start);
  return isDead ? { ...wrote, pid: lock.pid } : undefined;
}

/** What restic calls stale, and `unlock` removes: too old, or of a process of this host that is dead. */
export function isStale(
  lock: LockFile,
  nowMs: number,
  owner: LockOwner,
  isAlive: IsAlive,
): boolean {
  if (nowMs - msOf(parseTime(lock.time)!) > STALE_AFTER_MS) return true;
  if (leftByUs(lock, owner.process, isAlive) !== undefined) return true;
  // Of ours the exact process is known, and it lives or is elsewhere.
  if (lock.backup_agent !== undefined) return false;
  return lock.hostname === owner.hostname && lock.pid > 0 && !isAlive(lock.pid, undefined);
}

/** `user@host, process 12, since …`. */
export function describeLock(lock: LockFile): string {
  const kind = lock.exclusive ? "exclusively " : "";
  return `locked ${kind}by ${lock.username}@${lock.hostname}, process ${lock.pid}, at ${lock.time}`;
}
