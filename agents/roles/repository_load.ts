/** Loads blobs for a restore. */
import { systemClock } from "../../protocol/base/clock.ts";
import { openRestoreLoader, type RestoreLoaderStart } from "../snapshots/restore_loader.ts";
import type { Role } from "./role.ts";

export const role: Role = (posix, argument, cells, ask) =>
  openRestoreLoader(posix, argument as RestoreLoaderStart, cells, ask, systemClock);
