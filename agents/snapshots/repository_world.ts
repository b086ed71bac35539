/** What commands on repositories need of the machine. Rule: they touch it through this only, so tests give them memory. */
import { hostname } from "node:os";
import { dirname } from "node:path";
import type { Clock } from "../../protocol/base/clock.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import type { CommandCall } from "../../protocol/cli/command.ts";
import { defaultStateDir } from "../../protocol/cli/surroundings.ts";
import { openLocalObjectStore } from "../destinations/local_object_store.ts";
import type { ObjectStore } from "../destinations/object_store.ts";
import { createKernels, type Kernels } from "../kernels/mod.ts";
import { cName, type Posix } from "../platform/posix.ts";
import { EEXIST, posixError } from "../platform/errno.ts";
import { openPosix } from "../platform/open_posix.ts";
import { calibrate, type KdfParameters, type LockContext } from "../repository/mod.ts";
import { lockContextOfThisProcess } from "../strategies/snapshot/mod.ts";
import { patientStore } from "./patient_store.ts";

export interface RepositoryWorld {
  /** Opens a folder; with `make` one that is not there is made. @throws {BackupError} `destination_missing` */
  openStore(path: string, make?: boolean): ObjectStore;
  lockContext(call: Pick<CommandCall, "clock" | "surroundings">): LockContext;
  /** How hard a new key is to guess. */
  kdf(clock: Clock): KdfParameters;
  readonly posix: Posix;
  readonly kernels: Kernels;
}

const FOLDER_MODE = 0o700;

/** `hostId` is this machine's, for processes whose state lies in a folder. */
export function createRepositoryWorld(
  clock: Clock,
  hostId: (stateDir: string) => string,
): RepositoryWorld {
  let kernels: Kernels | undefined;
  let posix: Posix | undefined;
  const world: RepositoryWorld = {
    openStore(path, make = false) {
      if (make) makeFolder(world.posix, path);
      return patientStore(openLocalObjectStore(world.posix, path), clock);
    },
    lockContext: (call) => lockContextOfThisProcess(call.clock, machineOf(call, hostId)),
    kdf: calibrate,
    get posix() {
      return posix ??= openPosix();
    },
    get kernels() {
      return kernels ??= createKernels();
    },
  };
  return world;
}

/** One part below a folder that stands: a path that was mistyped makes nothing. */
export function makeFolder(posix: Posix, path: string): void {
  const there = posix.openRoot(cName(path));
  if (there >= 0) return posix.closeDirectory(there);
  const parent = dirname(path);
  const handle = posix.openRoot(cName(parent));
  if (handle < 0) {
    throw new BackupError("destination_missing", `${parent} does not exist`, {
      path: parent,
      hint: "Make the folder that is to hold the repository first, or mount its disk",
    });
  }
  const made = posix.makeDirectory(
    handle,
    cName(path.slice(path.lastIndexOf("/") + 1)),
    FOLDER_MODE,
  );
  posix.closeDirectory(handle);
  if (made < 0 && made !== -EEXIST) throw posixError(made, "make", path);
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
