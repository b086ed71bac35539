/** One repository as a destination of a run. */
import { systemClock } from "../../protocol/base/clock.ts";
import {
  openRepositoryThread,
  type RepositoryThreadStart,
} from "../strategies/snapshot/repository_thread.ts";
import type { Role } from "./role.ts";

export const role: Role = (posix, argument, cells) =>
  openRepositoryThread(posix, argument as RepositoryThreadStart, cells, systemClock);
