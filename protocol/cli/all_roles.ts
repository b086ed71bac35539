/** What the program starts without any words: a coordinator and a worker in one process. */
import type { Command, CommandCall } from "./command.ts";
import { type RoleFacts, runRole } from "./role_process.ts";

export function createAllRoles(roles: {
  coordinator(call: CommandCall, served: (origin: string) => void): RoleFacts;
  worker(call: CommandCall, coordinatorUrl: () => string): RoleFacts;
}): Command {
  return {
    name: "",
    summary: "Start a coordinator and one worker on this machine",
    synopsis: [""],
    about: [],
    options: [
      "heartbeat",
      "deadAfter",
      "agent",
      "scan",
      "dashboard",
      "slots",
      "secret",
      "tokenFile",
      "logDir",
      "json",
      "quiet",
      "verbose",
      "stateDir",
    ],
    examples: [],
    exitCodes: [0, 1, 2],
    run(call) {
      let origin = "";
      return runRole(call, [
        roles.coordinator(call, (served) => origin = served),
        roles.worker(call, () => origin),
      ]);
    },
  };
}
