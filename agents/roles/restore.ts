/** Brings copies back. */
import { randomFraction } from "../../protocol/base/ids.ts";
import { confine } from "../platform/confined_posix.ts";
import {
  openRestoreThread,
  type RestoreThreadStart,
} from "../strategies/mirror/restore/restore_thread.ts";
import type { Role } from "./role.ts";

export const role: Role = (posix, argument, cells) => {
  const start = argument as RestoreThreadStart;
  const account = { uid: Deno.uid() ?? -1, gid: Deno.gid() ?? -1 };
  return openRestoreThread(
    confine(posix, start.roots ?? []),
    start,
    cells,
    account,
    randomFraction,
  );
};
