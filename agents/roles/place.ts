/** Looks at places for a dashboard. */
import { systemClock } from "../../protocol/base/clock.ts";
import { openPlaceThread, type PlaceThreadStart } from "../places/place_thread.ts";
import { confine } from "../platform/confined_posix.ts";
import type { Role } from "./role.ts";

export const role: Role = (posix, argument, cells) =>
  openPlaceThread(confine(posix, (argument as PlaceThreadStart).roots), cells, systemClock);
