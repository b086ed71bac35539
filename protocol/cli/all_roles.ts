/** What the program starts without any words: a coordinator and a worker in one process. */
import type { Command, CommandCall } from "./command.ts";
import type { FetchLike } from "../rpc/client.ts";
import { type RoleFacts, runRole } from "./role_process.ts";

export interface ServedCoordinator {
  origin: string;
  fetch: FetchLike;
}

export function createAllRoles(roles: {
  coordinator(call: CommandCall, served: (at: ServedCoordinator) => void): RoleFacts;
  worker(call: CommandCall, coordinatorUrl: () => string): RoleFacts;
  dashboard(call: CommandCall, coordinator: () => ServedCoordinator): RoleFacts;
}): Command {
  return {
    name: "",
    summary: "Start a coordinator, one worker and the dashboard on this machine",
    synopsis: [""],
    about: [],
    options: [
      "heartbeat",
      "deadAfter",
      "agent",
      "scan",
      "dashboard",
      "dashboardPort",
      "dashboardOrigin",
      "slots",
      "memory",
      "capabilities",
      // What a role may touch is asked for in the environment and the configuration too.
      "root",
      "destRoot",
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
      // Each role is started once the one before it serves.
      let coordinator: ServedCoordinator | undefined;
      return runRole(call, [
        roles.coordinator(call, (at) => coordinator = at),
        roles.worker(call, () => coordinator!.origin),
        ...(call.settings.get("dashboard").value
          ? [roles.dashboard(call, () => coordinator!)]
          : []),
      ]);
    },
  };
}
