/** Who this process is in the locks and keys of repositories. */
import { hostname, userInfo } from "node:os";
import type { Clock } from "../../../protocol/base/clock.ts";
import { isProcessAlive, thisProcess } from "../../platform/process_identity.ts";
import type { LockContext } from "../../repository/mod.ts";

/** `machineId` is this machine's `hostId`: equal for all processes of it. */
export function lockContextOfThisProcess(clock: Clock, machineId: string): LockContext {
  return {
    clock,
    owner: {
      hostname: hostname(),
      username: userName(),
      uid: Deno.uid() ?? 0,
      gid: Deno.gid() ?? 0,
      process: thisProcess(machineId),
    },
    isAlive: isProcessAlive,
  };
}

/** As restic has it; empty where the system knows no name. */
export function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // No entry for the number in the system's list.
    return "";
  }
}
