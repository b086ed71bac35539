/** One repository that a command looks at. */
import { confine } from "../platform/confined_posix.ts";
import { openStoreThread, type StoreThreadStart } from "../strategies/snapshot/store_thread.ts";
import type { Role } from "./role.ts";

export const role: Role = (posix, argument, cells) => {
  const start = argument as StoreThreadStart;
  return openStoreThread(confine(posix, start.roots ?? []), start, cells);
};
