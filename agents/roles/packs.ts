/** Reads packs of a repository that is checked. */
import { openPackThread, type PackThreadStart } from "../snapshots/pack_thread.ts";
import type { Role } from "./role.ts";

export const role: Role = (posix, argument, cells) =>
  openPackThread(posix, argument as PackThreadStart, cells);
