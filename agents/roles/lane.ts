/** One worker of a destination that holds copies. */
import { systemClock } from "../../protocol/base/clock.ts";
import { confine } from "../platform/confined_posix.ts";
import { type LaneThreadStart, openLaneThread } from "../strategies/mirror/lane_thread.ts";
import type { Role } from "./role.ts";

export const role: Role = (posix, argument, cells) => {
  const start = argument as LaneThreadStart;
  const account = { uid: Deno.uid() ?? -1, gid: Deno.gid() ?? -1 };
  return openLaneThread(confine(posix, start.roots ?? []), start, cells, systemClock, account);
};
