/**
 * Files whose writing was cut off, under the names they had meanwhile. Rule: what a process that may live still writes is left
 * alone: of others goes what a dead process of this machine has left, by its name, and under an exclusive lock everything.
 */
import { BackupError } from "../../protocol/base/errors.ts";
import {
  isTemporaryOf,
  type ObjectInfo,
  type ObjectStore,
  WRITER_DIGITS,
  writerIn,
} from "../destinations/object_store.ts";
import { CONFIG_NAME, folderOf } from "./layout.ts";
import type { IsAlive, ProcessIdentity } from "./lock_file.ts";
import { idOf } from "./object_id.ts";
import type { Repository } from "./repository.ts";

const FOLDERS = (["pack", "index", "snapshot", "key", "lock"] as const).map(folderOf);

const HASH_DIGITS = 12;
const PID_DIGITS = 8;
const START_DIGITS = WRITER_DIGITS - 2 * HASH_DIGITS - PID_DIGITS;
/** No boot is known by it: nothing can be said of processes of another one. */
const NO_BOOT = "0".repeat(HASH_DIGITS);

/**
 * What a process's store is opened with, so that its unfinished files are known by its lock, and whether it has ended by their
 * names alone.
 */
export function writerOf({ host, boot, pid, start }: ProcessIdentity): string {
  const isKnown = /^[0-9a-f]{8}-[0-9a-f-]{27}$/.test(boot) && /^[0-9]{1,16}$/.test(start);
  return [
    hashOf(host, HASH_DIGITS),
    isKnown ? hashOf(boot, HASH_DIGITS) : NO_BOOT,
    pid.toString(16).padStart(PID_DIGITS, "0"),
    isKnown ? BigInt(start).toString(16).padStart(START_DIGITS, "0") : hashOf(start, START_DIGITS),
  ].join("");
}

/** True only for what a process of this machine was writing that has certainly ended. */
function isOfDead(name: string, me: ProcessIdentity, isAlive: IsAlive): boolean {
  const [its, mine] = [writerIn(name), writerOf(me)];
  if (its === undefined || partOf(its, "host") !== partOf(mine, "host")) return false;
  const boot = partOf(its, "boot");
  if (boot === NO_BOOT || partOf(mine, "boot") === NO_BOOT) return false;
  const pid = Number.parseInt(partOf(its, "pid"), 16);
  return boot !== partOf(mine, "boot") ||
    !isAlive(pid, String(BigInt(`0x${partOf(its, "start")}`)));
}

function partOf(writer: string, part: "host" | "boot" | "pid" | "start"): string {
  const at = {
    host: 0,
    boot: HASH_DIGITS,
    pid: 2 * HASH_DIGITS,
    start: 2 * HASH_DIGITS + PID_DIGITS,
  };
  const digits = { host: HASH_DIGITS, boot: HASH_DIGITS, pid: PID_DIGITS, start: START_DIGITS };
  return writer.slice(at[part], at[part] + digits[part]);
}

function hashOf(text: string, digits: number): string {
  return idOf(new TextEncoder().encode(`writer ${text}`)).slice(0, digits);
}

export async function findLeftovers({ store }: { store: ObjectStore }): Promise<ObjectInfo[]> {
  const found: ObjectInfo[] = [];
  for (const folder of FOLDERS) found.push(...await store.leftovers(folder));
  // Beside a configuration may lie anybody's.
  const above = await store.leftovers("");
  found.push(...above.filter(({ name }) => name.startsWith(`${CONFIG_NAME}-tmp-`)));
  return found;
}

/** What that process was writing, which is dead. As far as can be: a prune takes what is left. */
export async function removeLeftoversOf(
  { store }: Repository,
  process: ProcessIdentity,
): Promise<void> {
  const writer = writerOf(process);
  await removeWhere(store, (name) => isTemporaryOf(name, writer));
}

/** What dead processes of this machine were writing, with a lock or without one; no key is needed. As far as can be. */
export async function removeLeftoversOfDead(
  store: ObjectStore,
  me: ProcessIdentity,
  isAlive: IsAlive,
): Promise<void> {
  await removeWhere(store, (name) => isOfDead(name, me, isAlive));
}

async function removeWhere(store: ObjectStore, isTheirs: (name: string) => boolean): Promise<void> {
  try {
    for (const { name } of await findLeftovers({ store })) {
      if (isTheirs(name)) await store.remove(name);
    }
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
  }
}
