/** What a console shows of a coordinator that has nothing yet. */
import type { ConsoleState } from "../../protocol/mesh/console_state.ts";

export const EMPTY_CONSOLE_STATE: ConsoleState = {
  coordinator: {
    name: "c",
    version: "1",
    hostId: "h",
    startedAtMs: 0,
    verdict: null,
    activeRunIds: [],
  },
  runs: {},
  live: {},
  agents: {},
  tasks: {},
  places: {},
  schedules: {},
  restores: {},
};
