/** Makes snapshots for the replicas of one repository. */
import { systemClock } from "../../protocol/base/clock.ts";
import {
  type ArchiveThreadStart,
  openArchiveThread,
} from "../strategies/snapshot/archive_thread.ts";
import type { Role } from "./role.ts";

export const role: Role = (posix, argument, cells, ask) =>
  openArchiveThread(posix, argument as ArchiveThreadStart, cells, ask, systemClock);
