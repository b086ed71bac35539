/** Writes what is restored from repositories. */
import { systemClock } from "../../protocol/base/clock.ts";
import { openRestoreThread, type RestoreThreadStart } from "../snapshots/restore_thread.ts";
import type { Role } from "./role.ts";

export const role: Role = (posix, argument, cells, ask) =>
  openRestoreThread(posix, argument as RestoreThreadStart, cells, ask, systemClock);
