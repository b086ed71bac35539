/**
 * Names of files that a restore is writing. Rule: a name says which process made it, so that what a killed one has left can be
 * told from what a living one is writing; where that cannot be told, it counts as alive.
 */
import { createHash } from "node:crypto";
import { randomBytes } from "../../../protocol/base/random_bytes.ts";
import { isProcessAlive, type ProcessFacts } from "../../platform/process_identity.ts";

export interface Temporaries {
  /** A name that nothing else has. */
  next(): string;
  /** True only for what a restore on this machine was writing that has certainly ended. */
  isStale(name: string): boolean;
}

/** No boot is known by it: nothing can be said of processes of another one. */
const NO_BOOT = "x";
const NAME = /^\.restore-([0-9a-f]{12})-([0-9a-f]{12}|x)-([0-9]{1,10})-([0-9]+)-[0-9a-f]{16}$/;

export function temporariesOf(
  process: ProcessFacts,
  isAlive: (pid: number, start: string) => boolean = isProcessAlive,
): Temporaries {
  const host = shortHash(process.host);
  const boot = /^[0-9a-f]{8}-[0-9a-f-]{27}$/.test(process.boot) ? shortHash(process.boot) : NO_BOOT;
  // Where the system does not say when it began, no name of ours is ever taken for stale.
  const start = /^[0-9]+$/.test(process.start) ? process.start : "unknown";
  const prefix = `.restore-${host}-${boot}-${process.pid}-${start}-`;
  const ours = randomBytes(4).toHex();
  let count = 0;
  return {
    next: () => prefix + ours + (count++ >>> 0).toString(16).padStart(8, "0"),
    isStale(name) {
      const found = NAME.exec(name);
      if (found === null || found[1] !== host) return false;
      const [, , itsBoot, pid, itsStart] = found;
      if (boot === NO_BOOT || itsBoot === NO_BOOT) return false;
      return itsBoot !== boot || !isAlive(Number(pid), itsStart!);
    },
  };
}

function shortHash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 12);
}
