/** The real world of a command: this process's arguments aside, everything a command may touch. */
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { systemClock } from "../base/clock.ts";
import type { World } from "./command.ts";
import { processSignals } from "./interrupt.ts";
import { processSurroundings } from "./surroundings.ts";
import { processTerminal } from "./terminal.ts";

/** `entryUrl` is the program's own module: the folder it lies in is not where relative paths start. */
export function processWorld(entryUrl: string): World {
  const surroundings = processSurroundings(dirname(fileURLToPath(entryUrl)));
  return {
    surroundings,
    terminal: processTerminal(surroundings.env),
    signals: processSignals(),
    clock: systemClock,
  };
}
