/** What commands on repositories need of the machine. Rule: they touch it through this only, so tests give them memory. */
import { hostname } from "node:os";
import type { Clock } from "../../protocol/base/clock.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import type { CommandCall } from "../../protocol/cli/command.ts";
import { defaultStateDir } from "../../protocol/cli/surroundings.ts";
import type { ObjectStore } from "../destinations/object_store.ts";
import { createKernels, type Kernels } from "../kernels/mod.ts";
import { calibrate, type KdfParameters, type LockContext } from "../repository/mod.ts";
import { spawnThread } from "../threads/spawn.ts";
import { lockContextOfThisProcess, openStoreInThread } from "../strategies/snapshot/mod.ts";

export interface OpenStoreOptions {
  make?: boolean;
  timeoutMs: number;
  /** `writerOf` the process that writes. */
  writer?: string;
}

export interface RepositoryWorld {
  /** Opens a folder; with `make` one that is not there is made. @throws {BackupError} `destination_missing`, `deadline` */
  openStore(path: string, options: OpenStoreOptions): Promise<ObjectStore>;
  lockContext(call: Pick<CommandCall, "clock" | "surroundings">): LockContext;
  /** How hard a new key is to guess. */
  kdf(clock: Clock): KdfParameters;
  /** Starts a thread; `entry.ts` knows the roles. */
  spawn(role: string): Worker;
  readonly kernels: Kernels;
}

/** `hostId` is this machine's, for processes whose state lies in a folder. */
export function createRepositoryWorld(
  clock: Clock,
  hostId: (stateDir: string) => string,
): RepositoryWorld {
  let kernels: Kernels | undefined;
  const world: RepositoryWorld = {
    openStore: (path, { make = false, timeoutMs, writer }) =>
      openStoreInThread({ path, make, timeoutMs, writer, clock, spawn: spawnThread }),
    lockContext: (call) => lockContextOfThisProcess(call.clock, machineOf(call, hostId)),
    kdf: calibrate,
    spawn: spawnThread,
    get kernels() {
      return kernels ??= createKernels();
    },
  };
  return world;
}

/** Without a home to keep an id in, the machine's name will do. */
function machineOf(
  { surroundings }: Pick<CommandCall, "surroundings">,
  hostId: (stateDir: string) => string,
): string {
  try {
    return hostId(defaultStateDir(surroundings));
  } catch (error) {
    if (error instanceof BackupError) return hostname();
    throw error;
  }
}
